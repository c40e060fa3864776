"""A writable hostfs and the directory that it shows answer alike, called through the VFS or directly, also when others change it."""

from __future__ import annotations

import os
from functools import partial

import pytest

from tests.differential.vfs import hostfs
from tests.differential.vfs import recipes as st
from tests.differential.vfs.explore import Comparison, check, explore
from tests.differential.vfs.programs import SEVERAL, Call, is_basic
from vfs.abi import RENAME_WHITEOUT

pytestmark = [pytest.mark.root, pytest.mark.property]


def comparable(call: Call) -> bool:
    """Whether the machine is asked the same: it knows more name spaces of attributes."""
    if call.name in {"reopen", "fchmod", "fchown", "futime"} or (call.name[0] == "f" and "xattr" in call.name):
        # A directory that is open and has no name any more cannot be changed, nor can anything be opened again without one.
        return False
    if call.name == "listxattr":
        return True
    return "xattr" not in call.name or call.arguments[1] in {"user.a", "user.b"}


def _without_calls(call: Call) -> bool:
    """Whether a call does without `HostCalls`."""
    if call.name in {"statx", "fstatx"} or (call.name == "fallocate" and call.arguments[1] != 0):
        return False
    return comparable(call) and is_basic(call)


def _comparison(programs: st.Recipe[list[Call]], *, exclusive: bool, with_calls: bool) -> Comparison[list[Call]]:
    ours = partial(hostfs.run, exclusive=exclusive, with_calls=with_calls)
    return Comparison(programs, ours, hostfs.run_kernel)


def _mixed(program: list[Call], others: list[Call], places: list[int]) -> list[Call]:
    """A program in which somebody else does something at some places. Where a directory stays in somebody's hands, it is not moved
    away or removed meanwhile: what is then changed about it cannot be seen any more.
    """
    calls = [call for call in program if comparable(call)]
    if places[0] % 2:
        calls = [call for call in calls if call.name not in {"chdir", "openat"}]
    else:
        others = [other for other in others if other.arguments[0] not in {"rmdir", "rename"}]
    for other, place in zip(others, places, strict=False):
        calls.insert(place % (len(calls) + 1), other)
    return calls


SHARED = _comparison(
    st.builds(
        _mixed,
        SEVERAL,
        st.lists(hostfs.OUTSIDE, min_size=5, max_size=25),
        st.lists(st.integers(0, 1000), min_size=25, max_size=25),
    ),
    exclusive=False,
    with_calls=True,
)
EXCLUSIVE = _comparison(
    SEVERAL.map(lambda program: [call for call in program if comparable(call)]), exclusive=True, with_calls=True
)
BARE = _comparison(
    SEVERAL.map(lambda program: [call for call in program if _without_calls(call)]), exclusive=False, with_calls=False
)
COMPARISONS = {"hostfs": BARE, "hostfs, exclusive": EXCLUSIVE, "hostfs, shared": SHARED}


@pytest.mark.parametrize("subject", COMPARISONS)
def test_any_program_does_the_same(subject: str) -> None:
    explore(subject, COMPARISONS[subject])


_NEW = os.O_RDWR | os.O_CREAT
PROGRAMS: dict[str, tuple[str, list[Call]]] = {
    "who moves something in changes both directories": (
        "hostfs, exclusive",
        [
            Call("mkdir", ("b", 0o777)),
            Call("open", (1, "a", _NEW, 0o700), "user"),
            Call("rename", ("a", "b/a", RENAME_WHITEOUT)),
            Call("stat", ("b", True)),
        ],
    ),
    "a file without a name is still known": (
        "hostfs, shared",
        [Call("open", (2, "a", _NEW, 0)), Call("unlink", ("a",)), Call("fstatx", (2, 4095))],
    ),
    "what others changed decides": (
        "hostfs, shared",
        [
            Call("open", (2, "a", _NEW, 0o4755), "user"),
            Call("outside", ("chmod", "a", "c")),
            Call("ftruncate", (2, 1), "user"),
        ],
    ),
    "what others changed about the working directory decides": (
        "hostfs, shared",
        [
            Call("mkdir", ("c", 0o777), "user"),
            Call("chdir", ("c",)),
            Call("outside", ("chmod", "c", "a")),
            Call("rmdir", ("b/a",), "bare root"),
        ],
    ),
    "O_NOATIME is the machine's": (
        "hostfs, shared",
        [
            Call("open", (1, "a", _NEW, 0o644), "user"),
            Call("outside", ("utime", "a", "a")),
            Call("open", (2, "a", os.O_RDWR | os.O_NOATIME, 0), "user"),
            Call("pread", (2, 9000, 0), "user"),
        ],
    ),
    "the other name of a file stays": (
        "hostfs, exclusive",
        [
            Call("open", (0, "a", _NEW, 0o666)),
            Call("link", ("a", "b", False)),
            Call("link", ("b", "c", False)),
            Call("unlink", ("c",)),
            Call("rename", ("b", "d", 0)),
            Call("close", (0,)),
            Call("unlink", ("a",)),
            Call("truncate", ("d", 5)),
            Call("stat", ("d", True)),
        ],
    ),
}


@pytest.mark.parametrize(("subject", "program"), PROGRAMS.values(), ids=PROGRAMS)
def test_what_once_differed(subject: str, program: list[Call]) -> None:
    check(COMPARISONS[subject], program)
