"""Whether GPUs are well, by what NVML says of them. Where it says nothing, nothing is judged: `nvml-error` tells that.

The names of NVIDIA's own checks (`DCGM_FR_...`) are those of dcgm_errors.h, Xids those of NVIDIA's Xid catalogue.
"""

from __future__ import annotations

from devproxy.check.doctor.case import Case, Check, seen
from devproxy.check.finding import Evidence, Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.nvml_facts import NvmlGpu

_SLOWED: Final = {
    "hw-slowdown": "the board asked for it",
    "hw-thermal": "too hot, says the board",
    "sw-thermal": "too hot, says the driver",
    "power-brake": "the machine's power supply asked for it",
    "reliability": "its voltage would not be safe",
}
_BRAKED: Final = ("power-brake",)
# Where a board does not tell from where on it is too hot; data-centre boards slow down between 85 and 95 degrees.
_HOT: Final = 90
# What a driver keeps for itself on a GPU that nobody uses is far below both.
_MEBIBYTE: Final = 1 << 20
_IDLE_BYTES: Final = 512 * _MEBIBYTE
_IDLE_SHARE: Final = 50


def ecc_uncorrected(case: Case) -> Iterator[Finding]:
    """Memory errors that ECC could not correct, since the driver was loaded."""
    for gpu in case.details.nvml.gpus:
        errors, ever = gpu.health.ecc_uncorrected, gpu.health.bounds.ecc_uncorrected_ever
        if errors:
            evidence = [_said(case, gpu, f"uncorrectable ECC errors: {errors}")]
            if ever is not None:
                evidence.append(_said(case, gpu, f"in the board's life: {ever}"))
            yield Finding(
                "ecc-uncorrected",
                Severity.ERROR,
                _name(gpu),
                "no uncorrectable memory error",
                f"{errors} since the driver was loaded",
                "data was wrong, and what computed with it was ended or is wrong too",
                f"drain it, then 'nvidia-smi --gpu-reset -i {_name(gpu)}', which also remaps its bad rows",
                tuple(evidence),
                _REFERENCES["ecc-uncorrected"],
            )


def row_remap_pending(case: Case) -> Iterator[Finding]:
    """A bad row of memory will be replaced at the next reset."""
    severity = Severity.ERROR if case.before_job else Severity.WARNING
    for gpu in case.details.nvml.gpus:
        if gpu.health.remap_pending:
            yield Finding(
                "row-remap-pending",
                severity,
                _name(gpu),
                "no row to remap",
                "a row is to be remapped",
                "a row of its memory failed; a spare one takes its place at the next reset",
                f"with nothing using it: nvidia-smi --gpu-reset -i {_name(gpu)}",
                (_said(case, gpu, "remapped rows pending: yes"),),
                _REFERENCES["row-remap-pending"],
            )


def row_remap_failed(case: Case) -> Iterator[Finding]:
    """A bad row of memory could not be replaced."""
    for gpu in case.details.nvml.gpus:
        if gpu.health.remap_failed:
            yield Finding(
                "row-remap-failed",
                Severity.ERROR,
                _name(gpu),
                "rows to be remapped",
                "remapping a row failed",
                "a row of its memory failed and no spare one is left for it",
                f"take it out of use and have the board replaced: nvidia-smi -q -d ROW_REMAPPER -i {_name(gpu)}",
                (_said(case, gpu, "remapping failure occurred: yes"),),
                _REFERENCES["row-remap-failed"],
            )


def pcie_width_degraded(case: Case) -> Iterator[Finding]:
    """Fewer lanes than GPU and slot have. Unlike the speed, the width does not change with the load."""
    for gpu in case.details.nvml.gpus:
        width, most = gpu.health.pcie_width, gpu.health.pcie_width_most
        if width is not None and most is not None and 0 < width < most:
            yield Finding(
                "pcie-width-degraded",
                Severity.WARNING,
                _name(gpu),
                f"x{most}",
                f"x{width}",
                "some of its PCIe lanes failed when the link was trained",
                f"lspci -vv -s {_name(gpu)} | grep LnkSta; then reseat the board, its riser or its cable",
                (_said(case, gpu, f"link width {width} of {most}"),),
                _REFERENCES["pcie-width-degraded"],
            )


def pcie_speed_degraded(case: Case) -> Iterator[Finding]:
    """A slower link than GPU and slot can, while it works. One without work lowers its speed to save power."""
    for gpu in case.details.nvml.gpus:
        health = gpu.health
        now, most = health.pcie_generation, health.pcie_generation_most
        if now is None or most is None or not 0 < now < most or not _works(gpu):
            continue
        yield Finding(
            "pcie-speed-degraded",
            Severity.WARNING,
            _name(gpu),
            f"PCIe generation {most}",
            f"generation {now} under load",
            "the link was trained at a lower speed, as it is after errors",
            f"lspci -vv -s {_name(gpu)} | grep LnkSta; 'journalctl -k -g AER' has the errors",
            (_said(case, gpu, f"link generation {now} of {most}, load {health.load} %"),),
            _REFERENCES["pcie-speed-degraded"],
        )


