"""lspci in its forms, and the PCI functions that sentences and sysfs values tell of."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import Draft, SeenPci

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_FUNCTION: Final = re.compile(
    r"(?P<domain>[0-9a-fA-F]{4,8}:)?(?P<bus>[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]) (?P<class>\"?[A-Za-z0-9][^:\[]{2,60}?\"?)\s?(?:\[(?P<code>[0-9a-fA-F]{4})\])?: (?P<name>\S.*)$"
)
_NUMERIC: Final = re.compile(
    r"(?P<domain>[0-9a-fA-F]{4,8}:)?(?P<bus>[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]) (?:Class )?(?P<code>[0-9a-fA-F]{4}): (?P<id>[0-9a-fA-F]{4}:[0-9a-fA-F]{4})\b"
)
_ID: Final = re.compile(r"\[(?P<vendor>[0-9a-fA-F]{4}):(?P<device>[0-9a-fA-F]{4})\]")
_UNNAMED: Final = re.compile(r"\bDevice (?P<device>[0-9a-fA-F]{4})\b")
_IN_USE: Final = re.compile(r"Kernel driver in use:\s*(?P<driver>[\w-]{1,64})")
_DETAIL: Final = re.compile(
    r"(?:Subsystem|DeviceName|Flags|Memory at|I/O ports|Capabilities|Kernel modules|Physical Slot|IOMMU group|NUMA node|Expansion ROM|Control|Status|Latency|Interrupt|Region \d|Bus):?\s?"
)
_CLASSES: Final = {
    "vga compatible controller": 0x0300, "3d controller": 0x0302, "display controller": 0x0380, "bridge": 0x0680, "processing accelerators": 0x1200,
    "unassigned class": 0xFF00, "audio device": 0x0403, "usb controller": 0x0C03, "serial bus controller": 0x0C80, "system peripheral": 0x0880,
    "ethernet controller": 0x0200, "infiniband controller": 0x0207, "non-vga unclassified device": 0x0000, "co-processor": 0x0B40,
    "signal processing controller": 0x1180, "non-essential instrumentation": 0x1300,
}  # fmt: skip
_VENDORS: Final = (
    ("nvidia", 0x10DE), ("google, inc", 0x1AE0), ("advanced micro devices", 0x1002), ("intel corporation", 0x8086), ("mellanox", 0x15B3),
    ("habana", 0x1DA3), ("qualcomm", 0x17CB), ("global unichip", 0x1AC1),
)  # fmt: skip
_UNBOUND: Final = re.compile(
    r"(?P<many>\d{1,3})\s(?:x\s)?(?:TPU|GPU|NVIDIA|PCIe?)?[\w ]{0,40}\(?\[?(?P<vendor>1ae0|10de):(?P<device>[0-9a-f]{4})\]?\)?[\w ]{0,20}\b(?:have|has|with)?\s?no kernel driver(?: is)? bound",
    re.IGNORECASE,
)
_TRIPLE: Final = re.compile(r"(?P<key>vendor|device|driver|class)\s*[:=]\s*(?P<value>0x[0-9a-fA-F]{4,6}|[\w-]{2,40})$")
_GROUP: Final = re.compile(r"/dev/vfio/(?P<group>\d{1,6})\b|IOMMU Group (?P<named>\d{1,6})\b", re.IGNORECASE)


def take_lspci(lines: list[Line], at: int, draft: Draft) -> int:
    """An entry of lspci with the lines below it."""
    text = lines[at].text
    group = None
    if text.startswith("IOMMU Group ") and (named := re.match(r"IOMMU Group (\d{1,6}):?\s+", text)):
        group, text = int(named[1]), text[named.end() :]
    seen = _function(text, lines[at].number)
    if seen is None:
        return 0
    command = draft.command
    shows = (
        command is not None
        and command.name == "lspci"
        and bool(set("kv") & set(command.options))
        and not command.filters
        and not command.cut
    )
    end, driver = at + 1, "" if shows else None
    while end < len(lines) and end < at + 80 and lines[end].text:
        below = lines[end].text
        if used := _IN_USE.match(below):
            driver = used["driver"]
        elif below.startswith("Kernel modules:"):
            driver = driver or ""
        elif _DETAIL.match(below) is None:
            break
        end += 1
    before = draft.pci.get(seen.address)
    if driver is None and before is not None:
        driver = before.driver  # a listing without drivers takes nothing back
    if len(draft.pci) < 4096:
        draft.pci[seen.address] = seen._replace(driver=driver, group=group)
    draft.use(lines[at].number, lines[end - 1].number, "lspci", 1, "function")
    return end - at


def take_triple(lines: list[Line], at: int, draft: Draft) -> int:
    """`vendor: 0x15b3`, `device: 0xc2d5`, `driver: vfio-pci`, below the vfio group that they are about."""
    values: dict[str, str] = {}
    end = at
    while end < len(lines) and (line := _TRIPLE.match(lines[end].text)) is not None and line["key"] not in values:
        values[line["key"]] = line["value"]
        end += 1
    if not (values.get("vendor", "").startswith("0x") and values.get("device", "").startswith("0x")):
        return 0
    group = None
    for before in reversed(lines[max(0, at - 3) : at]):
        if named := _GROUP.search(before.text):
            group = int(named["group"] or named["named"])
            break
    address = f"ffff:{len(draft.pci) & 0xFF:02x}:00.0"  # no such bus: the report does not say where the function is
    code = int(values.get("class", "0x0"), 16) if values.get("class", "0x0").startswith("0x") else 0
    driver = values.get("driver")
    if len(draft.pci) < 200:
        draft.pci[address] = SeenPci(
            address, int(values["vendor"], 16), int(values["device"], 16), code, driver, lines[at].number, group
        )
    draft.use(lines[at].number, lines[end - 1].number, "PCI ids", 1, "function")
    return end - at


def take_unbound(lines: list[Line], at: int, draft: Draft) -> int:
    """A sentence that tells of so many functions without a driver: it is all that some reports say."""
    found = _UNBOUND.search(lines[at].text[:512])
    if found is None:
        return 0
    vendor, device = int(found["vendor"], 16), int(found["device"], 16)
    if not any(seen.vendor == vendor for seen in draft.pci.values()):
        code = 0x0302 if vendor == 0x10DE else 0xFF00
        for number in range(min(int(found["many"]), 64)):
            address = f"ffff:fe:{number & 0x1F:02x}.{number >> 5}"
            draft.pci[address] = SeenPci(address, vendor, device, code << 8, "", lines[at].number)
        draft.note(f"line {lines[at].number} does not say at which addresses the {found['many']} functions are")
    draft.use(lines[at].number, lines[at].number, "PCI functions without driver", int(found["many"]), "function")
    return 1


def _function(text: str, line: int) -> SeenPci | None:
    found = _NUMERIC.match(text)
    if found is not None:
        vendor, device = (int(part, 16) for part in found["id"].split(":"))
        return SeenPci(_address(found), vendor, device, int(found["code"], 16) << 8, None, line)
    found = _FUNCTION.match(text)
    if found is None:
        return None
    name, what = found["name"], found["class"].strip().lower()
    code = int(found["code"], 16) if found["code"] else _CLASSES.get(what)
    ids = _ID.findall(name)
    if ids:
        vendor, device = (int(part, 16) for part in ids[-1])
    else:
        vendor = next((number for known, number in _VENDORS if known in name.lower()), 0)
        unnamed = _UNNAMED.search(name)
        device = int(unnamed["device"], 16) if unnamed else 0
    if not vendor or code is None:
        return None
    return SeenPci(_address(found), vendor, device, code << 8, None, line)


def _address(found: re.Match[str]) -> str:
    return f"{(found['domain'] or '0000:')[-5:]}{found['bus']}".lower()
