"""Every call of NVML that devproxy makes, made past pynvml: what it returned, and how much memory it wrote.

`python -m hwtests.gpu.calls` asks the library that the loader finds, and prints JSON. Asked of the real library and of the fake one
(tests/nvml/fakenvml.c), the two must be of one shape (`differences`): that is what the tests with the fake are worth.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any, Final, NamedTuple

LIBRARY: Final = "libnvidia-ml.so.1"
NOT_FOUND: Final = 13  # a symbol that the library does not have, as pynvml says it
CODES: Final = (*range(31), 999)
_ROOM: Final = 4096
_PATTERNS: Final = (0xAA, 0x55)


class Call(NamedTuple):
    """One call: whether it is about a GPU, the numbers that come before what it fills, and the sizes of that. A negative size
    is a text, whose room is a number behind it.
    """

    symbol: str
    outs: tuple[int, ...]
    words: tuple[int, ...] = ()
    system: bool = False
    version: int = 0  # the first word of the structure, which says its size

    @property
    def name(self) -> str:
        return self.symbol + "".join(f":{word}" for word in self.words)


def _numbers(*symbols: str) -> list[Call]:
    return [Call(symbol, (4,)) for symbol in symbols]


CALLS: Final = (
    Call("nvmlSystemGetDriverVersion", (-80,), system=True),
    Call("nvmlSystemGetNVMLVersion", (-80,), system=True),
    Call("nvmlSystemGetCudaDriverVersion_v2", (4,), system=True),
    Call("nvmlDeviceGetCount_v2", (4,), system=True),
    Call("nvmlDeviceGetUUID", (-96,)),
    Call("nvmlDeviceGetName", (-96,)),
    Call("nvmlDeviceGetSerial", (-30,)),
    *_numbers("nvmlDeviceGetMinorNumber", "nvmlDeviceGetNumaNodeId", "nvmlDeviceGetPersistenceMode"),
    *_numbers("nvmlDeviceGetComputeMode", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit"),
    *_numbers("nvmlDeviceGetPowerManagementDefaultLimit", "nvmlDeviceGetMaxMigDeviceCount"),
    *_numbers("nvmlDeviceGetCurrPcieLinkGeneration", "nvmlDeviceGetMaxPcieLinkGeneration"),
    *_numbers("nvmlDeviceGetCurrPcieLinkWidth", "nvmlDeviceGetMaxPcieLinkWidth"),
    Call("nvmlDeviceGetTemperature", (4,), (0,)),
    Call("nvmlDeviceGetTemperatureThreshold", (4,), (0,)),
    Call("nvmlDeviceGetTemperatureThreshold", (4,), (1,)),
    Call("nvmlDeviceGetClockInfo", (4,), (1,)),
    Call("nvmlDeviceGetMaxClockInfo", (4,), (1,)),
    Call("nvmlDeviceGetApplicationsClock", (4,), (1,)),
    Call("nvmlDeviceGetNvLinkState", (4,), (0,)),
    Call("nvmlDeviceGetCurrentClocksThrottleReasons", (8,)),
    Call("nvmlDeviceGetTotalEccErrors", (8,), (1, 0)),
    Call("nvmlDeviceGetTotalEccErrors", (8,), (1, 1)),
    Call("nvmlDeviceGetEccMode", (4, 4)),
    Call("nvmlDeviceGetMigMode", (4, 4)),
    Call("nvmlDeviceGetRemappedRows", (4, 4, 4, 4)),
    Call("nvmlDeviceGetUtilizationRates", (8,)),
    Call("nvmlDeviceGetMemoryInfo", (24,)),
    Call("nvmlDeviceGetMemoryInfo_v2", (40,), version=40 | 2 << 24),
    Call("nvmlDeviceGetPciInfo_v3", (68,)),
    Call("nvmlDeviceGetGpuFabricInfo", (28,)),
)

Answer = dict[str, Any]


def ask_all() -> dict[str, Answer]:
    """What each call says: of the first GPU, where it is about one. Empty after `init` where NVML does not start."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        return {"init": {"code": 12, "why": str(error)}}
    started = library.nvmlInitWithFlags(0)
    if started:
        return {"init": {"code": started}}
    device = ctypes.c_void_p()
    handle = library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device))
    answers: dict[str, Answer] = {"init": {"code": 0}, "nvmlDeviceGetHandleByIndex_v2": {"code": handle}}
    for call in CALLS:
        if call.system or not handle:
            answers[call.name] = _make(library, device, call)
    library.nvmlShutdown()
    return answers


def _make(library: ctypes.CDLL, device: ctypes.c_void_p, call: Call) -> Answer:
    """Twice, over memory of two patterns: what it left alone it did not write."""
    function = getattr(library, call.symbol, None)
    if function is None:
        return {"code": NOT_FOUND, "symbol": False}
    written = [0] * len(call.outs)
    code, texts = 0, []
    for pattern in _PATTERNS:
        before = call.version.to_bytes(4, sys.byteorder) if call.version else b""
        buffers = [ctypes.create_string_buffer(before.ljust(_ROOM, bytes([pattern])), _ROOM) for _ in call.outs]
        words: list[object] = [] if call.system else [device]
        words += [ctypes.c_uint(word) for word in call.words]
        for buffer, size in zip(buffers, call.outs, strict=True):
            words += [buffer] if size > 0 else [buffer, ctypes.c_uint(-size)]
        code = function(*words)
        for place, buffer in enumerate(buffers):
            written[place] = max(written[place], len(buffer.raw.rstrip(bytes([pattern]))))
        texts = [
            buffer.value.decode(errors="replace") for buffer, size in zip(buffers, call.outs, strict=True) if size < 0
        ]
    return {"code": code, "written": [] if code else written, "texts": [] if code else texts}


def differences(real: dict[str, Answer], fake: dict[str, Answer]) -> list[str]:
    """In what the two have another shape. What the real one refuses, for a reason that is a code of NVML, the fake can be told
    to refuse: that is no difference.
    """
    found = []
    for call in CALLS:
        first, second = real.get(call.name), fake.get(call.name)
        if first is None or second is None:
            found.append(f"{call.name}: not asked")
        elif second.get("symbol") is False:
            found.append(f"{call.name}: the fake does not have it")
        elif first["code"] not in CODES:
            found.append(f"{call.name}: code {first['code']}, which is none of nvml.h")
        elif first["code"] == 0 == second["code"]:
            found += _shapes(call, first, second)
    return found


def _shapes(call: Call, first: Answer, second: Answer) -> list[str]:
    found = []
    for place, size in enumerate(call.outs):
        real, fake = first["written"][place], second["written"][place]
        if size < 0 and max(real, fake) > -size:
            found.append(f"{call.name}: a text beyond its room of {-size}: {real} real, {fake} fake")
        # Padding at the end of a structure may be written or not.
        elif size > 0 and (max(real, fake) > size or -(-real // 8) != -(-fake // 8)):
            found.append(f"{call.name}: {size} bytes expected, {real} real, {fake} fake")
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ask_all(), indent=1) + "\n")
