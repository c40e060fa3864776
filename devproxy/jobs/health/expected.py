"""A host against what is expected of it (`expectations`): each expectation that is not met is a finding, each that cannot be held
to anything is inconclusive.
"""

from __future__ import annotations

from devproxy.check.doctor.case import seen, unknown
from devproxy.check.finding import Finding, Severity
from devproxy.host.nvml_facts import NvmlState
from devproxy.jobs.health.case import JobCase, JobCheck
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

    from devproxy.host.facts import NvidiaGpu, TpuChip
    from devproxy.host.nvml_facts import NvmlGpu
    from devproxy.jobs.health.expectations import Expectations

    Look = Callable[[JobCase], Iterator[Finding]]

_GPUS: Final = "/proc/driver/nvidia/gpus"
_PCI: Final = "/sys/bus/pci/devices"
_DRIVER: Final = "/proc/driver/nvidia/version"
_MEBIBYTE: Final = 1 << 20
# A GPU's memory is sold in whole gigabytes, of which it and its driver keep some.
_RESERVED: Final = 0.04


def host_unexpected(case: JobCase) -> Iterator[Finding]:
    """Another product than the one that the expectations are for."""
    wanted = case.expect.product if case.expect is not None else ""
    place = "/sys/devices/virtual/dmi/id/product_name"
    if wanted and not case.host.product_name and not case.host.knows(place):
        yield unknown("host-unexpected", place, "the product's name could not be read")
    elif wanted and case.host.product_name != wanted:
        found = case.host.product_name or "a machine without a name"
        yield _finding(
            case,
            "host-unexpected",
            place,
            wanted,
            found,
            "devproxy check --write-expect FILE, on a good host of this kind",
        )


def driver_version_unexpected(case: JobCase) -> Iterator[Finding]:
    """Another version of the NVIDIA driver, or an older one than the least."""
    wanted = case.expect.driver if case.expect is not None else ""
    found = case.host.nvidia.version if case.host.nvidia is not None else ""
    if not wanted:
        return
    if not found and not case.host.knows(_DRIVER):
        yield unknown("driver-version-unexpected", _DRIVER, "the driver's version could not be read")
        return
    least = wanted.removeprefix(">=").strip()
    fits = _numbers(found) >= _numbers(least) if wanted != least else found == wanted
    if not found or not fits:
        yield _finding(
            case, "driver-version-unexpected", _DRIVER, wanted, found or "no NVIDIA driver", f"install driver {least}, then load it anew: devproxy setup"
        )  # fmt: skip


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def gpu_count_unexpected(case: JobCase) -> Iterator[Finding]:
    """More or fewer GPUs than expected: as the driver has them, for one that fell off the bus is not among NVML's."""
    wanted = case.expect.gpu_count if case.expect is not None else None
    if wanted is None:
        return
    gpus = _gpus(case)
    if len(gpus) < wanted and not (case.host.knows(_GPUS) and case.host.knows(_PCI)):
        yield unknown(
            "gpu-count-unexpected", _GPUS, f"{len(gpus)} of {wanted} GPUs were seen, and not all could be looked for"
        )
    elif len(gpus) != wanted:
        addresses = ", ".join(gpu.address for gpu in gpus) or "none"
        yield _finding(
            case, "gpu-count-unexpected", _GPUS, f"{wanted} GPUs", f"{len(gpus)} ({addresses})",
            "lspci -d 10de: shows what the bus has; journalctl -k -g 'Xid|NVRM|pciehp' why one is not there",
        )  # fmt: skip


def gpu_model_unexpected(case: JobCase) -> Iterator[Finding]:
    """A GPU of another model."""
    models = case.expect.models if case.expect is not None else ()
    for gpu in _gpus(case) if models else ():
        if not gpu.model:
            yield unknown("gpu-model-unexpected", gpu.address, "the driver does not tell its model")
        elif gpu.model not in models:
            yield _finding(
                case, "gpu-model-unexpected", gpu.address, " or ".join(models), gpu.model, f"lspci -vs {gpu.address}"
            )


