"""Lines of the kernel's log that are about accelerators, as events (printk; NVIDIA's "XID Errors" document, and of its "Fabric
Manager User Guide" what is about SXids).
"""

from __future__ import annotations

import re

from devproxy.host.system_facts import LogEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# What stands before a message: a journal's or syslog's date, machine and `kernel:`; the date of `dmesg -T`.
_PREFIX: Final = re.compile(
    r"(?:(?:[^\W\d_]{3,5}\.?\s{1,2}\d{1,2}\.? [\d:.]{8,15} |\d{4}-\d\d-\d\dT\S{8,30} )?(?:[\w.-]{1,64} )?kernel: "
    r"|\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4}\]\s*)"
)
_SECONDS: Final = re.compile(r"(?:<\d{1,3}>)?\[\s*(?P<seconds>\d{1,10}\.\d{1,9})\]\s*")
_XID: Final = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<address>[0-9a-fA-F:.]{4,16})\): (?P<number>\d{1,4})")
_SXID: Final = re.compile(
    r"nvidia-nvswitch\d{1,4}: SXid \((?:PCI:)?(?P<address>[0-9a-fA-F:.]{4,16})\): (?P<number>\d{1,6})"
)
_ADDRESS: Final = re.compile(r"\b(?P<address>[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\b", re.IGNORECASE)
_KINDS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("api-mismatch", r"NVRM: API mismatch"),
        (
            "module",
            r"NVRM: loading NVIDIA UNIX|nvidia(?:[-_]\w+)?: (?:module|loading|loaded the UVM|disagrees|version magic)|module nvidia\w*: ",
        ),
        ("init", r"NVRM: (?:GPU \S+ )?(?:RmInitAdapter failed|rm_init_adapter failed|Cannot initialize GSP)"),
        # The driver names the first region of a GPU that the firmware, or a hypervisor, gave no place in memory.
        ("bar", r"NVRM: BAR\d{1,2} is 0M @ 0x0\b"),
        ("nouveau", r"^nouveau [0-9a-f:.]+:|NVRM: .*nouveau"),
        ("resume", r"PM: (?:suspend exit|hibernation: hibernation exit|resume of devices)|ACPI: PM: Waking up"),
        ("iommu", r"^(?:DMAR|AMD-Vi|iommu|vfio-pci|arm-smmu\S*)\b"),
        ("oom", r"Out of memory: Killed process|oom-kill:"),
        (
            "other",
            r"^NVRM: |^nvidia(?:-\w+)?[ :]|^accel |^tpu|^(?:amdgpu|gasket|apex|habanalabs|amdxdna|intel_vpu|kfd|gdrdrv)\b",
        ),
        ("suspend", r"PM: suspend entry"),
    )
)
# Every line that counts has one of these words: the rest of a long log is passed over by them.
_HINT: Final = re.compile(
    r"nvrm|nvidia|nouveau|pm: |dmar|amd-vi|iommu|vfio|smmu|out of memory|oom-kill|accel|tpu|amdgpu|gasket|apex|habanalabs|amdxdna"
    r"|intel_vpu|kfd|gdrdrv",
    re.IGNORECASE,
)
_RAW_HINT: Final = re.compile(_HINT.pattern.encode(), re.IGNORECASE)
_TEXT_LIMIT: Final = 1024


def may_concern_accelerators(record: bytes) -> bool:
    """Whether a line, as it is read, has a word of those that count: quick, for logs of many thousands."""
    return _RAW_HINT.search(record) is not None


def concerns_accelerators(line: str) -> bool:
    """Whether a line is one of which `parse_log_line` makes an event."""
    return _HINT.search(line) is not None and parse_log_line(line) is not None


def parse_log_line(line: str, source: str = "facts/kernel_log.json") -> LogEvent | None:
    """The event that a line of dmesg or of a journal tells; None if it concerns no accelerator."""
    text = line[:_TEXT_LIMIT].strip()
    if prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
    stamp = _SECONDS.match(text)
    seconds = float(stamp["seconds"]) if stamp else None
    text = text[stamp.end() :] if stamp else text
    if xid := _XID.search(text):
        return LogEvent("xid", text, seconds, int(xid["number"]), _address(xid["address"]), source)
    if sxid := _SXID.search(text):
        return LogEvent("sxid", text, seconds, int(sxid["number"]), _address(sxid["address"]), source)
    for kind, pattern in _KINDS:
        if pattern.search(text):
            named = _ADDRESS.search(text)
            return LogEvent(kind, text, seconds, None, named["address"].lower() if named else "", source)
    return None


def _address(text: str) -> str:
    """`0000:3b:00` of a message as sysfs writes it."""
    text = text.lower().removeprefix("pci:")
    return text if "." in text else f"{text}.0"
