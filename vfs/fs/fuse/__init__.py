"""fuse: a tree that a server in userspace holds, spoken to in the FUSE protocol (fuse(4)).

Analogous to the fuse file system of Linux (fs/fuse, Documentation/filesystems/fuse.rst), from which a server cannot tell it
by what it is asked. The server is at the other end of a socket: an unmodified libfuse program takes `/dev/fd/N`, one end of a
SOCK_SEQPACKET pair, for an opened /dev/fuse. Options are Linux's: fd, rootmode, user_id, group_id, default_permissions,
allow_other, max_read, subtype (also as the type `fuse.NAME`); `FuseOptions` has what is ours.

Differences:

* There is no page cache: every read and write goes to the server, as under FOPEN_DIRECT_IO. Names, attributes and, if agreed on,
  the text of links are kept for as long as the server allows.
* One request at a time, but for locks that are waited for (SETLKW), beside which others are served. A server in the same process must not need the lock of the VFS that it is mounted in, which is held
  while a change waits for its answer.
* Every request has a deadline (`FuseOptions.timeout`). When it has passed, the request is interrupted; a server that does
  not answer even then has lost the connection. The caller is told ETIMEDOUT (not ECONNABORTED, as under Linux's
  fs.fuse.max_request_timeout, which is for servers that die), later callers ENOTCONN. An INTERRUPT that is obeyed
  (EINTR) is ETIMEDOUT too, and the connection stays.
* A server that dies: ECONNABORTED for who waits, ENOTCONN for who comes later. An answer of the wrong size, a node or a name
  that cannot be: EIO. What is no answer at all: EIO, and the connection ends.
* Locks are the server's if it said so in INIT, as Linux has it, and asked for by what `vfs.locks` knows of owners. A lock that did
  not come in time is given up with an INTERRUPT, and given back should the server grant it later. The end of an open file
  description ends its record locks, of which Linux tells the server nothing; READ, WRITE and SETATTR do not say who asks.
* At the end every look-up is taken back and DESTROY is sent: a socket has no other way to tell an orderly end.

Missing: poll (open files have no readiness here, NOTIFY_POLL is passed over), bmap (it is for block devices), writeback caching, DAX, submounts, passthrough, POSIX ACLs, character devices
(CUSE), servers older than 7.12. A descriptor that is no socket is refused; what else carries messages can be a `Channel`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from vfs.errors import error
from vfs.filesystem import FilesystemType
from vfs.options import MountOptions

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.fuse.filesystem import FuseFilesystem
    from vfs.fs.fuse.options import FuseOptions as FuseOptions
    from vfs.virtual_filesystem import VirtualFilesystem


class FuseType(FilesystemType):
    """Registers as "fuse"."""

    name = "fuse"
    has_subtype: ClassVar[bool] = True

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> FuseFilesystem:
        """Errors: EINVAL for unknown and missing options, for a descriptor that is no socket's, and for `fd=` in a mount made for a
        process inside, whose descriptors are not ours.
        """
        from vfs.fs.fuse.filesystem import FuseFilesystem
        from vfs.fs.fuse.options import FuseOptions, parse

        internal = FuseOptions() if options.internal is None else options.internal
        if not isinstance(internal, FuseOptions):
            raise error(errno.EINVAL)
        parsed = parse(options.data, connected=internal.connection is not None)
        if options.user_mount and internal.connection is None:
            raise error(errno.EINVAL)
        try:
            return FuseFilesystem(vfs, creds, parsed, internal)
        except OSError as problem:
            if problem.errno == errno.EBADF:
                raise error(errno.EINVAL) from None
            raise


def __getattr__(name: str) -> object:
    """Import what costs when it is first asked for (PEP 562)."""
    if name == "FuseOptions":
        from vfs.fs.fuse.options import FuseOptions

        return FuseOptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
