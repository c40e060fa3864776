"""What a server tells without having been asked (fs/fuse/dev.c, fuse_notify).

Called with the lock of the connection held, and therefore without that of the VFS: nothing here takes more than one step of a
dictionary or an attribute. What is no notification is passed over, as is a node that nobody knows.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vfs.fs.fuse.directory import FuseDirectory
from vfs.fuse.abi import Notify, Opcode
from vfs.fuse.records import (
    NOTIFY_DELETE,
    NOTIFY_INVAL_ENTRY,
    NOTIFY_INVAL_INODE,
    NOTIFY_RETRIEVE,
    NOTIFY_RETRIEVE_IN,
    NOTIFY_STORE,
    Record,
)

if TYPE_CHECKING:
    from vfs.fs.fuse.filesystem import FuseFilesystem

_RECORDS: dict[int, Record[object]] = {
    Notify.INVAL_INODE: NOTIFY_INVAL_INODE,  # type: ignore[dict-item]  # of many kinds
    Notify.INVAL_ENTRY: NOTIFY_INVAL_ENTRY,  # type: ignore[dict-item]
    Notify.DELETE: NOTIFY_DELETE,  # type: ignore[dict-item]
    Notify.STORE: NOTIFY_STORE,  # type: ignore[dict-item]
    Notify.RETRIEVE: NOTIFY_RETRIEVE,  # type: ignore[dict-item]
}


def told(fs: FuseFilesystem, code: int, payload: bytes) -> None:
    """Act on a notification."""
    record = _RECORDS.get(code)
    if record is None or len(payload) < record.size:
        return
    if code == Notify.INVAL_INODE:
        _forget_attributes(fs, NOTIFY_INVAL_INODE.unpack(payload).nodeid)
    elif code == Notify.INVAL_ENTRY:
        entry = NOTIFY_INVAL_ENTRY.unpack(payload)
        _forget_name(fs, entry.parent, payload[record.size :][: entry.namelen])
    elif code == Notify.DELETE:
        deleted = NOTIFY_DELETE.unpack(payload)
        _forget_name(fs, deleted.parent, payload[record.size :][: deleted.namelen])
        _forget_attributes(fs, deleted.child)
    elif code == Notify.STORE:
        # No contents are kept here: the next READ brings them. The size may have grown.
        _forget_attributes(fs, NOTIFY_STORE.unpack(payload).nodeid)
    else:
        _retrieve(fs, payload)


def _forget_attributes(fs: FuseFilesystem, nodeid: int) -> None:
    inode = fs.nodes.find(nodeid)
    if inode is not None:
        inode.forget_attributes()


def _forget_name(fs: FuseFilesystem, nodeid: int, name: bytes) -> None:
    directory = fs.nodes.find(nodeid)
    if isinstance(directory, FuseDirectory):
        directory.entries.pop(os.fsdecode(name), None)
        directory.forget_attributes()


def _retrieve(fs: FuseFilesystem, payload: bytes) -> None:
    wanted = NOTIFY_RETRIEVE.unpack(payload)
    if fs.nodes.find(wanted.nodeid) is not None:
        nothing = NOTIFY_RETRIEVE_IN.pack(wanted.offset, 0)
        fs.connection.reply(Opcode.NOTIFY_REPLY, wanted.nodeid, wanted.notify_unique, nothing)
