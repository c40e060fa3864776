"""What nvidia-smi prints: the table, -L, -q, --version, topo, and its ways to fail."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import Draft, Smi
from devproxy.host.nvml_facts import NvmlError, NvmlGpu, NvmlMig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_BANNER: Final = re.compile(
    r"\W{0,6}NVIDIA-SMI\s+(?P<smi>\d{3,4}[\d.]{1,12})\s+(?:KMD|Driver) Version:\s+(?P<driver>\d{3,4}[\d.]{1,12})(?:\s+CUDA (?:UMD )?Version:\s+(?P<cuda>\d[\d.]{0,7}|N/A|ERR!))?"
)
_ROW: Final = re.compile(
    r"\|\s+(?P<rank>\d{1,3})\s+(?P<model>\S.{0,40}?)\s+(?:(?P<mode>On|Off|N/A|TCC|WDDM|MCDM)\s*)?\|\s*(?P<address>[0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])\s"
)
_GPU: Final = re.compile(
    r"GPU (?P<rank>\d{1,3}): (?P<model>\S.{0,80}?)\s*\(UUID: (?P<uuid>GPU-[0-9a-fA-F-]{1,36})(?P<end>\)?)"
)
_MIG: Final = re.compile(
    r"MIG\s+(?P<profile>\d{1,2}(?:c\.\d{1,2})?g\.\d{1,4}gb(?:\+[\w.]+)?)\s+Device\s+(?P<rank>\d{1,3}): \(UUID: (?P<uuid>MIG-[\w/-]{1,80})\)"
)
_VERSION: Final = re.compile(r"(?:NVIDIA-SMI|NVML|DRIVER|CUDA) [Vv]ersion\s*:\s*(?P<value>\d[\d.]{0,15})$")
_QUERY: Final = re.compile(r"(?P<key>Driver Version|CUDA Version|Attached GPUs)\s{2,}:\s(?P<value>\S{1,20})$")
_TOPO: Final = re.compile(
    r"(?:GPU\d{1,2}|NIC\d{1,2}|X)\s+(?:(?:GPU\d{1,2}|NIC\d{1,2}|X|NV\d{1,2}|PIX|PXB|PHB|NODE|SYS|CPU Affinity)\s*){1,40}"
)
_NVML: Final = (
    (r"driver ?/ ?library version mismatch", 18, "LIB_RM_VERSION_MISMATCH"),
    (r"insufficient permissions?", 4, "NO_PERMISSION"),
    (r"driver (?:is )?not loaded", 9, "DRIVER_NOT_LOADED"),
    (r"gpu is lost", 15, "GPU_IS_LOST"),
    (r"gpu access blocked by the operating system", 17, "OPERATING_SYSTEM"),
    (r"function not found", 13, "FUNCTION_NOT_FOUND"),
    (r"unknown error", 999, "UNKNOWN"),
    (r"not found", 6, "NOT_FOUND"),
)  # fmt: skip
_FAILED: Final = re.compile(
    r"(?:Failed to initialize NVML|nvml error|nvmlInit(?:_v2)?(?:\(\))? (?:failed|returned)|could not init(?:ialize)? nvml|Failed to init(?:ialize)? NVML|error initializing NVML|error getting (?:parent )?(?:device )?memory info:|NVMLError_\w*|NVML: )[^A-Za-z]{0,6}(?P<why>[A-Za-z/_ ]{4,80})",
    re.IGNORECASE,
)
_SYMBOL: Final = re.compile(
    r"NVML_ERROR_(?P<name>[A-Z_]{3,40})|NVMLError_(?P<class>LibRmVersionMismatch|NoPermission|DriverNotLoaded|GpuIsLost|Unknown)"
)
_NO_DRIVER: Final = re.compile(
    r"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver", re.IGNORECASE
)
_LOST: Final = re.compile(
    r"Unable to determine the device handle for (?:GPU|gpu)\s?(?P<address>[0-9A-Fa-f:.]{7,16}|\d{1,3}): (?P<why>[\w ]{3,40})"
)
_LIBRARY: Final = re.compile(r"NVML library version: (?P<version>\d[\d.]{2,12})")


def take_smi(lines: list[Line], at: int, draft: Draft) -> int:
    """One line of nvidia-smi's output."""
    text, number = lines[at].text, lines[at].number
    for take in (_banner, _row, _listed, _version, _query, _nothing, _topology):
        what = take(text, number, draft)
        if what:
            draft.use(number, number, what)
            return 1
    return 0


