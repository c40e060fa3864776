"""A host's facts as setup needs them: of the running machine without NVML, whose library calls nvidia-modprobe, which makes nodes."""

from __future__ import annotations

import os
import time

from devproxy.host.accelerator_nodes import is_accelerator
from devproxy.host.blindness import empty_places
from devproxy.host.details import Details, DeviceDetails, SystemDetails
from devproxy.host.device_facts import CharLink
from devproxy.host.facts import SysfsEntry
from devproxy.host.probe import probe, probe_reader
from devproxy.host.root import HostRoot, LiveReader
from devproxy.host.sources.caller import read_caller
from devproxy.host.sources.containers import read_containers
from devproxy.host.sources.directories import read_directories
from devproxy.host.sources.environment import read_environment
from devproxy.host.sources.holders import read_holders
from devproxy.host.sources.links import read_links
from devproxy.host.sources.modules import read_modules
from devproxy.host.sources.nvidia_services import read_nvidia_services
from devproxy.jobs.setup.links import LINKS
from devproxy.jobs.setup.tpu_targets import VFIO_CLASS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host

_MODULES: Final = ("nvidia", "nvidia_uvm", "nvidia_modeset", "vfio_pci")
# A driver takes seconds to find its GPUs; /proc/devices has its major at some moment of that.
_COMING: Final = 30.0
_PAUSE: Final = 0.2


def survey(source: str = "live") -> Host:
    """The facts. A module that is being loaded is waited for, half a minute at most. Errors: InputError for a bad recording."""
    if source != "live":
        return probe(source, deep=True)
    deadline = time.monotonic() + _COMING
    while True:
        host = _look()
        if time.monotonic() >= deadline or not _is_coming(host):
            return host
        time.sleep(_PAUSE)


def _look() -> Host:
    with LiveReader() as reader:
        host = probe_reader(reader, name="live", simulated=False)
        root = HostRoot(reader)
        links = read_links(root, host)
        devices = DeviceDetails(
            links=links if links is None else (*links, *_other_links(root, links)),
            holders=read_holders(root),
            services=read_nvidia_services(root, host),
            directories=read_directories(root, host),
        )
        system = SystemDetails(
            modules=read_modules(root),
            caller=read_caller(root),
            containers=read_containers(root, host, read_environment(root)),
        )
        sysfs = (*host.sysfs, *_vfio_numbers(root)) if host.tpus else host.sysfs
        details = Details(devices=devices, system=system)
        host = host._replace(details=details, sysfs=sysfs)
        return host._replace(unseen=(*host.unseen, *root.unseen, *empty_places(host)))


def _is_coming(host: Host) -> bool:
    modules = host.details.system.modules if host.details is not None else None
    return any(module.name in _MODULES and module.state == "coming" for module in modules or ())


def _other_links(root: HostRoot, known: tuple[CharLink, ...]) -> Iterator[CharLink]:
    """Links to accelerators' nodes that are not there, or do not have that number: whoever repaired or removed a node may have left
    the link of it.
    """
    paths = {link.path for link in known}
    for name in root.listdir(LINKS):
        path = f"{LINKS}/{name}"
        target = root.follow(path) if path not in paths else ""
        if is_accelerator(target):
            yield CharLink(path, target, dangling=root.lstat(target) is None)


def _vfio_numbers(root: HostRoot) -> Iterator[SysfsEntry]:
    """The numbers of vfio's groups, which the kernel made nodes for."""
    for name in root.listdir(VFIO_CLASS):
        source = root.follow(f"{VFIO_CLASS}/{name}")
        text = root.read_text(os.path.join(source, "dev"), 4096)
        if text is not None:
            yield SysfsEntry(f"{VFIO_CLASS}/{name}/dev", text)
