"""The fixed structures of the FUSE protocol: each a named tuple and its layout (include/uapi/linux/fuse.h).

What is called `...In` travels to the server, `...Out` back. Padding is neither shown nor read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")


class Record(Generic[R]):
    """How a structure is laid out."""

    __slots__ = ("_make", "_struct", "pack", "size")

    def __init__(self, layout: str, make: Callable[..., R]) -> None:
        self._struct = struct.Struct("=" + layout)
        self._make = make
        self.size = self._struct.size
        self.pack: Callable[..., bytes] = self._struct.pack

    def unpack(self, data: bytes | memoryview, offset: int = 0) -> R:
        """The structure at `offset`. Precondition: so many bytes are there."""
        return self._make(*self._struct.unpack_from(data, offset))


class InHeader(NamedTuple):
    """Every request begins with it; `length` counts the header too."""

    length: int
    opcode: int
    unique: int
    nodeid: int
    uid: int
    gid: int
    pid: int


class OutHeader(NamedTuple):
    """Every reply begins with it, and every notification, whose `unique` is 0 and whose `error` is its code."""

    length: int
    error: int
    unique: int


class InitIn(NamedTuple):
    """What the client can do."""

    major: int
    minor: int
    max_readahead: int
    flags: int
    flags2: int = 0


class InitOut(NamedTuple):
    """What the server can do, and wants."""

    major: int
    minor: int
    max_readahead: int = 0
    flags: int = 0
    max_background: int = 0
    congestion_threshold: int = 0
    max_write: int = 0
    time_gran: int = 0
    max_pages: int = 0
    map_alignment: int = 0
    flags2: int = 0


class Attr(NamedTuple):
    """The attributes of a file; `rdev` as new_encode_dev() of Linux gives it."""

    ino: int
    size: int
    blocks: int
    atime: int
    mtime: int
    ctime: int
    atimensec: int
    mtimensec: int
    ctimensec: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    blksize: int
    flags: int


class EntryOut(NamedTuple):
    """The first part of a look-up's reply: the node, and how long the name and its attributes, which follow, are good."""

    nodeid: int
    generation: int
    entry_valid: int
    attr_valid: int
    entry_valid_nsec: int
    attr_valid_nsec: int


class AttrOut(NamedTuple):
    """The first part of a reply with attributes: how long they are good."""

    attr_valid: int
    attr_valid_nsec: int


class ForgetOne(NamedTuple):
    """So many look-ups of a node are taken back."""

    nodeid: int
    nlookup: int


class GetattrIn(NamedTuple):
    """With GETATTR_FH, `fh` is an open file."""

    flags: int
    fh: int


class SetattrIn(NamedTuple):
    """`valid` (FATTR_*) says which fields count."""

    valid: int
    fh: int = 0
    size: int = 0
    lock_owner: int = 0
    atime: int = 0
    mtime: int = 0
    ctime: int = 0
    atimensec: int = 0
    mtimensec: int = 0
    ctimensec: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0


class MknodIn(NamedTuple):
    """A name follows."""

    mode: int
    rdev: int
    umask: int


class MkdirIn(NamedTuple):
    """A name follows."""

    mode: int
    umask: int


class Rename2In(NamedTuple):
    """The old and the new name follow."""

    newdir: int
    flags: int


class OpenIn(NamedTuple):
    """The flags of open(2)."""

    flags: int
    open_flags: int


class CreateIn(NamedTuple):
    """A name follows."""

    flags: int
    mode: int
    umask: int
    open_flags: int


class OpenOut(NamedTuple):
    """A handle of the server's, and FOPEN_* flags."""

    fh: int
    open_flags: int


class ReleaseIn(NamedTuple):
    """The end of an open file."""

    fh: int
    flags: int
    release_flags: int
    lock_owner: int


class FlushIn(NamedTuple):
    """A descriptor of an open file is closed."""

    fh: int
    lock_owner: int


class LkIn(NamedTuple):
    """A lock of a file's `owner` from `start` to `end`, both within; `type` and `pid` are those of struct flock."""

    fh: int
    owner: int
    start: int
    end: int
    type: int
    pid: int
    lk_flags: int = 0


class LkOut(NamedTuple):
    """The lock in the way of one that was asked for."""

    start: int
    end: int
    type: int
    pid: int


class DataIn(NamedTuple):
    """READ and WRITE, whose data follow; READDIR and READDIRPLUS."""

    fh: int
    offset: int
    size: int
    data_flags: int
    lock_owner: int
    flags: int


class Kstatfs(NamedTuple):
    """What statfs(2) reports."""

    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    bsize: int
    namelen: int
    frsize: int


