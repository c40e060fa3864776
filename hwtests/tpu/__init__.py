"""TPUs: what the machine says of them, from several sides."""
