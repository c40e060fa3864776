"""The file system types, one a file or folder. None is registered by being imported."""
