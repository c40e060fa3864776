"""NVML: whether the driver's own library answers, and whether it tells what the other sources tell.

Return codes: nvml.h. What usually is behind them: docs of each code (`check/pages`).
"""

from __future__ import annotations

from devproxy.check.doctor.case import Case, Check, seen, unknown
from devproxy.check.doctor.nvml_causes import likely_cause
from devproxy.check.finding import Evidence, Finding, Severity
from devproxy.host.nvml_facts import NvmlState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from devproxy.host.facts import NvidiaGpu
    from devproxy.host.nvml_facts import NvmlError, NvmlGpu
    from devproxy.host.system_facts import LogEvent

_GPU_IS_LOST: Final = 15
_NO_PERMISSION: Final = 4
_XID_LOST: Final = 79
# By which call NVML starts depends on who asked: devproxy, or a program whose output is in a report.
_INIT: Final = ("nvmlInitWithFlags", "nvmlInit_v2", "nvmlInit")
_GPUS: Final = "/proc/driver/nvidia/gpus"
# Above so many the rest of the calls that failed alike are counted.
_NAMED: Final = 3


def nvml_error(case: Case) -> Iterator[Finding]:
    """NVML could not be asked, or answered an error. Lost GPUs are `device-lost`."""
    nvml, nvidia = case.details.nvml, case.host.nvidia
    if nvml.state in (NvmlState.UNASKED, NvmlState.NO_LIBRARY):
        if nvidia is not None and nvidia.version:
            yield _not_asked(case)
        return
    started = all(error.call not in _INIT for error in nvml.errors)
    if nvml.state is NvmlState.FAILED and (not started or nvml.why or not nvml.errors):
        yield _failure(case)
    for (gpu, code), errors in _alike(nvml.errors).items():
        if code != _GPU_IS_LOST and errors[0].call not in _INIT:
            yield _call_failed(case, gpu, errors)


def _not_asked(case: Case) -> Finding:
    """The driver is there, and its library was not found or not asked: how NVML is, is unknown."""
    nvml = case.details.nvml
    if nvml.state is NvmlState.UNASKED:
        return unknown("nvml-error", "NVML", nvml.why or "NVML was not asked")
    finding = unknown(
        "nvml-error", "NVML", f"the driver is loaded, its library is not where the loader looks: {nvml.why}"
    )
    elsewhere = [library for library in case.details.system.libraries if library.name == "libnvidia-ml"]
    if not elsewhere:
        return finding._replace(hint="install the driver's libraries: libnvidia-ml of the version that is loaded")
    directory = elsewhere[0].path.rpartition("/")[0]
    evidence = tuple(seen(library.source, library.version or "there") for library in elsewhere)
    return finding._replace(hint=f"LD_LIBRARY_PATH={directory} devproxy doctor", evidence=evidence)


def _failure(case: Case) -> Finding:
    """It does not work at all: it did not start, or it ended the process that asked."""
    nvml = case.details.nvml
    first = next((error for error in nvml.errors if error.call in _INIT), None)
    if first is not None:
        cause = likely_cause(case, first.name)
        found = f"{first.call} says {first.name} ({first.code})"
        evidence = (seen(nvml.source, f"{first.call}: {first.name} ({first.code})"), *cause.evidence)
        return Finding(
            "nvml-error",
            Severity.ERROR,
            "NVML",
            "to answer",
            found,
            cause.why or nvml.why,
            cause.hint,
            evidence,
            cause.reference,
        )
    where = f" in {nvml.during}{_about(nvml.during_gpu)}" if nvml.during else ""
    why = nvml.why or "it does not answer"
    hint = "'nvidia-smi -q' asks the same; 'journalctl -k -g NVRM' has what the driver said"
    if not nvml.during and ": " in why:
        hint = why.partition(": ")[2]  # what devproxy itself lacks, and how to get it
    return Finding(
        "nvml-error", Severity.ERROR, "NVML", "to answer", f"{why}{where}", "", hint, (seen(nvml.source, why),)
    )


def _alike(errors: Iterable[NvmlError]) -> dict[tuple[int | None, int], list[NvmlError]]:
    groups: dict[tuple[int | None, int], list[NvmlError]] = {}
    for error in errors:
        groups.setdefault((error.gpu, error.code), []).append(error)
    return groups


def _call_failed(case: Case, gpu: int | None, errors: list[NvmlError]) -> Finding:
    calls = list(dict.fromkeys(error.call for error in errors))
    more = f" and {len(calls) - _NAMED} more" if len(calls) > _NAMED else ""
    first = errors[0]
    cause = likely_cause(case, first.name, gpu=_name(case, gpu))
    severity = Severity.INCONCLUSIVE if first.code == _NO_PERMISSION else Severity.ERROR
    found = f"{first.name} ({first.code}) from {', '.join(calls[:_NAMED])}{more}"
    evidence = tuple(seen(case.details.nvml.source, f"{call}: {first.name}") for call in calls[:_NAMED])
    return Finding(
        "nvml-error",
        severity,
        _name(case, gpu),
        "an answer",
        found,
        cause.why,
        cause.hint,
        evidence + cause.evidence,
        cause.reference,
    )


