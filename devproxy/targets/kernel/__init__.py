"""A root on the running kernel: a mount tree of a forked process, built through descriptors."""
