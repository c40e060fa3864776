"""Programs about propagation, and the two worlds that run them: what each call leaves in the mount table is its result."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from typing import TYPE_CHECKING, Any

from devproxy.linux.mountinfo import MountLine, parse_line
from tests.differential.vfs import kernel, mounts, simulated
from tests.differential.vfs import recipes as st
from tests.differential.vfs.explore import Comparison
from tests.differential.vfs.kernel import AT_FDCWD, check, libc
from tests.differential.vfs.programs import Call
from vfs import ROOT, BindOptions, MkdirOptions, MountFlags, MountOptions, Propagation, UmountOptions
from vfs.mountinfo import mountinfo

if TYPE_CHECKING:
    from collections.abc import Callable

MS_MOVE, MS_REC = 0x2000, 0x4000
AT_RECURSIVE = 0x8000
SYS_MOUNT_SETATTR = 442
ATIME = 0x70

KINDS = {
    "shared": (1 << 20, Propagation.SHARED),
    "slave": (1 << 19, Propagation.SLAVE),
    "private": (1 << 18, Propagation.PRIVATE),
    "unbindable": (1 << 17, Propagation.UNBINDABLE),
}
ATTRIBUTES = {
    "ro": (0x1, MountFlags.RDONLY),
    "nosuid": (0x2, MountFlags.NOSUID),
    "nodev": (0x4, MountFlags.NODEV),
    "noexec": (0x8, MountFlags.NOEXEC),
    "relatime": (0, MountFlags.RELATIME),
    "noatime": (0x10, MountFlags.NOATIME),
    "strictatime": (0x20, MountFlags.STRICTATIME),
    "nodiratime": (0x80, MountFlags.NODIRATIME),
    "nosymfollow": (0x200000, MountFlags.NOSYMFOLLOW),
}
INSIDE = ("a", "b")
"""The directories of a new file system."""

PLACES = st.sampled_from(
    ["a", "a", "b", "b", "c", "a/a", "a/b", "b/a", "b/b", "c/a", "a/a/a", "a/b/a", "b/a/b", ".", "f"]
)
NAMES = st.lists(st.sampled_from(list(ATTRIBUTES)), max_size=2, unique=True)
SOME_NAMES = st.lists(st.sampled_from(list(ATTRIBUTES)), min_size=1, max_size=2, unique=True)


def _call(name: str, *arguments: st.Recipe[Any]) -> st.Recipe[Call]:
    return st.builds(Call, st.just(name), st.tuples(*arguments))


PROPAGATION = _call("propagation", PLACES, st.sampled_from(["shared", "shared", *KINDS]), st.booleans())
BINDS = _call("bind", PLACES, PLACES, st.booleans())
MOUNTS = _call("mount", PLACES, st.just(0))
UMOUNTS = _call("umount", PLACES, st.sampled_from([0, 0, 2]))
OTHERS = st.one_of(
    _call("move", PLACES, PLACES),
    _call("attributes", PLACES, SOME_NAMES, NAMES, st.booleans()),
    _call("open", st.integers(0, 1), PLACES, st.just(os.O_RDONLY), st.just(0)),
    _call("close", st.integers(0, 1)),
)
MANY = st.lists(
    st.one_of(PROPAGATION, PROPAGATION, BINDS, BINDS, MOUNTS, MOUNTS, UMOUNTS, OTHERS), min_size=8, max_size=30
)
FEW = st.lists(st.one_of(PROPAGATION, BINDS, MOUNTS, UMOUNTS, OTHERS), min_size=4, max_size=12)
PROGRAMS = st.one_of(FEW, MANY)

# Two peers, so that there is something to hear of.
START = [
    *(Call("mkdir", (path, 0o777)) for path in ("a", "b", "c", "a/a", "a/b", "b/a", "c/a")),
    Call("mknod", ("f", stat.S_IFREG, 0o644, 0)),
    Call("mount", ("a", 0)),
    Call("propagation", ("a", "shared", False)),
    Call("bind", ("a", "b", False)),
]
GROWING = frozenset({"mount", "bind", "clone", "attach"})
CROWDED = 60
"""Mounts at which nothing is added: a few recursive binds on each other make a hundred thousand."""
TOLD = frozenset({"mount", "bind", "move", "umount", "propagation", "attributes"})


class KernelWorld(mounts.KernelWorld):
    """mount(2) and mount_setattr(2)."""

    told = TOLD
    rows = 0

    def attempt(self, call: Call) -> object:
        if self.rows > CROWDED and call.name in GROWING:
            return "crowded"
        result = super().attempt(call)
        if result is not None or call.name not in self.told:
            return result
        table = self.table()
        self.rows = len(table)
        return table

    def mount(self, path: str, flags: int) -> None:
        super().mount(path, flags)
        for name in INSIDE:
            os.mkdir(f"{path}/{name}", 0o777)

    def move(self, source: str, target: str) -> None:
        if not _is_root(os.stat, source, target):
            check(libc.mount(os.fsencode(source), os.fsencode(target), None, MS_MOVE, None))

    def propagation(self, path: str, kind: str, recursive: bool) -> None:
        check(libc.mount(None, os.fsencode(path), None, KINDS[kind][0] | (MS_REC if recursive else 0), None))

    def attributes(self, path: str, add: list[str], remove: list[str], recursive: bool) -> None:
        wanted, clear = (sum(ATTRIBUTES[name][0] for name in names) for names in (_one_atime(add), _no_atime(remove)))
        clear |= ATIME if set(add) & {"relatime", "noatime", "strictatime"} else 0
        data = struct.pack("=4Q", wanted, clear, 0, 0)
        flags = AT_RECURSIVE if recursive else 0
        check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, data, ctypes.c_size_t(len(data))))

    def table(self) -> list[object]:
        with os.fdopen(os.open("mountinfo", os.O_RDONLY, dir_fd=self.process)) as file:
            return told(file.read().splitlines())

    def tree(self, path: str) -> list[object]:
        return kernel.World.tree(self, path)


class SimulatedWorld(mounts.SimulatedWorld):
    """The same calls on ours."""

    told = TOLD
    rows = 0

    def attempt(self, call: Call) -> object:
        if self.rows > CROWDED and call.name in GROWING:
            return "crowded"
        result = super().attempt(call)
        if result is not None or call.name not in self.told:
            return result
        table = self.table()
        self.rows = len(table)
        return table

    def mount(self, path: str, flags: int) -> None:
        self.vfs.mount_at(self.creds, "none", self.at(path), "tmpfs", MountOptions(MountFlags.RELATIME, "mode=0777"))
        for name in INSIDE:
            self.vfs.mkdir_at(ROOT, self.at(f"{path}/{name}"), MkdirOptions(0o777))

    def bind(self, source: str, target: str, recursive: bool) -> None:
        self.vfs.bind_at(self.creds, self.at(source), self.at(target), BindOptions(recursive=recursive))

    def umount(self, path: str, flags: int) -> None:
        if not _is_root(self._stat, path):
            self.vfs.umount_at(self.creds, self.at(path), UmountOptions(flags))

    def move(self, source: str, target: str) -> None:
        if not _is_root(self._stat, source, target):
            self.vfs.move_mount_at(self.creds, self.at(source), self.at(target))

    def propagation(self, path: str, kind: str, recursive: bool) -> None:
        self.vfs.set_propagation_at(self.creds, self.at(path), KINDS[kind][1], recursive=recursive)

    def attributes(self, path: str, add: list[str], remove: list[str], recursive: bool) -> None:
        wanted, clear = MountFlags(0), MountFlags(0)
        for name in _one_atime(add):
            wanted |= ATTRIBUTES[name][1]
        for name in _no_atime(remove):
            clear |= ATTRIBUTES[name][1]
        self.vfs.set_mount_flags_at(self.creds, self.at(path), wanted, clear, recursive=recursive)

    def table(self) -> list[object]:
        namespace = self.root.mount.namespace
        assert namespace is not None
        assert namespace.mount_count == len(list(namespace))
        return told(mountinfo(namespace))

    def tree(self, path: str) -> list[object]:
        return simulated.World.tree(self, path)

    def _stat(self, path: str) -> os.stat_result:
        return self.vfs.stat_at(self.creds, self.at(path))


def _is_root(look: Callable[[str], os.stat_result], path: str, target: str = "/") -> bool:
    # What is above the root of a namespace is not the same in the two worlds.
    look(target)
    return os.path.samestat(look(path), look("/"))


def _one_atime(names: list[str]) -> list[str]:
    """Without a second way of keeping access times: that is no value of the field."""
    atimes = [name for name in names if name in {"relatime", "noatime", "strictatime"}]
    return [name for name in names if name not in atimes[1:]]


def _no_atime(names: list[str]) -> list[str]:
    return [name for name in names if name not in {"relatime", "noatime", "strictatime"}]


def told(lines: list[str]) -> list[object]:
    """The mount table from the root down: what is where, with flags and tags; devices and groups by first appearance."""
    children: dict[int, list[MountLine]] = {}
    parsed = [parse_line(line) for line in lines]
    for line in parsed:
        children.setdefault(line.parent_id, []).append(line)
    known = {line.mount_id for line in parsed}
    pending = [(0, line) for line in parsed if line.parent_id not in known or line.parent_id == line.mount_id]
    numbers: dict[str, int] = {}
    rows: list[object] = []
    while pending:
        depth, line = pending.pop()
        tags = [_renumbered(tag, numbers) for tag in line.tags]
        device = numbers.setdefault(line.device, len(numbers))
        rows.append((depth, line.mount_point, device, line.root, line.options, tags))
        below = sorted(children.get(line.mount_id, ()), key=lambda each: each.mount_point, reverse=True)
        pending += [(depth + 1, each) for each in below if each is not line]
    return rows


def _renumbered(tag: str, numbers: dict[str, int]) -> str:
    kind, colon, group = tag.partition(":")
    return f"{kind}:{numbers.setdefault('group ' + group, len(numbers))}" if colon else kind


def run_kernel(programs: list[list[Call]]) -> list[list[object]]:
    """See `kernel.run_all`."""
    return mounts.run_kernel(programs, KernelWorld)


def run_simulated(program: list[Call]) -> list[object]:
    """See `simulated.run`."""
    return SimulatedWorld(MountFlags.RELATIME).run(program)


COMPARISON = Comparison(PROGRAMS.map(lambda program: [*START, *program]), run_simulated, run_kernel)
