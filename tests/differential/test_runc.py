"""The kernel target beside runc: the same bundles, looked at from inside by the same process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.cases import CASES, Case
from tests.differential.decisions import Decision, Difference, only_ours, type_is, unexplained
from tests.differential.peers import with_devproxy, with_runc

pytestmark = [pytest.mark.root, pytest.mark.peer]


def _root_is_overlaid(difference: Difference) -> bool:
    return difference.what == "mount" and difference.where == "/" and type_is(difference.ours, "overlay")


def _private_tmp(difference: Difference) -> bool:
    if difference.what == "mount":
        return difference.where == "/tmp" and difference.theirs is None
    return difference.what == "entry" and difference.where == "/tmp"


def _more_in_dev(difference: Difference) -> bool:
    where = difference.where
    return only_ours(difference, "/dev/fuse", "/dev/net", "/dev/net/tun") or (
        difference.what == "entry" and where.startswith(("/dev/char", "/dev/block/")) and difference.theirs is None
    )


def _no_core_link(difference: Difference) -> bool:
    return difference.what == "entry" and difference.where == "/dev/core" and difference.ours is None


def _no_cgroup(difference: Difference) -> bool:
    return difference.what == "mount" and difference.ours is None and difference.where.startswith("/sys/fs/cgroup")


DECISIONS = (
    Decision("S40: writes to the root vanish, in an overlay", _root_is_overlaid),
    Decision("S57: an empty or missing /tmp gets a tmpfs", _private_tmp),
    Decision("S6, H1: /dev has fuse, tun and links by number", _more_in_dev),
    Decision("S5: /dev has no link to the kernel's memory", _no_core_link),
    Decision("S16: cgroup mounts follow the configuration, none by default", _no_cgroup),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_shows_what_runc_shows(case: Case, tmp_path: Path) -> None:
    theirs, their_words = with_runc(case.write(str(tmp_path / "runc")))
    ours, our_words = with_devproxy(case.write(str(tmp_path / "devproxy")))
    assert theirs.mounts, their_words
    assert ours.mounts, our_words
    assert unexplained(ours, theirs, DECISIONS) == []
