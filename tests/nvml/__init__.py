"""A fake libnvidia-ml.so.1, and what devproxy makes of what it says."""
