"""Who asks: user, groups and capabilities, and what they allow.

Analogous to Linux's struct cred (credentials(7), capabilities(7)) and to generic_permission and setattr_prepare.
The uid and gid here are the file system ids. Functions that check raise; functions that ask return bool.
"""

from __future__ import annotations

import enum
import errno
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vfs.abi import MAY_EXEC, MAY_READ, MAY_WRITE, S_IALLUGO
from vfs.errors import error
from vfs.options import SetStat

if TYPE_CHECKING:
    from vfs.inode import Inode


class Capability(enum.IntFlag):
    """The capabilities that a file system asks for (capabilities(7)); the bits are ours, not the kernel's numbers."""

    CHOWN = enum.auto()
    DAC_OVERRIDE = enum.auto()
    DAC_READ_SEARCH = enum.auto()
    FOWNER = enum.auto()
    FSETID = enum.auto()
    MKNOD = enum.auto()
    SYS_ADMIN = enum.auto()
    SYS_PTRACE = enum.auto()
    SETFCAP = enum.auto()


NO_CAPABILITIES = Capability(0)
ALL_CAPABILITIES = ~NO_CAPABILITIES
_DAC_OVERRIDE = int(Capability.DAC_OVERRIDE)
_DAC_READ_SEARCH = int(Capability.DAC_READ_SEARCH)


@dataclass(frozen=True, slots=True, eq=False)
class Credentials:
    """Immutable; compared and hashed by identity, so that one object can be part of a cache key: keep and share them."""

    uid: int
    gid: int
    groups: frozenset[int] = field(default_factory=frozenset)
    capabilities: Capability = NO_CAPABILITIES
    bits: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The same as a plain integer: testing an enum's flags costs ten times as much.
        object.__setattr__(self, "bits", int(self.capabilities))

    def in_group(self, gid: int) -> bool:
        """Whether `gid` is the group or one of the supplementary groups."""
        return gid == self.gid or gid in self.groups

    def has(self, capability: Capability) -> bool:
        """Whether all of the named capabilities are held."""
        wanted = int(capability)
        return self.bits & wanted == wanted


ROOT = Credentials(0, 0, frozenset(), ALL_CAPABILITIES)
"""The superuser with every capability."""


def permits(creds: Credentials, inode: Inode, mask: int) -> bool:
    """Whether the mode bits or a capability grant all of `mask` (MAY_READ | MAY_WRITE | MAY_EXEC).

    One class alone decides: owner, else group, else other (path_resolution(7), "Permissions").
    """
    mode = inode.mode
    if creds.uid == inode.uid:
        granted = mode >> 6
    elif creds.in_group(inode.gid):
        granted = mode >> 3
    else:
        granted = mode
    if not mask & ~granted & 7:
        return True
    bits = creds.bits
    if stat.S_ISDIR(mode):
        if bits & _DAC_READ_SEARCH and not mask & MAY_WRITE:
            return True
        return bool(bits & _DAC_OVERRIDE)
    if bits & _DAC_READ_SEARCH and mask == MAY_READ:
        return True
    # Even the superuser executes only what somebody may execute.
    return bool(bits & _DAC_OVERRIDE) and (not mask & MAY_EXEC or bool(mode & 0o111))


def check_permission(creds: Credentials, inode: Inode, mask: int) -> None:
    """Errors: EACCES if `permits` says no."""
    if not permits(creds, inode, mask):
        raise error(errno.EACCES)


def check_may_mount(creds: Credentials, path: str = "") -> None:
    """Errors: EPERM without CAP_SYS_ADMIN, which every call that changes a mount tree takes (may_mount)."""
    if not creds.has(Capability.SYS_ADMIN):
        raise error(errno.EPERM, path)


def is_owner(creds: Credentials, inode: Inode) -> bool:
    """Whether the inode is the caller's, or CAP_FOWNER makes up for it."""
    return creds.uid == inode.uid or creds.has(Capability.FOWNER)


def check_delete(creds: Credentials, directory: Inode, victim: Inode) -> None:
    """Whether `victim` may be taken out of `directory`: write and search there, and in a sticky directory one must own the
    victim or the directory (inode(7), "S_ISVTX").

    Errors: EACCES, EPERM.
    """
    directory.check_access(creds, MAY_WRITE | MAY_EXEC)
    sticky = directory.mode & stat.S_ISVTX and creds.uid not in {victim.uid, directory.uid}
    if sticky and not creds.has(Capability.FOWNER):
        raise error(errno.EPERM)


def keeps_set_group_id(creds: Credentials, gid: int) -> bool:
    """Whether the caller may have a set-group-id bit on a file of group `gid`."""
    return creds.in_group(gid) or creds.has(Capability.FSETID)


