"""Finding and making names in a root in memory, in the steps that a target on the kernel takes, with the same errors."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.node import number_of_rdev
from devproxy.targets.rootless import Rootless
from devproxy.targets.target import MAXIMUM_LINKS, FileKind, Look, NewNode, behind_link
from vfs import dcache
from vfs.credentials import ROOT
from vfs.errors import error
from vfs.fs.static import StaticFilesystem, Synthetic, SyntheticParent
from vfs.mount import VirtualDentry
from vfs.options import BindOptions, MkdirOptions, MknodOptions, SetStat
from vfs.path import check_name
from vfs.resolve import PathOperation, at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfs.inode import Inode
    from vfs.mount import Mount
    from vfs.virtual_filesystem import VirtualFilesystem

_KINDS = {
    stat.S_IFDIR: FileKind.DIRECTORY,
    stat.S_IFREG: FileKind.REGULAR,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFCHR: FileKind.CHARACTER,
    stat.S_IFBLK: FileKind.BLOCK,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFSOCK: FileKind.SOCKET,
}


class Names:
    """The names of one tree, from its root.

    What is made in a directory of the machine is made in memory and hides nothing: a kernel would make it there.
    """

    def __init__(self, vfs: VirtualFilesystem, root: VirtualDentry, rootless: Rootless | None = None) -> None:
        self._vfs = vfs
        self._root = root
        self._rootless = rootless

    def find(self, path: str, *, follow: bool = True) -> VirtualDentry:
        """The place that a path names, inside the root. Errors: ENOENT, ENOTDIR, ELOOP."""
        try:
            return self._vfs.get_dentry_at(ROOT, self.operation(path, follow=follow))
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, path) from None

    def copy(self, place: VirtualDentry, path: str) -> Mount:
        """A copy of what is mounted at a place and below it. Errors name `path`: EINVAL for an unbindable mount."""
        try:
            return self._vfs.clone_mount(ROOT, at(place), BindOptions(recursive=True))
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, path) from None

    def operation(self, path: str, *, follow: bool = True) -> PathOperation:
        """A path as the VFS's calls take it."""
        return PathOperation(self._root, self._root, path, follow)

    def find_directory(self, path: str) -> VirtualDentry:
        """As `find`. Errors: ENOTDIR for anything else than a directory."""
        found = self.find(path or "/")
        if not stat.S_ISDIR(found.dentry.inode.mode):
            raise error(errno.ENOTDIR, path)
        return found

    def _find_below(self, parent: VirtualDentry, name: str, path: str) -> VirtualDentry:
        """`find_directory` for the next name of a path that was followed this far."""
        try:
            found = self._vfs.get_dentry_at(ROOT, PathOperation(self._root, parent, name))
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, path) from None
        if not is_directory(found):
            raise error(errno.ENOTDIR, path)
        return found

    def parent(self, path: str, *, make: bool = False) -> tuple[VirtualDentry, str]:
        """The directory that a path's last name is in, and that name; `make` makes missing ones (0755).

        The name is "." where the last component is none of its own (`/`, `..`).
        """
        directory, _, name = path.rstrip("/").rpartition("/")
        if name in {"", ".", ".."}:
            directory, name = path, "."
        return (self.make_directories(directory)[0] if make else self.find_directory(directory)), name

    def make_directories(
        self, path: str, mode: int = 0o755, *, for_mount: bool = False, links: int = 0
    ) -> tuple[VirtualDentry, str]:
        """Find a directory, making what is missing: parents 0755, itself `mode`. A link that leads nowhere is followed
        inside the root, and made is what it leads to. Returns also the first path made.

        Errors: ELOOP for links in a circle; ENOTDIR, EROFS.
        """
        try:
            return self.find_directory(path), ""
        except FileNotFoundError:
            pass
        names = [name for name in path.split("/") if name not in {"", "."}]
        current, prefix, first = self._root, "", ""
        for index, name in enumerate(names, 1):
            above, prefix = prefix, f"{prefix}/{name}"
            try:
                current = self._find_below(current, name, prefix)
            except FileNotFoundError:
                what = Synthetic(stat.S_IFDIR | (mode if index == len(names) else 0o755))
                target = self._make_or_read(current, name, what, prefix, for_mount=for_mount)
                if target:
                    further = behind_link(above, target, names[index:])
                    found, made = self.make_directories(
                        further, mode, for_mount=for_mount, links=_one_more(links, path)
                    )
                    return found, first or made
                first = first or prefix
                current = self._find_below(current, name, prefix)
        return current, first

    def make_file(self, path: str, links: int = 0) -> str:
        """Make an empty file (0644) to mount on, and its missing parents, links followed as for a directory. Returns the
        first path made, "" if it is there by now.

        Errors: ELOOP for links in a circle; ENOTDIR, EROFS.
        """
        folder, _, name = path.rstrip("/").rpartition("/")
        if not name:
            return ""  # the root, which is there, and no file
        parent, first = self.make_directories(folder, for_mount=True)
        target = self._make_or_read(parent, name, Synthetic(stat.S_IFREG | 0o644), path, for_mount=True)
        if target is None:
            return first or path
        if not target:
            return first
        made = self.make_file(behind_link(folder, target), _one_more(links, path))
        return first or made

    def _make_or_read(
        self, parent: VirtualDentry, name: str, what: Synthetic, path: str, *, for_mount: bool
    ) -> str | None:
        """Make a name that was not found: None. If something is there, the target of a link that leads nowhere, or "" for
        anything else.
        """
        try:
            self.make(parent, name, what, path, for_mount=for_mount)
        except FileExistsError:
            place = self._vfs.get_dentry_at(ROOT, PathOperation(self._root, parent, name, follow_final_symlink=False))
            inode = place.dentry.inode
            return inode.readlink() if stat.S_ISLNK(inode.mode) else ""
        return None

    def make(self, parent: VirtualDentry, name: str, what: Synthetic, path: str, *, for_mount: bool = False) -> None:
        """Make a name with exactly this mode and owner. Errors name `path`: EEXIST, EROFS, EPERM, ENAMETOOLONG.

        In proc and its like, only mount points are made: whether a kernel has them there cannot be known, and most that are
        asked for it has.
        """
        inode = parent.dentry.inode
        if self._rootless is not None:
            what = what._replace(uid=self._rootless.uid, gid=self._rootless.gid)
        try:
            if isinstance(inode, SyntheticParent) and (for_mount or not isinstance(inode.fs, StaticFilesystem)):
                self._make_synthetic(parent, name, inode, what)
            else:
                self._make_for_real(PathOperation(parent, parent, name, follow_final_symlink=False), what)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, path) from None

    def make_nodes(self, nodes: Iterable[NewNode]) -> int:
        """See `Target.make_nodes`."""
        made = 0
        for path, mode, rdev in nodes:
            try:
                parent, name = self.parent(path, make=True)
                self.make(parent, name, Synthetic(mode, rdev=rdev), path)
            except OSError:
                break
            made += 1
        return made

    def _make_for_real(self, op: PathOperation, what: Synthetic) -> None:
        if stat.S_ISDIR(what.mode):
            self._vfs.mkdir_at(ROOT, op, MkdirOptions(stat.S_IMODE(what.mode)))
        elif stat.S_ISLNK(what.mode):
            self._vfs.symlink_at(ROOT, op, what.target)
        else:
            self._vfs.mknod_at(ROOT, op, MknodOptions(what.mode, what.rdev))
        if what.uid or what.gid:
            self._vfs.set_stat_at(ROOT, op, SetStat(uid=what.uid, gid=what.gid))

    def _make_synthetic(self, parent: VirtualDentry, name: str, inode: SyntheticParent, what: Synthetic) -> None:
        with self._vfs.lock:
            check_name(name)
            if name == "." or dcache.find(parent.dentry, name) is not None:
                raise error(errno.EEXIST)
            if stat.S_ISLNK(what.mode) and not what.target:
                raise error(errno.ENOENT)
            parent.mount.check_writable()
            inode.make_synthetic(name, what)

    def look(self, path: str) -> Look | None:
        """What is at a path, a final link not followed, or None if it is missing. Errors: ENOTDIR, ELOOP,
        ENAMETOOLONG.
        """
        try:
            parent, name = self.parent(path)
            place = self._vfs.get_dentry_at(ROOT, PathOperation(self._root, parent, name, follow_final_symlink=False))
        except FileNotFoundError:
            return None
        except OSError as problem:
            if problem.errno != errno.ENAMETOOLONG:
                raise
            raise path_error(errno.ENAMETOOLONG, path) from None  # of a name alone nobody knows where it is
        return self.look_at(place.dentry.inode)

    def look_at(self, inode: Inode) -> Look:
        """What a file is, as it shows here."""
        found = _look(inode)
        if self._rootless is None:
            return found
        uid, gid = self._rootless.seen(found.uid, found.gid)
        return found._replace(uid=uid, gid=gid)

    def list_directory(self, path: str) -> list[str]:
        """The names in a directory. Errors: ENOENT, ENOTDIR, ELOOP; ENOTEMPTY for one of proc or sysfs that is empty here: what
        a kernel has in it is not known.
        """
        inode = self.find_directory(path).dentry.inode
        names = [entry.name for entry in inode.iterate()]
        if not names and inode.fs.type_name in {"proc", "sysfs"}:
            raise path_error(errno.ENOTEMPTY, path)
        return names


def _look(inode: Inode) -> Look:
    found = inode.stat()
    kind = _KINDS[stat.S_IFMT(found.st_mode)]
    return Look(
        kind,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        number_of_rdev(found.st_rdev) if kind in {FileKind.CHARACTER, FileKind.BLOCK} else None,
        inode.readlink() if kind is FileKind.SYMLINK else None,
    )


def is_directory(place: VirtualDentry) -> bool:
    """Whether a place is a directory."""
    return stat.S_ISDIR(place.dentry.inode.mode)


def path_error(number: int, path: str, text: str = "") -> OSError:
    """An error that names the path a verb was given."""
    return OSError(number, text or os.strerror(number), path)


def _one_more(links: int, path: str) -> int:
    if links >= MAXIMUM_LINKS:
        raise path_error(errno.ELOOP, path)
    return links + 1
