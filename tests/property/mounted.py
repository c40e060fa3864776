"""Random bundles about mounts, and the same look at what each target makes of them.

What is drawn: an image with links that lead anywhere; mounts of new file systems and of directories and files of a host with mounts of
its own, with attributes and propagation for one and for all below; destinations that are doubled, nested and spelled oddly; devices with
owners and modes; read-only and masked paths under and over all of it.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from typing import Any, NamedTuple

from hypothesis import strategies as st

import devproxy
from devproxy.build import Root
from devproxy.check.mount_table import flags_in_force, type_class
from devproxy.check.outcomes import check_outcomes
from devproxy.errors import DevproxyError
from devproxy.linux import mounts
from devproxy.linux.mountinfo import MountLine
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.oci.configuration import parse_configuration
from devproxy.plan.plan import Plan
from devproxy.targets.kernel.filesystems import new_filesystem
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.view import Entry, of_root
from tests.hosts import host_with_gpus
from tests.property.test_targets_agree import _fill
from tests.roots import build_on

OF_THE_HOST = "of the host"
NAMES = st.sampled_from(["a", "b", "c", "dev", "tmp", "shm"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
LINKS = st.one_of(PATHS, PATHS.map("/{}".format), PATHS.map("../{}".format), st.sampled_from(["/", ".", ".."]))
IMAGE = st.dictionaries(PATHS, st.one_of(st.just("dir"), st.just("file"), LINKS.map("link {}".format)), max_size=6)
ABSOLUTE = st.one_of(
    PATHS.map("/{}".format), st.sampled_from(["/dev", "/dev/shm", "/dev/x", "/a", "/a/b", "/tmp", "/a/sub", "/a/sub/x"])
)
# config.json may spell a destination in any way that leads to the same place by its letters.
SPELLINGS = ("{}", "{}", "{}", "{}/", "{}/.", "/.{}", "/c/..{}", "/{}", "{}//", "/..{}")
DESTINATIONS = st.builds(lambda path, how: how.format(path), ABSOLUTE, st.sampled_from(SPELLINGS))

ATTRIBUTES = ["ro", "rw", "nosuid", "nodev", "noexec", "exec", "noatime", "nodiratime", "strictatime", "nosymfollow"]
BELOW = ["rro", "rrw", "rnosuid", "rnodev", "rdev", "rnoexec", "rnoatime", "rrelatime"]
KINDS = ["shared", "slave", "private", "unbindable"]
PROPAGATION = [*KINDS, *(f"r{kind}" for kind in KINDS)]
WORDS = st.lists(st.sampled_from([*ATTRIBUTES, *PROPAGATION, *PROPAGATION, *BELOW]), max_size=4)
OF_TMPFS = st.sampled_from([[], [], ["mode=0711"], ["size=8k", "mode=1777"], ["uid=3", "gid=4"], ["tmpcopyup"]])
MOUNT = st.one_of(
    st.tuples(DESTINATIONS, st.just("tmpfs"), st.builds(lambda words, data: [*words, *data], WORDS, OF_TMPFS)),
    st.tuples(
        DESTINATIONS, st.sampled_from(["bind dir", "rbind dir", "bind file", "rbind dir/sub/in", "devtmpfs"]), WORDS
    ),
)
MOUNTS = st.lists(MOUNT, max_size=5)
DEVICES = st.lists(
    st.tuples(
        st.one_of(
            ABSOLUTE, ABSOLUTE.map("{}/node".format), st.sampled_from(["/dev/nvidia-uvm", "/dev/null", "/dev/a/b/c"])
        ),
        st.sampled_from([("c", 1, 3), ("c", 510, 0), ("b", 7, 1), ("p", 0, 0)]),
        st.sampled_from([{}, {"fileMode": 0o600}, {"fileMode": 0o640, "uid": 5, "gid": 6}, {"uid": 7}]),
    ),
    max_size=3,
)
# Not below the host's own mount: memory shows it as one with the directory, with the flags of that.
TAKEN = st.lists(
    st.one_of(
        PATHS.map("/{}".format),
        st.builds("{}/{}".format, ABSOLUTE, st.sampled_from(["a", "in", "out", "up", "out/b"])),
        st.sampled_from(["/", "/dev", "/dev/null", "/dev/shm", "/a", "/a/b", "/tmp", "/a/./b"]),
    ).filter(lambda path: "/sub" not in path),
    max_size=3,
)
PROPAGATIONS = st.sampled_from([None, None, None, *KINDS[:3], "rshared", "rslave"])


class Case(NamedTuple):
    """A bundle, as it is drawn."""

    image: dict[str, str]
    mounts: list[tuple[str, str, list[str]]]
    devices: list[tuple[str, tuple[str, int, int], dict[str, int]]]
    readonly_paths: list[str]
    masked_paths: list[str]
    cwd: str
    readonly: bool
    propagation: str | None
    order: str
    overlay: bool


CASES = st.builds(
    Case,
    IMAGE,
    MOUNTS,
    DEVICES,
    TAKEN,
    TAKEN,
    DESTINATIONS,
    st.booleans(),
    PROPAGATIONS,
    st.sampled_from(["depth", "listed"]),
    st.booleans(),
)


class Mounted(NamedTuple):
    """A line of the mount table. `came_along`: it is the host's, below a directory that was bound, which in memory is one with it."""

    point: str
    kind: str
    flags: frozenset[str]
    tags: tuple[str, ...]
    came_along: bool


