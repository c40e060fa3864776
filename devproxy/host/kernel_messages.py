"""Lines of the kernel's log that are about accelerators, as events (printk, and NVIDIA's "XID Errors" document)."""

from __future__ import annotations

import re

from devproxy.host.system_facts import LogEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SECONDS: Final = re.compile(r"(?:<\d{1,3}>)?\[\s*(?P<seconds>\d{1,10}\.\d{1,9})\]\s*")
_XID: Final = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<address>[0-9a-fA-F:.]{4,16})\): (?P<number>\d{1,4})")
_KINDS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("api-mismatch", r"NVRM: API mismatch"),
        (
            "module",
            r"NVRM: loading NVIDIA UNIX|nvidia(?:[-_]\w+)?: (?:module|loading|disagrees|version magic)|module nvidia\w*: ",
        ),
        ("nouveau", r"^nouveau [0-9a-f:.]+:|NVRM: .*nouveau"),
        ("resume", r"PM: (?:suspend exit|resume of devices)|ACPI: PM: Waking up"),
        ("iommu", r"^(?:DMAR|AMD-Vi|iommu|vfio-pci)\b"),
        ("oom", r"Out of memory: Killed process|oom-kill:"),
        ("other", r"^NVRM: |^nvidia(?:-\w+)?[ :]|^accel |^tpu|^amdgpu "),
    )
)
_TEXT_LIMIT: Final = 1024


def parse_log_line(line: str, source: str = "facts/kernel_log.json") -> LogEvent | None:
    """The event that a line of dmesg tells, without the prefixes of journals; None if it concerns no accelerator."""
    text = line[:_TEXT_LIMIT].strip()
    stamp = _SECONDS.match(text)
    seconds = float(stamp["seconds"]) if stamp else None
    text = text[stamp.end() :] if stamp else text
    if xid := _XID.search(text):
        return LogEvent("xid", text, seconds, int(xid["number"]), _address(xid["address"]), source)
    for kind, pattern in _KINDS:
        if pattern.search(text):
            return LogEvent(kind, text, seconds, None, "", source)
    return None


def _address(text: str) -> str:
    """`0000:3b:00` of a message as sysfs writes it."""
    text = text.lower().removeprefix("pci:")
    return text if "." in text else f"{text}.0"
