"""Datasets on disk that need more than a description: one reader a file, each a `mtlrepro.data.disk.folder.Folder`."""
