"""A machine with GPUs and TPUs that are none: a real kernel in QEMU, with stub drivers on a PCI bus in software.

`python -m hwtests.lab` (or `make lab`) prepares it in build/lab, boots it once, runs hwtests/lab/guest in it as root,
and fails unless the guest says that everything passed. Nothing is installed; no KVM is used (TCG, always).
"""
