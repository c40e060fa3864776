"""Setup killed at any system call: no path ever shows anything but what was there or what should be, the next run does the rest, and
undoing takes all of it back. DEVPROXY_KILLS and DEVPROXY_SEED are those of tests/kills.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from devproxy.jobs.setup.journal import PLACE, Journal
from devproxy.jobs.setup.place import PREFIX
from devproxy.jobs.setup.prepare import prepare
from devproxy.jobs.setup.survey import survey
from devproxy.jobs.setup.work import do, take_back
from tests.devproxy.jobs.setup.rig import bare, on, setup, tree
from tests.devproxy.jobs.setup.test_prepare import facts
from tests.devproxy.jobs.setup.test_real import broken
from tests.hosts.device_facts import with_device_facts
from tests.hosts.machine import Machine
from tests.hosts.make import before_550
from tests.kills.rig import seed
from tests.kills.tracing import Traced

pytestmark = pytest.mark.root

KILLS = int(os.environ.get("DEVPROXY_KILLS", "60")) // 15
SEED = seed()


def bare_driver() -> Machine:
    """No node, no directory, no link; and a stale one of each that stays from before."""
    machine = with_device_facts(before_550())
    machine = bare(machine, facts(machine))
    machine.node("/dev/nvidia-uvm", (511, 0)).link("/dev/char/511:0", "../nvidia-uvm")
    return machine.node("/dev/nvidia0", (195, 0), 0o1232)


@pytest.mark.parametrize("undoing", [False, True], ids=["setup", "undo"])
@pytest.mark.parametrize("made", [bare_driver, broken], ids=["bare", "broken"])
def test_killed_at_a_system_call(made: Callable[[], Machine], undoing: bool) -> None:
    chance = random.Random(f"{SEED} {made.__name__} {undoing}")
    places = [chance.random() for _ in range(KILLS)]
    borders, wrong = on(made(), lambda: _kill_many(places, undoing=undoing))
    assert borders > 200
    assert not wrong, f"DEVPROXY_SEED={SEED}: " + "\n".join(wrong)


def _kill_many(places: list[float], *, undoing: bool) -> tuple[int, list[str]]:
    before = tree()
    actions = prepare(survey())
    _setup(actions)
    after = tree()
    _undo()
    assert tree() == before
    work = _undo if undoing else lambda: _setup(actions)
    borders, wrong = _borders(work, prepared=_setup, actions=actions, undoing=undoing), []
    for place in places:
        if undoing:
            _setup(actions)
        at = int(place * borders) + 1
        _killed(work, at)
        wrong += [f"at {at}: {each}" for each in _judge(before, after)]
    return borders, wrong


def _judge(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is wrong after a kill, after the next run, and after undoing that."""
    wrong = [
        f"{path} is {shown}"
        for path, shown in tree().items()
        if PREFIX not in path and not _is_of(shown, before.get(path), after.get(path))
    ]
    code, said = setup()
    if (code, tree()) != (0, after):
        wrong.append(f"the next run ended with {code}: {_difference(tree(), after)} {said}")
    code, said = setup("--undo")
    if (code, tree()) != (0, before) or os.path.exists(PLACE):
        wrong.append(f"undoing ended with {code}: {_difference(tree(), before)} {said}")
    return wrong


def _is_of(shown: str, before: str | None, after: str | None) -> bool:
    """As before or as after; of a node that stays the owner may be the one and the mode the other: these are two calls."""
    if shown in (before, after):
        return True
    if before is None or after is None or before.split()[2:] != after.split()[2:]:
        return False
    return all(word in pair for word, *pair in zip(shown.split(), before.split(), after.split(), strict=True))


def _difference(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    return sorted(f"{path}: {shown}" for path, shown in found.items() ^ expected.items())


def _setup(actions: Any) -> int:
    """What setup does between two looks."""
    with Journal() as journal:
        for action in actions:
            do(action, journal)
    return 0


def _undo() -> int:
    with Journal() as journal:
        take_back(journal)
    return 0


def _borders(work: Callable[[], int], *, prepared: Callable[[Any], int], actions: Any, undoing: bool) -> int:
    """How many there are, counted once without a kill; the host is as before afterwards."""
    if undoing:
        prepared(actions)
    borders = _killed(work, 0)
    if not undoing:
        _undo()
    return borders


def _killed(work: Callable[[], int], at: int) -> int:
    """Do it in a child that is killed at a border of its system calls; how many it came to."""
    traced = Traced(work)
    traced.run_until(at, lambda pid: os.kill(pid, 9))
    while True:
        try:
            pid, status = os.waitpid(-1, 0x40000000)
        except ChildProcessError:
            return traced.stops
        traced.reap(pid, status)