def nvml_timeout(case: Case) -> Iterator[Finding]:
    """NVML did not answer within its deadline."""
    nvml = case.details.nvml
    if nvml.state is not NvmlState.TIMEOUT:
        return
    call = f"{nvml.during}{_about(nvml.during_gpu)}"
    evidence = [seen(nvml.source, f"{call} did not return within {nvml.seconds:.1f} s")]
    evidence += [seen(event.source, event.text) for event in case.details.system.log or () if event.kind == "xid"][-3:]
    why = ""
    if nvml.during in _INIT or any(gpu.health.persistence is False for gpu in nvml.gpus):
        why = "without persistence mode the driver first starts every GPU, which may take seconds each"
    if "cannot be killed" in nvml.why:
        why = "the process that asked hangs inside the driver and cannot be killed: the driver or a GPU is stuck"
    hint = (
        "DEVPROXY_NVML_SECONDS=60 devproxy doctor; if that answers, 'nvidia-smi -pm 1'; if not, "
        "'journalctl -k -g \"NVRM|Xid\"' has what the driver said last"
    )
    yield Finding("nvml-timeout", Severity.ERROR, "NVML", "an answer", f"none from {call}", why, hint, tuple(evidence))


def lost_gpus(case: Case) -> Iterator[Finding]:
    """The part of `device-lost` that NVML tells: a GPU does not answer on its bus any more."""
    nvml = case.details.nvml
    for (gpu, code), errors in _alike(nvml.errors).items():
        if code != _GPU_IS_LOST or errors[0].call in _INIT:
            continue
        path = _name(case, gpu)
        evidence = [seen(nvml.source, f"{errors[0].call}{_about(gpu)}: {errors[0].name}")]
        evidence += [seen(event.source, event.text) for event in case.details.system.log or () if _tells(event, path)]
        yield Finding(
            "device-lost",
            Severity.ERROR,
            path,
            "a GPU that answers",
            "GPU is lost",
            "it does not answer on the PCI bus any more",
            "drain the machine and reboot it; 'journalctl -k -g Xid' has what came before; if it returns, the board, its seat or "
            "its power is bad",
            tuple(evidence),
            "Xid 79",
        )


def sources_disagree(case: Case) -> Iterator[Finding]:
    """NVML tells a fact otherwise than /proc and sysfs."""
    nvml, nvidia = case.details.nvml, case.host.nvidia
    if nvidia is None or nvml.state in (NvmlState.UNASKED, NvmlState.NO_LIBRARY):
        return
    if nvml.driver and nvidia.version and nvml.driver != nvidia.version:
        proc = seen("/proc/driver/nvidia/version", nvidia.version)
        yield _disagreement("driver version", "NVML", proc, seen(nvml.source, nvml.driver))
    known = {gpu.address: gpu for gpu in nvidia.gpus}
    for gpu in nvml.gpus:
        if gpu.address in known:
            yield from _differences(case, gpu, known[gpu.address])
        elif gpu.address and case.host.knows(f"{_GPUS}/{gpu.address}") and case.host.knows(_GPUS):
            proc = seen(_GPUS, "no such GPU")
            yield _disagreement("GPU", gpu.address, proc, seen(nvml.source, gpu.uuid or gpu.address))
    yield from _missing(case)


def _differences(case: Case, gpu: NvmlGpu, other: NvidiaGpu) -> Iterator[Finding]:
    source = case.details.nvml.source
    for what, told, theirs in (("UUID", gpu.uuid, other.uuid), ("minor", gpu.minor, other.minor)):
        if told is not None and theirs is not None and told != theirs:
            yield _disagreement(what, gpu.address, seen(other.source, theirs), seen(source, told))
    function = next((each for each in case.host.pci if each.address == gpu.address), None)
    node = None if function is None or function.numa_node < 0 else function.numa_node
    if function is not None and None not in (node, gpu.numa_node) and node != gpu.numa_node:
        sysfs = seen(f"{function.source}/numa_node", node)
        yield _disagreement("NUMA node", gpu.address, sysfs, seen(source, gpu.numa_node))
    yield from _partitions(case, gpu, other)


