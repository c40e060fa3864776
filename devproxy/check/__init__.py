"""Is the root right: what was expected, what is there, and their difference as findings with stable codes."""
