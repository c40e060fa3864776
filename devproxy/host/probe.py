"""Everything that is known about a machine, gathered: each source has a small probe of its own beside this file."""

from __future__ import annotations

import os

from devproxy.host.accelerators import read_accelerators
from devproxy.host.dev import read_nodes
from devproxy.host.facts import Host, Unseen
from devproxy.host.kernel import read_cpus, read_kernel, read_limits, read_product_name
from devproxy.host.nvidia import read_nvidia
from devproxy.host.pci import read_pci
from devproxy.host.proc_devices import read_majors, read_misc
from devproxy.host.root import HostRoot, LiveReader, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import HostNode, IommuGroup, PciDevice, SysfsEntry, TpuChip

_GOOGLE: Final = 0x1AE0
_VFIO: Final = ("vfio-pci", "/dev/vfio/")


def probe(source: str = "live", *, deep: bool = False, opens: bool = False) -> Host:
    """The facts about the running machine, or about the one whose recording the file `source` is.

    A recording that is called `live` is named with its directory: `./live`. A `deep` probe also asks what planning does
    not need (`Host.details`): NVML, udev, holders, the kernel's log, runtimes. With `opens` it opens the live machine's
    accelerators one by one, in a child process; who opens a TPU or a vfio group keeps others from it meanwhile.

    Raises:
        InputError: `source` is no recording, or a damaged one.
    """
    if source == "live":
        with LiveReader(opens=opens) as reader:
            return probe_reader(reader, name="live", simulated=False, deep=deep)
    from devproxy.host.recorded import RecordedReader
    from devproxy.host.recording_file import load_recording

    recording = load_recording(source)
    host = probe_reader(RecordedReader(recording), name=os.path.basename(source), simulated=True, deep=deep)
    if not recording.notes:
        return host
    return host._replace(unseen=(*host.unseen, *(Unseen(place, why) for place, why in recording.notes)))


def probe_reader(
    reader: Reader, *, name: str, simulated: bool, deep: bool = False, coverage: tuple[str, ...] | None = None
) -> Host:
    """The facts about the machine that `reader` reads; see `Host.coverage` for what may be known of it at all."""
    root = HostRoot(reader)
    character, block = read_majors(root)
    misc = read_misc(root)
    pci = read_pci(root)
    nvidia = read_nvidia(root, pci)
    nodes, strays = read_nodes(root)
    groups = _iommu_groups(root, pci, nodes)
    tpus, tpu_sysfs = _tpus(root, pci, nodes, groups)
    accelerators = read_accelerators(root, pci, nodes, groups, tpus)
    sysfs = read_cpus(root) + tpu_sysfs
    kernel, product_name, limits = read_kernel(root), read_product_name(root), read_limits(root)
    host = Host(
        name=name,
        simulated=simulated,
        kernel=kernel,
        product_name=product_name,
        character=character,
        block=block,
        misc=misc,
        nodes=nodes,
        pci=pci,
        nvidia=nvidia,
        limits=limits,
        tpus=tpus,
        accelerators=accelerators,
        iommu_groups=groups,
        sysfs=sysfs,
        unseen=root.unseen,
        coverage=coverage,
        strays=strays,
    )
    if deep:
        from devproxy.host.blindness import empty_places
        from devproxy.host.sources import read_details

        host = host._replace(details=read_details(root, host), unseen=root.unseen)
        host = host._replace(unseen=(*host.unseen, *empty_places(host)))
    return host


# Machines without them need not load what reads them.


def _iommu_groups(root: HostRoot, pci: tuple[PciDevice, ...], nodes: tuple[HostNode, ...]) -> tuple[IommuGroup, ...]:
    driver, directory = _VFIO
    if not (any(each.driver == driver for each in pci) or any(each.path.startswith(directory) for each in nodes)):
        return ()
    from devproxy.host.vfio import read_iommu_groups

    return read_iommu_groups(root, pci, nodes)


def _tpus(
    root: HostRoot, pci: tuple[PciDevice, ...], nodes: tuple[HostNode, ...], groups: tuple[IommuGroup, ...]
) -> tuple[tuple[TpuChip, ...], tuple[SysfsEntry, ...]]:
    if all(each.vendor != _GOOGLE for each in pci):
        return (), ()
    from devproxy.host.tpu import read_tpus
    from devproxy.host.tpu_sysfs import read_tpu_sysfs

    return read_tpus(root, pci, nodes, groups), read_tpu_sysfs(root, pci, groups)