def throttled(case: Case) -> Iterator[Finding]:
    """Its clocks are held down for a reason that is none of its user's."""
    for gpu in case.details.nvml.gpus:
        reasons = [reason for reason in gpu.health.throttle if reason in _SLOWED]
        if not reasons:
            continue
        cooling = "look at fans, air flow and dust"
        hint = "look at the power supplies and the machine's power cap" if set(reasons) <= {*_BRAKED} else cooling
        degrees = "" if gpu.health.temperature is None else f", {gpu.health.temperature} degrees"
        yield Finding(
            "throttled",
            Severity.WARNING,
            _name(gpu),
            "clocks as asked for",
            ", ".join(reasons),
            "; ".join(_SLOWED[reason] for reason in reasons),
            f"nvidia-smi -q -d PERFORMANCE,TEMPERATURE -i {_name(gpu)}; {hint}",
            (_said(case, gpu, f"reasons {', '.join(gpu.health.throttle)}{degrees}"),),
            reference="DCGM_FR_CLOCK_THROTTLE_POWER"
            if set(reasons) <= {*_BRAKED}
            else "DCGM_FR_CLOCK_THROTTLE_THERMAL",
        )


def nvlink_down(case: Case) -> Iterator[Finding]:
    """NVLinks that are not active where they should be.

    A board has links that lead nowhere: without a bridge all, with some bridges a part. So a GPU is compared with the others
    of its model; only where NVSwitches are does every link lead somewhere. With MIG on, links are not in use.
    """
    nvidia = case.host.nvidia
    switched = nvidia is not None and bool(nvidia.switches)
    best: dict[str, int] = {}
    for gpu in case.details.nvml.gpus:
        best[gpu.model] = max(best.get(gpu.model, 0), sum(gpu.health.nvlinks))
    manager = "; systemctl status nvidia-fabricmanager" if switched else ""
    for gpu in case.details.nvml.gpus:
        links = gpu.health.nvlinks
        down = [str(link) for link, active in enumerate(links) if not active]
        expected = len(links) if switched else best[gpu.model]
        if gpu.mig_mode or len(links) - len(down) >= expected:
            continue
        yield Finding(
            "nvlink-down",
            Severity.ERROR if switched else Severity.WARNING,
            _name(gpu),
            f"{expected} NVLinks active",
            f"{len(links) - len(down)} active, inactive: {', '.join(down)}",
            "it is connected to NVSwitches" if switched else "another GPU of its model has more",
            f"nvidia-smi nvlink -s -i {_name(gpu)}; journalctl -k -g 'Xid|nvlink'{manager}",
            (_said(case, gpu, "links " + "".join("1" if active else "0" for active in links)),),
            _REFERENCES["nvlink-down"],
        )


def fabric_not_ready(case: Case) -> Iterator[Finding]:
    """It did not join its NVLink fabric: CUDA says 802, system not yet initialized."""
    for gpu in case.details.nvml.gpus:
        if gpu.fabric and gpu.fabric != "completed" and not gpu.mig_mode:
            yield Finding(
                "fabric-not-ready",
                Severity.ERROR,
                _name(gpu),
                "to have joined its NVLink fabric",
                gpu.fabric,
                "until it has, cuInit and every program that uses CUDA fails with error 802",
                "systemctl restart nvidia-fabricmanager && journalctl -u nvidia-fabricmanager",
                (_said(case, gpu, f"fabric {gpu.fabric}"),),
                _REFERENCES["fabric-not-ready"],
            )


def temperature_high(case: Case) -> Iterator[Finding]:
    """As hot as where it slows down, or turns itself off."""
    for gpu in case.details.nvml.gpus:
        now, bounds = gpu.health.temperature, gpu.health.bounds
        slow = _HOT if bounds.temperature_slowdown is None else bounds.temperature_slowdown
        if now is None or now < slow:
            continue
        off = bounds.temperature_shutdown
        severity = Severity.ERROR if off is not None and now >= off else Severity.WARNING
        told = "" if bounds.temperature_slowdown is not None else " (the board does not tell its own limit)"
        yield Finding(
            "temperature-high",
            severity,
            _name(gpu),
            f"less than {slow} degrees{told}",
            f"{now} degrees",
            "" if off is None else f"it turns itself off at {off}",
            f"nvidia-smi -q -d TEMPERATURE -i {_name(gpu)}; look at fans, air flow and dust",
            (_said(case, gpu, f"temperature {now}, slows down at {bounds.temperature_slowdown}, off at {off}"),),
            _REFERENCES["temperature-high"],
        )


