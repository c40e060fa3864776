"""The facts about a machine that planning and checking need. Frozen values; each knows the file that said so.

What could not be read is a fact too (`Unseen`): nothing that was not seen is ever taken for absent or fine.
"""

from __future__ import annotations

from devproxy.node import DeviceNumber, NodeKind
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.details import Details


class HostNode(Record):
    """A device node in the host's /dev, as lstat(2) shows it. `source` is its path."""

    path: str
    kind: NodeKind
    number: DeviceNumber
    mode: int
    uid: int
    gid: int

    @property
    def source(self) -> str:
        """Where the fact comes from: the node itself."""
        return self.path


class Stray(Record):
    """Something that is no device node where an accelerator's node belongs: `kind` in words (`a directory`)."""

    path: str
    kind: str


class MajorLine(Record):
    """One line of /proc/devices: a driver's registered name and its major. Names repeat, and a major may have several
    names.
    """

    major: int
    name: str
    source: str = "/proc/devices"


class MiscLine(Record):
    """One line of /proc/misc: a device of major 10 by its minor."""

    minor: int
    name: str
    source: str = "/proc/misc"


class PciDevice(Record):
    """A PCI function from /sys/bus/pci/devices. Numbers as in sysfs: vendor 0x10de, class_code 0x030200. `driver` is
    the bound driver's name, empty when none is bound; `subsystem_device` is None when the kernel does not say.
    """

    address: str
    vendor: int
    device: int
    class_code: int
    driver: str
    numa_node: int
    source: str
    subsystem_device: int | None = None


class NvidiaGpu(Record):
    """A GPU. `rank` is its index as nvidia-smi shows it, by PCI address; `minor` is N of /dev/nvidiaN; they differ on
    some hosts. GPUs that nvidia-smi does not show, having no NVIDIA driver or being excluded, come last.

    `minor` and `uuid` are None, `model` is empty, when the driver does not say. `excluded`: the driver was told to leave it
    alone (its parameter ExcludedGpus).
    """

    rank: int
    address: str
    minor: int | None
    uuid: str | None
    model: str
    source: str
    excluded: bool = False


class Capability(Record):
    """A right that the NVIDIA driver grants to whoever can open the device `minor` of `nvidia-caps`, and the mode that
    its node should have. `modify` is whether nvidia-modprobe may make the node (DeviceFileModify).

    `name` is its path below /proc/driver/nvidia/capabilities: `mig/config`, `gpu0/mig/gi1/ci0/access`; that of NVLink is
    `fabric-mgmt`.
    """

    name: str
    minor: int
    mode: int
    source: str
    modify: bool = True

    @property
    def node(self) -> str:
        """The path of its device node, on every host."""
        return f"/dev/nvidia-caps/nvidia-cap{self.minor}"


class MigDevice(Record):
    """A slice of a GPU: a compute instance in a GPU instance. `gpu` is the minor of the GPU's node, `rank` the slice's
    index among those of that GPU, as `nvidia-smi -L` shows it.
    """

    gpu: int
    rank: int
    gpu_instance: int
    compute_instance: int
    source: str

    @property
    def capabilities(self) -> tuple[str, str]:
        """The names of the two capabilities that it takes to use it: of the GPU instance and of the compute
        instance.
        """
        instance = f"gpu{self.gpu}/mig/gi{self.gpu_instance}"
        return f"{instance}/access", f"{instance}/ci{self.compute_instance}/access"


class Nvidia(Record):
    """The NVIDIA driver: its version (empty when unreadable), parameters of /proc/driver/nvidia/params as (name, value)
    in the file's order, its GPUs by rank, its capabilities, its MIG devices by GPU and rank, and the PCI addresses of
    its NVSwitches.
    """

    version: str
    params: tuple[tuple[str, str], ...]
    gpus: tuple[NvidiaGpu, ...]
    capabilities: tuple[Capability, ...] = ()
    mig: tuple[MigDevice, ...] = ()
    switches: tuple[str, ...] = ()

    def param(self, name: str) -> str | None:
        """The value of a parameter, or None."""
        return next((value for key, value in self.params if key == name), None)

    def capability(self, name: str) -> Capability | None:
        """The capability of that name, or None."""
        return next((capability for capability in self.capabilities if capability.name == name), None)


class TpuChip(Record):
    """A TPU chip. `rank` is its place in TPU_VISIBLE_CHIPS: chips are counted by the number in their node's name, those
    that have none come last. `address` is its PCI address, of the first function where it has several.

    `nodes` are the device nodes that give access to it, /dev/accelN or /dev/vfio/N. They are empty when it cannot be
    used, and `problem` says then why.
    """

    rank: int
    address: str
    generation: str
    driver: str
    nodes: tuple[str, ...]
    problem: str
    source: str


class IommuGroup(Record):
    """An IOMMU group that vfio may hand out as /dev/vfio/`number`, and the PCI addresses of its devices: who opens the
    group has them all (Documentation/driver-api/vfio.rst).
    """

    number: int
    members: tuple[str, ...]
    source: str


