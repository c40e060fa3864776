"""What is known of devices beside their nodes: links, holders, udev, NUMA, TPU locks, what opening them says."""

from __future__ import annotations

from devproxy.record import Record


class CharLink(Record):
    """/dev/char/MAJ:MIN and the path it leads to, made absolute; `dangling` when nothing is there."""

    path: str
    target: str
    dangling: bool = False


class NodeDirectory(Record):
    """A directory of device nodes, or of links to them: its permissions and owner."""

    path: str
    mode: int
    uid: int
    gid: int

    @property
    def source(self) -> str:
        """Where the fact comes from: the directory itself."""
        return self.path


class Holder(Record):
    """A process that has an accelerator's node open (or mapped). `started` is its start time in clock ticks since boot,
    which together with the pid names it for good (proc_pid_stat(5), field 22). `lease` is the number of the devproxy lease that
    it was started under, as its first environment says (proc_pid_environ(5)): empty without one, None where that may not be read.
    """

    pid: int
    name: str
    uid: int
    started: int
    paths: tuple[str, ...]
    source: str = "facts/holders.json"
    lease: str | None = None


class Holders(Record):
    """Who holds accelerators. `complete` is false where some processes' descriptors could not be read: who is not
    listed then is unknown, not free. `unread` counts them, `why` says what kept them from being seen.
    """

    holders: tuple[Holder, ...]
    complete: bool
    unread: int = 0
    source: str = "facts/holders.json"
    why: str = ""

    def of(self, path: str) -> tuple[Holder, ...]:
        """Who holds the node at `path`, as far as it was seen."""
        return tuple(holder for holder in self.holders if path in holder.paths)


class UdevDevice(Record):
    """A device as udev knows it: sysfs path below /sys, subsystem, node (empty if none), driver, PCI_ID and such."""

    path: str
    subsystem: str
    node: str
    driver: str
    initialized: bool
    properties: tuple[tuple[str, str], ...] = ()
    source: str = "facts/udev.json"


class ClassNode(Record):
    """A device that a driver has registered in a class of sysfs: where its node belongs, the class, the PCI address of the
    function behind it (empty if there is none), and its directory in sysfs.
    """

    path: str
    class_name: str
    address: str
    source: str


class NumaNode(Record):
    """A NUMA node: its CPUs as the kernel lists them (`0-31,64-95`), and memory in bytes."""

    number: int
    cpus: str
    memory: int | None
    source: str


class Affinity(Record):
    """The CPUs that the process that probed may use, as sched_getaffinity(2) says."""

    cpus: tuple[int, ...]
    source: str = "facts/affinity.json"


class TpuLock(Record):
    """libtpu's lock file: its owner, and whether somebody holds it (None where that could not be told), and who. `kind` is
    `file`, or what else is at its path.
    """

    path: str
    uid: int
    held: bool | None
    source: str = "facts/locks.json"
    kind: str = "file"
    mode: int = 0o644
    pid: int | None = None


class Opening(Record):
    """What opening a node said: the errno's name, or empty when it opened; what fstat(2) said the number was."""

    path: str
    errno: str
    number: str = ""
    source: str = "facts/opens.json"


class NvidiaService(Record):
    """Parameters of the driver's other parts: /proc/driver/nvidia-{nvlink,nvswitch}/permissions, IMEX channel count,
    as (name, value).
    """

    name: str
    values: tuple[tuple[str, str], ...]
    source: str