def power_capped(case: Case) -> Iterator[Finding]:
    """Somebody lowered its power limit. Running into the limit that it came with is what a busy GPU does."""
    for gpu in case.details.nvml.gpus:
        limit, default = gpu.health.power_limit, gpu.health.bounds.power_limit_default
        if limit is None or default is None or limit >= default:
            continue
        held = "sw-power-cap" in gpu.health.throttle
        yield Finding(
            "power-capped",
            Severity.WARNING if held else Severity.INFO,
            _name(gpu),
            f"{default:g} W",
            f"{limit:g} W",
            "its clocks are held down by that now" if held else "it is slower under load",
            f"if nobody wanted that: nvidia-smi -i {_name(gpu)} -pl {default:g}",
            (_said(case, gpu, f"power limit {limit:g} W, default {default:g} W"),),
            _REFERENCES["power-capped"],
        )


def memory_in_use_while_idle(case: Case) -> Iterator[Finding]:
    """Memory is taken, and no process is seen that took it. In a container others' processes are not seen; where a GPU's
    memory is a node of the machine's (Grace Hopper), anybody's pages lie there.
    """
    if case.details.system.containers:
        return
    for gpu in case.details.nvml.gpus:
        share = memory_taken(gpu)
        if not share or gpu.pids != () or gpu.health.load or _held(case, gpu):
            continue
        yield Finding(
            "memory-in-use-while-idle",
            Severity.WARNING,
            _name(gpu),
            "memory to be free without processes",
            f"{share} in use",
            "a process that was killed left it, or one that is not seen has it",
            f"sudo fuser -v /dev/nvidia*; if nobody has it: nvidia-smi --gpu-reset -i {_name(gpu)}",
            (_said(case, gpu, f"memory {share}, no process, load {gpu.health.load} %"),),
        )


def memory_taken(gpu: NvmlGpu) -> str:
    """`7012 of 81559 MiB` where more of a GPU's memory is in use than a driver without work keeps for itself; empty where not, and where
    it is not told.
    """
    used, total = gpu.health.memory_used, gpu.health.memory_total
    if used is None or total is None or gpu.memory_node is not None or used <= max(_IDLE_BYTES, total // _IDLE_SHARE):
        return ""
    return f"{used // _MEBIBYTE} of {total // _MEBIBYTE} MiB"


def _held(case: Case, gpu: NvmlGpu) -> bool:
    """Whether somebody has its node open: that is `device-busy`."""
    holders = case.details.devices.holders
    node = f"/dev/nvidia{gpu.minor}"
    return holders is not None and any(node in holder.paths for holder in holders.holders)


def _works(gpu: NvmlGpu) -> bool:
    return bool(gpu.health.load) and "gpu-idle" not in gpu.health.throttle


def _name(gpu: NvmlGpu) -> str:
    return gpu.address or f"GPU {gpu.rank}"


def _said(case: Case, gpu: NvmlGpu, value: str) -> Evidence:
    return seen(case.details.nvml.source, f"GPU {gpu.rank}: {value}")


_REFERENCES: Final = {
    "ecc-uncorrected": "DCGM_FR_VOLATILE_DBE_DETECTED, Xid 48",
    "row-remap-pending": "DCGM_FR_PENDING_ROW_REMAP, Xid 63",
    "row-remap-failed": "DCGM_FR_ROW_REMAP_FAILURE, Xid 64",
    "pcie-width-degraded": "DCGM_FR_PCIE_WIDTH",
    "pcie-speed-degraded": "DCGM_FR_PCIE_GENERATION",
    "throttled": "DCGM_FR_CLOCK_THROTTLE_THERMAL",
    "nvlink-down": "DCGM_FR_NVLINK_DOWN, Xid 74",
    "fabric-not-ready": "DCGM_FR_FABRIC_MANAGER_TRAINING_ERROR",
    "temperature-high": "DCGM_FR_TEMP_VIOLATION",
    "power-capped": "DCGM_FR_ENFORCED_POWER_LIMIT",
}

_CODES: Final = (
    ("row-remap-failed", Severity.ERROR, "a bad row of a GPU's memory could not be replaced", row_remap_failed),
    ("ecc-uncorrected", Severity.ERROR, "a GPU's memory had errors that could not be corrected", ecc_uncorrected),
    ("row-remap-pending", Severity.WARNING, "a bad row of a GPU's memory awaits a reset", row_remap_pending),
    ("fabric-not-ready", Severity.ERROR, "a GPU did not join its NVLink fabric", fabric_not_ready),
    ("nvlink-down", Severity.WARNING, "NVLinks of a GPU are down", nvlink_down),
    ("pcie-width-degraded", Severity.WARNING, "a GPU has fewer PCIe lanes than it could", pcie_width_degraded),
    ("pcie-speed-degraded", Severity.WARNING, "a GPU's PCIe link is slower than it could be", pcie_speed_degraded),
    ("temperature-high", Severity.WARNING, "a GPU is too hot", temperature_high),
    ("throttled", Severity.WARNING, "a GPU's clocks are held down", throttled),
    ("power-capped", Severity.INFO, "a GPU's power limit was lowered", power_capped),
    ("memory-in-use-while-idle", Severity.WARNING, "a GPU's memory is taken by nobody", memory_in_use_while_idle),
)
HEALTH_CHECKS: Final = tuple(
    Check(code, severity, title, run, _REFERENCES.get(code, "")) for code, severity, title, run in _CODES
)
