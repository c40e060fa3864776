"""Asks NVML everything, in a process of its own: `python -I nvml_child.py SECONDS DIRECTORY`, the directory being pynvml's.

A call of NVML cannot be taken back, so its caller must be one that can be killed (`host.live.nvml`). Each fact is a line of
JSON, written when it is known; each call is told before it is made. This file is run by its path and imports nothing of
devproxy. Nothing is changed on the GPUs: every call is a `Get`.

Source: NVML API reference; pynvml's own text for what each call returns.
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

# Nothing to tell: the GPU, or this driver, does not have it.
_FUNCTION_NOT_FOUND: Final = 13
_SILENT: Final = frozenset((3, _FUNCTION_NOT_FOUND))  # 3 is NVML_ERROR_NOT_SUPPORTED
_INVALID_ARGUMENT: Final = 2
_NOT_FOUND: Final = 6
_LIBRARY_NOT_FOUND: Final = 12

# Facts that one call tells as they are: name, call, arguments.
_PLAIN: Final = (
    ("uuid", "nvmlDeviceGetUUID", ()),
    ("minor", "nvmlDeviceGetMinorNumber", ()),
    ("name", "nvmlDeviceGetName", ()),
    ("serial", "nvmlDeviceGetSerial", ()),
    ("memory_node", "nvmlDeviceGetNumaNodeId", ()),
    ("persistence", "nvmlDeviceGetPersistenceMode", ()),
    ("compute_mode", "nvmlDeviceGetComputeMode", ()),
    ("temperature", "nvmlDeviceGetTemperature", (0,)),
    ("temperature_shutdown", "nvmlDeviceGetTemperatureThreshold", (0,)),
    ("temperature_slowdown", "nvmlDeviceGetTemperatureThreshold", (1,)),
    ("power", "nvmlDeviceGetPowerUsage", ()),
    ("power_limit", "nvmlDeviceGetEnforcedPowerLimit", ()),
    ("power_limit_default", "nvmlDeviceGetPowerManagementDefaultLimit", ()),
    ("ecc_uncorrected", "nvmlDeviceGetTotalEccErrors", (1, 0)),  # uncorrected, since the driver was loaded
    ("ecc_uncorrected_ever", "nvmlDeviceGetTotalEccErrors", (1, 1)),
    ("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration", ()),
    ("pcie_generation_most", "nvmlDeviceGetMaxPcieLinkGeneration", ()),
    ("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth", ()),
    ("pcie_width_most", "nvmlDeviceGetMaxPcieLinkWidth", ()),
    ("clock_sm", "nvmlDeviceGetClockInfo", (1,)),
    ("clock_sm_most", "nvmlDeviceGetMaxClockInfo", (1,)),
    ("clock_sm_locked", "nvmlDeviceGetApplicationsClock", (1,)),
    ("clock_memory_locked", "nvmlDeviceGetApplicationsClock", (2,)),
    ("throttle", "nvmlDeviceGetCurrentClocksThrottleReasons", ()),
)
_PROCESSES: Final = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetMPSComputeRunningProcesses",
)


class _Asker:
    """Makes the calls and tells what came of them. `out` is a descriptor."""

    def __init__(self, pynvml: Any, out: int) -> None:  # noqa: ANN401 (pynvml has no types)
        self._pynvml = pynvml
        self._out = out
        self.lacking = False  # whether the last call is one that the library does not have
        names = {value: name for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")}
        self._names = {code: name.removeprefix("NVML_ERROR_") for code, name in names.items()}

    def say(self, **words: object) -> None:
        """One line."""
        line = json.dumps({name: word for name, word in words.items() if word is not None or name == "value"}) + "\n"
        os.write(self._out, line.encode())

    def fail(self, call: str, error: Exception, gpu: int | None = None) -> None:
        """Tell of a call that failed."""
        code = getattr(error, "value", -1)
        self.say(error=call, code=code, name=self._names.get(code, type(error).__name__), gpu=gpu)

    def ask(self, call: str, *words: object, gpu: int | None = None, silent: frozenset[int] = _SILENT) -> Any:  # noqa: ANN401
        """What a call returns, or None; the errors `silent` are not told."""
        function: Callable[..., object] | None = getattr(self._pynvml, call, None)
        self.lacking = function is None
        if function is None:
            return None
        name = call.removesuffix("_v3").removesuffix("_v2")
        self.say(call=name, gpu=gpu)
        try:
            return function(*words)
        except Exception as error:  # noqa: BLE001 (pynvml makes of what it is given whatever it makes; the others are asked)
            self.lacking = getattr(error, "value", -1) == _FUNCTION_NOT_FOUND
            if getattr(error, "value", -1) not in silent:
                self.fail(name, error, gpu)
        return None

    def ask_newest(self, call: str, *words: object, gpu: int) -> Any:  # noqa: ANN401
        """What the newest version of a call returns that library and binding both have."""
        for version in ("_v3", "_v2"):
            found = self.ask(f"{call}{version}", *words, gpu=gpu)
            if not self.lacking:
                return found
        return None

    def everything(self) -> None:
        """The whole machine."""
        for fact, call in (
            ("driver", "nvmlSystemGetDriverVersion"),
            ("library", "nvmlSystemGetNVMLVersion"),
            ("cuda", "nvmlSystemGetCudaDriverVersion_v2"),
        ):
            self.say(fact=fact, value=self.ask(call))
        found = self.ask("nvmlDeviceGetCount")
        self.say(fact="device_count", value=found)
        handles = [(gpu, self.ask("nvmlDeviceGetHandleByIndex", gpu, gpu=gpu)) for gpu in range(min(found or 0, 256))]
        # Who they are comes first: should a later call hang, that is known of all.
        for questions in (self._identity, self._partitions, self._state):
            for gpu, handle in handles:
                if handle is not None:
                    questions(gpu, handle)

    def _identity(self, gpu: int, handle: object) -> None:
        # The first fact also says that there is such a GPU: it is told if it is None.
        for fact, call, words in _PLAIN[:4]:
            self.say(fact=fact, value=self.ask(call, handle, *words, gpu=gpu), gpu=gpu)
        address = self.ask("nvmlDeviceGetPciInfo", handle, gpu=gpu)
        if address is not None:
            told = address.busId  # bytes before nvidia-ml-py 12
            self.say(fact="address", value=told if isinstance(told, str) else told.decode(), gpu=gpu)

    def _partitions(self, gpu: int, handle: object) -> None:
        mode = self.ask("nvmlDeviceGetMigMode", handle, gpu=gpu)
        if mode is None:
            return
        self.say(fact="mig_mode", value=bool(mode[0]), gpu=gpu)
        self.say(fact="mig_pending", value=bool(mode[1]), gpu=gpu)
        most = self.ask("nvmlDeviceGetMaxMigDeviceCount", handle, gpu=gpu) if mode[0] else 0
        for rank in range(min(most or 0, 64)):
            absent = _SILENT | {_NOT_FOUND}
            part = self.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, rank, gpu=gpu, silent=absent)
            if part is None:
                continue
            self.say(fact="rank", value=rank, gpu=gpu, mig=rank)
            for fact, call in (
                ("uuid", "nvmlDeviceGetUUID"),
                ("name", "nvmlDeviceGetName"),
                ("gpu_instance", "nvmlDeviceGetGpuInstanceId"),
                ("compute_instance", "nvmlDeviceGetComputeInstanceId"),
            ):
                self.say(fact=fact, value=self.ask(call, part, gpu=gpu), gpu=gpu, mig=rank)

    def _state(self, gpu: int, handle: object) -> None:
        for fact, call, words in _PLAIN[4:]:
            self.say(fact=fact, value=self.ask(call, handle, *words, gpu=gpu), gpu=gpu)
        lists = [self.ask_newest(call, handle, gpu=gpu) for call in _PROCESSES]
        if any(found is not None for found in lists):
            self.say(fact="pids", value=sorted({each.pid for found in lists for each in found or ()}), gpu=gpu)
        # The first version counts what the driver keeps for itself as used.
        version = getattr(self._pynvml, "nvmlMemory_v2", None)
        memory = self.ask("nvmlDeviceGetMemoryInfo", handle, version, gpu=gpu)
        if memory is None and version is not None and self.lacking:
            memory = self.ask("nvmlDeviceGetMemoryInfo", handle, gpu=gpu)
        if memory is not None:
            self.say(fact="memory_total", value=memory.total, gpu=gpu)
            self.say(fact="memory_used", value=memory.used, gpu=gpu)
        rates = self.ask("nvmlDeviceGetUtilizationRates", handle, gpu=gpu)
        self.say(fact="load", value=None if rates is None else rates.gpu, gpu=gpu)
        ecc = self.ask("nvmlDeviceGetEccMode", handle, gpu=gpu)
        self.say(fact="ecc", value=None if ecc is None else bool(ecc[0]), gpu=gpu)
        self.say(fact="ecc_pending", value=None if ecc is None else bool(ecc[1]), gpu=gpu)
        rows = self.ask("nvmlDeviceGetRemappedRows", handle, gpu=gpu)
        if rows is not None:
            self.say(fact="remap_pending", value=bool(rows[2]), gpu=gpu)
            self.say(fact="remap_failed", value=bool(rows[3]), gpu=gpu)
        nodes = self.ask("nvmlDeviceGetMemoryAffinity", handle, 16, 0, gpu=gpu)
        if nodes is not None:
            near = [64 * word + bit for word, bits in enumerate(nodes) for bit in range(64) if bits >> bit & 1]
            self.say(fact="numa_nodes", value=near, gpu=gpu)
        self._links(gpu, handle)
        self._fabric(gpu, handle)

    def _links(self, gpu: int, handle: object) -> None:
        links = []
        beyond = _SILENT | {_INVALID_ARGUMENT}
        for link in range(getattr(self._pynvml, "NVML_NVLINK_MAX_LINKS", 18)):
            state = self.ask("nvmlDeviceGetNvLinkState", handle, link, gpu=gpu, silent=beyond)
            if state is None:
                break
            links.append(bool(state))
        self.say(fact="nvlinks", value=links, gpu=gpu)

    def _fabric(self, gpu: int, handle: object) -> None:
        made: Callable[[], Any] | None = getattr(self._pynvml, "c_nvmlGpuFabricInfo_t", None)
        if made is None:
            return
        told = made()
        # pynvml passes on what it is given: the structure itself, not where it is, would end this process.
        if self.ask("nvmlDeviceGetGpuFabricInfo", handle, self._pynvml.byref(told), gpu=gpu) is not None:
            status = self._names.get(told.status, f"code {told.status}") if told.status else ""
            self.say(fact="fabric", value=[told.state, status], gpu=gpu)


def _why_not_loaded(error: BaseException) -> str:
    """What the dynamic loader said; pynvml keeps it as the cause of its own error."""
    return str(error.__context__ or error)


def _ask(asker: _Asker, pynvml: Any) -> None:  # noqa: ANN401 (pynvml has no types)
    asker.say(call="nvmlInitWithFlags")
    try:
        pynvml.nvmlInitWithFlags(0)
    except pynvml.NVMLError as error:
        asker.fail("nvmlInitWithFlags", error)
        why = _why_not_loaded(error) if error.value == _LIBRARY_NOT_FOUND else str(error)
        asker.say(end="failed", why=why)
        return
    asker.everything()
    asker.ask("nvmlShutdown")
    asker.say(end="answered")


def main() -> None:
    """Ask, and end."""
    # Whoever started this kills it in time; should that one be gone itself, the alarm does.
    signal.alarm(int(float(sys.argv[1])) + 5)
    # What the library prints must not get between the facts.
    out = os.dup(1)
    os.dup2(2, 1)
    sys.path.append(sys.argv[2])
    import pynvml

    _ask(_Asker(pynvml, out), pynvml)


if __name__ == "__main__":
    main()
