"""What the machine has: facts, each with its source, from the live machine or from a recording."""
