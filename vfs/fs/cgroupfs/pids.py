"""The pids controller (kernel/cgroup/pids.c): the same files in both versions, none in the root."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fs.cgroupfs.control import ControlFile, Where
from vfs.fs.cgroupfs.values import SPACE, signed
from vfs.task import PID_MAX

if TYPE_CHECKING:
    from vfs.fs.cgroupfs.group import Group

_MAX: Final = "pids.max"


def _store(group: Group, text: str) -> None:
    word = text.strip(SPACE)
    if word == "max":
        group.values.pop(_MAX, None)
        return
    limit = signed(word)
    if not 0 <= limit <= PID_MAX:
        raise error(errno.EINVAL)
    group.values[_MAX] = limit


PIDS: Final = (
    ControlFile("pids.current", lambda group: f"{group.count()}\n", None, Where.BELOW_ROOT),
    ControlFile(_MAX, lambda group: f"{group.values.get(_MAX, 'max')}\n", _store, Where.BELOW_ROOT),
)
