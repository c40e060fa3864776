"""The door between a plan and a place where a root can be built: about a dozen verbs.

Verbs take plain values, never steps. Paths are absolute inside the root that is being built and are resolved inside it:
neither `..` nor a symbolic link leads out. Errors are plain OSError with the errno of the system call that Linux would
have made and the path as filename; `build` tells the user what was being done.

A target is used once, by one thread: `open_source` for everything of the host first, and `bind` of what is bound, then
`attach` of the root at `/`, then the rest. What was made becomes visible to others only by `finish`; a target that is closed before leaves nothing
behind.
"""

from __future__ import annotations

import errno

from devproxy.choice import Choice
from devproxy.mount_options import NO_CHANGE, Attribute, Change, Propagation
from devproxy.node import DeviceNumber, Identity, NodeKind
from devproxy.record import Record
from devproxy.targets.rootless import Rootless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Protocol, Self

    from devproxy.layer.tree import Tree
else:
    Protocol = object


class FileKind(Choice):
    """What a path is; the value is the letter of `ls -l`."""

    DIRECTORY = "d"
    REGULAR = "-"
    SYMLINK = "l"
    CHARACTER = "c"
    BLOCK = "b"
    FIFO = "p"
    SOCKET = "s"


class Look(Record):
    """What is at a path, without following a final link. `number` is set for device nodes, `link` for symbolic
    links.
    """

    kind: FileKind
    mode: int
    uid: int
    gid: int
    number: DeviceNumber | None
    link: str | None


class Source(Protocol):
    """Something of the host, opened before anything is mounted. Used by exactly one `bind`, `overlay` or `layered`; a leftover is
    an error.
    """

    @property
    def path(self) -> str:
        """The host's path that was opened."""

    @property
    def is_directory(self) -> bool:
        """Whether a directory was found there, by fstat."""

    @property
    def attributes(self) -> Attribute:
        """The attributes of the host's mount that it lies on."""


class Detached(Protocol):
    """A mount that is attached nowhere yet."""

    @property
    def is_directory(self) -> bool:
        """Whether its root is a directory: what its mount point has to be."""


class Volume(Record):
    """A mount of a pod's volume, and who made the volume: nobody before, if that is empty."""

    mount: Detached
    maker: str


class Upper(Record):
    """Where the upper layer of an overlay is: in a tmpfs, of `size` if that is not empty; or, with a `name`, on the host:
    under this name in the `.devproxy.overlay` of `directory`, or of the lower directory itself where that is empty.

    In a root in memory it is always in memory. With `keep` it is held on to, for a save, whenever the overlay is kept.
    """

    size: str = ""
    name: str = ""
    directory: str = ""
    keep: bool = False


class Layers(Record):
    """The opened layers of an overlay that a spec mounts, the topmost lower one first; `upper` and `work`, or none of them."""

    lowers: tuple[Source, ...]
    upper: Source | None
    work: Source | None

    @property
    def all(self) -> list[Source]:
        """Every one of them."""
        return [each for each in (*self.lowers, self.upper, self.work) if each is not None]


class KeptMount(Record):
    """A mount whose changes are held on to: its `destination` in the spec, where it is in the root (`path`, no first slash), and what
    it is: `overlay`, `tmpfs` or `file`, which is an overlay over a file.
    """

    destination: str
    path: str
    kind: str
    mount: Detached


IN_MEMORY = Upper()
MAXIMUM_LINKS = 40
"""Symbolic links that lead nowhere, one through the other, while a path is made (path_resolution(7))."""
NewNode = tuple[str, int, int]
"""A node to be made: its path, its type and permissions (st_mode), and its number (st_rdev, 0 for a fifo)."""
NOT_OVERLAID = "neither a directory nor a regular file, which is what an overlay goes over"


def behind_link(directory: str, target: str, rest: Sequence[str] = ()) -> str:
    """The path that a link in a directory leads to, and from there on. Links in it and `..` are left to whoever opens it
    inside the root; only those at its beginning, which stay at the root, are left out.
    """
    names = [*("" if target.startswith("/") else directory).split("/"), *target.split("/"), *rest]
    first = next((index for index, name in enumerate(names) if name not in ("", ".", "..")), len(names))
    return "/" + "/".join(names[first:])


