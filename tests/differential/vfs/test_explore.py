"""The search itself: it finds a difference, shrinks it, and makes exactly the operations that it is asked for."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import pytest

from tests.differential.vfs import operations
from tests.differential.vfs import recipes as st
from tests.differential.vfs.explore import Comparison, check, explore, smallest
from tests.differential.vfs.programs import ACTORS, Call
from tests.differential.vfs.test_tmpfs import COMPARISON
from vfs.credentials import Capability

LETTERS = st.lists(st.sampled_from("abcdefghij"), min_size=5, max_size=30)
seen: list[list[str]] = []


def faithful(program: list[str]) -> list[object]:
    return [letter.upper() for letter in program]


def wrong(program: list[str]) -> list[object]:
    """Answers wrongly to "b" once there was an "a"."""
    return ["?" if letter == "b" and "a" in program[:step] else letter.upper() for step, letter in enumerate(program)]


def all_of(programs: list[list[str]]) -> list[list[object]]:
    seen.extend(programs)
    return [faithful(program) for program in programs]


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> str:
    seen.clear()
    monkeypatch.setitem(operations.SHARES, "letters", 1)
    monkeypatch.setattr(operations, "done", type(operations.done)())
    monkeypatch.setattr(operations, "WANTED", 123_400)
    return "letters"


def test_exactly_what_is_asked_for_is_compared(subject: str) -> None:
    explore(subject, Comparison(LETTERS, faithful, all_of))
    assert operations.done == {"letters": 1234}
    assert sum(map(len, seen)) == 1234
    assert "1,234 on letters" in (operations.summary() or "")


def test_a_difference_is_found_and_shrunk(subject: str) -> None:
    comparison = Comparison(LETTERS, wrong, all_of)
    with pytest.raises(pytest.fail.Exception, match=r"(?s)DEVPROXY_SEED=.*a,\n +b,\nb:\n +ours: +\?\n +kernel: B"):
        explore(subject, comparison)
    assert smallest(comparison, list("jiahgfbedc")) == ["a", "b"]
    check(comparison, list("bcda"))
    with pytest.raises(pytest.fail.Exception):
        check(comparison, list("acb"))


@pytest.mark.root
def test_each_actor_is_who_it_says() -> None:
    """What the kernel lets an actor do shows which credentials it has: who holds CAP_CHOWN gives files away, and so on."""
    flags = os.O_RDWR | os.O_CREAT
    program = [
        Call("open", (0, "a", flags, 0o600)),
        Call("chown", ("a", 4000, 4000, True)),
        Call("chmod", ("a", 0o600)),
    ]
    asked: dict[str, Callable[[str], Call]] = {
        "DAC_OVERRIDE": lambda who: Call("truncate", ("a", 1), who),
        "CHOWN": lambda who: Call("chown", ("a", 1001, 1001, True), who),
        "FOWNER": lambda who: Call("utime", ("a", 5, 5, True), who),
        "MKNOD": lambda who: Call("mknod", ("n", stat.S_IFCHR, 0, os.makedev(240, 7)), who),
        "SYS_ADMIN": lambda who: Call("setxattr", ("a", "trusted.a", b"", 0, True), who),
        "SETFCAP": lambda who: Call("removexattr", ("a", "security.capability", True), who),
    }
    cases = [(name, who) for name in asked for who in ACTORS]
    answers = COMPARISON.theirs([[*program, asked[name](who)] for name, who in cases])
    for (name, who), answer in zip(cases, answers, strict=True):
        refused = answer[len(program)] in {"E1", "E13"}
        assert refused == (Capability[name] not in ACTORS[who].capabilities), (name, who, answer)
