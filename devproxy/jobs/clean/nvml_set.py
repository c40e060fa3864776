"""Sets one thing on one GPU: `python -I nvml_set.py SECONDS DIRECTORY UUID ORDER [WORDS]`, the directory being pynvml's.

    compute-mode N      clocks MEMORY SM    power-limit MILLIWATTS    persistence 0|1    ecc 0|1    mig-mode 0|1
    mig-instance GPU-INSTANCE COMPUTE-INSTANCE whole|part

Prints `{"why": ...}`, empty when it was done and reads back so. It is run by its path, in a process that can be killed, and imports
nothing of devproxy. Source: NVML API reference, "Device Commands" and "Multi Instance GPU Management".
"""

from __future__ import annotations

import json
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_NO_PERMISSION: Final = 4
_IN_USE: Final = 19


def _compute_mode(nvml: Any, gpu: object, mode: str) -> str:  # noqa: ANN401 (pynvml has no types)
    nvml.nvmlDeviceSetComputeMode(gpu, int(mode))
    return _unlike(nvml.nvmlDeviceGetComputeMode(gpu), int(mode))


def _clocks(nvml: Any, gpu: object, memory: str, sm: str) -> str:  # noqa: ANN401
    nvml.nvmlDeviceSetApplicationsClocks(gpu, int(memory), int(sm))
    found = nvml.nvmlDeviceGetApplicationsClock(gpu, 2), nvml.nvmlDeviceGetApplicationsClock(gpu, 1)
    return _unlike(found, (int(memory), int(sm)))


def _power_limit(nvml: Any, gpu: object, limit: str) -> str:  # noqa: ANN401
    nvml.nvmlDeviceSetPowerManagementLimit(gpu, int(limit))
    return _unlike(nvml.nvmlDeviceGetEnforcedPowerLimit(gpu), int(limit))


def _persistence(nvml: Any, gpu: object, mode: str) -> str:  # noqa: ANN401
    nvml.nvmlDeviceSetPersistenceMode(gpu, int(mode))
    return _unlike(nvml.nvmlDeviceGetPersistenceMode(gpu), int(mode))


def _ecc(nvml: Any, gpu: object, mode: str) -> str:  # noqa: ANN401
    if nvml.nvmlDeviceGetEccMode(gpu)[1] != int(mode):
        nvml.nvmlDeviceSetEccMode(gpu, int(mode))
    return _after_reset(nvml.nvmlDeviceGetEccMode(gpu), int(mode))


def _mig_mode(nvml: Any, gpu: object, mode: str) -> str:  # noqa: ANN401
    if nvml.nvmlDeviceGetMigMode(gpu)[1] != int(mode):
        nvml.nvmlDeviceSetMigMode(gpu, int(mode))
    return _after_reset(nvml.nvmlDeviceGetMigMode(gpu), int(mode))


def _mig_instance(nvml: Any, gpu: object, gpu_instance: str, compute_instance: str, extent: str) -> str:  # noqa: ANN401
    whole = nvml.nvmlDeviceGetGpuInstanceById(gpu, int(gpu_instance))
    part = nvml.nvmlGpuInstanceGetComputeInstanceById(whole, int(compute_instance))
    nvml.nvmlComputeInstanceDestroy(part)
    if extent == "whole":
        try:
            nvml.nvmlGpuInstanceDestroy(whole)
        except nvml.NVMLError as error:
            if error.value != _IN_USE:
                raise  # in use: by another compute instance, whose turn comes
    return ""


_ORDERS: Final[dict[str, Callable[..., str]]] = {
    "compute-mode": _compute_mode,
    "clocks": _clocks,
    "power-limit": _power_limit,
    "persistence": _persistence,
    "ecc": _ecc,
    "mig-mode": _mig_mode,
    "mig-instance": _mig_instance,
}


def _unlike(found: object, wanted: object) -> str:
    return "" if found == wanted else f"NVML took it and says {found} all the same, expected {wanted}"


def _after_reset(modes: list[int], wanted: int) -> str:
    now, pending = modes
    if pending != wanted:
        return _unlike(pending, wanted)
    return "" if now == wanted else "it is set, and takes effect when the GPU is reset: nvidia-smi --gpu-reset"


def _put(nvml: Any, uuid: str, order: str, *words: str) -> str:  # noqa: ANN401
    try:
        nvml.nvmlInit()
        return _ORDERS[order](nvml, nvml.nvmlDeviceGetHandleByUUID(uuid.encode()), *words)
    except nvml.NVMLError as error:
        names = {value: name for name, value in vars(nvml).items() if name.startswith("NVML_ERROR_")}
        hint = ": only root may set it" if error.value == _NO_PERMISSION else ""
        return f"NVML says {names.get(error.value, error.value)}{hint}"


def main() -> None:
    """Set it, and end."""
    # Whoever started this kills it in time; should that one be gone itself, the alarm does.
    signal.alarm(int(float(sys.argv[1])) + 5)
    # What the library prints must not get before the answer.
    out = os.dup(1)
    os.dup2(2, 1)
    sys.path.append(sys.argv[2])
    import pynvml

    os.write(out, b"\n" + json.dumps({"why": _put(pynvml, *sys.argv[3:])}).encode() + b"\n")


if __name__ == "__main__":
    main()
