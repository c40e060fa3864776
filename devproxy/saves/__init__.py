"""What a container wrote, saved as a layer, and put into another root, on this host or on another one."""