class FsyncIn(NamedTuple):
    """Also of FSYNCDIR."""

    fh: int
    flags: int


class SetxattrIn(NamedTuple):
    """The name and the value follow."""

    size: int
    flags: int


class IoctlIn(NamedTuple):
    """`in_size` bytes follow."""

    fh: int
    flags: int
    cmd: int
    arg: int
    in_size: int
    out_size: int


class IoctlOut(NamedTuple):
    """The result, and data."""

    result: int
    flags: int
    in_iovs: int
    out_iovs: int


class FallocateIn(NamedTuple):
    """See fallocate(2)."""

    fh: int
    offset: int
    length: int
    mode: int


class LseekIn(NamedTuple):
    """SEEK_DATA or SEEK_HOLE."""

    fh: int
    offset: int
    whence: int


class CopyFileRangeIn(NamedTuple):
    """See copy_file_range(2)."""

    fh_in: int
    off_in: int
    nodeid_out: int
    fh_out: int
    off_out: int
    length: int
    flags: int


class InvalInodeOut(NamedTuple):
    """Attributes are stale, and contents too unless `offset` is negative."""

    nodeid: int
    offset: int
    length: int


class InvalEntryOut(NamedTuple):
    """A name, which follows, may mean something else now."""

    parent: int
    namelen: int
    flags: int


class DeleteOut(NamedTuple):
    """A name, which follows, is gone."""

    parent: int
    child: int
    namelen: int


class StoreOut(NamedTuple):
    """Contents, which follow, that a client may keep."""

    nodeid: int
    offset: int
    size: int


class RetrieveOut(NamedTuple):
    """What does the client keep of these contents?"""

    notify_unique: int
    nodeid: int
    offset: int
    size: int


def _number(value: int) -> int:
    return value


IN_HEADER = Record("IIQQIII4x", InHeader)
OUT_HEADER = Record("IiQ", OutHeader)
INIT_IN = Record("IIIII44x", InitIn)
INIT_OUT = Record("IIIIHHIIHHI28x", InitOut)
ATTR = Record("QQQqqqIIIIIIIIII", Attr)
ENTRY_OUT = Record("QQQQII", EntryOut)
ATTR_OUT = Record("QI4x", AttrOut)
FORGET_IN = Record("Q", _number)
FORGET_ONE = Record("QQ", ForgetOne)
BATCH_FORGET_IN = Record("I4x", _number)
GETATTR_IN = Record("I4xQ", GetattrIn)
SETATTR_IN = Record("I4xQQQqqqIIII4xII4x", SetattrIn)
MKNOD_IN = Record("III4x", MknodIn)
MKDIR_IN = Record("II", MkdirIn)
RENAME_IN = Record("Q", _number)
RENAME2_IN = Record("QI4x", Rename2In)
LINK_IN = Record("Q", _number)
OPEN_IN = Record("II", OpenIn)
CREATE_IN = Record("IIII", CreateIn)
OPEN_OUT = Record("QI4x", OpenOut)
RELEASE_IN = Record("QIIQ", ReleaseIn)
FLUSH_IN = Record("Q8xQ", FlushIn)
LK_IN = Record("QQQQIII4x", LkIn)
LK_OUT = Record("QQII", LkOut)
DATA_IN = Record("QQIIQI4x", DataIn)
WRITE_OUT = Record("I4x", _number)
KSTATFS = Record("QQQQQIII28x", Kstatfs)
FSYNC_IN = Record("QI4x", FsyncIn)
SETXATTR_IN = Record("II", SetxattrIn)
GETXATTR_IN = Record("I4x", _number)
GETXATTR_OUT = Record("I4x", _number)
ACCESS_IN = Record("I4x", _number)
INTERRUPT_IN = Record("Q", _number)
IOCTL_IN = Record("QIIQII", IoctlIn)
IOCTL_OUT = Record("iIII", IoctlOut)
FALLOCATE_IN = Record("QQQI4x", FallocateIn)
LSEEK_IN = Record("QQI4x", LseekIn)
LSEEK_OUT = Record("Q", _number)
COPY_FILE_RANGE_IN = Record("QQQQQQQ", CopyFileRangeIn)
NOTIFY_INVAL_INODE = Record("Qqq", InvalInodeOut)
NOTIFY_INVAL_ENTRY = Record("QII", InvalEntryOut)
NOTIFY_DELETE = Record("QQI4x", DeleteOut)
NOTIFY_STORE = Record("QQI4x", StoreOut)
NOTIFY_RETRIEVE = Record("QQQI4x", RetrieveOut)
NOTIFY_RETRIEVE_IN = Record("8xQI20x", lambda offset, size: (offset, size))
DIRENT = Record("QQII", lambda *fields: fields)
