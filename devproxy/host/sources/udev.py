"""Devices as udev knows them, from the fact `udev` (devproxy.host.live.udev)."""

from __future__ import annotations

from devproxy.host.device_facts import UdevDevice
from devproxy.host.root import fact_path
from devproxy.host.sources.document import each_object, short, text, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot


def read_udev(root: HostRoot) -> tuple[UdevDevice, ...] | None:
    """The devices, by path; None when udev could not be asked."""
    document = root.read_fact("udev")
    if "error" in document:
        root.note(fact_path("udev"), f"not asked: {short(document['error'])}")
        return None
    if not document:
        return None
    return tuple(sorted(each_object(root, "udev", document, "devices", _device)))


def _device(each: dict[str, object]) -> UdevDevice:
    path, subsystem, node, driver = (text(each.get(name)) for name in ("path", "subsystem", "node", "driver"))
    properties = each.get("properties")
    if not isinstance(properties, dict):
        raise TypeError(f"{short(properties)}, expected properties")
    pairs = tuple((str(name), text(value)) for name, value in sorted(properties.items()))
    return UdevDevice(path, subsystem, node, driver, truth(each.get("initialized")), pairs)
