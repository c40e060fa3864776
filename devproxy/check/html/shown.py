"""What the picture of a host shows: its accelerators, and what is near them, each with its nodes and holders."""

from __future__ import annotations

from devproxy.host.facts import Host, HostNode, PciDevice
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_NETWORK: Final = 0x02  # the PCI class of network controllers
_MELLANOX: Final = 0x15B3


class Device(Record):
    """A device to show: `kind` is gpu, tpu, switch, network or other; `subjects` are the names under which findings speak
    of it.
    """

    kind: str
    title: str
    address: str
    model: str
    driver: str
    nodes: tuple[tuple[str, HostNode | None], ...]
    holders: tuple[str, ...]
    subjects: tuple[str, ...]
    numa: int | None
    chain: tuple[str, ...]


def devices(host: Host) -> tuple[Device, ...]:
    """Every device that the picture shows, in the order of the bus."""
    by_address = {device.address: device for device in host.pci}
    holders = _holders(host)
    return tuple(
        Device(
            kind,
            title,
            address,
            model,
            by_address[address].driver if address in by_address else "",
            tuple((path, host.node(path)) for path in paths),
            tuple(dict.fromkeys(who for path in paths for who in holders.get(path, ()))),
            tuple(name for name in (address, *paths, *names) if name),
            by_address[address].numa_node if address in by_address else None,
            _chain(by_address.get(address)),
        )
        for kind, title, address, model, paths, names in sorted(_found(host), key=lambda found: found[2])
    )


_Found = tuple[str, str, str, str, tuple[str, ...], tuple[str, ...]]


def _found(host: Host) -> Iterator[_Found]:
    """Kind, title, address, model, nodes and other names of each."""
    shown = set()
    for gpu in host.nvidia.gpus if host.nvidia else ():
        paths = () if gpu.minor is None else (f"/dev/nvidia{gpu.minor}",)
        shown.add(gpu.address)
        yield "gpu", f"GPU {gpu.rank}", gpu.address, gpu.model, paths, (gpu.uuid or "",)
    for number, address in enumerate(host.nvidia.switches if host.nvidia else ()):
        shown.add(address)
        yield "switch", f"NVSwitch {number}", address, "", (f"/dev/nvidia-nvswitch{number}",), ()
    for chip in host.tpus:
        shown.add(chip.address)
        yield "tpu", f"TPU {chip.rank}", chip.address, chip.generation, chip.nodes, ()
    for other in host.accelerators:
        for address in other.addresses or ("",):
            if address not in shown:
                yield "other", other.subsystem, address, "", (other.path,), ()
    for device in host.pci:
        if device.address not in shown and device.class_code >> 16 == _NETWORK and device.vendor == _MELLANOX:
            yield "network", "network adapter", device.address, f"{device.vendor:04x}:{device.device:04x}", (), ()


def _holders(host: Host) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    known = host.details.devices.holders if host.details else None
    for holder in known.holders if known else ():
        for path in holder.paths:
            found.setdefault(path, []).append(f"{holder.name} (pid {holder.pid}, uid {holder.uid})")
    return found


def _chain(device: PciDevice | None) -> tuple[str, ...]:
    """The bridges above a function, from its root bus down, as its path in sysfs has them."""
    if device is None:
        return ()
    parts = device.source.split("/")
    roots = [place for place, part in enumerate(parts) if part.startswith("pci") and ":" in part]
    return tuple(parts[roots[0] : -1]) if roots else ()
