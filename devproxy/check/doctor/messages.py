"""What the kernel's log says: Xids, SXids, GPUs that could not be started, a resume since nvidia-uvm was loaded, nouveau."""

from __future__ import annotations

import re

from devproxy.check.doctor.case import Case, seen, unknown
from devproxy.check.doctor.sxids import sxid
from devproxy.check.doctor.xids import UNKNOWN_XID, XIDS
from devproxy.check.finding import Evidence, Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.system_facts import KernelModule, LogEvent

_SHOWN: Final = 3
_CLASS: Final = re.compile(r", (?P<word>Fatal|Non-fatal)\b(?:, Link (?P<link>\d{1,3}))?")
_NVIDIA: Final = 0x10DE
_BLACKLIST: Final = (
    "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' > /etc/modprobe.d/blacklist-nouveau.conf; "
    "update-initramfs -u (or dracut -f); reboot"
)


def xid_since(case: Case) -> Iterator[Finding]:
    """Every Xid in the log, one finding for each number and GPU."""
    nvidia = case.host.nvidia
    if case.details.system.log is None:
        yield from _unread(case, "xid-since", matters=nvidia is not None and bool(nvidia.gpus))
    for (address, number), events in _numbered(case, "xid").items():
        known = XIDS.get(number, UNKNOWN_XID)
        yield Finding(
            "xid-since", known.severity, address or "GPU", "no Xid in the kernel's log", f"Xid {number} {_times(len(events))}",
            why=known.meaning, hint=known.action, evidence=_quoted(events), reference=f"Xid {number}",
        )  # fmt: skip


def sxid_since(case: Case) -> Iterator[Finding]:
    """Every SXid in the log, one finding for each number and NVSwitch, with its links."""
    nvidia = case.host.nvidia
    if case.details.system.log is None:
        yield from _unread(case, "sxid-since", matters=nvidia is not None and bool(nvidia.switches))
    for (address, number), events in _numbered(case, "sxid").items():
        yield _of_switch(address or "NVSwitch", number, events)


def _unread(case: Case, code: str, *, matters: bool) -> Iterator[Finding]:
    """That the log could not be read, where there is hardware that writes to it; a container has no log of its own."""
    if matters and case.host.details is not None and not case.details.system.containers:
        yield unknown(code, "/dev/kmsg", "the kernel's log could not be read: run as root, or with CAP_SYSLOG")


def _numbered(case: Case, kind: str) -> dict[tuple[str, int], list[LogEvent]]:
    """The log's events of a kind by device and number."""
    found: dict[tuple[str, int], list[LogEvent]] = {}
    for event in case.details.system.log or ():
        if event.kind == kind and event.number is not None:
            found.setdefault((event.address, event.number), []).append(event)
    return found


def _of_switch(path: str, number: int, events: list[LogEvent]) -> Finding:
    """The driver writes three lines for one error, of which one has its class and link; that one may be gone from the log."""
    classes = [named for event in events if (named := _CLASS.search(event.text))]
    fatal = any(named["word"] == "Fatal" for named in classes)
    links = sorted({int(named["link"]) for named in classes if named["link"]})
    where = f" on link{'s' * (len(links) > 1)} {', '.join(map(str, links))}" if links else ""
    known = sxid(number, fatal=fatal)
    return Finding(
        "sxid-since", known.severity, path, "no SXid in the kernel's log",
        f"{'fatal ' if fatal else ''}SXid {number} {_times(len(classes) or 1)}{where}", why=known.meaning, hint=known.action,
        evidence=_quoted([event for event in events if _CLASS.search(event.text)] or events),
        reference=f"DCGM_FR_NVSWITCH_{'' if fatal else 'NON_'}FATAL_ERROR, SXid {number}",
    )  # fmt: skip


