"""openat2(2) without openat2: a walk of one component at a time, by descriptors.

For kernels before 5.6 and for seccomp filters that refuse openat2. The rules are those of path_resolution(7) with the
root as "/", at most 40 symbolic links, and no magic links.

One difference: where something is mounted over the root itself, ".." at the root stays below it; openat2 comes out on top.
Nothing but the kernel's own ".." finds that mount, and that one could leave the root.
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.linux.paths import PROC_SUPER_MAGIC, filesystem_magic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MAXIMUM_LINKS: Final = 40
_PROC_ROOT_INODE: Final = 1


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open a path with `root` as its root directory. Same arguments, result and errors as `paths.open_in_root`."""
    return _open(root, path, flags, beneath=False)


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open a relative path below a directory. Same arguments, result and errors as `paths.open_beneath`."""
    return _open(directory, path, flags, beneath=True)


def _open(root: int, path: str, flags: int, *, beneath: bool) -> int:
    if "\0" in path:
        raise OSError(errno.EINVAL, "has a NUL byte in it", path)
    if not path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if len(os.fsencode(path)) >= 4096:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    walk = _Walk(root, path, beneath=beneath)
    try:
        return walk.open(flags)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        walk.close()


class _Walk:
    """The directories from the root to where the walk is, each by its descriptor, so that `..` is the one before."""

    def __init__(self, root: int, path: str, *, beneath: bool) -> None:
        self._beneath = beneath
        self._directories = [os.open(".", os.O_PATH | os.O_DIRECTORY, dir_fd=root)]
        self._pending = _components(path)
        self._links = 0

    def open(self, flags: int) -> int:
        """Walk to the end and open what is there."""
        while len(self._pending) > 1 or (self._pending and self._pending[0] in (".", "..")):
            self._step(self._pending.pop(0))
        if not self._pending or not self._pending[0]:
            return os.open(".", flags | os.O_CLOEXEC, dir_fd=self._directories[-1])
        return self._open_last(self._pending.pop(0), flags)

    def _step(self, name: str) -> None:
        """Go into one component that is not the last."""
        if name == "..":
            if len(self._directories) > 1:
                os.close(self._directories.pop())
            elif self._beneath:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            return
        if name in ("", "."):
            # Also a dot asks for the right to search the directory it is in.
            os.close(os.open(".", os.O_PATH, dir_fd=self._directories[-1]))
            return
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._directories[-1])
        mode = os.fstat(found).st_mode
        if stat.S_ISDIR(mode):
            self._directories.append(found)
            return
        try:
            if not stat.S_ISLNK(mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            self._follow(found)
        finally:
            os.close(found)

    def _follow(self, link: int) -> None:
        """Put what a symbolic link says in the place of its name."""
        self._links += 1
        if self._links > _MAXIMUM_LINKS or self._is_magic(link):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink("", dir_fd=link)
        if target.startswith("/"):
            if self._beneath:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            for directory in self._directories[1:]:
                os.close(directory)
            del self._directories[1:]
        self._pending[:0] = _components(target)

    def _is_magic(self, link: int) -> bool:
        """Whether following the link would leave the tree of names (symlink(7), "Magic links").

        Those of procfs are all below its top directory, which has none (self, mounts and net are plain links).
        """
        if filesystem_magic(link) != PROC_SUPER_MAGIC:
            return False
        return os.fstat(self._directories[-1]).st_ino != _PROC_ROOT_INODE

    def _open_last(self, name: str, flags: int) -> int:
        if not flags & os.O_NOFOLLOW:
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._directories[-1])
            try:
                if stat.S_ISLNK(os.fstat(found).st_mode):
                    self._follow(found)
                    return self.open(flags)
            finally:
                os.close(found)
        # If the name became a link since it was looked at, O_NOFOLLOW refuses it.
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directories[-1])

    def close(self) -> None:
        """Close the directories of the walk."""
        for directory in self._directories:
            os.close(directory)


def _components(path: str) -> list[str]:
    """The names of a path. An empty last one stands for a trailing slash: what comes before must be a directory."""
    names = [name for name in path.split("/") if name]
    return [*names, ""] if path.endswith("/") else names
