"""Our fuse client does what the kernel's does with the same server, and what the server's own directory would do."""

from __future__ import annotations

import os

import pytest

from tests.differential.fuse.servers import example
from tests.differential.fuse.worlds import backing, by_kernel, ours
from tests.differential.vfs import kernel
from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.programs import SEVERAL, Call
from vfs.abi import O_TMPFILE_BIT

pytestmark = [pytest.mark.root, pytest.mark.property]


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
    with backing() as source:
        command = [example("passthrough_ll"), "-o", f"source={source}", "-o", "xattr,cache=never"]
        with ours(",allow_other,default_permissions", *command) as run:
            explore("fuse", Comparison(SEVERAL.map(as_root), run, kernel.run_all))


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse")
@pytest.mark.parametrize("cache", ["never", "always"])
@pytest.mark.parametrize("options", ["allow_other", "allow_other,default_permissions"])
def test_any_program_does_what_it_does_with_the_kernels_client(options: str, cache: str) -> None:
    with backing() as source:
        command = [example("passthrough_ll"), "-o", f"source={source}", "-o", f"xattr,cache={cache}"]
        with ours(f",{options}", *command) as run:

            def theirs(programs: list[list[Call]]) -> list[list[object]]:
                return by_kernel(options, source, command, programs)

            explore("fuse, as the kernel", Comparison(SEVERAL, run, theirs))