class Seen(NamedTuple):
    """What a root shows: what became of the steps, the mounts in their order, what is at the paths that were asked for."""

    outcomes: list[Any]
    mounts: list[Mounted]
    entries: dict[str, Entry | None]


class OwnHost:
    """A mount namespace of this process's own, whose mounts are `shared` or not, and what binds of it find: a directory with a
    tmpfs below (`sub`), and a file. For a child: there is no way back.
    """

    def __init__(self, *, shared: bool) -> None:
        unshare(CLONE["mount"])
        mounts.set_propagation_of_everything(mounts.MS_PRIVATE)
        if shared:
            mounts.set_propagation_of_everything(mounts.MS_SHARED)

    def make_sources(self, directory: str, count: int) -> None:
        """A source for each mount, new for each build: a kernel makes mount points in it, which are then seen."""
        self.drop_sources(directory, count)
        for number in range(count):
            host = f"{directory}/host{number}"
            os.makedirs(f"{host}/dir/a")
            os.mkdir(f"{host}/dir/sub")
            for name, target in (("out", "/a"), ("up", "../b"), ("in", "a")):
                os.symlink(target, f"{host}/dir/{name}")
            open(f"{host}/file", "w").close()
            below = new_filesystem("tmpfs", OF_THE_HOST, 0, (), ("mode=0755",))
            place = os.open(f"{host}/dir/sub", os.O_PATH)
            os.mkdir("in", 0o750, dir_fd=below)
            mounts.move_mount(below, place)
            os.close(below)
            os.close(place)

    def drop_sources(self, directory: str, count: int) -> None:
        """Unmount and remove them."""
        for number in range(count):
            host = f"{directory}/host{number}"
            if os.path.ismount(f"{host}/dir/sub"):
                place = os.open(f"{host}/dir/sub", os.O_PATH)
                mounts.detach(place)
                os.close(place)
            shutil.rmtree(host, ignore_errors=True)


def write_case(directory: str, case: Case) -> str:
    """Write the bundle of a case, whose sources are beside it."""
    config = runc_spec_like(root={"path": "rootfs", "readonly": case.readonly})
    config["process"]["cwd"] = case.cwd
    for number, (destination, kind, words) in enumerate(case.mounts):
        host = f"{directory}/host{number}"
        how, _, what = kind.partition(" ")
        if how in ("tmpfs", "devtmpfs"):
            mount = {"type": how, "source": "tmpfs", "options": words}
        else:
            mount = {"type": "bind", "source": f"{host}/{what}", "options": [how, *words]}
        config["mounts"].append({"destination": destination, **mount})
    config["linux"]["devices"] = [
        {"path": path, "type": kind, "major": major, "minor": minor, **more}
        for path, (kind, major, minor), more in case.devices
    ]
    # Which of the usual ones are there is for the kernel to say.
    config["linux"]["readonlyPaths"], config["linux"]["maskedPaths"] = case.readonly_paths, case.masked_paths
    if case.propagation is not None:
        config["linux"]["rootfsPropagation"] = case.propagation
    return write_bundle(directory, config, rootfs="empty")


def fill(rootfs: str, image: dict[str, str]) -> None:
    """Make what an image holds, anew: without an overlay it is what a kernel makes mount points in."""
    shutil.rmtree(rootfs)
    os.mkdir(rootfs)
    _fill(rootfs, image)


