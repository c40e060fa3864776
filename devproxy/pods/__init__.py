"""Several containers that share volumes: in this process, and by name between processes."""
