"""NVSwitch's errors, SXids: what they mean, what to do, and how much of the fabric they concern (NVIDIA's "Fabric Manager User
Guide", "NVSwitch SXid Errors"). Whether one is fatal is said by the driver in its message.
"""

from __future__ import annotations

from devproxy.check.doctor.xids import Xid
from devproxy.check.finding import Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
_RESET: Final = (
    "stop what uses the GPUs, then 'nvidia-smi --gpu-reset' without -i, which resets all of them and the NVSwitches; if it comes "
    "again, have the baseboard looked at"
)
_LINK: Final = f"nvidia-smi nvlink -s; journalctl -k -g 'Xid .* 74' has the GPU at its other end. {_RESET}"
_COOL: Final = "look at fans and airflow; nvidia-smi -q -d TEMPERATURE"
_NONE: Final = "nothing"

# The part of the switch that thousands of a number stand for.
_PARTS: Final = {
    10: "its interface to the host", 11: "where packets come in", 12: "where packets go out", 13: "its state of flows",
    14: "its state of tags", 15: "its routing", 18: "a link's interface", 19: "a link's transaction layer", 20: "a link",
    21: "its crossbar", 22: "the links' controller", 23: "its crossbar", 24: "its tracking of sources",
    25: "a link's interface",
}  # fmt: skip
_CORRECTED: Final = Xid(_INFO, "a single-bit memory error in an NVSwitch, which it corrected", _NONE)

SXIDS: Final[dict[int, Xid]] = {
    10001: Xid(_WARNING, "the host's access to a register of an NVSwitch failed", _RESET),
    10002: Xid(_WARNING, "the host's access to a register of an NVSwitch took too long", _RESET),
    10004: Xid(_WARNING, "an NVSwitch is too hot: its links may be narrowed until it is cooler", _COOL),
    10005: Xid(_INFO, "an NVSwitch is no longer too hot", _COOL),
    11004: Xid(_ERROR, "an NVSwitch refused a packet as not allowed: the link stalls, and what uses its GPU hangs or is ended with Xid 45; the fabric manager's partitions do not fit", "systemctl restart nvidia-fabricmanager; look at its partitions"),
    12028: Xid(_ERROR, "an NVSwitch refused a request as not permitted: the link stalls, and what uses its GPU hangs or is ended with Xid 45", _LINK),
    19084: Xid(_WARNING, "the other end of a link is silent: mostly follows from a fatal SXid", _RESET),
    20001: Xid(_WARNING, "packets had to be sent again over a link, which costs throughput", "nvidia-smi nvlink -e; if it goes on, have the link's ends looked at"),
    20009: Xid(_WARNING, "a link has many errors for a short time", "nvidia-smi nvlink -e; if it goes on, have the link's ends looked at"),
    20012: Xid(_WARNING, "a link's ends do not agree: its connection is bad, or a GPU was switched off at the other end", "look at what became of the GPU; then at the connection"),
    20034: Xid(_ERROR, "a link that was up went down", _LINK),
    22012: Xid(_ERROR, "a link's ends do not agree: its connection is bad, or a GPU was switched off at the other end", _LINK),
    22013: Xid(_INFO, "a link's controller asked for something in passing: harmless", _NONE),
    24007: Xid(_ERROR, "an NVSwitch waited in vain for the answer to a request", _LINK),
    **dict.fromkeys((11012, 11021, 11022, 11023, 12021, 12023, 15008, 15011, 19049, 19055, 19057, 19059, 19062, 19065, 19068, 19071, 24001, 24002, 24003), _CORRECTED),
}  # fmt: skip

_FABRIC: Final = Xid(_ERROR, "no link of the NVSwitch can be trusted: the whole fabric must be reset", _RESET)


def concerns_fabric(number: int) -> bool:
    """Whether an SXid is always fatal to the whole fabric, and not to one link: the crossbar's, a halted controller's, an
    interrupt that nobody knows.
    """
    return number // 1000 == 23 or number in (10003, 22003, 22011)


def sxid(number: int, *, fatal: bool) -> Xid:
    """What an SXid means; one that no table has is told by the part of the switch that its number stands for."""
    if concerns_fabric(number):
        return _FABRIC
    known = SXIDS.get(number)
    if known is not None and (known.severity is _ERROR or not fatal):
        return known
    if known is not None and known is not _CORRECTED:
        return known._replace(severity=_ERROR, action=_LINK)
    part = _PARTS.get(number // 1000, "a part that is not in devproxy's table")
    if fatal:
        meaning = f"fatal error of an NVSwitch, in {part}: the link stalls, its GPU has Xid 74, what uses it is ended with Xid 45"
        return Xid(_ERROR, meaning, _LINK)
    return Xid(_WARNING, f"error of an NVSwitch, in {part}", "look it up in NVIDIA's Fabric Manager guide")
