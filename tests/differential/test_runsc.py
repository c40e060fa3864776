"""The memory target beside runsc, gVisor's own runtime: the same bundles, its mount table and /dev against ours.

The runsc that Debian 12 has is older than the behaviour that devproxy follows (docs/decisions.md); where that shows, a decision
says so.
"""

from __future__ import annotations

import functools
import stat
import tempfile
from pathlib import Path

import pytest

import devproxy
from tests.differential.cases import CASES, Case, beside, writable
from tests.differential.decisions import Decision, Difference, only_ours, type_is, unexplained
from tests.differential.link_cases import LINKS, NOWHERE
from tests.differential.more_cases import MORE, ORDERS
from tests.differential.peers import with_devproxy, with_runsc
from tests.differential.seed_cases import RUNSC_ALONE, RUNSC_REFUSES, SEED
from tests.differential.view import Entry, MountSeen, View, of_root

pytestmark = [pytest.mark.root, pytest.mark.peer]

# What its mount table tells of a mount; the rest it takes and forgets.
FLAGS_IT_KNOWS = frozenset({"ro", "rw", "noexec", "noatime"})
NAMES_IT_USES = {"hostfs": "9p", "devtmpfs": "tmpfs"}


def _flags_it_forgets(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    if not (isinstance(ours, MountSeen) and isinstance(theirs, MountSeen)):
        return False
    lost = theirs.flags & {"ro", "rw"} == set()  # S56: its noatime takes the place of ro and rw
    known = FLAGS_IT_KNOWS - {"ro", "rw"} if lost else FLAGS_IT_KNOWS
    return (ours.fstype, ours.flags & known) == (theirs.fstype, theirs.flags & known)


def _last_option_wins(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    if not (isinstance(ours, MountSeen) and isinstance(theirs, MountSeen)):
        return False
    return ours.flags == {"rw", "relatime"} and theirs.flags == {"ro", "noexec"}


def _tmp_where_it_leads(difference: Difference) -> bool:
    return difference.where in ("/tmp", "/scratch") and difference.what in ("mount", "entry")


def _where_a_link_leads(difference: Difference) -> bool:
    return difference.where.split("/")[1] in ("gone", "made")


def _number_of_a_node(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    return isinstance(ours, Entry) and isinstance(theirs, Entry) and theirs == ours._replace(number="0:0")


def _root_is_overlaid(difference: Difference) -> bool:
    return difference.what == "mount" and difference.where == "/" and type_is(difference.ours, "overlay")


def _more_types(difference: Difference) -> bool:
    return difference.where == "/dev/mqueue" and difference.theirs is None


def _made_from_the_spec(difference: Difference) -> bool:
    return difference.theirs is None and difference.where in DEVICES


def _made_parent(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    if not (isinstance(ours, Entry) and isinstance(theirs, Entry) and difference.where in ("/a", "/a/b")):
        return False
    return (stat.S_IMODE(ours.mode), stat.S_IMODE(theirs.mode)) == (0o755, 0o777)


def _links_by_number(difference: Difference) -> bool:
    return only_ours(difference, difference.where) and difference.where.startswith(("/dev/char", "/dev/block"))


def _masks(difference: Difference) -> bool:
    if difference.where in ("/x", "/fixed/in") and difference.theirs is None:
        return True
    return difference.where in ("/secret", "/hidden", "/fixed", "/etc/s") or difference.where.startswith(
        ("/proc/", "/sys/")
    )


def _devpts_root(difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    if not (isinstance(ours, Entry) and isinstance(theirs, Entry) and difference.where == "/dev/pts"):
        return False
    return (stat.S_IMODE(ours.mode), stat.S_IMODE(theirs.mode)) == (0o755, 0o555)


# In memory nothing runs: what is compared is what is there, and not what a process alone can tell.
TOLD = ("S13", "S25", "S29", "S30")
EVERY = [case for case in (*CASES, *MORE, *SEED, *RUNSC_ALONE) if not (case.args or case.refused)]
# What runc does not start, and runsc does.
TYPES = (
    Case(
        "file system types that nobody knows",
        writable(),
        [{"destination": f"/{name}", "type": name, "source": "x"} for name in ("foofs", "xfs", "foo.sshfs")],
        paths=("/foofs", "/xfs", "/foo.sshfs"),
        rows=("S48",),
    ),
    Case(
        "type none without a bind option",
        writable(),
        [{"destination": "/plain", "type": "none", "source": "x"}],
        paths=("/plain/devices/system/cpu", "/plain/class", "/plain/kernel"),
        rows=("S49",),
    ),
)
THROUGH_LINKS = [
    case
    for case in EVERY
    if case.name == "destinations through symbolic links" or (case in LINKS and case.name != "a loop of links")
] + [case for case in NOWHERE if "through another" in case.name]
DEVICES = {
    device["path"]
    for case in EVERY
    for device in case.changes.get("linux", {}).get("devices", [])
    if device["path"] != "/dev/null"
} | {"/dev/sub", "/dev/sub/dir", "/dev/a", "/dev/a/b", "/dev/a/b/c", "/outside", "/sealed"}

DECISIONS = (
    Decision("S24: every OCI mount option counts", _flags_it_forgets),
    Decision("S24: the last of a pair of options wins", _last_option_wins),
    Decision("S57, S58, S59: the internal /tmp goes where /tmp leads, and /tmp/ is /tmp", _tmp_where_it_leads),
    Decision("S52: a mount point that is a link to nowhere is made where it leads, as runc does", _where_a_link_leads),
    Decision("S71: a device of the image has its number; its gofer hides it", _number_of_a_node),
    Decision("S40: writes to the root vanish, in an overlay", _root_is_overlaid),
    Decision("S50: a missing parent of a mount point gets 0755, as runc and newer gVisor do", _made_parent),
    Decision("S48: every registered type can be mounted", _more_types),
    Decision("S7, S37, S66, S67, S68, S69, S70, H2, H3: linux.devices are made", _made_from_the_spec),
    Decision("H1: /dev has links by number", _links_by_number),
    Decision("masked and read-only paths hold in memory too", _masks),
    Decision("devpts has the mode that Linux gives it", _devpts_root),
)


@functools.cache
def seen(case: Case) -> tuple[View, View] | str:
    """Our memory view and runsc's of one bundle, or what runsc said when it refused."""
    with tempfile.TemporaryDirectory() as directory:
        theirs, words = with_runsc(case.write(f"{directory}/runsc"), f"{directory}/state")
        plan = devproxy.plan(devproxy.load(case.write(f"{directory}/devproxy")), devproxy.probe())
        with devproxy.build(plan) as root:
            ours = of_root(root, list(case.paths))
    if not theirs.mounts:
        return words
    ours.mounts = [mount._replace(fstype=NAMES_IT_USES.get(mount.fstype, mount.fstype)) for mount in ours.mounts]
    ours.code, ours.text = theirs.code, theirs.text  # nothing runs in memory
    return ours, theirs


@pytest.mark.parametrize("case", beside("runsc", EVERY, DECISIONS, TOLD))
def test_shows_what_runsc_shows(case: Case) -> None:
    result = seen(case)
    if isinstance(result, str) and case.name == "a /tmp that is a link to itself":
        # Nobody asked for that mount, and runc starts it too.
        assert "too many symbolic links" in result
    elif isinstance(result, str) and case.name == "a tmpfs with size=0x100000":
        # It reads decimal and octal numbers; the kernel hexadecimal ones too.
        assert "invalid argument" in result
    elif isinstance(result, str):
        # S52: the old runsc does not follow a link on the way to a mount point.
        assert case in THROUGH_LINKS, result
        assert "creating mount point" in result
        assert "not a directory" in result
    else:
        assert unexplained(*result, DECISIONS) == []


def binds(case: Case) -> bool:
    """Whether the case has binds: ours are copied, and so numbered, before anything is mounted (S34)."""
    return any(mount["type"] == "bind" for mount in case.mounts)


@pytest.mark.rows("S20", "S33", oracle="runsc")
@pytest.mark.parametrize(
    "case", [case for case in (*ORDERS, *RUNSC_ALONE) if not binds(case)], ids=lambda case: case.name
)
def test_both_mount_parents_first(case: Case) -> None:
    result = seen(case)
    assert not isinstance(result, str)
    for view in result:
        points = [mount.point for mount in view.mounts]
        first = {point: points.index(point) for point in points}
        for number, point in enumerate(points):
            above = [other for other in first if point.startswith(f"{other.rstrip('/')}/") and other != point]
            assert all(first[other] < number for other in above), points


@pytest.mark.parametrize("case", beside("runsc", RUNSC_REFUSES, ()))
def test_refuses_what_runsc_refuses(case: Case, tmp_path: Path) -> None:
    theirs, words = with_runsc(case.write(str(tmp_path / "runsc")), str(tmp_path / "state"))
    assert (theirs.code, theirs.mounts, theirs.text) == (128, [], ""), words
    ours, words = with_devproxy(case.write(str(tmp_path / "devproxy")))
    assert (ours.code, ours.mounts, ours.text) == (2, [], ""), words
    assert case.says in words


# Decisions are for what is made beside these mounts; of the mounts themselves none is excused.
@pytest.mark.parametrize("case", beside("runsc", TYPES, ()))
def test_types_are_taken_and_passed_over_as_by_runsc(case: Case) -> None:
    result = seen(case)
    assert not isinstance(result, str), result
    assert unexplained(*result, DECISIONS) == []
    ours, theirs = result
    assert [ours.entries[path] for path in case.paths] == [theirs.entries[path] for path in case.paths]
    own = {mount["destination"] for mount in case.mounts}
    mounted = [[(mount.point, mount.fstype) for mount in view.mounts if mount.point in own] for view in result]
    assert mounted[0] == mounted[1]
    assert (case.rows == ("S49",)) == any(mount.point in own for mount in theirs.mounts)


# Where the decision about /tmp has nothing to decide: who mounts there, and who finds it empty, is told as by runsc.
TMPS = {
    "a /tmp of the spec": "S57",
    "a bind at /tmp": "S57",
    "runc-spec": "S58",
    "no /tmp in the image": "S58",
    "a /tmp with something in it": "S58",
    "a /tmp that is a file": "S58",
    "a mount below /tmp": "S58",
    "a /tmp that is a link to a full directory": "S59",
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=pytest.mark.rows(TMPS[case.name], oracle="runsc"))
        for case in EVERY
        if case.name in TMPS
    ],
)
def test_tmp_is_as_runsc_makes_it(case: Case) -> None:
    result = seen(case)
    assert not isinstance(result, str), result
    ours, theirs = (
        [
            [(mount.point, mount.fstype) for mount in view.mounts if mount.point.startswith("/tmp")],
            {path: entry for path, entry in view.entries.items() if path.startswith("/tmp")},
        ]
        for view in result
    )
    assert ours == theirs


def test_every_decision_is_needed() -> None:
    used: set[str] = set()
    for case in EVERY:
        result = seen(case)
        if not isinstance(result, str):
            unexplained(*result, DECISIONS, used)
    assert used == {decision.name for decision in DECISIONS}
