"""A host with NVIDIA GPUs and their driver."""
