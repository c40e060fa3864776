"""The same bundles given to the installed runc and crun: what each makes of them, counted beside devproxy.

SAFE: the process ran and nothing reached the host. REFUSED: it did not run, and nothing reached the host. BROKEN: something did, or
the process ran without what keeps it from the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.attacks import cage
from tests.attacks.catalogue import CATALOGUE, Attack
from tests.attacks.scene import Ran, Scene, fingerprint, scene
from tests.attacks.totals import TOTALS
from tests.attacks.ways import MEMORY, attack
from tests.differential.peers import require, run

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.newest]


def verdict(one: Attack, runner: Callable[[Scene], Ran]) -> str:
    with scene() as made:
        one.arm(made)
        ran = runner(made)
        if made.harm(ran) or one.harm(made, ran) or ran.code is None:
            return "BROKEN"
        return "SAFE" if ran.started else "REFUSED"


def totals(runner: Callable[[Scene], Ran]) -> dict[str, str]:
    before = fingerprint()
    found = {one.name: verdict(one, runner) for one in CATALOGUE}
    assert fingerprint() == before, "the host is not what it was"
    return found


def test_devproxy_fails_none() -> None:
    found = totals(lambda made: attack(made, MEMORY))
    TOTALS["devproxy"] = found
    assert "BROKEN" not in found.values(), found


@pytest.mark.parametrize("tool", ["runc", "crun"])
def test_a_peer_is_counted(tool: str) -> None:
    """What a peer fails is its own affair; that the attacks are some is seen from released ones failing several."""
    program = require(tool)
    version = run(program, "--version")[1].split("\n")[0].removesuffix("+ds1")
    found = totals(lambda made: cage.attack(made, program))
    TOTALS[version] = found
    count = Counter(found.values())
    assert count["SAFE"] >= 3, f"{version} runs hardly anything here: {found}"
    if version in ("runc version 1.1.5", "crun version 1.8.1"):
        assert count["BROKEN"] >= 5, found
