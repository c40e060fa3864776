"""A root that tells lies about itself: what a check has to find out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Self

from devproxy.build import Root
from devproxy.linux.mountinfo import MountLine
from devproxy.outcome import Outcome, Outcomes
from devproxy.targets.root import Kept
from devproxy.targets.root import Root as TargetRoot


def made_up(mode: int, rdev: int = 0, uid: int = 0, gid: int = 0) -> os.stat_result:
    """A stat result; mode holds the kind too."""
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0), {"st_rdev": rdev})


def changed(found: os.stat_result, **fields: int) -> os.stat_result:
    """A stat result with some fields changed: `mode` (all of st_mode), `rdev`, `uid`, `gid`."""
    return made_up(
        fields.get("mode", found.st_mode),
        fields.get("rdev", found.st_rdev),
        fields.get("uid", found.st_uid),
        fields.get("gid", found.st_gid),
    )


@dataclass
class Lies:
    """What differs from the truth. `stats` replaces what is there, or adds what is not; `refused` answers EACCES."""

    stats: dict[str, os.stat_result] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    contents: dict[str, bytes] = field(default_factory=dict)
    mounts: Callable[[list[MountLine]], list[MountLine]] = lambda lines: lines


class LyingTree:
    """The surface of a built root, with lies told. A context manager as the door says, though nobody enters it."""

    def __init__(self, truth: TargetRoot, lies: Lies) -> None:
        self._truth = truth
        self._lies = lies

    @property
    def simulated(self) -> bool:
        return self._truth.simulated

    def _check(self, path: str) -> None:
        if path in self._lies.refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        if path in self._lies.missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def listdir(self, path: str) -> list[str]:
        self._check(path)
        prefix = path.rstrip("/") + "/"
        told = [p for p in (*self._lies.stats, *self._lies.links) if p.startswith(prefix)]
        added = {p[len(prefix) :] for p in told if "/" not in p[len(prefix) :]}
        gone = {p[len(prefix) :] for p in self._lies.missing if p.startswith(prefix)}
        return sorted((set(self._truth.listdir(path)) | added) - gone)

    def stat(self, path: str) -> os.stat_result:
        self._check(path)
        return self._lies.stats.get(path) or self._truth.stat(path)

    def lstat(self, path: str) -> os.stat_result:
        self._check(path)
        if path in self._lies.links:
            return made_up(stat.S_IFLNK | 0o777)
        return self._lies.stats.get(path) or self._truth.lstat(path)

    def read_bytes(self, path: str) -> bytes:
        self._check(path)
        return self._lies.contents[path] if path in self._lies.contents else self._truth.read_bytes(path)

    def open(self, path: str, mode: str = "rb", *, devices: bool = False) -> IO[Any]:
        self._check(path)
        return self._truth.open(path, mode, devices=devices)

    def readlink(self, path: str) -> str:
        self._check(path)
        return self._lies.links.get(path) or self._truth.readlink(path)

    def mountinfo(self) -> list[MountLine]:
        self._check("/proc/self/mountinfo")
        return self._lies.mounts(self._truth.mountinfo())

    def kept(self) -> list[Kept]:
        return self._truth.kept()

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def lying(root: Root, lies: Lies, outcomes: Sequence[Outcome] | None = None) -> Root:
    """`root`, but for the lies."""
    return Root(
        root.plan,
        root.outcomes if outcomes is None else Outcomes.of(outcomes),
        LyingTree(root.tree, lies),
        root.rootless,
    )
