"""Container engines and runtimes: which programs there are and their versions, and the settings that decide about devices.

The programs run at the same time, each with a deadline. Of configuration files only single settings are told: the rest may
hold a registry's password.
"""

from __future__ import annotations

import re
import threading

from devproxy.errors import DevproxyError
from devproxy.host.live.engine_settings import read_configurations
from devproxy.process import find_program, listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_PROGRAMS: Final = (
    "docker", "containerd", "crio", "podman", "runc", "crun", "runsc",
    "nvidia-container-runtime", "nvidia-ctk", "nvidia-container-cli", "nv-fabricmanager",
)  # fmt: skip
# A runtime in its place: asking it for a version makes it look for the one below, which is here already.
_UNASKED: Final = frozenset(("nvidia-container-runtime",))
_DRIVERS: Final = ("nvproxy", "list-supported-drivers")
_SECONDS: Final = 0.8
_MOST_BYTES: Final = 64 << 10
_MOST_DRIVERS: Final = 200
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "HOME": "/",
}
_VERSION: Final = re.compile(r"\bv?(\d+\.\d+(?:\.\d+)*(?:[-+~][\w.+~-]{1,40})?|release-\d{8}\.\d+)")
_DRIVER: Final = re.compile(r"\d{3,4}\.\d{1,4}(?:\.\d{1,4})?")


def read() -> dict[str, object]:
    """`{"programs": [{"name", "path", "version", "drivers", "why"}], "configurations": [{"name", "path", "settings",
    "why"}]}`.
    """
    return {"configurations": read_configurations(), "programs": ask_programs(_PROGRAMS)}


def ask_programs(names: Iterable[str]) -> list[object]:
    """Each program that is there. `why` says what became of one that did not answer."""
    found = [{"drivers": [], "name": n, "path": p, "version": "", "why": ""} for n in names if (p := find_program(n))]
    threads = [
        threading.Thread(target=_ask, args=(each,), daemon=True) for each in found if each["name"] not in _UNASKED
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(found)


def _ask(program: dict[str, object]) -> None:
    path = str(program["path"])
    said, why = _listen((path, "--version"))
    version = _VERSION.search(said)
    program["version"], program["why"] = version[1] if version else "", why
    if program["name"] == "runsc" and version:
        program["drivers"] = drivers_in(_listen((path, *_DRIVERS))[0])


def drivers_in(text: str) -> list[str]:
    """The versions that `runsc nvproxy list-supported-drivers` lists."""
    return [line.strip() for line in text.split("\n") if _DRIVER.fullmatch(line.strip())][:_MOST_DRIVERS]


def _listen(argv: tuple[str, ...]) -> tuple[str, str]:
    try:
        heard = listen(argv, seconds=_SECONDS, limit=_MOST_BYTES, env=_ENVIRONMENT)
    except DevproxyError as error:
        return "", str(error)
    return (heard.out.decode("utf-8", "replace"), "") if heard.code == 0 else ("", heard.ending)