def planned(directory: str, case: Case) -> Plan | str:
    """The plan of a case, or what is wrong with it."""
    overlay2 = "root:memory" if case.overlay else "none"
    config = parse_configuration(None, [f"overlay2={overlay2}", f"mount-order={case.order}"]).configuration
    try:
        return devproxy.plan(devproxy.load(write_case(directory, case)), host_with_gpus(), config=config)
    except DevproxyError as error:
        return error.message


def asked(case: Case) -> list[str]:
    """The paths to look at, cleaned."""
    paths = [f"/{path}" for path in case.image]
    for destination, *_ in case.mounts:
        paths += [destination, f"{destination}/a", f"{destination}/sub", f"{destination}/node"]
    paths += [device[0] for device in case.devices]
    paths += [*case.readonly_paths, *case.masked_paths, case.cwd, "/tmp"]
    return [posixpath.normpath(path).replace("//", "/") for path in paths]


def look(plan: Plan, target: str, case: Case) -> Seen | str:
    """What a root shows, or what was said when it was refused."""
    # A copy for a read-only path leaves out what is unbindable: of what is the host's, memory cannot.
    hides_host = any("unbindable" in word for mount in case.mounts for word in mount[2])
    paths = asked(case)
    # Behind a link that a mount has hidden since, the checks look in vain.
    taken = [*case.readonly_paths, *case.masked_paths]
    leads_away = any(what.startswith("link") for what in case.image.values()) or any(
        path.rpartition("/")[2] in {"out", "up"} or "/out/" in path for path in taken
    )
    try:
        with build_on(plan, target) as root:
            if target != "memory" and not leads_away:
                found = [finding.describe() for finding in check_outcomes(root).findings]
                assert found == [], (target, found)
            paths = [path for path in paths if not hides_host or "/sub/" not in path]
            return Seen(_outcomes(root), _mounts(root.mountinfo()), of_root(root, paths).entries)
    except DevproxyError as error:
        return error.message


def _outcomes(root: Root) -> list[Any]:
    return [
        (one.step.describe(), one.result.value, one.found, one.warning, one.kept, one.made)
        for one in root.outcomes
        if not getattr(one.step, "path", "").startswith(("/proc/", "/sys/"))
    ]


def _mounts(lines: list[MountLine]) -> list[Mounted]:
    """The mounts, but for those in proc and sysfs, which are the kernel's to have."""
    seen = []
    for line in lines:
        if line.mount_point.startswith(("/proc/", "/sys/")):
            continue
        is_hosts = line.source == OF_THE_HOST
        kind = "bind" if is_hosts else type_class(line.fstype)
        seen.append(Mounted(line.mount_point, kind, flags_in_force(line), line.tags, is_hosts and line.root == "/"))
    return seen


def comparable(mounts: list[Mounted], beside: list[Mounted]) -> list[Any]:
    """The mounts without those of the host that came along with a directory and that `beside` does not have, groups by first appearance."""
    groups: dict[str, int] = {}
    seen: list[Any] = []
    for mount in mounts:
        there = beside[len(seen)] if len(seen) < len(beside) else None
        if mount.came_along and (there is None or there[:3] != mount[:3]):
            continue
        tags = [tag.partition(":") for tag in mount.tags]
        # What came along hears of other mounts of the host than the directory does.
        numbers = not any(each.came_along for each in (*mounts, *beside))
        told = [f"{word}{groups.setdefault(n, len(groups)) if numbers and n else ''}" for word, _, n in tags]
        seen.append((*mount[:3], told))
    return seen


def differs(one: Seen | str, kernel: Seen | str) -> Any:
    """The first thing in which what a root shows, or what was said, differs from the kernel's."""
    if isinstance(one, str) or isinstance(kernel, str):
        return None if one == kernel else (one, kernel)
    for mine, its in zip(one.outcomes, kernel.outcomes, strict=True):
        if mine != its:
            return mine, its
    ours, theirs = comparable(one.mounts, kernel.mounts), comparable(kernel.mounts, one.mounts)
    if ours != theirs:
        return ours, theirs
    different = [path for path, entry in kernel.entries.items() if one.entries.get(path) != entry]
    return [(path, one.entries.get(path), kernel.entries[path]) for path in different] or None
