"""The devices that drivers of Coral Edge TPUs and NPUs have registered, from their classes in sysfs: whether there is a node for
each or not (`apex`: the class of Google's gasket driver; `accel`: Documentation/accel/introduction.rst).
"""

from __future__ import annotations

from devproxy.host.device_class import read_class
from devproxy.host.device_facts import ClassNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot

_CORAL: Final = (0x1AC1, 0x089A)


def read_class_devices(root: HostRoot, host: Host) -> tuple[ClassNode, ...]:
    """Those of DRM's accelerators, and those of Corals where one is on the bus. TPUs, who share a class with the former, have their
    own place among the facts.
    """
    return tuple(_class_nodes(root, host))


def _class_nodes(root: HostRoot, host: Host) -> Iterator[ClassNode]:
    tpus = {chip.address for chip in host.tpus}
    for each in read_class(root, "accel"):
        if each.address not in tpus:
            yield ClassNode(f"/dev/accel/{each.name}", "accel", each.address, each.source)
    if any((device.vendor, device.device) == _CORAL for device in host.pci):
        for each in read_class(root, "apex"):
            yield ClassNode(f"/dev/{each.name}", "apex", each.address, each.source)
