"""rename(2) that loses nothing: a name that is taken is refused, or changes places with the other (renameat2(2))."""

from __future__ import annotations

from devproxy.linux.syscalls import check, encode, libc

_NOREPLACE, _EXCHANGE = 1, 2


def rename_new(directory: int, name: str, new_name: str) -> None:
    """Give something another name in its directory, which nothing has yet (RENAME_NOREPLACE).

    Errors: renameat2(2)'s; EEXIST if something has the name, EINVAL on a file system that cannot tell.
    """
    check(libc.renameat2(directory, encode(name), directory, encode(new_name), _NOREPLACE), new_name)


def exchange(directory: int, first: str, second: str) -> None:
    """Let two names of a directory change places at once (RENAME_EXCHANGE): whoever did it can look at what came out before it goes.

    Errors: renameat2(2)'s; ENOENT if one of them is not there, EINVAL on a file system that cannot.
    """
    check(libc.renameat2(directory, encode(first), directory, encode(second), _EXCHANGE), second)
