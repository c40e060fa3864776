"""What the live machine says without a file: one module a source, each with `read()`, a JSON object."""
