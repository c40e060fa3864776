"""Finding and making names in a root that is being built on the kernel."""

from __future__ import annotations

import errno
import os

from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.kernel.look import look
from devproxy.targets.kernel.nodes import FORMATS, bind_node, make_node
from devproxy.targets.kernel.tree import Tree
from devproxy.targets.rootless import Rootless
from devproxy.targets.target import Look


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
            return bind_node(self._there, path, kind, number)
        make_node(self._there, path, (FORMATS[kind] | mode, 0 if number is None else number.rdev), (uid, gid))
        return None

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
