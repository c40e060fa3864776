"""Every mount option of the OCI specification, on a new file system and on a bind: in memory, on the kernel, with runc.

What is compared is mountinfo: the flags of the mount, its tags (groups renumbered), the flags of its file system.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

import devproxy
from devproxy.linux.mountinfo import MountLine, parse_line
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import with_runc_raw
from tests.hosts import host_with_gpus

pytestmark = pytest.mark.root

ATTRIBUTES = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nosymfollow", "symfollow")
ATIMES = ("noatime", "atime", "nodiratime", "diratime", "relatime", "norelatime", "strictatime", "nostrictatime")
PROPAGATION = ("shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable")
SUPERBLOCK = ("sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime")
NOTHING = ("defaults", "silent", "loud", "noiversion")
OPTIONS: tuple[tuple[str, ...], ...] = (
    *((option,) for option in (*ATTRIBUTES, *ATIMES, *PROPAGATION, *SUPERBLOCK, *NOTHING)),
    *((f"r{option}",) for option in (*ATTRIBUTES, *ATIMES)),
    ("ro", "rw"),
    ("noatime", "nodiratime"),
    ("noatime", "strictatime"),
    ("strictatime", "relatime"),
    ("noexec", "rexec"),
    ("nosuid", "nodev", "noexec", "ro", "noatime", "nosymfollow"),
    ("shared", "unbindable"),
    ("unbindable", "shared"),
    ("private", "slave"),
    ("sync", "dirsync", "lazytime"),
    ("sync", "async"),
)
"""All but bind and rbind, which every bind has, remount, idmap and ridmap, which are refused, and iversion, tmpcopyup."""

SUPERBLOCK_SHOWN = frozenset({"sync", "dirsync", "mand", "lazytime"})


class Seen(NamedTuple):
    """What a line says about a mount."""

    options: tuple[str, ...]
    tags: tuple[str, ...]
    superblock: frozenset[str]


# runc 1.1 hands "defaults" to the file system as data, asks mount_setattr(2) for half an atime field, and lets strictatime
# stand whatever follows, where the last of two should win (S24).
NOT_RUNC = (("defaults",), ("ratime",), ("rnostrictatime",), ("strictatime", "relatime"))
RUNC = [number for number, options in enumerate(OPTIONS) if options not in NOT_RUNC]
RECURSIVE = frozenset(f"r{option}" for option in (*ATTRIBUTES, *ATIMES))


def bundle(directory: str, numbers: Iterable[int]) -> str:
    """Each of the options on a tmpfs with another tmpfs in it, and on a bind of a directory."""
    os.makedirs(f"{directory}/source")
    mounts: list[dict[str, Any]] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    for number in numbers:
        options = OPTIONS[number]
        mounts.append({"destination": f"/t/{number}", "type": "tmpfs", "source": "t", "options": list(options)})
        if "rro" not in options:
            mounts.append({"destination": f"/t/{number}/in", "type": "tmpfs", "source": "t"})
        words = ["bind", *(word for word in options if word not in SUPERBLOCK)]
        mounts.append({"destination": f"/b/{number}", "source": f"{directory}/source", "options": words})
    config = runc_spec_like(mounts=mounts, root={"readonly": False})
    config["process"]["args"] = ["cat", "/proc/self/mountinfo"]
    return write_bundle(directory, config)


def of_lines(lines: list[MountLine]) -> dict[str, Seen]:
    """What is said about each of our mount points."""
    groups: dict[str, int] = {}
    seen = {}
    for line in lines:
        if line.mount_point.startswith(("/t/", "/b/")):
            tags = [tag.partition(":") for tag in line.tags]
            told = tuple(f"{kind}{colon}{groups.setdefault(n, len(groups)) if n else ''}" for kind, colon, n in tags)
            seen[line.mount_point] = Seen(line.options, told, SUPERBLOCK_SHOWN.intersection(line.super_options))
    return seen


@cache
def on(target: str) -> dict[str, Seen]:
    """The mounts on one of our targets."""
    with TemporaryDirectory() as directory:
        plan = devproxy.plan(devproxy.load(bundle(directory, range(len(OPTIONS)))), host_with_gpus())
        with devproxy.build(plan, target) as root:
            return of_lines(root.mountinfo())


@cache
def with_runc() -> dict[str, Seen]:
    """The mounts that runc makes of the same bundle."""
    with TemporaryDirectory() as directory:
        out = with_runc_raw(bundle(directory, RUNC))
    return of_lines([parse_line(line) for line in out.splitlines()])


@pytest.mark.rows("S56", "H24", oracle="kernel")
@pytest.mark.parametrize("number", range(len(OPTIONS)), ids=lambda number: ",".join(OPTIONS[number]))
@pytest.mark.rows("S24", "S27", oracle="kernel")
def test_memory_shows_what_the_kernel_shows(number: int) -> None:
    points = [f"/t/{number}", f"/t/{number}/in", f"/b/{number}"]
    memory, kernel = on("memory"), on("kernel")
    assert [(point, memory.get(point)) for point in points] == [(point, kernel.get(point)) for point in points]
    assert points[0] in kernel
    assert points[2] in kernel


@pytest.mark.rows("H24", oracle="runc")
@pytest.mark.peer
@pytest.mark.parametrize("number", RUNC, ids=lambda number: ",".join(OPTIONS[number]))
@pytest.mark.rows("S24", "S27", oracle="runc")
def test_the_kernel_shows_what_runc_shows(number: int) -> None:
    # runc 1.1 gives recursive attributes to binds alone.
    points = [f"/b/{number}"] if RECURSIVE.intersection(OPTIONS[number]) else [f"/t/{number}", f"/b/{number}"]
    for point in points:
        assert (point, without_numbers(on("kernel")[point])) == (point, without_numbers(with_runc()[point]))


def without_numbers(seen: Seen) -> Seen:
    """As seen, but for the groups' numbers: runc makes the mounts in another order."""
    return seen._replace(tags=tuple(tag.partition(":")[0] for tag in seen.tags))