def gpu_init_failed(case: Case) -> Iterator[Finding]:
    """`RmInitAdapter failed`: the driver is bound to a GPU and could not start it; or it refused one without memory regions."""
    yield from _without_memory(case)
    found: dict[str, list[LogEvent]] = {}
    for event in case.details.system.log or ():
        if event.kind == "init":
            found.setdefault(event.address, []).append(event)
    for address, events in found.items():
        yield Finding(
            "gpu-init-failed", Severity.ERROR, address or "GPU", "a GPU that the driver could start", "RmInitAdapter failed",
            why="its firmware, its power, or the flavour of the module: GPUs since Blackwell need the open one",
            hint="dmesg | grep -iE 'nvrm|gsp'; ls /lib/firmware/nvidia; modinfo -F license nvidia; then power-cycle",
            evidence=_quoted(events),
        )  # fmt: skip


def _without_memory(case: Case) -> Iterator[Finding]:
    """GPUs of which the driver says that a region (BAR) has no address: it does not bind to them."""
    refused = {event.address: event for event in case.details.system.log or () if event.kind == "bar"}
    for address, event in refused.items():
        yield Finding(
            "gpu-init-failed", Severity.ERROR, address or "GPU", "an address for each of its memory regions",
            event.text.rpartition("NVRM: ")[2], why="the firmware or the hypervisor has no room for a GPU's memory below 4 GiB",
            hint="'Above 4G Decoding' in the firmware's settings; in a virtual machine a larger 64-bit MMIO window; or boot with pci=realloc",
            evidence=_quoted([event]),
        )  # fmt: skip


def uvm_after_suspend(case: Case) -> Iterator[Finding]:
    """The machine woke up since nvidia-uvm was loaded, and the driver was not told to keep the GPUs' memory meanwhile."""
    events = case.details.system.log or ()
    woken = [event for event in events if event.kind == "resume"]
    loaded = [event for event in events if "Loaded the UVM driver" in event.text]
    uvm = _module(case, "nvidia_uvm")
    nvidia = case.host.nvidia
    if not woken or (uvm is None and case.host.major_of("nvidia-uvm") is None):
        return
    if loaded and events.index(loaded[-1]) > events.index(woken[-1]):
        return
    if nvidia is not None and nvidia.param("PreserveVideoMemoryAllocations") == "1":
        return
    uses = "" if uvm is None or uvm.uses is None else f", {uvm.uses} users"
    yield Finding(
        "uvm-after-suspend", Severity.WARNING, "nvidia-uvm", "to be loaded after the last resume",
        f"loaded before it{uses}", why="CUDA says `unknown error` after a suspend until nvidia-uvm is loaded anew",
        hint="rmmod nvidia_uvm && modprobe nvidia_uvm; for good: options nvidia NVreg_PreserveVideoMemoryAllocations=1",
        evidence=_quoted([*loaded[-1:], woken[-1]]),
    )  # fmt: skip


def blocked_by_nouveau(case: Case) -> Iterator[Finding]:
    """Nouveau is bound to an NVIDIA GPU."""
    module = _module(case, "nouveau")
    told = () if module is None else (seen(module.source, "nouveau is loaded"),)
    for device in case.host.pci:
        if device.vendor == _NVIDIA and device.driver in ("nouveau", "nova", "nova_core"):
            yield Finding(
                "blocked-by-nouveau", Severity.ERROR, device.address, "the driver nvidia", device.driver,
                why="NVIDIA's module cannot have a GPU that another driver holds", hint=_BLACKLIST,
                evidence=(seen(f"{device.source}/uevent", f"DRIVER={device.driver}"), *told),
            )  # fmt: skip
    if module is None or any(device.vendor == _NVIDIA and device.driver for device in case.host.pci):
        return
    refused = [each for each in case.details.system.log or () if each.kind == "nouveau" and "NVRM" in each.text]
    if refused:
        yield Finding(
            "blocked-by-nouveau", Severity.ERROR, "nouveau", "no other driver than nvidia", "nouveau is loaded",
            why="NVIDIA's module says that nouveau is in its way", hint=_BLACKLIST, evidence=(*told, *_quoted(refused)),
        )  # fmt: skip


def _module(case: Case, name: str) -> KernelModule | None:
    return next((module for module in case.details.system.modules or () if module.name == name), None)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _quoted(events: list[LogEvent]) -> tuple[Evidence, ...]:
    """The last ones, with their times."""
    return tuple(
        seen(event.source, event.text if event.seconds is None else f"[{event.seconds:.6f}] {event.text}")
        for event in events[-_SHOWN:]
    )
