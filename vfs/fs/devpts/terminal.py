"""A pair of master and slave, and the two ends opened."""

from __future__ import annotations

import errno
import os
import stat
import struct
import time
from typing import TYPE_CHECKING, ClassVar, Final

from vfs.errors import error
from vfs.file import File
from vfs.fs.attribute import keep_attributes
from vfs.fs.devpts.line import Line, Termios
from vfs.inode import Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.devpts.filesystem import DevptsFilesystem
    from vfs.mount import VirtualDentry
    from vfs.options import SetStat

TCGETS, TCSETS, TCSETSW, TCSETSF = range(0x5401, 0x5405)
TIOCGWINSZ: Final = 0x5413
TIOCSWINSZ: Final = 0x5414
FIONREAD: Final = 0x541B
TIOCGPTN: Final = 0x8004_5430
TIOCSPTLCK: Final = 0x4004_5431
TIOCGPTLCK: Final = 0x8004_5439
_SLAVE_MAJOR: Final = 136
_FIRST_INO: Final = 3
_WINDOW: Final = struct.Struct("=HHHH")


class Slave(Inode):
    """The slave of a pair as a file, and all that the pair is. Invariant: its name is there while the master is open."""

    __slots__ = ("ever_opened", "index", "line", "locked", "master_open", "opened", "window")

    fs: DevptsFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: DevptsFilesystem, index: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(fs, _FIRST_INO + index, stat.S_IFCHR | mode, uid, gid)
        self.rdev = os.makedev(_SLAVE_MAJOR + (index >> 8), index & 0xFF)
        self.index = index
        self.line = Line()
        self.window = bytes(_WINDOW.size)
        self.locked = True
        self.master_open = True
        self.opened = 0
        self.ever_opened = False
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()

    def set_stat(self, changes: SetStat) -> None:
        """See `keep_attributes`."""
        keep_attributes(self, changes)

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """Errors: EIO while it is locked, or without its master (pty_open, pts(4))."""
        if self.locked or not self.master_open:
            raise error(errno.EIO)
        self.opened += 1
        self.ever_opened = True
        return SlaveFile(location, flags, creds)


class TerminalFile(File):
    """One end."""

    __slots__ = ("slave",)

    seekable: ClassVar[bool] = False

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, slave: Slave) -> None:
        super().__init__(location, flags, creds)
        self.slave = slave

    def ioctl(self, request: int, argument: object = None) -> object:
        """ioctl_tty(2). TCGETS and TIOCGWINSZ return the structure's bytes, and their opposites take them.

        Errors: EIO without the master; ENOTTY for what is not known here; EFAULT for an argument of the wrong kind.
        """
        self.check_open()
        slave = self.slave
        if not slave.master_open:
            raise error(errno.EIO)
        with self.inode.fs.lock:
            if request == TCGETS:
                return slave.line.termios.pack()
            if request in {TCSETS, TCSETSW, TCSETSF}:
                slave.line.set(Termios.unpack(_bytes(argument)), flush=request == TCSETSF)
                return 0
            if request == TIOCGWINSZ:
                return slave.window
            if request == TIOCSWINSZ:
                slave.window = _bytes(argument)[: _WINDOW.size].ljust(_WINDOW.size, b"\0")
                return 0
            return self.own_ioctl(request, argument)

    def own_ioctl(self, request: int, argument: object) -> object:
        """What only this end knows. Errors: ENOTTY."""
        raise error(errno.ENOTTY)


def _bytes(argument: object) -> bytes:
    if not isinstance(argument, bytes | bytearray | memoryview):
        raise error(errno.EFAULT)
    return bytes(argument)


class MasterFile(TerminalFile):
    """What opening ptmx returned."""

    __slots__ = ()

    def read_at(self, size: int, offset: int) -> bytes:
        """Errors: EAGAIN if there is nothing yet; EIO when the slave was open and is no more."""
        with self.inode.fs.lock:
            waiting = self.slave.line.to_master
            if not waiting and size:
                raise error(errno.EIO if self.slave.ever_opened and not self.slave.opened else errno.EAGAIN)
            data = bytes(waiting[:size])
            del waiting[:size]
        return data

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Type; what there is no room for is lost."""
        with self.inode.fs.lock:
            self.slave.line.input(bytes(data))
        return len(data)

    def own_ioctl(self, request: int, argument: object) -> object:
        """Number and lock, as integers, and how much there is to read."""
        if request == TIOCGPTN:
            return self.slave.index
        if request == TIOCGPTLCK:
            return int(self.slave.locked)
        if request == FIONREAD:
            return len(self.slave.line.to_master)
        if request == TIOCSPTLCK:
            if not isinstance(argument, int):
                raise error(errno.EFAULT)
            self.slave.locked = bool(argument)
            return 0
        return super().own_ioctl(request, argument)

    def release(self) -> None:
        """The slave loses its name, and what has it open hears no more."""
        self.slave.master_open = False
        self.slave.fs.forget(self.slave)


class SlaveFile(TerminalFile):
    """The terminal that a program has."""

    __slots__ = ()

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials) -> None:
        inode = location.dentry.inode
        assert isinstance(inode, Slave)
        super().__init__(location, flags, creds, inode)

    def read_at(self, size: int, offset: int) -> bytes:
        """Errors: EAGAIN if no line is ready; nothing, for ever, when the master is gone."""
        with self.inode.fs.lock:
            return self.slave.line.read(size) if self.slave.master_open else b""

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Errors: EIO when the master is gone; EAGAIN when it does not read."""
        with self.inode.fs.lock:
            if not self.slave.master_open:
                raise error(errno.EIO)
            return self.slave.line.output(bytes(data))

    def own_ioctl(self, request: int, argument: object) -> object:
        """How much there is to read."""
        if request == FIONREAD:
            return self.slave.line.waiting
        return super().own_ioctl(request, argument)

    def release(self) -> None:
        """One user less."""
        slave = self.slave
        slave.opened -= 1
        if not slave.master_open:
            slave.fs.forget(slave)
