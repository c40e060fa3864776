"""What the system around the devices says: modules, libraries, sockets, the kernel's log, control groups, container
runtimes. Each record names where it was read (`source`).
"""

from __future__ import annotations

from devproxy.record import Record


class KernelModule(Record):
    """A loaded module, or one that is built in (`state` is then `builtin`): its version (empty where it has none), use
    count (None where it is not told), state (`live`, `coming`, `going`), and the modules that use it.
    """

    name: str
    version: str
    uses: int | None
    state: str
    source: str
    used_by: tuple[str, ...] = ()


class Library(Record):
    """A file of a driver or of libtpu: `name` up to its `.so` (`libcuda`), the version in its name (empty if none), and
    whether it is what the name leads to that programs load (`libcuda.so.1`).
    """

    name: str
    version: str
    path: str
    current: bool = False

    @property
    def source(self) -> str:
        """Where the fact comes from: the file itself."""
        return self.path


class Firmware(Record):
    """A firmware file of the GPU driver (gsp_*.bin) and the driver version it belongs to."""

    version: str
    path: str


class ServiceSocket(Record):
    """A service's socket: `service` is nvidia-persistenced, nvidia-fabricmanager, mps or another; `listening` says
    whether somebody answers there, None where that could not be tried.
    """

    service: str
    path: str
    listening: bool | None
    why: str = ""
    source: str = "facts/sockets.json"


class LogEvent(Record):
    """A line of the kernel's log that is about accelerators: `kind` is xid, sxid (of an NVSwitch), api-mismatch, nouveau, suspend,
    resume, iommu, module, init (a GPU that could not be started), oom, other; `seconds` since boot (None in logs without times);
    `number` the Xid or SXid; `address` the PCI address it names; `sequence` the number that the kernel gave the record in this boot.
    """

    kind: str
    text: str
    seconds: float | None = None
    number: int | None = None
    address: str = ""
    source: str = "facts/kernel_log.json"
    sequence: int | None = None


class Caller(Record):
    """Who probed: effective ids, supplementary groups, effective capabilities by name, and whether in a user namespace
    that is not the machine's first. `groups` are (name, gid) of the groups that own devices (video, render, vfio, kvm).
    """

    uid: int
    gid: int
    gids: tuple[int, ...]
    capabilities: tuple[str, ...] = ()
    user_namespace: bool = False
    groups: tuple[tuple[str, int], ...] = ()
    source: str = "facts/caller.json"


class Selinux(Record):
    """SELinux: whether enforcing, the labels of accelerator nodes as (path, label), and booleans as (name, on)."""

    enforcing: bool
    labels: tuple[tuple[str, str], ...] = ()
    booleans: tuple[tuple[str, bool], ...] = ()
    source: str = "/sys/fs/selinux"


class CgroupRules(Record):
    """One devices.list (cgroup v1): who it is of, and its lines as (type, major or *, minor or *, access)."""

    group: str
    rules: tuple[tuple[str, str, str, str], ...]
    source: str


class Cgroups(Record):
    """Control groups: `mode` is v1, v2 or hybrid; `manager` is systemd or cgroupfs as the engines are configured
    (empty: unknown); the rules that could be read.
    """

    mode: str
    manager: str = ""
    rules: tuple[CgroupRules, ...] = ()
    source: str = "/proc/self/mountinfo"


class Runtime(Record):
    """A container engine or runtime: docker, containerd, cri-o, podman, runc, crun, runsc, nvidia-container-runtime,
    nvidia-ctk, nvidia-container-cli. `settings` are the values that matter here as (key, value), keys as in the file
    (`nvidia-container-cli.no-cgroups`), `drivers` the driver versions that an installed runsc supports.
    """

    name: str
    path: str
    version: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    drivers: tuple[str, ...] = ()
    source: str = ""

    def setting(self, key: str) -> str | None:
        """The value of a setting, or None."""
        return next((value for name, value in self.settings if name == key), None)


class CdiFile(Record):
    """A CDI spec file: its text as it is (empty if unreadable, `why` says why), mode and owner. `priority` is that of
    its directory.
    """

    path: str
    text: str
    mode: int
    uid: int
    gid: int
    priority: int
    why: str = ""


class Container(Record):
    """A sign that we are inside a container, and which (`docker`, `podman`, `kubernetes`, `lxc`, `wsl`, ...)."""

    kind: str
    sign: str
    source: str


class FileSystemSize(Record):
    """Size and free bytes of a file system, from statvfs(3): /dev/shm."""

    path: str
    size: int
    free: int
    source: str = "facts/file_systems.json"


class Request(Record):
    """Devices that somebody asked for: an environment variable's value or an argument seen in a report."""

    key: str
    value: str
    source: str


class Symptom(Record):
    """A message of another program that was seen (in a bug report): the words, the name that devproxy has for it, and
    what it is about (a device, an id), or empty.
    """

    text: str
    source: str
    name: str = ""
    subject: str = ""
