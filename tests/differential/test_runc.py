"""The kernel target beside runc: the same bundles, looked at from inside by the same process."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import pytest

from tests.differential.cases import CASES, Case, beside, device, devices, links, tmpfs, writable
from tests.differential.decisions import Decision, Difference, differences, only_ours, type_is, unexplained
from tests.differential.more_cases import MORE, image_device
from tests.differential.overlay_cases import OVERLAYS
from tests.differential.peers import in_the_oldest_way, with_devproxy, with_runc
from tests.differential.process_cases import process
from tests.differential.seed_cases import SEED
from tests.differential.view import Entry, View

pytestmark = [pytest.mark.root, pytest.mark.peer]


def _root_is_overlaid(difference: Difference) -> bool:
    return difference.what == "mount" and difference.where == "/" and type_is(difference.ours, "overlay")


def _private_tmp(difference: Difference) -> bool:
    if difference.what == "mount":
        return difference.where in ("/tmp", "/scratch") and difference.theirs is None
    return difference.what == "entry" and difference.where == "/tmp"


def _more_in_dev(difference: Difference) -> bool:
    where = difference.where
    return only_ours(difference, "/dev/fuse", "/dev/net", "/dev/net/tun") or (
        difference.what == "entry" and where.startswith(("/dev/char", "/dev/block")) and difference.theirs is None
    )


def _no_core_link(difference: Difference) -> bool:
    return difference.what == "entry" and difference.where == "/dev/core" and difference.ours is None


def _no_cgroup(difference: Difference) -> bool:
    return difference.what == "mount" and difference.ours is None and difference.where.startswith("/sys/fs/cgroup")


def _null_over_a_masked_file(difference: Difference) -> bool:
    # The host's own device, seen on the host's own /dev: an image cannot put another in its place.
    return type_is(difference.ours, "devtmpfs", "tmpfs") and type_is(difference.theirs, "tmpfs") and _masked(difference)


def _masked(difference: Difference) -> bool:
    return difference.where in ("/proc/keys", "/proc/timer_list", "/proc/kcore", "/secret", "/etc/s")


def _bound_on_itself_in_the_overlay(difference: Difference) -> bool:
    return difference.what == "mount" and type_is(difference.ours, "overlay") and difference.where == "/fixed"


# Where the cases mount a tmpfs over a directory that is there.
TMPFS = ("/t", "/s", "/p/q/r/sub", "/w")


def _mode_of_the_mount_point(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    if not (isinstance(ours, Entry) and isinstance(theirs, Entry) and difference.where in TMPFS):
        return False
    return theirs._replace(mode=ours.mode) == ours and theirs.mode != ours.mode


def _depth_decides(difference: Difference) -> bool:
    if difference.what == "order":
        return True
    # A second /dev, listed last, hides the mounts below the first where the spec's order stands; so does any parent.
    return difference.theirs is None and difference.where in ("/dev/pts", "/dev/shm", "/dev/mqueue", "/late/q")


def _domain_name(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    return difference.what == "text" and (ours, theirs) == ("house\nexample.org", "house\n(none)")


def _first_node_stays(difference: Difference) -> bool:
    ours = difference.ours
    return (
        difference.where == "/dev/null"
        and isinstance(ours, Entry)
        and (ours.mode & 0o777, ours.number) == (0o666, "1:3")
    )


DECISIONS = (
    Decision("S40: writes to the root vanish, in an overlay", _root_is_overlaid),
    Decision("S20, S33: parents come before children", _depth_decides),
    Decision("config.md: the domain name is set; runc's old one leaves it", _domain_name),
    Decision("S54: a tmpfs has the mode it is given; runc's old one kept the mount point's", _mode_of_the_mount_point),
    Decision("S69: a node that is there already keeps its mode and owner", _first_node_stays),
    Decision("S40: so does what is bound on itself there", _bound_on_itself_in_the_overlay),
    Decision("CVE-2025-31133: a file is masked by the host's null device", _null_over_a_masked_file),
    Decision("S57, S58, S59: an empty or missing /tmp gets a tmpfs", _private_tmp),
    Decision("S4, S6, H1: /dev has fuse, tun and links by number", _more_in_dev),
    # Where the kernel has no /proc/kcore, runc makes no link to it either.
    *(
        [Decision("S5: /dev has no link to the kernel's memory", _no_core_link)]
        if os.path.exists("/proc/kcore")
        else []
    ),
    Decision("S16: cgroup mounts follow the configuration, none by default", _no_cgroup),
)


EVERY = (*CASES, *MORE, *OVERLAYS, *SEED)
STARTED = [case for case in EVERY if not case.refused]
REFUSED = [case for case in EVERY if case.refused]


@functools.cache
def seen(case: Case) -> tuple[View, View]:
    """What we show and what runc shows, for one bundle written twice."""
    with tempfile.TemporaryDirectory() as directory:
        theirs, their_words = with_runc(case.write(f"{directory}/runc"))
        ours, our_words = with_devproxy(case.write(f"{directory}/devproxy"))
    assert theirs.mounts or case.args, their_words
    assert ours.mounts or case.args, our_words
    return ours, theirs


@pytest.mark.parametrize("case", beside("runc", STARTED, DECISIONS))
def test_shows_what_runc_shows(case: Case) -> None:
    assert unexplained(*seen(case), DECISIONS) == []


@pytest.mark.parametrize("case", STARTED, ids=lambda case: case.name)
def test_the_ways_of_older_kernels_show_the_same(case: Case, tmp_path: Path) -> None:
    oldest, words = in_the_oldest_way(case.write(str(tmp_path)))
    assert oldest.mounts or case.args, words
    assert list(differences(oldest, seen(case)[0])) == []


@pytest.mark.parametrize("case", beside("runc", REFUSED, ()))
def test_refuses_what_runc_refuses(case: Case, tmp_path: Path) -> None:
    theirs, _ = with_runc(case.write(str(tmp_path / "runc")))
    ours, words = with_devproxy(case.write(str(tmp_path / "devproxy")))
    assert theirs.code != 0
    assert ours.code in (2, 125, 126, 127), words
    for view in (ours, theirs):
        assert (view.mounts, view.text) == ([], "")
    assert words.startswith("devproxy: error: ")
    assert case.says in words
    assert "Traceback" not in words


@pytest.mark.rows("S69", oracle="specification")
def test_a_device_that_is_another_already_is_an_error_here_alone(tmp_path: Path) -> None:
    """The specification has it so (config-linux.md, "Devices"); runc starts, and says nothing (S69)."""
    case = Case(
        "another device",
        {**writable(), **devices(device("/img/null", "c", 1, 7, fileMode=0o666))},
        prepare=image_device,
        paths=("/img/null",),
    )
    theirs, _ = with_runc(case.write(str(tmp_path / "runc")))
    kept = theirs.entries["/img/null"]
    assert kept is not None
    assert (theirs.code, kept.number) == (0, "1:3")
    ours, words = with_devproxy(case.write(str(tmp_path / "devproxy")))
    assert (ours.code, ours.mounts) == (125, [])
    assert "/img/null is character device 1:3, expected character device 1:7" in words


def test_relative_entries_of_path_are_passed_over_here_alone(tmp_path: Path) -> None:
    """runc stops at the first that has the program, and refuses it (S13)."""
    case = Case("relative", process(env=["PATH=.:bin:sbin/../bin:/bin"]), args=("echo", "found"))
    theirs, _ = with_runc(case.write(str(tmp_path / "runc")))
    ours, words = with_devproxy(case.write(str(tmp_path / "devproxy")))
    assert theirs.code != 0
    assert (ours.code, ours.text) == (0, "found"), words


@pytest.mark.parametrize("options", [[], ["shared"]])
def test_a_mount_over_the_root_is_left_out_here_alone(options: list[str], tmp_path: Path) -> None:
    """runc mounts it, does not find it by its path then, and stops with the words of an open that failed (S50 to S52)."""
    case = Case("over the root", writable(), mounts=[tmpfs("/top", *options)], prepare=links(top="/"))
    theirs, their_words = with_runc(case.write(str(tmp_path / "runc")))
    ours, words = with_devproxy(case.write(str(tmp_path / "devproxy")))
    assert theirs.code != 0
    assert "no such file or directory" in their_words
    assert ours.code == 0, words
    assert "(leads to the root itself, over which nobody sees a mount)" in words


def test_every_decision_is_needed() -> None:
    used: set[str] = set()
    for case in STARTED:
        unexplained(*seen(case), DECISIONS, used)
    assert used == {decision.name for decision in DECISIONS}
