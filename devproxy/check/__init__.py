"""Is it right: what should be there against what is there."""
