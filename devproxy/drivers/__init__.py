"""Device drivers that answer in a virtual file system."""
