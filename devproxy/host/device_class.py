"""Classes of devices in sysfs: /sys/class/accel, /sys/class/drm, /sys/class/vfio-dev."""

from __future__ import annotations

import os

from devproxy.host.pci import parse_address
from devproxy.host.root import HostRoot
from devproxy.record import Record


class ClassDevice(Record):
    """A device of a class: its name, its directory, and the PCI address of the function it belongs to, or empty."""

    name: str
    source: str
    address: str


def read_class(root: HostRoot, name: str) -> tuple[ClassDevice, ...]:
    """The devices of a class, by name."""
    return tuple(read_class_device(root, name, device) for device in root.listdir(f"/sys/class/{name}"))


def read_class_device(root: HostRoot, class_name: str, name: str) -> ClassDevice:
    """A device of a class: its link leads to `DEVICE/CLASS/NAME`."""
    source = root.follow(f"/sys/class/{class_name}/{name}")
    parent, directory = os.path.split(os.path.dirname(source))
    address = os.path.basename(parent)
    ours = directory == class_name and parse_address(address) is not None
    return ClassDevice(name, source, address if ours else "")


def number_in(name: str, prefix: str) -> int | None:
    """N of `prefixN`, or None if it is no such name."""
    digits = name.removeprefix(prefix)
    # Nine digits are short enough for int(), and more than any minor.
    known = name.startswith(prefix) and digits.isascii() and digits.isdigit() and len(digits) <= 9
    return int(digits) if known else None
