"""Finding and making names in a root that is being built on the kernel."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.linux import mounts
from devproxy.linux.paths import chown_descriptor
from devproxy.linux.syscalls import about
from devproxy.node import FORMATS, DeviceNumber, NodeKind
from devproxy.targets.kernel.look import look, look_at
from devproxy.targets.kernel.tree import Tree
from devproxy.targets.rootless import Rootless, open_host_node
from devproxy.targets.target import Look, NewNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class TreeNames:
    """The verbs of `Target` that need the tree alone, which is there once the root is attached."""

    def __init__(self, rootless: Rootless | None) -> None:
        self.rootless = rootless
        self._tree: Tree | None = None

    @property
    def _there(self) -> Tree:
        if self._tree is None:
            raise OSError(errno.EINVAL, "nothing is attached at / yet", "/")
        return self._tree

    def make_directory(self, path: str, mode: int) -> bool:
        """See `Target.make_directory`."""
        made, first = self._there.make_directories(path, mode)
        self._there.done(made)
        return bool(first)

    def make_node(
        self, path: str, kind: NodeKind, number: DeviceNumber | None, mode: int, uid: int, gid: int
    ) -> Look | None:
        """See `Target.make_node`. Where others can reach, an owner is set through a descriptor of what was verified."""
        if self.rootless is not None and number is not None:
            return _bind_node(self._there, path, kind, number)
        wanted = FORMATS[kind] | mode, 0 if number is None else number.rdev
        _make_node(self._tree or self._there, path, wanted, (uid, gid))
        return None

    def make_nodes(self, nodes: Iterable[NewNode]) -> int:
        """See `Target.make_nodes`. Where others can reach, `make_node` looks at each again."""
        return 0 if self.rootless is not None else self._there.make_nodes(nodes)

    def make_symlink(self, path: str, target: str) -> None:
        """See `Target.make_symlink`."""
        parent, name = self._there.parent(path, make=True)
        try:
            os.symlink(target, name, dir_fd=parent)
        except OSError as error:
            error.filename, error.filename2 = path, None
            raise

    def look(self, path: str) -> Look | None:
        """See `Target.look`."""
        return look(self._there, path)

    def list_directory(self, path: str) -> list[str]:
        """See `Target.list_directory`."""
        directory = self._there.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._there.done(directory)
        return os.listdir(directory)


def _make_node(tree: Tree, path: str, wanted: tuple[int, int], owner: tuple[int, int]) -> None:
    """mknod(2) of `wanted`, st_mode and st_rdev, for an owner, uid and gid; see `Target.make_node`.

    Where others can reach, what was made is looked at again, and the owner is set through a descriptor of what was verified.
    """
    mode, rdev = wanted
    parent, name = tree.parent(path, make=True)
    has_owner = owner != (0, 0)
    try:
        os.mknod(name, mode, rdev, dir_fd=parent)
        if tree.is_private(parent):
            if has_owner:
                os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        elif has_owner:
            _give(tree, parent, name, wanted, owner)
        else:
            _verify(os.stat(name, dir_fd=parent, follow_symlinks=False), wanted)
    except OSError as error:
        error.filename, error.filename2 = path, None
        raise


def _give(tree: Tree, parent: int, name: str, wanted: tuple[int, int], owner: tuple[int, int]) -> None:
    made = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
    tree.done(made)
    _verify(os.fstat(made), wanted)
    chown_descriptor(made, *owner)


def _verify(found: os.stat_result, wanted: tuple[int, int]) -> None:
    """Errors: ESTALE if what is there is not what was made: somebody else writes in this directory."""
    if (found.st_mode, found.st_rdev) != wanted:
        raise OSError(errno.ESTALE, "what was made here was replaced at once")


def _bind_node(tree: Tree, path: str, kind: NodeKind, number: DeviceNumber) -> Look:
    """The host's node over an empty file, where none can be made. The host is within reach until the root is finished: nothing is
    mounted over it.
    """
    parent, name = tree.parent(path, make=True)
    if look(tree, path) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    node = open_host_node(path, kind, number)
    with about(path):
        os.mknod(name, stat.S_IFREG | 0o644, dir_fd=parent)
        place = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
        mount = mounts.clone_tree(node, recursive=False)
        mounts.move_mount(mount, place)
        found = os.fstat(node)
    for descriptor in (node, place, mount):
        tree.done(descriptor)
    return look_at(found)
