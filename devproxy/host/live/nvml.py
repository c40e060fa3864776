"""What NVML says of this machine, as a document: asked by a child that can be killed (`nvml_child`), never in this process.

NVML is the driver's library. It hangs when a driver does, and ends the process that called it when its own state is broken;
neither must take a probe along. What was told before that is kept.

The child's environment is made here: a fixed PATH, and of this process's LD_LIBRARY_PATH the absolute entries. That is how
NixOS, containers and hand-made installations tell where the driver's libraries are, and who asks wants the library that
their own programs would load. Entries relative to the working directory, which may be a bundle, are left out, and so is
everything else: LD_PRELOAD and LD_AUDIT, Python's own variables.

Asking may itself make device nodes and load modules, as every program that uses NVML does, by way of the set-uid program
nvidia-modprobe; a probe therefore reads the nodes first.
"""

from __future__ import annotations

import os
import sys
import time

from devproxy.json_text import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# A driver that works answers in a fraction of a second; without persistence mode it first wakes each GPU, which may take
# seconds: DEVPROXY_NVML_SECONDS gives it more.
_SECONDS: Final = 2.0
_MOST_SECONDS: Final = 600.0
# 256 GPUs tell less than this.
_LIMIT: Final = 8 << 20
_GPUS: Final = 256
_MIGS: Final = 64
_ERRORS: Final = 4096

_LIBRARY: Final = "libnvidia-ml.so.1"
_CHILD: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nvml_child.py")
# Signs that there is a driver, whose library the loader may find in ways of its own (a RUNPATH): then it is asked.
_DRIVER: Final = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
_OF_SYSTEM: Final = ("driver", "library", "cuda", "device_count")


def read() -> dict[str, object]:
    """The document: `state` as in `NvmlState`, `why` it is no better, `during` which call it ended, `seconds` it took; the
    facts `driver`, `library`, `cuda`, `device_count`; `gpus`, each with its `rank` and facts as NVML tells them; `errors`.
    """
    return ask(seconds_given())


def seconds_given() -> float:
    """How long NVML may take: DEVPROXY_NVML_SECONDS, where that is a time."""
    try:
        seconds = float(os.environ.get("DEVPROXY_NVML_SECONDS", _SECONDS))
    except ValueError:
        seconds = _SECONDS
    return seconds if 0 < seconds <= _MOST_SECONDS else _SECONDS


def ask(seconds: float) -> dict[str, object]:
    """See `read`; an answer takes no more than `seconds`, and what it takes to end a child."""
    if not any(map(os.path.exists, _DRIVER)) and not find_library():
        return {"state": "no library", "why": f"no driver, and no {_LIBRARY} where the loader looks"}
    binding = find_binding()
    if binding is None:
        return {"state": "failed", "why": "nvidia-ml-py, which asks NVML, is not installed: pip install nvidia-ml-py"}
    from devproxy.errors import DevproxyError
    from devproxy.process import listen

    start = time.monotonic()
    try:
        command = [sys.executable, "-I", _CHILD, str(seconds), binding]
        heard = listen(command, seconds=seconds, limit=_LIMIT, env=child_environment())
    except DevproxyError as error:
        return {"state": "failed", "why": error.message}
    answer = _Answer(heard.out)
    answer.conclude(heard.code, heard.ending)
    return answer.document | {"seconds": round(time.monotonic() - start, 3)}


def find_library() -> str:
    """A file that the dynamic loader would find the library by, or empty: in LD_LIBRARY_PATH, in its cache, in its own
    directories (ld.so(8)).
    """
    multiarch = f"/usr/lib/{os.uname().machine}-linux-gnu"
    for directory in (*_library_path(), multiarch, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"):
        path = os.path.join(directory, _LIBRARY)
        if os.path.exists(path):
            return path
    try:
        with open("/etc/ld.so.cache", "rb") as cache:
            return "/etc/ld.so.cache" if f"{_LIBRARY}\0".encode() in cache.read() else ""
    except OSError:
        return ""


def _library_path() -> list[str]:
    return [entry for entry in os.environ.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":") if entry[:1] == "/"]


def child_environment() -> dict[str, str]:
    """What a process that uses NVML is started with: see above."""
    path = ":".join(_library_path())
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | ({"LD_LIBRARY_PATH": path} if path else {})


def find_binding() -> str | None:
    """The directory that pynvml is in, or None. The working directory is no place for it: it may be a bundle."""
    from importlib.machinery import PathFinder

    try:
        here = os.getcwd()
    except OSError:
        here = ""
    found = PathFinder.find_spec("pynvml", [place for place in sys.path if os.path.isabs(place) and place != here])
    return os.path.dirname(found.origin) if found is not None and found.origin else None


class _Answer:
    """What the child said, put together."""

    def __init__(self, out: bytes) -> None:
        self.document: dict[str, object] = {}
        self._gpus: dict[int, dict[str, object]] = {}
        self._migs: dict[int, dict[int, dict[str, object]]] = {}
        self._errors: list[dict[str, object]] = []
        self._call: dict[str, object] = {}
        self._end: dict[str, object] = {}
        self._garbage = 0
        for line in out.split(b"\n"):
            if line:
                self._hear(line)

    def conclude(self, code: int | None, ending: str) -> None:
        """Say how it ended."""
        document = self.document
        if self._garbage:
            document["garbage"] = self._garbage
        document["errors"] = self._errors
        document["gpus"] = [
            {**facts, "rank": rank, "mig": list(self._migs.get(rank, {}).values())}
            for rank, facts in sorted(self._gpus.items())
        ]
        if self._end and code == 0:
            document["state"], document["why"] = self._state(), str(self._end.get("why", ""))
            return
        call = str(self._call.get("call", "starting to ask"))
        document["state"] = "failed" if code is not None else "timeout"
        document["during"], document["during_gpu"] = call, self._call.get("gpu")
        document["why"] = f"the process that asked ended with {ending}" if code is not None else ending

    def _state(self) -> str:
        state = str(self._end["end"])
        missing = (f"{_LIBRARY}: cannot open", f"Error loading shared library {_LIBRARY}: No such")
        why = str(self._end.get("why", ""))
        if why.startswith(missing) and "No such file" in why:
            self.document["errors"] = []
            return "no library"
        return state

    def _hear(self, line: bytes) -> None:
        try:
            said = loads(line.decode())
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            self._garbage += 1
        elif "call" in said:
            self._call = said
        elif "end" in said:
            self._end = said
        elif "error" in said:
            if len(self._errors) < _ERRORS:
                self._errors.append(
                    {"call": said["error"], "code": said.get("code"), "name": said.get("name"), "gpu": said.get("gpu")}
                )
        elif isinstance(said.get("fact"), str) and "value" in said:
            self._note(said["fact"], said["value"], said.get("gpu"), said.get("mig"))

    def _note(self, fact: str, value: object, gpu: object, mig: object) -> None:
        if gpu is None:
            if fact in _OF_SYSTEM:
                self.document[fact] = value
        elif isinstance(gpu, int) and 0 <= gpu < _GPUS:
            facts = self._gpus.setdefault(gpu, {})
            if mig is None:
                facts[fact] = value
            elif isinstance(mig, int) and 0 <= mig < _MIGS:
                self._migs.setdefault(gpu, {}).setdefault(mig, {})[fact] = value