class Accelerator(Record):
    """A device node of something that is neither an NVIDIA GPU nor a TPU: `subsystem` is `accel` or `drm` (DRM's
    accelerators and render nodes), `kfd`, or `vfio`. `addresses` are the PCI functions behind it, as far as they are known.
    """

    path: str
    subsystem: str
    addresses: tuple[str, ...]
    source: str


class SysfsEntry(Record):
    """Something of the host's sysfs that a process in a container reads to find its TPUs: a file with its `text`, or a
    link with its target.
    """

    path: str
    text: str
    link: str = ""

    @property
    def source(self) -> str:
        """Where the fact comes from: the path itself."""
        return self.path


class Limit(Record):
    """A resource limit of the process that probed, which what it starts inherits; None is unlimited (getrlimit(2))."""

    name: str
    soft: int | None
    hard: int | None
    source: str = "facts/limits.json"


class Unseen(Record):
    """Something that could not be read, and why (`EACCES: Permission denied`)."""

    path: str
    why: str


class Host(Record):
    """A machine. `name` is `live` or the recording's file name; `simulated` is true for a recording.

    `nvidia` is None when the host has no NVIDIA driver and no NVIDIA GPU on its PCI bus. `product_name` is DMI's, or
    empty. `details` are those of a deep probe, None after a plain one, or NVML's answer alone (`host.ask_nvml`). `coverage` are patterns of the paths that whoever
    gathered the facts looked for, None for all: a bug report says nothing of what is not in it.
    """

    name: str
    simulated: bool
    kernel: str
    product_name: str
    character: tuple[MajorLine, ...]
    block: tuple[MajorLine, ...]
    misc: tuple[MiscLine, ...]
    nodes: tuple[HostNode, ...]
    pci: tuple[PciDevice, ...]
    nvidia: Nvidia | None
    unseen: tuple[Unseen, ...]
    limits: tuple[Limit, ...] = ()
    tpus: tuple[TpuChip, ...] = ()
    accelerators: tuple[Accelerator, ...] = ()
    iommu_groups: tuple[IommuGroup, ...] = ()
    sysfs: tuple[SysfsEntry, ...] = ()
    details: Details | None = None
    coverage: tuple[str, ...] | None = None
    strays: tuple[Stray, ...] = ()

    def knows(self, path: str) -> bool:
        """Whether the absence of `path` from these facts means that the machine does not have it: it was looked for, and
        neither it nor a directory above it was kept from being seen.
        """
        if self.coverage is not None:
            from fnmatch import fnmatchcase

            if not any(fnmatchcase(path, pattern) for pattern in self.coverage):
                return False
        hidden = {unseen.path for unseen in self.unseen}
        if self.coverage is not None:
            # A report's directories were not listed by us: only what it says itself is unseen there.
            return path not in hidden
        while path:
            if path in hidden:
                return False
            path = path.rpartition("/")[0]
        return True

    def knows_entry(self, path: str, name: str) -> bool:
        """Whether the absence of the line `name` from the list in the file at `path` (a driver in /proc/devices, a module in
        /proc/modules) means that there is none. A report may hold what grep left of a list: that is covered by a pattern
        of its own, `/proc/devices:*nvidia*`.
        """
        return self.knows(path) or (self.coverage is not None and self.knows(f"{path}:{name}"))

    def major_of(self, driver: str) -> int | None:
        """The character major that `driver` has, by its exact name, or None.

        `nvidia` was called `nvidia-frontend` before driver 550.40: either name answers for the other.
        """
        for name in _ALIASES.get(driver, (driver,)):
            for line in self.character:
                if line.name == name:
                    return line.major
        return None

    def driver_of(self, major: int) -> str | None:
        """The first name that /proc/devices lists for a character major, or None."""
        return next((line.name for line in self.character if line.major == major), None)

    def has_misc(self, name: str) -> bool:
        """Whether the misc driver `name` is registered (/proc/misc)."""
        return any(line.name == name for line in self.misc)

    def node(self, path: str) -> HostNode | None:
        """The node at `path` on the host, or None."""
        return _by_path(self.nodes).get(path)


_ALIASES = {"nvidia": ("nvidia", "nvidia-frontend"), "nvidia-frontend": ("nvidia", "nvidia-frontend")}


# The nodes that were asked for last, and the same by path: whoever asks for one asks for every one, and a host may have
# thousands. Records have no place for what is derived from them.
_last: tuple[tuple[HostNode, ...], dict[str, HostNode]] = ((), {})


def _by_path(nodes: tuple[HostNode, ...]) -> dict[str, HostNode]:
    """The nodes by path, the first of each."""
    global _last  # noqa: PLW0603 (one pair, replaced whole)
    known = _last
    if known[0] is not nodes:
        known = _last = (nodes, {node.path: node for node in reversed(nodes)})
    return known[1]
