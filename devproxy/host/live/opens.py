"""What opening each accelerator says, in a child process with a deadline: a driver may hang in open(2).

Who opens a vfio group or a TPU keeps others from it meanwhile, and an idle GPU is started by it: it is done only when it
was asked for. Primary DRM nodes (/dev/dri/cardN) are left out: who opens one first becomes its master.
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.host.live.accelerators import live_nodes
from devproxy.host.live.deadline import TooLate, lines_within
from devproxy.json_text import dumps, loads
from devproxy.node import number_of_rdev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

# A GPU without persistence mode takes seconds to start.
_SECONDS: Final = 15.0
_MOST: Final = 512
_FLAGS: Final = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def read() -> dict[str, object]:
    """`{"opens": [{"path", "errno", "number"}], "left_out": how many}`."""
    paths = [node.path for node in live_nodes() if not node.path.startswith("/dev/dri/card")]
    return {"left_out": len(paths[_MOST:]), "opens": open_each(paths[:_MOST])}


def open_each(paths: Sequence[str], seconds: float = _SECONDS) -> list[object]:
    """Open each of them. One that does not answer in time is ETIMEDOUT, and the rest go on."""
    found: list[object] = []
    while len(found) < len(paths):
        rest = paths[len(found) :]
        try:
            found += (loads(line) for line in lines_within(seconds, lambda rest=rest: _open_all(rest)))  # type: ignore[misc]
        except (TooLate, ChildProcessError):
            found.append({"errno": "ETIMEDOUT", "number": "", "path": paths[len(found)]})
    return found


def _open_all(paths: Sequence[str]) -> Iterator[str]:
    return (dumps(_open(path)) for path in paths)


def _open(path: str) -> dict[str, object]:
    """One node: what it is, is asked of the open descriptor, since a path may lead elsewhere a moment later."""
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        return {"errno": errno.errorcode.get(error.errno or 0, "EIO"), "number": "", "path": path}
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    number = str(number_of_rdev(found.st_rdev)) if stat.S_ISCHR(found.st_mode) else ""
    return {"errno": "", "number": number, "path": path}
