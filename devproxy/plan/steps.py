"""The steps of a plan.

Each step is a value: it can be compared, printed in one line, stored, and carried out on any target by `build`. Each
knows why it is there, so that a surprised reader of a plan is one line away from the reason.

A plan never looks at a target. What depends on one is left open in the step (the major of a driver, whether a directory
is empty) and settled by `build`, which records an outcome for each step.

Paths are absolute inside the container's root and cleaned; a target resolves them inside that root. Sources are paths
of the host.
"""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.mount_options import Change, MountOptions, Propagation
from devproxy.node import Identity, NodeKind
from devproxy.overlay import Layers, Overlay
from devproxy.record import Record


class Reason(Record):
    """Where a step comes from: `source` names it (`mounts[3]`, `rule: mandatory mounts`, `host: /proc/devices`), `note`
    says what was decided, when there was something to decide.
    """

    source: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.source}: {self.note}" if self.note else self.source


class WhenEmpty(Record):
    """The step is done only if `path` is an empty directory, or missing (S58); a link is followed inside the root."""

    path: str

    def __str__(self) -> str:
        return f"when_empty({self.path})"


class WhenMissing(Record):
    """The step is done only if one of `paths` is missing in the root's own directory."""

    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"when_missing({', '.join(self.paths)})"


class MountRoot(Record):
    """Make the root: the directory `source` itself, or, with `overlay`, an overlay over it.

    With `when`, the overlay is made only if the condition holds, and the directory itself is the root otherwise.
    """

    source: str
    overlay: Overlay | None
    when: WhenMissing | None
    propagation: Propagation | None
    reason: Reason

    @property
    def path(self) -> str:
        """Where it is mounted."""
        return "/"

    def describe(self) -> str:
        """`root /bundle/rootfs [overlay in memory] when_missing(/proc)`."""
        return f"root {self.source}{_overlay(self.overlay)}{_when(self.when)}"


class MountFilesystem(Record):
    """Mount a new file system of `fstype` at `path`. Read-only is not in `options`: it comes last, as a `Seal`, but for an
    overlay, whose `layers` are directories of the host. An unknown type is skipped with a warning, on every target (S48).

    With a `volume` it is a mount of the pod's volume of that source, which is made by the first to mount it; `options.data` are
    the volume's (S63).
    """

    path: str
    fstype: str
    source: str
    options: MountOptions
    when: WhenEmpty | None
    reason: Reason
    layers: Layers | None = None
    volume: str = ""

    def describe(self) -> str:
        """`mount tmpfs at /tmp [nosuid,mode=1777] when_empty(/tmp)`."""
        if self.volume:
            return f"mount the pod's volume {self.volume}, a tmpfs, at {self.path}{_options(self.options)}"
        layers = "" if self.layers is None else f" {self.layers.describe()}"
        return f"mount {self.fstype} at {self.path}{_options(self.options)}{layers}{_when(self.when)}"


class Bind(Record):
    """Bind the host's `source`, a directory or a file, at `path`; options.recursive_bind takes what is mounted below
    with it. With `overlay`, what is written there does not reach the source (S41).
    """

    path: str
    source: str
    options: MountOptions
    overlay: Overlay | None
    reason: Reason

    def describe(self) -> str:
        """`bind /usr at /usr [ro,recursive] kind_of(/usr)`."""
        options = f"{_options(self.options)}{_overlay(self.overlay)}"
        return f"bind {self.source} at {self.path}{options} kind_of({self.source})"


class MakeDirectory(Record):
    """Make a directory and its missing parents (0755); one that exists is left as it is."""

    path: str
    mode: int
    reason: Reason

    def describe(self) -> str:
        """`directory /dev/net 0755`."""
        return f"directory {self.path} {self.mode:04o}"


class MakeNode(Record):
    """Make a device node or a fifo (whose `identity` is None), and under /dev its link in /dev/char or /dev/block.

    An existing node is accepted only if its kind and number are the ones asked for (config-linux.md, "Devices").
    `asked` is the number that the spec gave, when it is the driver that decides.
    """

    path: str
    kind: NodeKind
    identity: Identity | None
    mode: int
    uid: int | None
    gid: int | None
    asked: str
    reason: Reason

    def describe(self) -> str:
        """`node /dev/nvidia-uvm c major_of(nvidia-uvm):0 0666`."""
        owner = "" if self.uid is None and self.gid is None else f" {self.uid or 0}:{self.gid or 0}"
        number = "" if self.identity is None else f" {self.identity}"
        return f"node {self.path} {self.kind.value}{number} {self.mode:04o}{owner}"


