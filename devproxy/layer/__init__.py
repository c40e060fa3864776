"""A root's changes as an OCI layer (opencontainers/image-spec, layer.md): the tar file, written and read, and how it is
taken from a tree of files and applied to one. Knows no target: what it reads and writes is a `Tree`.
"""
