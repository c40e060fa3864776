"""Directories that devproxy keeps for itself between runs: nobody else can put anything into them."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.errors import DevproxyError
from devproxy.linux.paths import above_stdio

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_own(parent: int, name: str) -> None:
    """Make it in an open directory, with mode 0700. What stands there already is looked at by `open_own`. Errors: mkdir(2)'s."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return


def open_own(parent: int, name: str, path: str, hint: str) -> int:
    """A descriptor of one, not below 3. `path` is what it is called to the user.

    Errors: DevproxyError, with the hint, for a link, for anything but a directory, and for one that somebody else owns or may
    look into; else open(2)'s.
    """
    try:
        folder = above_stdio(os.open(name, _DIRECTORY, dir_fd=parent))
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise _foreign(path, "no directory", hint) from None
    found = os.fstat(folder)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(folder)
        raise _foreign(path, f"of uid {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}", hint)
    return folder


def _foreign(path: str, what: str, hint: str) -> DevproxyError:
    return DevproxyError(f"{path} is {what}, expected a directory of uid {os.geteuid()} with mode 0700", hint=hint)
