"""Every attack in every way of devproxy's: refused in words, or harmless."""

from __future__ import annotations

import pytest

from tests.attacks.catalogue import CATALOGUE, Attack
from tests.attacks.more import MORE
from tests.attacks.scene import fingerprint, scene
from tests.attacks.ways import AS_ROOT, NONE, OLDEST, OLDEST_OVERLAY, ROOTLESS, SELF, WITHOUT_ROOT, Way, attack
from tests.unprivileged import UID, user_namespaces

WAYS = [pytest.param(way, id=way.name, marks=pytest.mark.root) for way in AS_ROOT]
WAYS += [pytest.param(way, id=way.name) for way in WITHOUT_ROOT]
# root.path is the operator's word: what it leads to is the image, which is changed where that is asked for.
ASKED_FOR = {("root_is_symlink", way.name) for way in (NONE, OLDEST, SELF, ROOTLESS)}


FEWER = [param for param in WAYS if param.id not in (NONE.name, OLDEST_OVERLAY.name)]
CASES = [(one, way) for cases, ways in ((CATALOGUE, WAYS), (MORE, FEWER)) for one in cases for way in ways]


@pytest.mark.newest  # the oldest kernel is one of the ways
@pytest.mark.parametrize(
    ("one", "way"),
    [
        pytest.param(one, *way.values, marks=pytest.mark.root if one.needs else way.marks, id=f"{one.name}-{way.id}")
        for one, way in CASES
    ],
)
def test_the_host_stays_as_it_is(one: Attack, way: Way) -> None:
    if (one.name, way.name) in ASKED_FOR:
        return
    if way.rootless and not user_namespaces():
        pytest.skip("an ordinary user can have no user namespace here")
    before = fingerprint()
    with scene(UID) as made:
        one.arm(made)
        ran = attack(made, way)
        harm = made.harm(ran) or (one.harm(made, ran) if way.verb == "run" else "")
        assert harm == "", f"{one.name} ({one.origin}): {ran}"
        assert ran.code is not None, "it hangs"
        if ran.code and not ran.started:
            assert ran.code in (1, 2, 125, 126, 127), ran
            assert "devproxy: error: " in ran.err, ran
            assert "a defect of devproxy:" not in ran.err, ran
            assert "Traceback" not in ran.err, ran
    assert fingerprint() == before, "the host is not what it was"
