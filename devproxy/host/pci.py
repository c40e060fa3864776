"""PCI functions, from /sys/bus/pci/devices (Documentation/ABI/testing/sysfs-bus-pci).

A machine with eight GPUs has hundreds of functions, and every file costs a few system calls: `uevent` says vendor,
device, class and driver at once.
"""

from __future__ import annotations

from devproxy.host.facts import PciDevice
from devproxy.host.root import HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_DEVICES: Final = "/sys/bus/pci/devices"
_DIGITS: Final = "0123456789abcdefABCDEF"  # int() takes more: blanks, underscores, signs, 0x


# Domain, bus, device and function: what functions are ordered by. A domain may have more than four digits.
PciAddress = tuple[int, int, int, int]


def parse_address(text: str) -> PciAddress | None:
    """`0000:18:00.0`, or None if it is no address."""
    domain, _, rest = text.partition(":")
    bus, _, rest = rest.partition(":")
    device, _, function = rest.partition(".")
    match [_hexadecimal(part) for part in (domain, bus, device, function)]:
        case [int() as first, int() as second, int() as third, int() as fourth]:
            return first, second, third, fourth
        case _:
            return None


def read_pci(root: HostRoot) -> tuple[PciDevice, ...]:
    """Every function, by address. One that goes away while it is read is passed over."""
    addresses = ((parse_address(name), name) for name in root.listdir(_DEVICES))
    ordered = sorted((address, name) for address, name in addresses if address is not None)
    return tuple(device for _, name in ordered if (device := _read_function(root, name)) is not None)


def _read_function(root: HostRoot, name: str) -> PciDevice | None:
    source = root.follow(f"{_DEVICES}/{name}")
    text = root.read_text(f"{source}/uevent")
    if text is None:
        return None
    values = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    vendor, _, device = values.get("PCI_ID", "").partition(":")
    vendor_id, device_id, class_code = (_hexadecimal(text) for text in (vendor, device, values.get("PCI_CLASS", "")))
    if vendor_id is None or device_id is None or class_code is None:
        root.note(f"{source}/uevent", "no PCI_ID or no PCI_CLASS in it")
        return None
    driver, numa_node = values.get("DRIVER", ""), _numa_node(root, source)
    subsystem_device = _hexadecimal(values.get("PCI_SUBSYS_ID", "").partition(":")[2])
    return PciDevice(name, vendor_id, device_id, class_code, driver, numa_node, source, subsystem_device)


def _numa_node(root: HostRoot, source: str) -> int:
    """The NUMA node, or -1 when the firmware does not say, as sysfs itself puts it."""
    path = f"{source}/numa_node"
    text = (root.read_text(path) or "-1").strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        root.note(path, f"no number: {text!r}")
        return -1
    return int(text)


def _hexadecimal(text: str) -> int | None:
    return int(text, 16) if 0 < len(text) <= 8 and not text.strip(_DIGITS) else None