def tpu_count_unexpected(case: JobCase) -> Iterator[Finding]:
    """More or fewer TPU chips that can be used than expected."""
    wanted = case.expect.tpu_count if case.expect is not None else None
    if wanted is None:
        return
    chips = _chips(case)
    if len(chips) < wanted and not case.host.knows(_PCI):
        yield unknown(
            "tpu-count-unexpected",
            _PCI,
            f"{len(chips)} of {wanted} TPU chips were seen, and not all could be looked for",
        )
    elif len(chips) != wanted:
        yield _finding(
            case,
            "tpu-count-unexpected",
            _PCI,
            f"{wanted} TPU chips",
            str(len(chips)),
            "lspci -d 1ae0:; devproxy doctor",
        )


def tpu_generation_unexpected(case: JobCase) -> Iterator[Finding]:
    """A TPU chip of another generation."""
    wanted = case.expect.tpu_generation if case.expect is not None else ""
    for chip in case.host.tpus if wanted else ():
        if chip.generation != wanted:
            yield _finding(
                case,
                "tpu-generation-unexpected",
                chip.address,
                wanted,
                chip.generation or "unknown",
                f"lspci -vs {chip.address}",
            )


# what NVML tells


class Told(Record):
    """An expectation of each GPU that NVML tells of: the value that is wanted (None or empty: any), the one that the GPU has (None:
    it does not tell), words for both, and whether that will do. `hint` has `{i}` for the GPU.
    """

    code: str
    title: str
    want: Callable[[Expectations], object]
    have: Callable[[NvmlGpu], Any]
    words: str
    fits: Callable[[Any, Any], bool]
    hint: str
    reference: str = ""
    applies: Callable[[NvmlGpu], bool] = lambda _: True
    severity: Severity = Severity.ERROR


def told_unexpected(told: Told, case: JobCase) -> Iterator[Finding]:
    """What of an expectation is not met."""
    wanted = told.want(case.expect) if case.expect is not None else None
    if wanted is None or wanted == ():
        return
    shown = told.words.format(_shown(wanted))
    for gpu in case.now.nvml.gpus:
        subject, have = gpu.address or f"GPU {gpu.rank}", told.have(gpu)
        if not told.applies(gpu):
            continue
        if have is None:
            yield unknown(told.code, subject, f"NVML does not tell: {shown} is expected")
        elif not told.fits(have, wanted):
            found, hint = told.words.format(_shown(have)), told.hint.format(i=subject)
            finding = _finding(case, told.code, subject, shown, found, hint, reference=told.reference)
            evidence = (seen(case.now.nvml.source, f"GPU {gpu.rank}: {found}"), finding.evidence[-1])
            yield finding._replace(severity=told.severity, evidence=evidence)
    if not case.now.nvml.gpus and _gpus(case) and case.now.nvml.state is NvmlState.ANSWERED:
        yield unknown(told.code, "NVML", "it tells of no GPU")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " or ".join(map(str, value))
    return str(value)


def _mebibytes(value: int | None) -> int | None:
    return None if value is None else value // _MEBIBYTE


def _at_least(have: int, wanted: int) -> bool:
    return have >= wanted


def _same(have: object, wanted: object) -> bool:
    return have == wanted


def _links(gpu: NvmlGpu) -> int | None:
    return sum(gpu.health.nvlinks) if gpu.health.nvlinks else None


def _generation(gpu: NvmlGpu) -> int | None:
    """That of the link. A GPU without work lowers it to save power: then the one that it can have counts."""
    health = gpu.health
    working = bool(health.load) and "gpu-idle" not in health.throttle
    return health.pcie_generation if working else health.pcie_generation_most


