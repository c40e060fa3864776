"""A process that exchanges two names for ever, as fast as the kernel lets it: a directory, and a link to the canary."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devproxy.linux.process import die_with_parent
from devproxy.linux.syscalls import check, libc

SECONDS = float(os.environ.get("DEVPROXY_RACE_SECONDS", "10"))  # for each kind of race
_EXCHANGE = 2


@contextmanager
def swapping(place: Path, target: str | Path) -> Iterator[None]:
    """Exchange `place` and a link to `target` that is made beside it, whichever of the two is there. When it ends the
    two are as they were.
    """
    other = place.with_name(f"{place.name}.other")
    other.symlink_to(target)
    was_link = place.is_symlink()
    folder = os.open(place.parent, os.O_PATH | os.O_DIRECTORY)
    names = place.name.encode(), other.name.encode()
    child = os.fork()
    if child == 0:
        _swap_for_ever(folder, *names)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if other.is_symlink() == was_link:
            check(libc.renameat2(folder, names[0], folder, names[1], _EXCHANGE))
        other.unlink()
        os.close(folder)


def _swap_for_ever(folder: int, one: bytes, other: bytes) -> None:
    die_with_parent()
    while True:
        try:
            check(libc.renameat2(folder, one, folder, other, _EXCHANGE))
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOENT):
                os._exit(1)
