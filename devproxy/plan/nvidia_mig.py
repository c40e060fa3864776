"""MIG devices by their own UUIDs, which NVML alone knows, and what is said of an id that names none (S77).

NVML tells of each UUID which GPU instance and compute instance of which GPU it is; the driver's own files tell of these which
capabilities it takes to use them. A MIG device is found where both know it.
"""

from __future__ import annotations

from devproxy.errors import InputError, NvmlUnasked
from devproxy.host.facts import Nvidia
from devproxy.host.nvml_facts import Nvml, NvmlState
from devproxy.oci.json_path import quote
from devproxy.plan.nvidia_select import Named, mig_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host, MigDevice, NvidiaGpu
    from devproxy.host.nvml_facts import NvmlGpu, NvmlMig
    from devproxy.oci.nvidia_env import GpuId

_FORMS: Final = (
    "a MIG device is named by its UUID, by the indices that nvidia-smi -L shows (0:1 is the second one of GPU 0) or as "
    "MIG-GPU-UUID/GI/CI; partitioning a GPU anew gives new UUIDs, which NVML alone knows"
)
_NONE: Final = Nvidia("", (), ())
# The calls by which NVML tells which MIG devices there are.
_NAMING: Final = (
    "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID", "nvmlDeviceGetPciInfo", "nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetGpuInstanceId", "nvmlDeviceGetComputeInstanceId",
)  # fmt: skip


def find_mig(wanted: GpuId, source: str, host: Host) -> Named:
    """The MIG device that has this UUID, as libnvidia-container compares them: whole, in capital or small letters.

    Errors: NvmlUnasked where it could be one of this host's, and NVML was not asked; InputError where it is none of them, and where
    NVML could not tell.
    """
    nvml = _nvml(host)
    known = _known(host, nvml)
    told = _told(wanted, nvml)
    if told is not None:
        gpu, part = told
        found = next((each for each in known if each[2] is part), None)
        if found is not None:
            return Named(found[0], found[1], f", which has {part.uuid} by {nvml.source}")
        if None not in (part.gpu_instance, part.compute_instance):
            raise _elsewhere(wanted, source, gpu, part, nvml, known)
    nameless = [mig for _, mig, part in known if part is None]
    if _is_uuid(wanted.text) and nameless:
        raise _untold(wanted, source, host, known)
    raise InputError(_message(wanted, source, known), hint=_FORMS)


# A GPU of this host, a MIG device of it, and what NVML says of that, if it does.
_Known = tuple["NvidiaGpu", "MigDevice", "NvmlMig | None"]


def _nvml(host: Host) -> Nvml:
    return host.details.nvml if host.details is not None else Nvml(NvmlState.UNASKED)


def _known(host: Host, nvml: Nvml) -> list[_Known]:
    """The MIG devices of this host."""
    nvidia = host.nvidia or _NONE
    return [(gpu, mig, nvml.part(gpu, mig)) for gpu in nvidia.gpus for mig in mig_of(gpu, nvidia)]


def _told(wanted: GpuId, nvml: Nvml) -> tuple[NvmlGpu, NvmlMig] | None:
    text = wanted.text.lower()
    return next(((gpu, part) for gpu in nvml.gpus for part in gpu.mig if part.uuid.lower() == text), None)


def _is_uuid(text: str) -> bool:
    """Whether it is meant to be a UUID that NVML may know: neither indices nor instances."""
    return text.upper().startswith("MIG-") and not text.upper().startswith("MIG-GPU-")


# what is said


def _message(wanted: GpuId, source: str, known: list[_Known], found: str = "") -> str:
    names = [f"{gpu.rank}:{mig.rank}{f' ({part.uuid})' if part else ''}" for gpu, mig, part in known]
    return (
        f"{source} names {quote(wanted.text)} at position {wanted.position}{found}, "
        f"expected a MIG device of this host: {', '.join(names) or 'it has none'}"
    )


def _elsewhere(wanted: GpuId, source: str, gpu: NvmlGpu, part: NvmlMig, nvml: Nvml, known: list[_Known]) -> InputError:
    """NVML knows it, and the driver's files do not, or not among what may be given."""
    instances = f"GPU instance {part.gpu_instance}, compute instance {part.compute_instance}"
    where = f"GPU {gpu.rank} ({gpu.address or gpu.uuid})"
    return InputError(
        _message(wanted, source, known, f", which is {instances} of {where} by {nvml.source}"),
        hint="'devproxy probe' shows the GPUs and MIG devices that the driver's files tell; one that is leased to somebody else or "
        "quarantined ('devproxy lease list', 'devproxy quarantine list') is not given",
    )


def _untold(wanted: GpuId, source: str, host: Host, known: list[_Known]) -> InputError:
    """NVML could know it, and did not tell: why, and what to do."""
    nvml = _nvml(host)
    gpu, mig, _ = next(each for each in known if each[2] is None)
    why, remedy = _why(nvml, host)
    message = f"{_message(wanted, source, known)}; only NVML knows which of them has this UUID, and it {why}"
    hint = f"name it by its indices, as {gpu.rank}:{mig.rank}: 'nvidia-smi -L' shows them with the UUIDs"
    kind = NvmlUnasked if nvml.state is NvmlState.UNASKED else InputError
    return kind(message, hint=f"{hint}; {remedy}" if remedy else hint)


def _why(nvml: Nvml, host: Host) -> tuple[str, str]:
    """Why NVML did not tell, and what would have it tell."""
    again = "'devproxy record' keeps the UUIDs where NVML answers" if host.simulated else ""
    about = "" if nvml.during_gpu is None else f" about GPU {nvml.during_gpu}"
    during = f"{nvml.during}{about}" if nvml.during else "NVML"
    match nvml.state:
        case NvmlState.UNASKED:
            unseen = next((each.why for each in host.unseen if each.path == nvml.source), "")
            asked = "was not asked" if not unseen else f"is not heard here ({nvml.source}: {unseen})"
            return asked, again if host.details is not None else "devproxy.probe(deep=True) asks NVML"
        case NvmlState.NO_LIBRARY:
            missing = "install the driver's libnvidia-ml, or name its directory in LD_LIBRARY_PATH"
            return f"has no library here: {nvml.why}", again or missing
        case NvmlState.TIMEOUT:
            late = f"did not answer: {nvml.why} from {during} within {nvml.seconds:.1f} s"
            return late, again or "DEVPROXY_NVML_SECONDS=60 gives it more time"
        case NvmlState.FAILED:
            failed = f"failed: {nvml.why}{f' in {during}' if nvml.during else ''}"
            return failed, again or "'devproxy doctor' says more"
        case NvmlState.ANSWERED:
            failing = [f"{each.call} says {each.name} ({each.code})" for each in nvml.errors if each.call in _NAMING]
            return ": ".join(("did not tell it of all of them", *failing[:1])), again or "'devproxy doctor' says more"