def _partitions(case: Case, gpu: NvmlGpu, other: NvidiaGpu) -> Iterator[Finding]:
    """MIG devices by their instances. Where NVML did not come so far, or a call about them failed, nothing is compared."""
    nvml, nvidia = case.details.nvml, case.host.nvidia
    if nvidia is None or gpu.mig_mode is None or nvml.state is not NvmlState.ANSWERED or other.minor is None:
        return
    tree = "/proc/driver/nvidia/capabilities"
    incomplete = any(error.gpu == gpu.rank for error in nvml.errors)
    instances = {(each.gpu_instance, each.compute_instance) for each in gpu.mig}
    if incomplete or not case.host.knows(tree) or (None in {one for pair in instances for one in pair}):
        return
    theirs = {(each.gpu_instance, each.compute_instance) for each in nvidia.mig if each.gpu == other.minor}
    if instances != theirs:
        proc = seen(f"{tree}/gpu{other.minor}/mig", _instances(theirs))
        yield _disagreement("MIG devices", gpu.address, proc, seen(nvml.source, _instances(instances)))


def _instances(pairs: set[tuple[int, int]] | set[tuple[int | None, int | None]]) -> str:
    return ", ".join(f"gi{instance}/ci{compute}" for instance, compute in sorted(pairs, key=str)) or "none"


def _missing(case: Case) -> Iterator[Finding]:
    """GPUs that the driver holds and NVML does not count. One that is lost, it counts."""
    nvml, nvidia = case.details.nvml, case.host.nvidia
    if (
        nvidia is None
        or nvml.state is not NvmlState.ANSWERED
        or nvml.device_count is None
        or not case.host.knows(_GPUS)
    ):
        return
    driven = [gpu for gpu in nvidia.gpus if gpu.source.startswith("/proc/") and not gpu.excluded]
    if driven and nvml.device_count != len(driven):
        proc = seen(_GPUS, len(driven))
        counted = _disagreement("number of GPUs", "NVML", proc, seen(nvml.source, nvml.device_count))
        yield counted._replace(reference="DCGM_FR_DEVICE_COUNT_MISMATCH")


def _disagreement(what: str, path: str, first: Evidence, second: Evidence) -> Finding:
    found = f"{what} {first.value} in {first.source}, {second.value} by NVML"
    hint = "in a container, ask on the host; on the host, 'nvidia-smi -q' and the file show who is right"
    return Finding("sources-disagree", Severity.WARNING, path, f"one {what}", found, "", hint, (first, second))


def minor_differs_from_index(case: Case) -> Iterator[Finding]:
    """A GPU's index is not the number of its node."""
    nvidia = case.host.nvidia
    if nvidia is None or not case.host.knows(_GPUS):
        return
    shown = {gpu.address for gpu in case.details.nvml.gpus}
    for gpu in nvidia.gpus:
        driven = gpu.source.startswith("/proc/") and not gpu.excluded
        if not driven or gpu.minor is None or gpu.minor == gpu.rank:
            continue
        if case.details.nvml.state is NvmlState.ANSWERED and gpu.address not in shown:
            continue  # its rank is a guess then
        yield Finding(
            "minor-differs-from-index",
            Severity.INFO,
            gpu.address,
            f"/dev/nvidia{gpu.rank} for GPU {gpu.rank}",
            f"/dev/nvidia{gpu.minor}",
            "indices go by PCI address, nodes by the order in which the driver found the GPUs",
            "give containers a GPU by its UUID, or its node as 'devproxy probe' lists them",
            (seen(gpu.source, f"Device Minor: {gpu.minor}"),),
        )


def _name(case: Case, gpu: int | None) -> str:
    """What a finding about a GPU is about: its address, from whoever tells it."""
    if gpu is None:
        return "NVML"
    told = {each.address: each.rank for each in case.details.nvml.gpus}
    of_rank = [address for address, rank in told.items() if rank == gpu]
    if not of_rank and case.host.nvidia is not None:
        of_rank = [
            each.address for each in case.host.nvidia.gpus if each.rank == gpu and each.source.startswith("/proc/")
        ]
        # Where a GPU is gone, the two count differently: one that NVML tells by another index is not the one.
        of_rank = [address for address in of_rank if address not in told]
    return next(filter(None, of_rank), f"GPU {gpu}")


def _about(gpu: int | None) -> str:
    return "" if gpu is None else f" about GPU {gpu}"


def _tells(event: LogEvent, address: str) -> bool:
    """Whether the log says of that GPU that it is lost; it has no function there: `PCI:0000:18:00`."""
    return event.number == _XID_LOST and bool(event.address) and address.startswith(event.address)


NVML_CHECKS: Final = (
    Check("nvml-timeout", Severity.ERROR, "NVML does not answer in time", nvml_timeout),
    Check("nvml-error", Severity.ERROR, "NVML answers an error", nvml_error),
    Check("sources-disagree", Severity.WARNING, "two sources tell a fact differently", sources_disagree),
    Check(
        "minor-differs-from-index", Severity.INFO, "a GPU's index is not its node's number", minor_differs_from_index
    ),
)
