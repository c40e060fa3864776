"""Path resolution (path_resolution(7)), one loop for every caller.

Three speeds, each falling back on the next:

* a whole path that was walked before is one dictionary probe (`vfs.pathcache`);
* the fast walk does plain child hits and nothing else: anything odd (see `vfs.dentry`) ends it;
* the slow walk knows all the rules: search permission, "." and "..", symbolic links, mounts, missing names.

Rules worth knowing: an empty path is ENOENT unless `allow_empty` is set. A final symbolic link is followed if the operation
says so or slashes follow its name; 40 links are the limit. ".." stays at the root and leaves a mount at its root. The start and
the root are taken as they are, even if something is mounted on them; every step after that lands on the top of a stack of
mounts, "/.." too, as on Linux.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vfs import atime, dcache
from vfs.abi import MAY_EXEC, PATH_MAX, SYMLINKS_MAX
from vfs.dentry import DEAD, NO_CHILDREN, ODD_CALLER, ODD_MOUNTED, ODD_REVALIDATE, ODD_SEARCH, ODD_SYMLINK
from vfs.errors import error
from vfs.mount import VirtualDentry
from vfs.options import MountFlags
from vfs.path import check_name, check_path, components, split
from vfs.pathcache import LIMIT

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.mount import Mount
    from vfs.pathcache import PathCache

_ASK_TO_SEARCH = ODD_SEARCH | ODD_REVALIDATE
_NOSYMFOLLOW = int(MountFlags.NOSYMFOLLOW)
_NOT_AT_ONCE = DEAD | ODD_CALLER
SPECIAL_NAMES = frozenset({"", ".", ".."})
"""Last components that name no entry of a directory: the root, the directory itself, its parent."""


@dataclass(slots=True)
class PathOperation:
    """Which file a call is about: `path` from `start`, or from `root` if it is absolute; nothing above `root` is reached.

    `allow_empty` makes an empty path mean `start` itself (AT_EMPTY_PATH): for callers that hold a place, not a path.

    Nobody changes one. Every call is given one or two, and one that could not be changed would take four times as long to make.
    """

    root: VirtualDentry
    start: VirtualDentry
    path: str
    follow_final_symlink: bool = True
    allow_empty: bool = False


Parent: TypeAlias = "tuple[Mount, Dentry, str, bool]"
"""Where the last component of a path belongs, for the call that creates or removes it to look it up itself: a mount, the directory, the
name, and whether slashes follow it. It is taken apart at once, so that its fields need no names, which cost five times as much.

The name is "", "." or ".." for a path that ends at the root, at a directory itself or at its parent.
"""


def at(location: VirtualDentry) -> PathOperation:
    """The operation on a place already known."""
    return PathOperation(location, location, "", allow_empty=True)


def resolve(cache: PathCache, creds: Credentials, op: PathOperation) -> VirtualDentry:
    """Walk to the file that `op` names.

    Errors: ENOENT; ENOTDIR; EACCES without search permission on the way; ELOOP; ENAMETOOLONG; EINVAL for a NUL.
    """
    entries = cache.entries
    key = (creds, op.root, op.start, op.path, op.follow_final_symlink)
    found = entries.get(key)
    if found is not None and not found[1].odd & _NOT_AT_ONCE:
        return found
    found = _fast_walk(op)
    if found is None:
        if not op.path and op.allow_empty:
            return _told(creds, op.start)
        walk = Walk.begin(creds, op)
        found = _told(creds, walk.to_end(follow=op.follow_final_symlink))
        if not walk.cacheable:
            return found
    if len(entries) >= LIMIT:
        cache.drop()
    else:
        entries[key] = found
    return found


def _told(creds: Credentials, found: VirtualDentry) -> VirtualDentry:
    """The end of a walk, after its file system was told who walked, if it wants to know."""
    dentry = found[1]
    if dentry.odd & ODD_CALLER:
        dentry.inode.fs.note_caller(creds)
    return found


def resolve_parent(cache: PathCache, creds: Credentials, op: PathOperation) -> Parent:
    """Walk to the directory that holds the last component, and check that it may be searched.

    Errors: as `resolve`, of the last name too; ENOENT for an empty path.
    """
    path = op.path
    if not path or len(path) * 4 >= PATH_MAX or "\0" in path:
        check_path(path)
    head, name, trailing_slash = split(path) if "/" in path else ("", path, False)
    if not head:
        mount, dentry = op.start
    elif head == "/":
        mount, dentry = op.root
    else:
        found = cache.entries.get((creds, op.root, op.start, head, True))
        if found is None or found[1].odd & _NOT_AT_ONCE:
            found = resolve(cache, creds, PathOperation(op.root, op.start, head))
        mount, dentry = found
    # Most are directories that everybody may search.
    if name and (dentry.odd or dentry.children is NO_CHILDREN):
        check_searchable(creds, dentry, path)
    return mount, dentry, name, trailing_slash


def check_searchable(creds: Credentials, dentry: Dentry, path: str) -> None:
    """Whether names may be looked up here.

    Errors: ENOTDIR, EACCES.
    """
    if dentry.children is NO_CHILDREN:
        raise error(errno.ENOTDIR, path)
    if dentry.odd & _ASK_TO_SEARCH:
        dentry.inode.check_access(creds, MAY_EXEC)


def cross_mounts(mount: Mount, dentry: Dentry) -> VirtualDentry:
    """The top of what is mounted here."""
    if not dentry.odd & ODD_MOUNTED:
        return VirtualDentry(mount, dentry)
    vfs = mount.fs.vfs
    changes = vfs.mount_changes
    before = changes.number
    if not before & 1:
        place = _top(vfs.expiring, mount, dentry)
        if changes.number == before:
            return place
    # Something is being moved, perhaps this: what is half done must not be seen (`vfs.mount_tree`).
    with vfs.lock:
        return _top(vfs.expiring, mount, dentry)


def _top(expiring: set[Mount], mount: Mount, dentry: Dentry) -> VirtualDentry:
    while dentry.odd & ODD_MOUNTED and (above := mount.children.get(dentry)) is not None:
        mount, dentry = above, above.root
        if expiring:
            expiring.discard(above)
    return VirtualDentry(mount, dentry)


def _parent_directory(root: VirtualDentry, mount: Mount, dentry: Dentry) -> VirtualDentry:
    """What ".." is: the root has none, a mount's is that of its mount point."""
    while dentry is mount.root and not (dentry is root.dentry and mount is root.mount):
        place = mount.place
        if place is None:
            break
        mount, dentry = place
    at_root = dentry is root.dentry and mount is root.mount
    return VirtualDentry(mount, dentry if at_root else dentry.parent)


