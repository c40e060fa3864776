"""Well-known Xids: what the driver's errors mean and what to do, and whether work that goes on can be trusted (NVIDIA's "XID
Errors" and "GPU Deployment and Management" documents).
"""

from __future__ import annotations

from devproxy.check.finding import Severity
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Xid(Record):
    """A number of the catalogue: how bad, what it means, what to do."""

    severity: Severity
    meaning: str
    action: str


_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
_PROGRAM: Final = "look at the program first: compute-sanitizer PROGRAM; if others fail too, run dcgmi diag -r 3"
_RESET: Final = "drain the GPU, then nvidia-smi --gpu-reset -i INDEX"
_REPLACE: Final = "power-cycle the machine; if it comes again, run dcgmi diag -r 3 and have the GPU replaced"
_BUS: Final = "power-cycle the machine; reseat the GPU, look at power and risers; dmesg | grep -i aer"
_REPORT: Final = "nvidia-bug-report.sh, and a newer driver"
_LINK: Final = "nvidia-smi nvlink -e; reset all GPUs that it joins; if it comes again, have baseboard and GPU looked at"

XIDS: Final[dict[int, Xid]] = {
    8: Xid(_WARNING, "the GPU stopped processing: a program ran into the driver's timeout", _PROGRAM),
    13: Xid(_WARNING, "graphics engine exception: mostly a program's access out of bounds or illegal instruction", _PROGRAM),
    31: Xid(_WARNING, "GPU memory page fault: mostly a program's access to an address it does not have", _PROGRAM),
    32: Xid(_WARNING, "invalid or corrupted push buffer stream: driver, PCIe, or a program", _PROGRAM),
    38: Xid(_ERROR, "driver firmware error", _REPORT),
    43: Xid(_INFO, "a program's channel was stopped after an error of its own; the GPU is well", _PROGRAM),
    44: Xid(_ERROR, "graphics engine fault during a context switch", _RESET),
    45: Xid(_INFO, "channels were removed before their time: a program was killed, or follows from an earlier Xid", "look at the Xid before it; if there is none, nothing"),
    46: Xid(_ERROR, "the GPU stopped processing", _RESET),
    48: Xid(_ERROR, "double-bit ECC error: memory was lost, what was computed with it is wrong", f"{_RESET}; nvidia-smi -q -d ROW_REMAPPER,PAGE_RETIREMENT"),
    56: Xid(_ERROR, "display engine error", _REPORT),
    57: Xid(_ERROR, "error when the video memory interface was set up", _REPLACE),
    58: Xid(_ERROR, "unstable video memory interface", _REPLACE),
    61: Xid(_ERROR, "breakpoint or warning of the GPU's microcontroller", _RESET),
    62: Xid(_ERROR, "the GPU's microcontroller halted", _RESET),
    63: Xid(_INFO, "a row was remapped, or a page retired, after a memory error: done at the next reset", "nvidia-smi -q -d ROW_REMAPPER; reset the GPU when it is free"),
    64: Xid(_ERROR, "a row could not be remapped: there is no spare one left, or recording it failed", _REPLACE),
    65: Xid(_ERROR, "video processor exception", _REPORT),
    66: Xid(_WARNING, "illegal access by the driver", _REPORT),
    68: Xid(_WARNING, "video processor exception", _PROGRAM),
    69: Xid(_WARNING, "graphics engine class error: mostly a program", _PROGRAM),
    72: Xid(_ERROR, "copy engine error", _RESET),
    73: Xid(_ERROR, "video encoder error", _RESET),
    74: Xid(_ERROR, "NVLink error: what went over the link may be lost", _LINK),
    79: Xid(_ERROR, "the GPU has fallen off the bus: it does not answer over PCIe any more", _BUS),
    80: Xid(_ERROR, "corrupted data was sent to the GPU", _REPORT),
    81: Xid(_ERROR, "VGA subsystem error", _REPORT),
    92: Xid(_WARNING, "high rate of single-bit ECC errors: corrected, and a sign of wear", "nvidia-smi -q -d ECC; dcgmi diag -r 3"),
    94: Xid(_ERROR, "contained memory error: the program that had it was ended, others were spared", f"run that program again; then {_RESET}"),
    95: Xid(_ERROR, "uncontained memory error: any program on the GPU may have computed with wrong data", _RESET),
    109: Xid(_ERROR, "a context switch timed out", f"{_REPORT}; {_RESET}"),
    110: Xid(_ERROR, "security fault", _RESET),
    119: Xid(_ERROR, "the GPU's system processor (GSP) did not answer in time", f"{_RESET}; if it comes again: {_REPORT}"),
    120: Xid(_ERROR, "the GPU's system processor (GSP) failed", f"{_RESET}; if it comes again: {_REPORT}"),
    121: Xid(_WARNING, "error of a chip-to-chip link, corrected", "nvidia-smi -q; reset when the GPU is free"),
    122: Xid(_ERROR, "the power management could not read the board's flash", _REPORT),
    136: Xid(_ERROR, "an NVLink could not be trained", _LINK),
    137: Xid(_WARNING, "a program's access over NVLink failed: mostly another GPU's error, or an address it does not have", _PROGRAM),
    140: Xid(_ERROR, "ECC error that could not be corrected and may have spread", _RESET),
    143: Xid(_ERROR, "the GPU could not be initialised", _BUS),
    144: Xid(_ERROR, "NVLink error (SAW)", _LINK),
    145: Xid(_ERROR, "NVLink error (RLW)", _LINK),
    146: Xid(_ERROR, "NVLink error (TLW)", _LINK),
    147: Xid(_ERROR, "NVLink error (TREX)", _LINK),
    148: Xid(_ERROR, "NVLink error (NVLPW_CTRL)", _LINK),
    149: Xid(_ERROR, "NVLink error (NETIR)", _LINK),
    150: Xid(_ERROR, "NVLink error (MSE)", _LINK),
    154: Xid(_WARNING, "the driver says what it takes to recover: none, a reset, a reboot, draining", "do what the message says; nvidia-smi -q | grep -i 'recovery action'"),
}  # fmt: skip

UNKNOWN_XID: Final = Xid(
    _WARNING, "an error of the driver that is not in devproxy's table", "look it up in NVIDIA's XID document"
)
