"""How to meet what the container asks for with what the host has: an ordered list of steps, each with its reason."""