class RequireNode(Record):
    """Check a device in a bind without an overlay, which is the user's own: nothing is made there (S17, S69)."""

    path: str
    kind: NodeKind
    identity: Identity | None
    asked: str
    reason: Reason

    def describe(self) -> str:
        """`require /dev/nvidia0 c nvidia:0`."""
        return f"require {self.path} {self.kind.value} {self.identity or ''}".rstrip()


class MakeSymlink(Record):
    """Make a symbolic link. One that exists with the same target is accepted."""

    path: str
    target: str
    reason: Reason

    def describe(self) -> str:
        """`symlink /dev/fd -> /proc/self/fd`."""
        return f"symlink {self.path} -> {self.target}"


class Mask(Record):
    """Hide a path: a directory under an empty read-only tmpfs, a file under /dev/null; nothing if it is missing."""

    path: str
    reason: Reason

    def describe(self) -> str:
        """`mask /proc/kcore`."""
        return f"mask {self.path}"


class Cover(Record):
    """Put a file with contents of ours over a file of the root, which stays as it is; nothing if it is missing."""

    path: str
    contents: str
    mode: int
    reason: Reason

    def describe(self) -> str:
        """`cover /proc/driver/nvidia/params 0444 with 512 bytes`."""
        return f"cover {self.path} {self.mode:04o} with {len(self.contents.encode())} bytes"


class SealPath(Record):
    """Make a path read-only by binding it on itself; nothing if it is missing (linux.readonlyPaths)."""

    path: str
    reason: Reason

    def describe(self) -> str:
        """`read-only /proc/sys`."""
        return f"read-only {self.path}"


class Seal(Record):
    """Make the mount at `path` read-only, now that everything in it is made (S35 to S38). Where the
    mount itself was skipped, so is this.
    """

    path: str
    reason: Reason

    def describe(self) -> str:
        """`seal /dev read-only`."""
        return f"seal {self.path} read-only"


class Level(Choice):
    """How loudly a skip is told: a `WARNING` is an error under strict."""

    NOTE = "note"
    WARNING = "warning"


class Skip(Record):
    """Something asked for that is not done, and why. Never silence."""

    path: str
    what: str
    level: Level
    reason: Reason

    def describe(self) -> str:
        """`skip seccomp: ...`."""
        return f"skip {self.what}"


Step = (
    MountRoot
    | MountFilesystem
    | Bind
    | MakeDirectory
    | MakeNode
    | RequireNode
    | MakeSymlink
    | Mask
    | Cover
    | SealPath
    | Seal
    | Skip
)


def is_tmpfs(step: MountFilesystem) -> bool:
    """Whether it is a tmpfs of this root alone, whose contents a save takes. /dev is a devtmpfs, a pod's volume is the pod's."""
    return step.fstype.partition(".")[0] == "tmpfs" and not step.volume


def _when(condition: WhenEmpty | WhenMissing | None) -> str:
    return "" if condition is None else f" {condition}"


def _overlay(overlay: Overlay | None) -> str:
    return "" if overlay is None else f" [{overlay.describe()}]"


def _options(options: MountOptions) -> str:
    words = [
        *_change_words(options.change, ""),
        *_change_words(options.recursive, "r"),
        *options.superblock,
        *options.data,
    ]
    if options.recursive_bind:
        words.append("recursive")
    words += [("r" if recursive else "") + kind.value for kind, recursive in options.propagation]
    return f" [{','.join(words)}]" if words else ""


def _change_words(change: Change, prefix: str) -> list[str]:
    from devproxy.mount_options import Attribute

    def name(attribute: Attribute) -> str:
        return prefix + ("ro" if attribute is Attribute.RDONLY else str(attribute.name).lower())

    return [name(a) for a in Attribute if a & change.set] + ["-" + name(a) for a in Attribute if a & change.clear]
