"""The only room that makes system calls through ctypes."""
