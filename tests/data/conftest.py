"""Its folder is importable below, so that all tests of data share `toy_samples`."""
