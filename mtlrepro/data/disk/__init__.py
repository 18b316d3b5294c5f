"""Datasets on disk: their descriptions, readers, checks, preparation, and synthetic copies."""
