"""The details of devices, gathered from their sources."""

from __future__ import annotations

from devproxy.host.details import DeviceDetails
from devproxy.host.sources.class_devices import read_class_devices
from devproxy.host.sources.directories import read_directories
from devproxy.host.sources.holders import read_holders
from devproxy.host.sources.iommu import read_iommu
from devproxy.host.sources.links import read_links
from devproxy.host.sources.numa import read_affinity, read_numa
from devproxy.host.sources.nvidia_services import read_nvidia_services
from devproxy.host.sources.opens import read_opens
from devproxy.host.sources.tpu_lock import read_tpu_lock
from devproxy.host.sources.udev import read_udev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot


def read_device_details(root: HostRoot, host: Host) -> DeviceDetails:
    """Links, holders, udev, NUMA, TPU locks, the NVIDIA driver's parts, classes, and what opening says where that was asked for."""
    return DeviceDetails(
        links=read_links(root, host),
        holders=read_holders(root),
        udev=read_udev(root),
        numa=read_numa(root),
        affinity=read_affinity(root),
        tpu_lock=read_tpu_lock(root),
        services=read_nvidia_services(root, host),
        opens=read_opens(root),
        iommu_groups=read_iommu(root),
        directories=read_directories(root, host),
        class_devices=read_class_devices(root, host),
    )
