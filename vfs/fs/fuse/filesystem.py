"""A tree that a server holds, and the type that it is mounted by."""

from __future__ import annotations

import errno
import stat
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from vfs.dentry import ODD_CALLER, Dentry
from vfs.errors import error
from vfs.filesystem import Filesystem, StatFilesystem
from vfs.fs.fuse.connection import Connection
from vfs.fs.fuse.directory import FuseDirectory
from vfs.fs.fuse.inode import FuseInode
from vfs.fs.fuse.locks import FuseLocks
from vfs.fs.fuse.nodes import Nodes
from vfs.fs.fuse.notifications import told
from vfs.fs.fuse.options import UNLIMITED, FuseOptions, ParsedOptions
from vfs.fuse.abi import PAGE_SIZE, ROOT_ID, SUPER_MAGIC, InitFlags, Opcode
from vfs.fuse.channel import Channel, SocketChannel
from vfs.fuse.messages import Entry
from vfs.fuse.records import KSTATFS, Attr, OpenOut

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

_KINDS: Final = frozenset(
    {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}
)
_LONGEST: Final = 1 << 63
_HEADROOM: Final = PAGE_SIZE
_ALL_NANOSECONDS: Final = 999_999_999


class FuseFilesystem(Filesystem):
    """What a server shows (struct fuse_mount, struct fuse_conn).

    `caller` is who asks, in this thread: the VFS says so when a walk ends here, `check_access` at every step, and open files
    have their own. It is whose ids the server is told, and who has to be let in.
    """

    revalidates: bool = True
    dentry_flags: ClassVar[int] = ODD_CALLER
    takes_every_xattr: ClassVar[bool] = True

    def __init__(self, vfs: VirtualFilesystem, creds: Credentials, parsed: ParsedOptions, options: FuseOptions) -> None:
        """Errors: EINVAL, EBADF for a descriptor that is no socket's."""
        super().__init__(vfs, "fuse" if parsed.subtype is None else f"fuse.{parsed.subtype}")
        self.parsed = parsed
        self.default_permissions = parsed.default_permissions
        self.opened: tuple[FuseInode, OpenOut] | None = None
        """What the server opened as it made it, until `open` takes it over. Protected by the lock of the VFS."""
        self._owner = creds
        self._callers = threading.local()
        try:
            channel = _channel(parsed, options)
        except OSError:
            vfs.anonymous_devices.release(self.minor)
            raise
        self.connection = Connection(channel, options.timeout, options.max_pages, partial(told, self))
        self.nodes = Nodes(self.connection.forgets)
        self.file_locks = FuseLocks(self)
        mode = parsed.rootmode or 0
        kind = FuseDirectory if stat.S_ISDIR(mode) else FuseInode
        attr = Attr(ROOT_ID, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 0, 0)
        root = kind(self, ROOT_ID, 0, attr)
        self.nodes.add(root)
        self.root = Dentry("", None, root)

    @property
    def server_decides(self) -> bool:
        """See `Filesystem.server_decides`; who is not let in hears that first."""
        return not self.default_permissions or not self.lets_in(self.caller)

    @property
    def truncates_on_open(self) -> bool:
        """See `Filesystem.truncates_on_open`."""
        return InitFlags.ATOMIC_O_TRUNC in self.connection.flags

    @property
    def max_read(self) -> int:
        """The most that one READ may ask for."""
        limit = self.connection.max_data
        return limit if self.parsed.max_read == UNLIMITED else min(limit, max(self.parsed.max_read, PAGE_SIZE))

    # who asks

    def note_caller(self, creds: Credentials) -> None:
        """See `Filesystem.note_caller`."""
        self._callers.creds = creds

    @property
    def caller(self) -> Credentials:
        """Who asks, or who mounted the file system where nobody was named, as below an overlay."""
        creds: Credentials = getattr(self._callers, "creds", self._owner)
        return creds

    def lets_in(self, creds: Credentials) -> bool:
        """Whether somebody may have to do with this server: whoever could trace it, or all (fuse_allow_current_process)."""
        parsed = self.parsed
        return parsed.allow_other or (creds.uid == parsed.user_id and creds.gid == parsed.group_id)

    def check_caller(self) -> None:
        """Errors: EACCES for whom the server is not there."""
        if not self.lets_in(self.caller):
            raise error(errno.EACCES)

    # requests

    def ask(
        self,
        opcode: Opcode,
        nodeid: int,
        *parts: bytes | memoryview,
        size: int | None = None,
        creds: Credentials | None = None,
    ) -> bytes:
        """A request's answer, which has `size` bytes if that is given.

        Errors: the server's; EIO for an answer of another size; those of `Connection.request`.
        """
        answer = self.connection.request(opcode, nodeid, parts, self.caller if creds is None else creds)
        if size is not None and len(answer) != size:
            raise error(errno.EIO)
        return answer

    def ask_if_known(
        self, opcode: Opcode, nodeid: int, parts: Sequence[bytes | memoryview], size: int | None = None
    ) -> bytes | None:
        """As `ask`, or None if the server does not know the request: it is asked once, and never again."""
        unsupported = self.connection.unsupported
        if opcode in unsupported:
            return None
        try:
            return self.ask(opcode, nodeid, *parts, size=size)
        except OSError as problem:
            if problem.errno != errno.ENOSYS:
                raise
            unsupported.add(opcode)
            return None

    # nodes

    def inode_of(self, entry: Entry, kind: int | None = None) -> FuseInode:
        """The inode that an answered look-up is about: the one that is known, brought up to date, or a new one.

        Errors: EIO for a node that cannot be, or is not of the `kind` that was made; the server has it back then.
        """
        out, attr = entry
        if out.nodeid <= ROOT_ID:
            raise error(errno.EIO)
        found = stat.S_IFMT(attr.mode)
        if found not in _KINDS or attr.size >= _LONGEST or kind not in {None, found}:
            self.connection.forgets.append((out.nodeid, 1))
            raise error(errno.EIO)
        inode = self.nodes.find(out.nodeid)
        if inode is not None and (inode.generation != out.generation or stat.S_IFMT(inode.mode) != found):
            inode.bad = True
            inode = None
        if inode is None or inode.bad:
            inode = (FuseDirectory if found == stat.S_IFDIR else FuseInode)(self, out.nodeid, out.generation, attr)
            self.nodes.add(inode)
        self.nodes.count(inode)
        inode.update(attr, until(out.attr_valid, out.attr_valid_nsec))
        return inode

    # the file system

    def statfs(self) -> StatFilesystem:
        """What the server says; nothing to those who are not let in (fuse_statfs)."""
        if not self.lets_in(self.caller):
            return StatFilesystem(SUPER_MAGIC)
        found = KSTATFS.unpack(self.ask(Opcode.STATFS, self._root.nodeid, size=KSTATFS.size))
        return StatFilesystem(
            SUPER_MAGIC,
            found.frsize or found.bsize,
            found.blocks,
            found.bfree,
            found.bavail,
            found.files,
            found.ffree,
            found.namelen,
        )

    @property
    def _root(self) -> FuseInode:
        root = self.root.inode
        assert isinstance(root, FuseInode)
        return root

    def mount_options(self) -> str:
        """As fuse_show_options() of Linux."""
        parsed = self.parsed
        shown = [f"user_id={parsed.user_id}", f"group_id={parsed.group_id}"]
        if parsed.default_permissions:
            shown.append("default_permissions")
        if parsed.allow_other:
            shown.append("allow_other")
        if parsed.max_read != UNLIMITED:
            shown.append(f"max_read={max(parsed.max_read, PAGE_SIZE)}")
        return ",".join(shown)

    def abort(self) -> None:
        """End the conversation at once, from any thread: calls that wait for the server fail."""
        self.connection.abort()

    def release(self) -> None:
        """Take all look-ups back, say goodbye, and close the descriptor."""
        self.nodes.forget_all()
        self.connection.close()


def until(seconds: int, nanoseconds: int) -> float:
    """Up to when something is good that is good for so long from now on."""
    if not seconds and not nanoseconds:
        return 0.0
    return time.monotonic() + seconds + min(nanoseconds, _ALL_NANOSECONDS) / 1e9


def _channel(parsed: ParsedOptions, options: FuseOptions) -> Channel:
    connection = parsed.fd if options.connection is None else options.connection
    assert connection is not None
    if not isinstance(connection, int):
        return connection
    return SocketChannel(connection, options.max_pages * PAGE_SIZE + _HEADROOM)
