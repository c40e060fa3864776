"""Test beds of umockdev: a made-up /sys, /dev and uevents under the real libudev and pyudev.

A bed redirects calls of the C library (LD_PRELOAD) for reading alone: mknod(2) and unlink(2) reach the real machine, so
that nothing here makes or removes a node. fstat(2) is not redirected either, nor is what
is opened below a directory's descriptor, which is how a probe reads. The code under test runs in a child process.
"""
