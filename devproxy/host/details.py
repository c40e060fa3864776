"""All that is known of a machine beyond what planning needs: read for `probe`, `record` and `doctor`, not for `run`.

Each source is one module in `host.sources`; what is no file is gathered on the live machine by one in `host.live`.
"""

from __future__ import annotations

from devproxy.host.device_facts import (
    Affinity,
    CharLink,
    ClassNode,
    Holders,
    NodeDirectory,
    NumaNode,
    NvidiaService,
    Opening,
    TpuLock,
    UdevDevice,
)
from devproxy.host.nvml_facts import Nvml, NvmlState
from devproxy.host.shared_memory_facts import Clock, LogSpan, SharedMemory
from devproxy.host.system_facts import (
    Caller,
    CdiFile,
    Cgroups,
    Container,
    FileSystemSize,
    Firmware,
    KernelModule,
    Library,
    LogEvent,
    Request,
    Runtime,
    Selinux,
    ServiceSocket,
    Symptom,
)
from devproxy.record import Record


class DeviceDetails(Record):
    """What concerns devices. A value of None was not seen (`Host.unseen` says why, where it was looked for).
    `iommu_groups` is how many the machine has, `directories` are those of nodes and links, as far as they are there,
    `class_devices` what drivers of NPUs and Corals have registered.
    """

    links: tuple[CharLink, ...] | None = None
    holders: Holders | None = None
    udev: tuple[UdevDevice, ...] | None = None
    numa: tuple[NumaNode, ...] = ()
    affinity: Affinity | None = None
    tpu_lock: TpuLock | None = None
    services: tuple[NvidiaService, ...] = ()
    opens: tuple[Opening, ...] | None = None
    iommu_groups: int | None = None
    directories: tuple[NodeDirectory, ...] = ()
    class_devices: tuple[ClassNode, ...] = ()


class SystemDetails(Record):
    """What concerns the system around them. None was not seen."""

    modules: tuple[KernelModule, ...] | None = None
    libraries: tuple[Library, ...] = ()
    firmware: tuple[Firmware, ...] = ()
    sockets: tuple[ServiceSocket, ...] | None = None
    log: tuple[LogEvent, ...] | None = None
    caller: Caller | None = None
    selinux: Selinux | None = None
    cgroups: Cgroups | None = None
    runtimes: tuple[Runtime, ...] = ()
    cdi: tuple[CdiFile, ...] = ()
    containers: tuple[Container, ...] = ()
    file_systems: tuple[FileSystemSize, ...] | None = None
    requests: tuple[Request, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    symptoms: tuple[Symptom, ...] = ()
    command_line: str = ""
    clock: Clock | None = None
    log_span: LogSpan | None = None
    shared_memory: SharedMemory | None = None


class Details(Record):
    """Everything of a deep probe."""

    nvml: Nvml = Nvml(NvmlState.UNASKED)
    devices: DeviceDetails = DeviceDetails()
    system: SystemDetails = SystemDetails()
