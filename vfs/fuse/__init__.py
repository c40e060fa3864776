"""The FUSE wire format, in both directions: what a client sends a server and what it gets back (fuse(4)).

`abi` has the numbers, `records` the fixed structures, `messages` what is of variable length, `channel` carries whole messages
over a socket. A client packs what a server unpacks and the other way round, so each structure is described once. The client
is `vfs.fs.fuse`.

Source: include/uapi/linux/fuse.h, version 7.38. Numbers are in the order of the machine. Missing: POLL, BMAP,
and what only virtiofs, DAX and CUSE use.
"""