def take_nvml_failure(lines: list[Line], at: int, draft: Draft) -> int:
    """A message that NVML failed, from nvidia-smi, a container engine or a program. It is no more than said: whether it
    still fails is told by what comes later.
    """
    text, number = lines[at].text[:1024], lines[at].number
    if draft.expected:
        return 0
    error: NvmlError | None = None
    if _NO_DRIVER.search(text):
        error = NvmlError("nvmlInitWithFlags", 9, "DRIVER_NOT_LOADED")
    elif lost := _LOST.search(text):
        gone = "lost" in lost["why"].lower() or "unknown" in lost["why"].lower()
        code, name = (15, "GPU_IS_LOST") if gone else (6, "NOT_FOUND")
        error = NvmlError("nvmlDeviceGetHandleByIndex", code, name)
    elif failed := _FAILED.search(text):
        known = next(((c, n) for pattern, c, n in _NVML if re.search(pattern, failed["why"], re.IGNORECASE)), None)
        error = NvmlError("nvmlInitWithFlags", *known) if known else None
    elif library := _LIBRARY.search(text):
        if draft.smi and draft.smi[-1].error is not None:
            draft.put_smi(draft.smi[-1]._replace(library=library["version"]))
            draft.use(number, number, "NVML error")
            return 1
        return 0
    if error is None or is_denied(text):
        return 0
    draft.fresh = True
    draft.put_smi(draft.current_smi(number)._replace(error=error))
    draft.fresh = True
    draft.use(number, number, "NVML error", 1, "error")
    return 1


_DENIED: Final = re.compile(
    r"\b(?:no longer|not (?:get|see|getting|seeing|have|the same)|instead of|unlike|similar to|same as|like (?:in )?#\d|fixed|resolved|solved|used to (?:work|be|get|see|have|happen|run|show)|if you (?:see|get)|"
    r"without (?:the|any)|don'?t (?:see|get)|doesn'?t (?:show|fail)|never|related(?::| to:?\s+(?:#|http|this|that|issue))|went away|gone|previously(?! (?:work|ran\b|run|fine\b))|in the past|as in #\d|expected)\b",
    re.IGNORECASE,
)


def is_denied(text: str) -> bool:
    """Whether a sentence speaks of a message that is not, or no longer, seen."""
    return _DENIED.search(text[:1024]) is not None


def _banner(text: str, number: int, draft: Draft) -> str:
    found = _BANNER.match(text)
    if found is None:
        return ""
    smi = draft.current_smi(number)
    cuda = found["cuda"] or ""
    draft.put_smi(smi._replace(driver=found["driver"], cuda=cuda if cuda[:1].isdigit() else "", error=None))
    return "nvidia-smi"


def _row(text: str, number: int, draft: Draft) -> str:
    found = _ROW.match(text)
    if found is None or not draft.smi:
        return ""
    rank = int(found["rank"])
    address = found["address"][4:].lower()
    smi = draft.current_smi(number)
    if found["mode"] in ("TCC", "WDDM", "MCDM"):
        smi = smi._replace(windows=True)
    before = smi.gpu(rank)
    name = found["model"].rstrip(".")
    draft.put_smi(
        smi.with_gpu(before._replace(address=address) if before else NvmlGpu(rank, address, None, None, name))
    )
    return "nvidia-smi"


def _listed(text: str, number: int, draft: Draft) -> str:
    if found := _GPU.match(text):
        rank = int(found["rank"])
        smi = draft.current_smi(number)
        before = smi.gpu(rank)
        if before is not None and before.uuid is not None:
            draft.fresh = True  # the list begins anew
            smi = draft.current_smi(number)
        uuid = found["uuid"] if len(found["uuid"]) == 40 else None
        smi = smi.with_gpu(NvmlGpu(rank, before.address if before else "", uuid, None, found["model"]))
        draft.put_smi(smi._replace(listed=True, error=None))
        return "nvidia-smi -L"
    if (found := _MIG.match(text)) and draft.smi and draft.smi[-1].gpus:
        gpu = max(gpu.rank for gpu in draft.smi[-1].gpus)
        draft.put_mig(gpu, NvmlMig(int(found["rank"]), found["uuid"], None, None, found["profile"]))
        return "nvidia-smi -L"
    return ""


def _version(text: str, number: int, draft: Draft) -> str:
    found = _VERSION.match(text)
    if found is None:
        return ""
    smi = draft.current_smi(number)
    if text.startswith("DRIVER"):
        draft.put_smi(smi._replace(driver=found["value"], error=None))
    elif text.startswith("CUDA"):
        draft.put_smi(smi._replace(cuda=found["value"], error=None))
    return "nvidia-smi --version"


def _query(text: str, number: int, draft: Draft) -> str:
    found = _QUERY.match(text)
    if found is None:
        return ""
    smi = draft.current_smi(number)
    if found["key"] == "Driver Version":
        draft.put_smi(smi._replace(driver=found["value"], error=None))
    elif found["key"] == "CUDA Version" and found["value"][0].isdigit():
        draft.put_smi(smi._replace(cuda=found["value"]))
    return "nvidia-smi -q"


def _nothing(text: str, number: int, draft: Draft) -> str:
    if not re.fullmatch(r"No devices were found\.?", text):
        return ""
    draft.put_smi(draft.current_smi(number)._replace(none=True, error=None))
    return "nvidia-smi"


def _topology(text: str, _number: int, draft: Draft) -> str:
    command = draft.command
    asked = command is not None and "topo" in command.words
    return "nvidia-smi topo" if asked and _TOPO.match(text) else ""


def succeeded(smi: Smi) -> bool:
    """Whether NVML answered in this run."""
    return smi.error is None and bool(smi.driver or smi.gpus or smi.listed or smi.none)
