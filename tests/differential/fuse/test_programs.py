"""Our fuse client does what the kernel's does with the same server, and what the server's own directory would do."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from functools import partial

import pytest

from tests.differential.fuse.servers import example
from tests.differential.fuse.worlds import Server, ours, theirs
from tests.differential.vfs import kernel
from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.programs import LONGEST, SEVERAL, WIDE, Call
from vfs.abi import O_TMPFILE_BIT, STATX_BASIC_STATS

pytestmark = [pytest.mark.root, pytest.mark.property, pytest.mark.peer]
TOO_LONG = (LONGEST + "n", WIDE)
needs_device = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse")


def passthrough_ll(cache: str) -> Server:
    program = example("passthrough_ll")
    return Server(lambda directory: [program, "-o", f"source={directory}", "-o", f"xattr,cache={cache}"])


def passthrough() -> Server:
    """By paths: hard links are nodes of their own."""
    program = example("passthrough")
    return Server(lambda directory: [program], below=lambda directory: directory)


def overlayfs() -> Server:
    """Debian's fuse-overlayfs, without its writes being kept in the kernel for a while, which a look at blocks would tell."""
    program = shutil.which("fuse-overlayfs")
    if program is None:
        pytest.skip("needs fuse-overlayfs")

    def prepare(directory: str) -> None:
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{directory}/{name}")

    def command(directory: str) -> list[str]:
        return [
            program,
            "-o",
            f"writeback=0,lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work",
        ]

    return Server(command, prepare=prepare)


def asking_for_all(program: list[Call]) -> list[Call]:
    """Without statx for a part of what stat tells: Linux tells the rest then as it was known, and asks the server for none of it."""
    return [call for call in program if call.name not in {"statx", "fstatx"} or not _asks_for_part(call.arguments[1])]


def setting_no_times(program: list[Call]) -> list[Call]:
    """Nor with access times that were set: what Linux has in its page cache it reads without the server, whose time then stays."""
    return [call for call in asking_for_all(program) if call.name not in {"utime", "futime"}]


def _asks_for_part(mask: object) -> bool:
    assert isinstance(mask, int)
    return mask & STATX_BASIC_STATS != STATX_BASIC_STATS


def named_shortly(program: list[Call]) -> list[Call]:
    """Without names that the VFS finds too long before any server is asked, as Linux's client does not."""
    program = asking_for_all(program)
    return [call for call in program if all(name not in str(each) for each in call.arguments for name in TOO_LONG)]


def without_whiteouts(program: list[Call]) -> list[Call]:
    """The same without making a character device 0:0, after which fuse-overlayfs 1.10 answers ENOENT to a listing: the end of it to
    the C library that asks on the kernel's side.
    """
    return [
        call
        for call in named_shortly(program)
        if call.name != "mknod" or call.arguments[1] != stat.S_IFCHR or call.arguments[3]
    ]


def removing_nothing(program: list[Call]) -> list[Call]:
    """The same without removing what may be open: libfuse hides it under numbers that count what was asked before. And without
    set-id bits, which are not gone at the same moment in every run: why is not settled.
    """
    return [_without_set_id(call) for call in named_shortly(program) if call.name not in {"unlink", "rename"}]


_MODES = {"open": 3, "openat": 4, "mkdir": 1, "mknod": 2, "chmod": 1, "fchmod": 1}
"""Which argument is a mode."""


def _without_set_id(call: Call) -> Call:
    place = _MODES.get(call.name)
    if place is None:
        return call
    mode = call.arguments[place]
    assert isinstance(mode, int)
    return call._replace(arguments=(*call.arguments[:place], mode & ~0o6000, *call.arguments[place + 1 :]))


def as_root(program: list[Call]) -> list[Call]:
    """What root asks of a server that runs as root and knows neither unnamed files, fallocate nor flags of rename, and is not told
    to set mtime when a file is cut to the size that it has.
    """
    return [call._replace(who="root") for call in program if not _is_refused(call)]


def _is_refused(call: Call) -> bool:
    if call.name in {"open", "reopen"}:
        flags = call.arguments[2]
        assert isinstance(flags, int)
        return bool(flags & (O_TMPFILE_BIT | os.O_TRUNC))
    if call.name in {"read", "pread"} and call.arguments[1] == 0:
        return True  # a look that no server hears of
    if call.name in {"statx", "fstatx"}:
        return True  # the protocol has no time of birth before 7.39
    return call.name in {"fallocate", "ftruncate"} or (call.name == "rename" and call.arguments[-1] != 0)


def test_any_program_of_root_does_what_it_does_without_a_server() -> None:
    with ours(passthrough_ll("never"), "allow_other,default_permissions") as run:
        explore("fuse", Comparison(SEVERAL.map(as_root), run, kernel.run_all))


@needs_device
@pytest.mark.parametrize("cache", ["never", "always"])
@pytest.mark.parametrize("options", ["allow_other", "allow_other,default_permissions"])
def test_any_program_does_what_it_does_with_the_kernels_client(options: str, cache: str) -> None:
    server = passthrough_ll(cache)
    programs = SEVERAL.map(asking_for_all if cache == "never" else setting_no_times)
    with ours(server, options) as run:
        explore("fuse, as the kernel", Comparison(programs, run, partial(theirs, server, options)))


@needs_device
@pytest.mark.parametrize(("make", "change"), [(passthrough, removing_nothing), (overlayfs, without_whiteouts)])
def test_any_program_does_the_same_with_other_servers(
    make: Callable[[], Server], change: Callable[[list[Call]], list[Call]]
) -> None:
    server, options = make(), "allow_other,default_permissions"
    with ours(server, options) as run:
        explore("fuse, as the kernel", Comparison(SEVERAL.map(change), run, partial(theirs, server, options)))
