"""What a job set on a GPU and did not set back: each setting now, against the recording of before.

Clocks that were locked by `nvidia-smi -lgc` are told by no call of NVML: of those, only what they do is seen. What can be read are
the applications' clocks (`-ac`).
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
    from typing import Final

    from devproxy.host.nvml_facts import NvmlGpu


class Setting(Record):
    """Something that is set on a GPU: its code, how bad it is to leave it, its name, how it is read (empty: the GPU does not tell),
    what its change does, and how to set it back (`{i}` the GPU, `{old}` the value of before).
    """

    code: str
    severity: Severity
    title: str
    name: str
    read: Callable[[NvmlGpu], str]
    why: str
    hint: str


def _clocks(gpu: NvmlGpu) -> str:
    sm, memory = gpu.health.clock_sm_locked, gpu.health.bounds.clock_memory_locked
    return "" if sm is None else f"{sm} MHz" if memory is None else f"{memory},{sm} MHz"


def _flag(value: bool | None) -> str:  # noqa: FBT001 (what NVML says)
    return "" if value is None else "on" if value else "off"


def _limit(gpu: NvmlGpu) -> str:
    return "" if gpu.health.power_limit is None else f"{gpu.health.power_limit:g} W"


def _instances(gpu: NvmlGpu) -> str:
    if gpu.mig_mode is None:
        return ""
    return ", ".join(f"{mig.gpu_instance}/{mig.compute_instance} {mig.profile}".strip() for mig in gpu.mig) or "none"


_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

SETTINGS: Final = (
    Setting(
        "compute-mode-changed", _ERROR, "another compute mode than before", "compute mode", lambda gpu: gpu.health.compute_mode,
        "in an exclusive mode the second process fails to make a context, in 'prohibited' every one",
        "nvidia-smi -i {i} -c '{old}'",
    ),
    Setting(
        "mig-mode-changed", _ERROR, "MIG was turned on or off", "MIG mode", lambda gpu: _flag(gpu.mig_mode),
        "with MIG on, CUDA sees no GPU but its instances", "nvidia-smi -i {i} -mig {old}, then reset it: nvidia-smi --gpu-reset -i {i}",
    ),
    Setting(
        "mig-instances-changed", _ERROR, "other MIG instances than before", "MIG instances (GI/CI profile)", _instances,
        "instances that a job made are still there, or ones that others counted on are gone",
        "nvidia-smi mig -i {i} -lgi; nvidia-smi mig -i {i} -dci && nvidia-smi mig -i {i} -dgi, then make those of before: {old}",
    ),
    Setting(
        "ecc-mode-changed", _ERROR, "ECC was turned on or off", "ECC", lambda gpu: _flag(gpu.health.bounds.ecc),
        "without it errors of the memory are not seen; with it a part of the memory is used up", "nvidia-smi -i {i} -e {old}, then reset it",
    ),
    Setting(
        "clocks-changed", _WARNING, "other clocks are set than before", "clocks of applications (memory,SM)", _clocks,
        "the next job is slower, or faster, than it should be", "nvidia-smi -i {i} -rac; those of before: nvidia-smi -i {i} -ac {old}",
    ),
    Setting(
        "power-limit-changed", _WARNING, "another power limit than before", "power limit", _limit,
        "the next job is slower, or hotter, than it should be", "nvidia-smi -i {i} -pl {old}",
    ),
    Setting(
        "persistence-changed", _INFO, "persistence mode was turned on or off", "persistence mode", lambda gpu: _flag(gpu.health.persistence),
        "without it the driver lets a GPU go that nobody uses, and the next job waits for seconds", "nvidia-smi -i {i} -pm {old}",
    ),
)  # fmt: skip


def _look(setting: Setting) -> Callable[[JobCase], Iterator[Finding]]:
    def run(case: JobCase) -> Iterator[Finding]:
        return changes_of(setting, case)

    return run


SETTING_CHECKS: Final = tuple(
    JobCheck(setting.code, setting.severity, setting.title, _look(setting)) for setting in SETTINGS
)


def changes_of(setting: Setting, case: JobCase) -> Iterator[Finding]:
    """A setting of each GPU that both hosts have, if it differs."""
    if case.before is None or case.before.nvidia is None or not case.before.nvidia.gpus:
        return
    if case.then.nvml.state is not NvmlState.ANSWERED:
        why = f"NVML did not answer before ({case.then.nvml.state.value}): what was set then is not known"
        yield unknown(setting.code, "NVML", why)
        return
    now = {gpu.address: gpu for gpu in case.now.nvml.gpus}
    for then in case.then.nvml.gpus:
        gpu, old = now.get(then.address), setting.read(then)
        if gpu is None or not old or (gpu.uuid and then.uuid and gpu.uuid != then.uuid):
            continue  # `device-lost-since` tells; or it never said
        new = setting.read(gpu)
        if not new:
            yield unknown(setting.code, gpu.address, f"NVML told the {setting.name} before ({old}), and does not now")
        elif new != old:
            value = old.removesuffix(" MHz").removesuffix(" W")
            yield Finding(
                setting.code, setting.severity, gpu.address, f"{setting.name} {old}, as before", new,
                why=setting.why, hint=setting.hint.format(i=gpu.address, old=_argument(setting.code, value)),
                evidence=(seen("before", f"{setting.name} {old}"), seen(case.now.nvml.source, f"GPU {gpu.rank}: {setting.name} {new}")),
            )  # fmt: skip


def _argument(code: str, value: str) -> str:
    """A value as nvidia-smi takes it."""
    modes = {"default": "DEFAULT", "exclusive process": "EXCLUSIVE_PROCESS", "prohibited": "PROHIBITED"}
    if code == "compute-mode-changed":
        return modes.get(value, value)
    return {"on": "1", "off": "0"}.get(value, value)
