"""The tests that run inside the lab's guest, as root, on a kernel with stub drivers; nowhere else."""