def _fast_walk(op: PathOperation) -> VirtualDentry | None:
    path = op.path
    if not path or len(path) * 4 >= PATH_MAX:
        return None
    mount, dentry = op.root if path[0] == "/" else op.start
    if dentry.odd & ~(ODD_MOUNTED | DEAD):
        return None
    for name in path.split("/"):
        if name:
            child = dentry.children.get(name)
            if child is None or child.odd:
                return None
            dentry = child
    if path[-1] == "/" and not stat.S_ISDIR(dentry.inode.mode):
        return None
    return VirtualDentry(mount, dentry)


class Walk:
    """The slow walk: where it is, and the names still to come, the next one last.

    `cacheable` turns False when the way depends on more than the names on it. `must_be_directory` is set by slashes after the
    last name, of the path or of a link that took its place.
    """

    __slots__ = ("cacheable", "creds", "dentry", "links", "mount", "must_be_directory", "path", "pending", "root")

    def __init__(self, creds: Credentials, op: PathOperation, location: VirtualDentry) -> None:
        self.creds = creds
        self.path = op.path
        self.root = op.root
        self.mount, self.dentry = location
        self.pending: list[str] = []
        self.links = 0
        self.must_be_directory = False
        self.cacheable = True

    @classmethod
    def begin(cls, creds: Credentials, op: PathOperation) -> Walk:
        """A walk at the start of a path.

        Errors: ENOENT for an empty path; ENAMETOOLONG; EINVAL.
        """
        check_path(op.path)
        walk = cls(creds, op, op.start)
        walk.push(op.path)
        return walk

    def push(self, text: str) -> None:
        """Put a path in front of what is still to come."""
        if text[0] == "/":
            self.mount, self.dentry = self.root
        if not self.pending and text[-1] == "/":
            self.must_be_directory = True
        self.pending += reversed(components(text))

    def to_end(self, *, follow: bool) -> VirtualDentry:
        """Take every step.

        Errors: see `resolve`.
        """
        pending = self.pending
        while pending:
            self.step(pending.pop(), follow=follow)
        if self.must_be_directory and not stat.S_ISDIR(self.dentry.inode.mode):
            raise error(errno.ENOTDIR, self.path)
        return VirtualDentry(self.mount, self.dentry)

    def to_parent(self) -> Parent:
        """Take every step but the last, which stays to be looked up.

        Errors: see `resolve`.
        """
        pending = self.pending
        while len(pending) > 1:
            self.step(pending.pop(), follow=True)
        if not pending:
            return self.mount, self.dentry, "", self.must_be_directory
        check_searchable(self.creds, self.dentry, self.path)
        return self.mount, self.dentry, pending.pop(), self.must_be_directory

    def step(self, name: str, *, follow: bool) -> None:
        """Take one step."""
        dentry = self.dentry
        check_searchable(self.creds, dentry, self.path)
        if dentry.odd & ODD_REVALIDATE:
            self.cacheable = False
        if name == ".":
            return
        if name == "..":
            self._climb()
            return
        child = self._lookup(dentry, name)
        if child.odd & ODD_SYMLINK and (self.pending or follow or self.must_be_directory):
            self.follow_link(child)
        elif child.odd & ODD_MOUNTED:
            self.mount, self.dentry = cross_mounts(self.mount, child)
        else:
            self.dentry = child

    def _lookup(self, dentry: Dentry, name: str) -> Dentry:
        if not dentry.odd & DEAD:
            check_name(name)
        child = dcache.find(dentry, name)
        if child is None:
            raise error(errno.ENOENT, self.path)
        return child

    def follow_link(self, link: Dentry) -> None:
        """Go on with the text of a link, from the directory that holds it.

        Errors: ELOOP for too many, or on a mount that follows none; ENOENT for an empty text.
        """
        self.links += 1
        if self.links > SYMLINKS_MAX or self.mount.bits & _NOSYMFOLLOW:
            raise error(errno.ELOOP, self.path)
        atime.touch(link.inode, self.mount.bits)
        if self.mount.bits & atime.STRICTATIME:
            self.cacheable = False
        text = link.inode.readlink()
        if not text:
            raise error(errno.ENOENT, self.path)
        self.push(text)

    def _climb(self) -> None:
        self.cacheable = False
        vfs = self.mount.fs.vfs
        changes = vfs.mount_changes
        before = changes.number
        if not before & 1:
            place = _parent_directory(self.root, self.mount, self.dentry)
            if changes.number == before:
                self.mount, self.dentry = cross_mounts(*place)
                return
        with vfs.lock:
            self.mount, self.dentry = cross_mounts(*_parent_directory(self.root, self.mount, self.dentry))
