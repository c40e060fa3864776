"""What the running machine says without a file: uname(2) and the limits that processes are started with."""

from __future__ import annotations

import errno
import os

from devproxy.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

# The limits that accelerators run into: pinned memory, descriptors, core files of large processes.
_LIMITS: Final = ("RLIMIT_MEMLOCK", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_AS")


def read_live_fact(name: str) -> bytes:
    """The document of one source, as JSON.

    Errors: ENOENT if there is no such source.
    """
    source = _SOURCES.get(name) or _deep_source(name)
    if source is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return dumps(dict(sorted(source().items()))).encode()


def _uname() -> dict[str, object]:
    # Not nodename: whose machine it is, is nobody's business who is given a recording.
    found = os.uname()
    return {"machine": found.machine, "release": found.release, "sysname": found.sysname, "version": found.version}


def _limits() -> dict[str, object]:
    import resource

    def number(value: int) -> int | None:
        return None if value == resource.RLIM_INFINITY else value

    return {name: [number(value) for value in resource.getrlimit(getattr(resource, name))] for name in _LIMITS}


# What a deep probe asks: modules of `host.live`, each with a function `read`.
_DEEP: Final = frozenset(
    (
        "nvml", "udev", "holders", "affinity", "opens",
        "sockets", "kernel_log", "caller", "file_systems", "environment", "runtimes", "selinux_labels", "locks",
        "command_line", "shared_memory", "clock",
    )
)  # fmt: skip


def _deep_source(name: str) -> Callable[[], dict[str, object]] | None:
    if name not in _DEEP:
        return None
    import importlib

    read: Callable[[], dict[str, object]] = importlib.import_module(f"devproxy.host.live.{name}").read
    return read


_SOURCES: Final[dict[str, Callable[[], dict[str, object]]]] = {"uname": _uname, "limits": _limits}


def known_facts() -> frozenset[str]:
    """The names of all sources that this devproxy has."""
    return _DEEP | _SOURCES.keys()