def new_owner(creds: Credentials, directory: Inode, mode: int) -> tuple[int, int]:
    """The group and the mode of a file made in `directory`.

    A set-group-id directory hands on its group, and to directories the bit itself; an executable keeps such a bit only if
    its maker may have it (inode_init_owner and mode_strip_sgid of Linux).
    """
    if not directory.mode & stat.S_ISGID:
        return creds.gid, mode
    gid = directory.gid
    if stat.S_ISDIR(mode):
        return gid, mode | stat.S_ISGID
    runs_as_group = mode & stat.S_ISGID and mode & stat.S_IXGRP
    return gid, mode & ~stat.S_ISGID if runs_as_group and not keeps_set_group_id(creds, gid) else mode


def checked_set_stat(creds: Credentials, inode: Inode, changes: SetStat) -> SetStat:
    """The change that will be made, after the checks of chmod(2), chown(2) and utimensat(2) (setattr_prepare of Linux).

    A chown and a truncation drop set-id bits. A set-group-id bit is dropped from a mode whose group is not the caller's.
    Truncation has been checked by the caller: by path it needs write access, by descriptor a writable one.

    Errors: EPERM; EACCES for a touch without write access.
    """
    chown = changes.chown or changes.uid is not None or changes.gid is not None
    if inode.fs.server_decides:
        return _unchecked(creds, inode, changes, chown=chown)
    if chown:
        _check_owner(creds, inode, changes)
    owner = is_owner(creds, inode)
    if not owner and (changes.mode is not None or _sets_one_time(changes)):
        raise error(errno.EPERM)
    if changes.touch and not owner:
        inode.check_access(creds, MAY_WRITE)
    old = inode.mode & S_IALLUGO
    mode = changes.mode
    if mode is not None:
        mode = _settable(creds, mode & S_IALLUGO, inode, changes)
    elif chown and not stat.S_ISDIR(inode.mode):
        mode = without_set_id(creds, old, inode.gid)
        if mode != old and not owner:
            raise error(errno.EPERM)
        mode = None if mode == old else _settable(creds, mode, inode, changes)
    elif changes.size is not None and not creds.has(Capability.FSETID):
        mode = without_set_id(creds, old, inode.gid)
        mode = None if mode == old else mode
    return changes if mode == changes.mode else replace(changes, mode=mode)


def _unchecked(creds: Credentials, inode: Inode, changes: SetStat, *, chown: bool) -> SetStat:
    """As Linux does for a server that checks by itself: set-id bits are dropped, and that is all (ATTR_FORCE, fuse_setattr)."""
    drops = (chown and not stat.S_ISDIR(inode.mode)) or (changes.size is not None and not creds.has(Capability.FSETID))
    old = inode.mode & S_IALLUGO
    mode = without_set_id(creds, old, inode.gid)
    return replace(changes, mode=mode) if drops and changes.mode is None and mode != old else changes


def _check_owner(creds: Credentials, inode: Inode, changes: SetStat) -> None:
    if creds.has(Capability.CHOWN):
        return
    if changes.uid is not None and not creds.uid == inode.uid == changes.uid:
        raise error(errno.EPERM)
    if changes.gid is not None and not (
        creds.uid == inode.uid and (changes.gid == inode.gid or creds.in_group(changes.gid))
    ):
        raise error(errno.EPERM)


def _sets_one_time(changes: SetStat) -> bool:
    chosen = changes.atime_ns is not None or changes.mtime_ns is not None
    return chosen or changes.atime_now or changes.mtime_now


def _settable(creds: Credentials, mode: int, inode: Inode, changes: SetStat) -> int:
    """The mode without a set-group-id bit that the caller may not give."""
    gid = inode.gid if changes.gid is None else changes.gid
    return mode & ~stat.S_ISGID if mode & stat.S_ISGID and not keeps_set_group_id(creds, gid) else mode


def without_set_id(creds: Credentials, mode: int, gid: int) -> int:
    """The mode that a file of group `gid` is left with when somebody changes it or gives it away: without set-user-id, and
    without set-group-id if the group may execute it or is not the caller's (setattr_should_drop_suidgid of Linux).
    """
    mode &= ~stat.S_ISUID
    if mode & stat.S_ISGID and (mode & stat.S_IXGRP or not keeps_set_group_id(creds, gid)):
        mode &= ~stat.S_ISGID
    return mode


__all__ = [
    "ALL_CAPABILITIES",
    "MAY_EXEC",
    "MAY_READ",
    "MAY_WRITE",
    "NO_CAPABILITIES",
    "ROOT",
    "Capability",
    "Credentials",
    "check_delete",
    "check_permission",
    "checked_set_stat",
    "is_owner",
    "keeps_set_group_id",
    "new_owner",
    "permits",
    "without_set_id",
]
