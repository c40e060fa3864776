"""A root that was built, whatever it was built on: the surface that `verify`, `inspect` and users read through.

Shaped like `os`; every path is absolute inside the root and resolved inside it.
"""

from __future__ import annotations

import os

from devproxy.linux.mountinfo import MountLine
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Any, Protocol, Self

    from devproxy.layer.tree import Tree
else:
    Protocol = object


class Kept(Record):
    """A mount whose changes can be saved: its `destination` in the spec, where it is in the root (`path`, no first slash), what it is
    (`overlay`, `tmpfs`, or `file`, an overlay over a file), and its files; of an overlay those of its upper layer.
    """

    destination: str
    path: str
    kind: str
    tree: Tree


class Root(Protocol):
    """A built root. A context manager: closing it drops the root (a kernel root's mounts go with its builder).

    Methods raise OSError as their namesakes in `os` do.
    """

    @property
    def simulated(self) -> bool:
        """Whether it was built from a recorded host: then ENXIO is what opening a device should say."""

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def stat(self, path: str) -> os.stat_result:
        """What a path is, links followed inside the root."""

    def lstat(self, path: str) -> os.stat_result:
        """What a path is, a final link not followed."""

    def read_bytes(self, path: str) -> bytes:
        """The contents of a regular file, links followed inside the root. Errors: EINVAL for anything that is no
        regular file: a device or fifo is never opened by looking.
        """

    def open(self, path: str, mode: str = "rb", *, devices: bool = False) -> IO[Any]:
        """Open a file as the built-in of that name does, by its modes: `rb`, `wb`, `ab`, `xb`, each with `+` too; without `b` it is
        UTF-8 text. Links are followed inside the root, also one that leads nowhere when a file is made. What is written
        goes where the process's own writes go. The file may outlive the root.

        Errors: those of open(2); EISDIR; EINVAL for devices, fifos and sockets, which `devices` opens. ValueError for
        another mode.
        """

    def readlink(self, path: str) -> str:
        """The target of a symbolic link."""

    def mountinfo(self) -> list[MountLine]:
        """The mount table, in the order of mountinfo."""

    def kept(self) -> list[Kept]:
        """What was kept for a save, also when the process has ended. The caller closes the trees; closing the root ends them."""

    def close(self) -> None:
        """Drop the root."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