_TOLD: Final = (
    Told(
        "memory-size-unexpected", "a GPU has less memory than expected", lambda expect: _mebibytes(expect.memory),
        lambda gpu: _mebibytes(gpu.health.memory_total), "{} MiB of memory", lambda have, wanted: have >= wanted * (1 - _RESERVED),
        "nvidia-smi -q -d MEMORY,ROW_REMAPPER,PAGE_RETIREMENT -i {i}",
    ),
    Told(
        "pcie-width-degraded", "", lambda expect: expect.pcie_width, lambda gpu: gpu.health.pcie_width, "x{}", _at_least,
        "lspci -vv -s {i} | grep LnkSta; then reseat the board, its riser or its cable", "DCGM_FR_PCIE_WIDTH",
    ),
    Told(
        "pcie-speed-degraded", "", lambda expect: expect.pcie_generation, _generation, "PCIe generation {}", _at_least,
        "lspci -vv -s {i} | grep -E 'LnkCap|LnkSta'; look at the slot and the firmware's settings", "DCGM_FR_PCIE_GENERATION",
    ),
    Told(
        "nvlink-down", "", lambda expect: expect.nvlinks, _links, "{} NVLinks active", _at_least,
        "nvidia-smi nvlink -s -i {i}; journalctl -k -g 'Xid|nvlink'", "DCGM_FR_NVLINK_DOWN, Xid 74", lambda gpu: not gpu.mig_mode,
    ),
    Told(
        "temperature-high", "", lambda expect: expect.temperature_most, lambda gpu: gpu.health.temperature, "{} degrees",
        lambda have, most: have <= most, "nvidia-smi -q -d TEMPERATURE -i {i}; look at fans, air flow and dust", "DCGM_FR_TEMP_VIOLATION",
    ),
    Told(
        "mig-mode-unexpected", "MIG is on or off against what is expected", lambda expect: expect.mig, lambda gpu: gpu.mig_mode, "MIG {}",
        _same, "nvidia-smi -i {i} -mig 0 (or 1), then reset it: nvidia-smi --gpu-reset -i {i}",
    ),
    Told(
        "ecc-mode-unexpected", "ECC is on or off against what is expected", lambda expect: expect.ecc, lambda gpu: gpu.health.bounds.ecc,
        "ECC {}", _same, "nvidia-smi -i {i} -e 1 (or 0), then reset it: nvidia-smi --gpu-reset -i {i}",
    ),
    Told(
        "persistence-unexpected", "persistence mode is on or off against what is expected", lambda expect: expect.persistence,
        lambda gpu: gpu.health.persistence, "persistence mode {}", _same, "systemctl enable --now nvidia-persistenced", "DCGM_FR_PERSISTENCE_MODE",
        severity=Severity.WARNING,
    ),
    Told(
        "clocks-unexpected", "other clocks are set than may be", lambda expect: expect.sm_clocks, lambda gpu: gpu.health.clock_sm_locked,
        "{} MHz", lambda have, clocks: have in clocks, "nvidia-smi -i {i} -rac",
    ),
)  # fmt: skip


def _look(told: Told) -> Look:
    def run(case: JobCase) -> Iterator[Finding]:
        return told_unexpected(told, case)

    return run


# common


def _finding(
    case: JobCase, code: str, path: str, expected: str, found: str, hint: str, *, reference: str = ""
) -> Finding:
    source = case.expect.source if case.expect is not None else ""
    evidence = (seen(path, found), seen(source, expected))
    return Finding(code, Severity.ERROR, path, expected, found, f"so {source} says", hint, evidence, reference)


def _gpus(case: JobCase) -> tuple[NvidiaGpu, ...]:
    """Those that the driver has: one that was excluded, or has another driver, is none that can be used."""
    gpus = case.host.nvidia.gpus if case.host.nvidia is not None else ()
    drivers = {device.address: device.driver for device in case.host.pci}
    return tuple(gpu for gpu in gpus if not gpu.excluded and drivers.get(gpu.address, "nvidia") == "nvidia")


def _chips(case: JobCase) -> tuple[TpuChip, ...]:
    return tuple(chip for chip in case.host.tpus if chip.nodes and not chip.problem)


EXPECTED_CHECKS: Final = (
    JobCheck("host-unexpected", Severity.ERROR, "the machine is another product than expected", host_unexpected),
    JobCheck("driver-version-unexpected", Severity.ERROR, "another driver than expected", driver_version_unexpected),
    JobCheck(
        "gpu-count-unexpected",
        Severity.ERROR,
        "more or fewer GPUs than expected",
        gpu_count_unexpected,
    ),
    JobCheck("gpu-model-unexpected", Severity.ERROR, "a GPU of another model than expected", gpu_model_unexpected),
    JobCheck("tpu-count-unexpected", Severity.ERROR, "more or fewer TPU chips than expected", tpu_count_unexpected),
    JobCheck(
        "tpu-generation-unexpected",
        Severity.ERROR,
        "a TPU of another generation than expected",
        tpu_generation_unexpected,
    ),
    *(JobCheck(told.code, told.severity, told.title, _look(told), told.reference) for told in _TOLD if told.title),
)
# Of the doctor's codes, what expectations say beside it.
ALSO_EXPECTED: Final = {told.code: _look(told) for told in _TOLD if not told.title}
