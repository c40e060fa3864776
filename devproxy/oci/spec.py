"""The bundle's config.json as typed values (runtime-spec v1.2, config.md and config-linux.md).

Made once by `oci.load`; nothing past it sees a dict. `where` fields are JSON paths (`mounts[3]`), for messages and
reasons.
"""

from __future__ import annotations

from devproxy.mount_options import MountOptions, Propagation
from devproxy.node import DeviceNumber, NodeKind
from devproxy.overlay import Layers, Overlay2
from devproxy.record import Record


class Mount(Record):
    """One entry of `mounts`. `destination` is cleaned (S17); `source` is absolute for binds (relative ones were joined
    to the bundle, S28); `type` is `bind` when an option says bind or rbind (S31). `layers` are those of an overlay.
    """

    destination: str
    type: str
    source: str
    options: MountOptions
    where: str
    layers: Layers | None = None


class Device(Record):
    """One entry of `linux.devices`. `number` is None for a fifo; `mode` is None when fileMode is absent."""

    path: str
    kind: NodeKind
    number: DeviceNumber | None
    mode: int | None
    uid: int | None
    gid: int | None
    where: str


class User(Record):
    """Who the process is. `umask` is None when the spec does not say (then 0022, S11)."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    umask: int | None = None


class Rlimit(Record):
    """One entry of `process.rlimits`; `name` is RLIMIT_NOFILE and its kin."""

    name: str
    soft: int
    hard: int


class Capabilities(Record):
    """The five sets of capabilities(7), by their CAP_ names."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Process(Record):
    """What is started. `env` keeps the spec's order and duplicates; `capabilities` is None when absent (then all are
    kept out but for what the kernel gives the user by default: none).
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    rlimits: tuple[Rlimit, ...] = ()
    capabilities: Capabilities | None = None
    no_new_privs: bool = False
    terminal: bool = False
    oom_score_adj: int | None = None


class Namespace(Record):
    """One entry of `linux.namespaces`: `type` is the spec's word (mount, pid, ipc, uts, network, cgroup, user, time);
    `path` an existing namespace to join, or None for a new one.
    """

    type: str
    path: str | None
    where: str


class Unsupported(Record):
    """Something the spec asks for that `run` does not do (hooks, seccomp, LSM labels, cgroup limits, id mappings).
    `harmless` is true for what `runc spec` always writes (a deny-all device rule): then it is an outcome, but no
    warning.
    """

    where: str
    what: str
    harmless: bool = False


class RootfsHint(Record):
    """What annotations say of the root (H19): the directory `source` is it, with the overlay of `overlay2`. That is None
    where they do not say, and the configuration's holds. `size` is that of the overlay, or empty.
    """

    source: str
    overlay2: Overlay2 | None
    size: str

    def overlay2_or(self, configured: Overlay2) -> Overlay2:
        """What holds for the root."""
        if self.overlay2 is not None:
            return self.overlay2
        return configured._replace(overlay=configured.overlay._replace(size=self.size)) if self.size else configured


class Spec(Record):
    """A bundle. `rootfs` is the absolute path of root.path, or of `rootfs_hint` where there is one; `devices` is None when
    the spec has no `linux` at all (S66). `cdi_hook` says that NVIDIA's CDI specs have been applied to it (H7).
    """

    bundle: str
    version: str
    rootfs: str
    readonly: bool
    hostname: str
    domainname: str
    process: Process | None
    mounts: tuple[Mount, ...]
    devices: tuple[Device, ...] | None
    namespaces: tuple[Namespace, ...]
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    rootfs_propagation: Propagation | None
    annotations: tuple[tuple[str, str], ...]
    unsupported: tuple[Unsupported, ...]
    rootfs_hint: RootfsHint | None = None
    cdi_hook: bool = False
