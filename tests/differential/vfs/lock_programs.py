"""Random programs of lock calls by several processes, on few files and few ranges, so that they meet."""

from __future__ import annotations

import fcntl
import os
from typing import Any, NamedTuple

from tests.differential.vfs import recipes as st

PROCESSES = 3
FILES = ("a", "b")
SIZE = 100
"""How long each file is."""
TOP = (1 << 63) - 1


class LockCall(NamedTuple):
    """One call, and the number of the process that makes it."""

    name: str
    arguments: tuple[Any, ...]
    process: int


SLOTS = st.integers(0, 2)
TYPES = st.sampled_from([fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK] * 6 + [3])
WHENCES = st.sampled_from([os.SEEK_SET] * 6 + [os.SEEK_CUR, os.SEEK_END, os.SEEK_END, 3])
STARTS = st.one_of(
    *[st.sampled_from([0, 10, 20, 30, 40, 50])] * 4, st.sampled_from([-1, -10, -101, 9, 99, TOP, TOP - 5])
)
LENGTHS = st.one_of(*[st.sampled_from([0, 10, 20, 1])] * 4, st.sampled_from([-1, -10, -11, 5, 100, TOP, 6, 7, -TOP]))
PIDS = st.sampled_from([0] * 12 + [1])
ACCESS = st.sampled_from([os.O_RDWR] * 5 + [os.O_RDONLY, os.O_WRONLY, os.O_ACCMODE, os.O_PATH])
BSD = st.sampled_from(
    [fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN, 0, fcntl.LOCK_SH | fcntl.LOCK_EX, 32]
)
PROCESS = st.integers(0, PROCESSES - 1)


def _call(name: str, *arguments: st.Recipe[Any]) -> st.Recipe[LockCall]:
    return st.builds(LockCall, st.just(name), st.tuples(*arguments), PROCESS)


_LOCK = (SLOTS, TYPES, WHENCES, STARTS, LENGTHS, PIDS)
_CALLS = st.one_of(
    _call("open", SLOTS, st.sampled_from(FILES), ACCESS),
    _call("open", SLOTS, st.just("a"), st.just(os.O_RDWR)),
    _call("close", SLOTS),
    _call("dup", SLOTS, SLOTS),
    _call("send", SLOTS, PROCESS, SLOTS),
    _call("seek", SLOTS, st.sampled_from([0, 10, 25])),
    *[_call("set_posix", *_LOCK)] * 5,
    *[_call("get_posix", *_LOCK)] * 3,
    *[_call("set_ofd", *_LOCK)] * 3,
    *[_call("get_ofd", *_LOCK)] * 2,
    *[_call("flock", SLOTS, BSD.map(lambda operation: operation | fcntl.LOCK_NB))] * 3,
)
_OPENED = [
    LockCall("open", (slot, name, os.O_RDWR), process)
    for process in range(PROCESSES)
    for slot, name in enumerate(("a", "a", "b"))
]
LOCKING = st.lists(_CALLS, min_size=10, max_size=60).map(lambda calls: [*_OPENED, *calls])