class OverRoot(OSError):
    """A path leads to the root itself, as a link of the image may: over that nobody would see a mount (EBUSY)."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EBUSY, "leads to the root itself", path)


class NumberFound(Record):
    """The number a device has here. `reserved` is true when no driver of the host has it: a dynamic major was set aside, or
    the spec's number stands for a node that the host lacks.
    """

    number: DeviceNumber
    reserved: bool


class Target(Protocol):
    """Where a root is built. A context manager: leaving it without `finish` drops everything."""

    @property
    def rootless(self) -> Rootless | None:
        """What is lacking for want of privileges, or None: then everything can be made as it is asked for."""

    @property
    def changes_host(self) -> bool:
        """Whether layers that were asked for on the host are there, and not in memory."""

    def open_source(self, path: str, within: str = "") -> Source:
        """Open a directory or file of the host, following links as the host does. Below `within`, a directory that the path
        begins with, they are followed inside that, and magic links are not: who filled it may have wished for more.

        Errors: ENOENT and whatever open(2) says.
        """

    def filesystem(
        self, fstype: str, source: str, change: Change, flags: Sequence[str], data: Sequence[str]
    ) -> Detached:
        """Make a new file system (fsopen, fsconfig, fsmount). `devtmpfs` is an empty tmpfs of its own, never the host's
        /dev.

        Errors: ENODEV if the type is unknown here; EINVAL for an option that the type does not take; EPERM, with the
        reason in words, for a type that a rootless target cannot have.
        """

    def volume(self, key: str, flags: Sequence[str], data: Sequence[str], maker: str) -> Volume:
        """A mount of the volume `key`, a tmpfs, with no attributes of its own. Who asks first makes it, with these options
        and in the name of `maker`; later it is the same file system, in this root and in others of its pod.

        Errors: as `filesystem`, for who makes it.
        """

    def bind(self, source: Source, *, recursive: bool, change: Change = NO_CHANGE) -> Detached:
        """A mount of what `source` holds (open_tree with OPEN_TREE_CLONE). `change` is of itself, not of what comes along.

        Precondition: nothing is attached yet, if `source` may be the host's `/`. An attached root lies over that, and would
        come along with what is mounted below.
        """

    def bind_directory(self, path: str, change: Change) -> Detached | None:
        """What `open_source` and `bind`, not recursive, make of a directory of the host, at once. None if that cannot be done, whatever
        the reason: they do it, or say what is wrong. Precondition: a rootless target is not asked.
        """

    def overlay(self, lower: Source, upper: Upper = IN_MEMORY) -> Detached:
        """An overlay over a directory; its root has the lower's owner and mode, and no `.devproxy.overlay`. Over a
        regular file it is a copy of the file, in memory (S43, S44).

        Errors: EINVAL if the source is neither; ENOSPC for a file larger than the upper layer's size; ENOENT for a
        layer on the host that was not made; what the kernel says of a layer on a file system that cannot hold one.
        """

    def layered(
        self, layers: Layers, source: str, change: Change, flags: Sequence[str], data: Sequence[str]
    ) -> Detached:
        """An overlay of directories of the host as they are, with changes in its own upper one; without `upper` it is
        read-only. In a root in memory changes stay in memory, over the upper layer.

        Errors: what the kernel says of layers that do not go together; EPERM, with the reason in words, where a rootless
        target cannot have it; ENODEV.
        """

    def change(self, mount: Detached, change: Change, *, recursive: bool) -> None:
        """Set and clear attributes of a mount that is not attached yet (mount_setattr)."""

    def tree(self, mount: Detached) -> Tree:
        """The files of a mount that is not attached yet, to be written. The caller closes it."""

    def keep(self, mount: Detached) -> None:
        """Hold on to what will be written to this mount, for a save; it is attached next. Of an overlay over a directory
        `Upper.keep` was asked for.
        """

    def kept(self, mounts: Sequence[KeptMount]) -> None:
        """These of them are what the root has in the end."""

    def attach(self, mount: Detached, path: str) -> None:
        """Mount it at `path`, the first one at `/`. A final symbolic link is followed, inside the root. It goes on top
        of what is mounted there.

        Errors: ENOENT if the mount point is missing, ENOTDIR for a directory over something else, EISDIR for the
        reverse, OverRoot for the root itself, EROFS never: mounting writes nothing.
        """

    def attach_all(self, attached: Iterable[tuple[Detached, str]]) -> int:
        """Attach mounts at paths, each as `attach` does, as long as that needs nothing else. Returns how many were attached: `attach` of
        the next one does what that takes, or says what is wrong.

        The next one is asked for when the one before it is attached. What `attached` raises goes to the caller.
        """

    def propagate(self, path: str, propagation: Propagation, *, recursive: bool) -> None:
        """Set the propagation type of the mount at `path`."""

    def make_mount_point(self, path: str, *, directory: bool) -> str:
        """Make the missing mount point and its missing parents (0755; a file 0644), following links inside the root. What
        a link leads to is made where it leads.

        Returns the first path that had to be made. Errors: EROFS when it lies in a read-only place, ENOTDIR when a
        parent is no directory, ELOOP for links in a circle.
        """

    def make_directory(self, path: str, mode: int) -> bool:
        """Make a directory and its missing parents (0755), through links as for a mount point. Returns false when a
        directory is there already.

        Errors: ENOTDIR when something else is there, ELOOP for links in a circle.
        """

    def make_node(
        self, path: str, kind: NodeKind, number: DeviceNumber | None, mode: int, uid: int, gid: int
    ) -> Look | None:
        """mknod(2) with exactly this mode (no umask) and owner; missing parents are made (0755). The final name is
        never followed.

        What was made is looked at again before this returns. A rootless target makes fifos alone; of a device it binds the
        host's node and returns what that looks like. Errors: EEXIST if the name is taken, EPERM where nodes cannot be
        made; ENXIO if the host has no node to bind, ENODEV if its node is another device.
        """

    def make_nodes(self, nodes: Iterable[NewNode]) -> int:
        """Make nodes of root's, each as `make_node` does, as long as that needs nothing else. Returns how many were made: `make_node` of
        the next one does what that takes, or says what is wrong. A rootless target makes none.

        The next node is asked for when the one before it is made. What `nodes` raises goes to the caller.
        """

    def make_symlink(self, path: str, target: str) -> None:
        """symlink(2); missing parents are made (0755). Errors: EEXIST if the name is taken."""

    def look(self, path: str) -> Look | None:
        """What is at `path`, or None if it (or a parent) is missing. Links on the way are followed inside the root, a
        final one is not. Errors: ENOTDIR, ELOOP, EACCES.
        """

    def look_in(self, source: Source, path: str) -> Look | None:
        """`look`, in a source that is not mounted yet, with links resolved inside it. `/` is the source, if it is a file
        too.
        """

    def directories_in(self, source: Source, paths: Iterable[str]) -> int:
        """How many paths, up to the first of which that cannot be told at a glance, are directories in a source that is not mounted yet:
        `look_in` would say so of each.
        """

    def list_directory(self, path: str) -> list[str]:
        """The names in a directory, links followed inside the root. Errors: ENOENT, ENOTDIR, ELOOP."""

    def seal(self, path: str) -> None:
        """Make the topmost mount at `path` read-only. Errors: EINVAL if nothing is mounted there, EBUSY if it is being
        written.
        """

    def seal_path(self, path: str) -> bool:
        """Bind `path` on itself, with what is mounted below, read-only. Returns false if it is missing. The root itself is sealed, alone."""

    def mask(self, path: str) -> bool:
        """Hide `path`: an empty read-only tmpfs over a directory, the null device over anything else. Returns false if
        missing. Errors: OverRoot.
        """

    def cover(self, path: str, contents: bytes, mode: int) -> bool:
        """Put a read-only file with these contents over the file at `path`, which stays as it is. Returns false if missing.

        Errors: EISDIR for a directory.
        """

    def number_of(self, identity: Identity) -> NumberFound:
        """The number of a device here: the plan's Host decides majors by exact driver name, a major is reserved for a
        driver it does not list (S80). A `LikeHost` is asked for before anything is mounted: the live host's node is
        looked at, of a recorded host the recording's number is taken.

        Errors: EBUSY when no major is left; EADDRINUSE when a simulated number belongs to a live driver; ENOENT when the
        host lacks the node of a `LikeHost`, where nodes are real or the spec gave no number.
        """

    def finish(self) -> None:
        """Everything is made: make it one root. Errors: EBUSY if a source that was opened was never used."""

    def close(self) -> None:
        """Drop what this target holds."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
