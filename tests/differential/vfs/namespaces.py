"""Programs in several mount namespaces, and the two worlds that run them: unshare, setns, pivot_root, chroot, detached trees.

Names on which something is mounted in one namespace are removed and renamed in another; what is open or worked in stays busy.
"""

from __future__ import annotations

import os
from typing import Any

from tests.differential.vfs import kernel, mounts, propagation
from tests.differential.vfs import recipes as st
from tests.differential.vfs.explore import Comparison
from tests.differential.vfs.kernel import AT_FDCWD, CLONE_NEWNS, check, libc
from tests.differential.vfs.programs import Call
from tests.differential.vfs.propagation import ATTRIBUTES, INSIDE, PROPAGATION, START, told
from vfs import ROOT, BindOptions, File, Mount, MountFlags, MountNamespace, OpenOptions, PathOperation, VirtualDentry
from vfs.mountinfo import mountinfo
from vfs.resolve import at, cross_mounts

MS_BIND, MS_REMOUNT = 0x1000, 0x20
SYS_OPEN_TREE, SYS_MOVE_MOUNT = 428, 429
OPEN_TREE_CLONE, AT_RECURSIVE, MOVE_MOUNT_F_EMPTY_PATH = 1, 0x8000, 4
REMOUNT_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1 << 10, "strictatime": 1 << 24}

PLACES = st.sampled_from(
    [
        "a",
        "a",
        "b",
        "b",
        "c",
        "a/a",
        "a/b",
        "b/a",
        "b/b",
        "c/a",
        "a/a/a",
        "a/b/a",
        ".",
        "..",
        "/",
        "/a",
        "/b",
        "/a/a",
        "f",
    ]
)
PIVOTS = st.sampled_from(
    [("c", "c/a"), ("c", "c/b"), ("c", "c"), (".", "."), ("/c", "/c/a/a"), ("a", "a/a"), ("b", "b/b")]
)
SLOTS = st.integers(0, 2)
CLONES = st.integers(0, 1)


def _call(name: str, *arguments: st.Recipe[Any]) -> st.Recipe[Call]:
    return st.builds(Call, st.just(name), st.tuples(*arguments))


MOUNTING = st.one_of(
    PROPAGATION,
    _call("mount", PLACES, st.just(0)),
    _call("mount", st.one_of(PLACES, st.just("c")), st.just(0)),
    _call("bind", PLACES, PLACES, st.booleans()),
    _call("move", PLACES, PLACES),
    _call("umount", PLACES, st.sampled_from([0, 0, 2, 4, 4, 8, 6, 16])),
    _call("remount", PLACES, st.lists(st.sampled_from(list(REMOUNT_FLAGS)), max_size=2, unique=True)),
)
SWITCHING = st.one_of(
    _call("unshare", SLOTS),
    _call("visit", SLOTS),
    _call("visit", SLOTS),
    _call("release", SLOTS),
    _call("pivot_root", PLACES, PLACES),
    st.builds(Call, st.just("pivot_root"), PIVOTS),
    st.builds(Call, st.just("pivot_root"), PIVOTS),
    _call("chdir", PLACES),
)
DETACHED = st.one_of(
    _call("clone", CLONES, PLACES, st.booleans()), _call("attach", CLONES, PLACES), _call("discard", CLONES)
)
NAMING = st.one_of(
    _call("mkdir", PLACES, st.just(0o777)),
    _call("rmdir", PLACES),
    _call("unlink", PLACES),
    _call("rename", PLACES, PLACES, st.just(0)),
    _call("stat", PLACES, st.booleans()),
    _call("listdir", PLACES),
    _call("open", CLONES, PLACES, st.sampled_from([os.O_RDONLY, os.O_PATH]), st.just(0)),
    _call("close", CLONES),
)
CALLS = st.one_of(MOUNTING, MOUNTING, MOUNTING, SWITCHING, SWITCHING, DETACHED, NAMING, NAMING)
PROGRAMS = st.one_of(st.lists(CALLS, min_size=4, max_size=14), st.lists(CALLS, min_size=10, max_size=40))
TOLD = propagation.TOLD | {"remount", "unshare", "visit", "pivot_root", "chroot", "attach", "rmdir", "unlink", "rename"}


class KernelWorld(propagation.KernelWorld):
    """setns(2) takes the root and working directory along to the root of the namespace."""

    told = TOLD

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.namespaces = {0: self.descriptor_of_namespace()}
        self.current = 0
        self.clones: dict[int, int] = {}

    def descriptor_of_namespace(self) -> int:
        return os.open("ns/mnt", os.O_RDONLY, dir_fd=self.process)

    def mount(self, path: str, flags: int) -> None:
        mounts.KernelWorld.mount(self, path, flags)
        for name in INSIDE:
            os.mkdir(f"{path}/{name}", 0o777)

    def remount(self, path: str, names: list[str]) -> None:
        flags = sum(REMOUNT_FLAGS[name] for name in _one_atime(names))
        check(libc.mount(None, os.fsencode(path), None, MS_REMOUNT | MS_BIND | flags, None))

    def pivot_root(self, new: str, old: str) -> None:
        check(libc.syscall(mounts.SYS_PIVOT_ROOT, os.fsencode(new), os.fsencode(old)))

    def chroot(self, path: str) -> None:
        os.chroot(path)

    def unshare(self, slot: int) -> str | None:
        if slot in self.namespaces:
            return "taken"
        check(libc.unshare(CLONE_NEWNS))
        self.namespaces[slot] = self.descriptor_of_namespace()
        self.current = slot
        return None

    def visit(self, slot: int) -> str | None:
        if slot not in self.namespaces:
            return "missing"
        check(libc.setns(self.namespaces[slot], CLONE_NEWNS))
        self.current = slot
        return None

    def release(self, slot: int) -> str | None:
        if slot == self.current or slot not in self.namespaces:
            return "no"
        os.close(self.namespaces.pop(slot))
        return None

    def clone(self, slot: int, path: str, recursive: bool) -> None:
        self.discard(slot)
        flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
        descriptor = libc.syscall(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags)
        check(descriptor)
        self.clones[slot] = descriptor

    def attach(self, slot: int, path: str) -> str | None:
        if slot not in self.clones:
            return "missing"
        target = os.fsencode(path)
        check(libc.syscall(SYS_MOVE_MOUNT, self.clones[slot], b"", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH))
        self.discard(slot)
        return None

    def discard(self, slot: int) -> None:
        if slot in self.clones:
            os.close(self.clones.pop(slot))

    def tree(self, path: str) -> list[object]:
        rows: list[object] = []
        for slot in sorted(self.namespaces):
            self.visit(slot)
            rows.append([self.table(), *kernel.World.tree(self, "/")])
        return rows


class SimulatedWorld(propagation.SimulatedWorld):
    """The same calls on ours: roots and working directories are held by files."""

    told = TOLD

    def __init__(self, flags: MountFlags) -> None:
        super().__init__(flags)
        namespace = self.root.mount.namespace
        assert namespace is not None
        self.namespaces: dict[int, MountNamespace] = {0: namespace}
        self.current = 0
        self.clones: dict[int, Mount] = {}
        self.held: list[File] = []
        self.stand(self.root, self.cwd)

    def stand(self, root: VirtualDentry, cwd: VirtualDentry) -> None:
        held = [self.vfs.open_at(ROOT, at(place), OpenOptions(os.O_PATH)) for place in (root, cwd)]
        self.root, self.cwd = root, cwd
        for file in self.held:
            file.close()
        self.held = held

    def chdir(self, path: str) -> None:
        super().chdir(path)
        self.stand(self.root, self.cwd)

    def chroot(self, path: str) -> None:
        before = self.cwd
        super().chdir(path)
        self.stand(self.cwd, before)

    def remount(self, path: str, names: list[str]) -> None:
        names = _one_atime(names)
        wanted, every = MountFlags(0), MountFlags(0)
        for name in ATTRIBUTES:
            every |= ATTRIBUTES[name][1]
        for name in names:
            wanted |= ATTRIBUTES[name][1]
        kept = MountFlags.NOATIME | MountFlags.RELATIME | MountFlags.STRICTATIME | MountFlags.NODIRATIME
        if not wanted & kept:
            every &= ~kept
        self.vfs.set_mount_flags_at(self.creds, self.at(path), wanted, every & ~wanted)

    def pivot_root(self, new: str, old: str) -> None:
        moved = self.vfs.pivot_root_at(self.creds, self.at(new), self.at(old))
        self.stand(moved.moved(self.root), moved.moved(self.cwd))

    def unshare(self, slot: int) -> str | None:
        if slot in self.namespaces:
            return "taken"
        copy = self.vfs.copy_mount_namespace(self.creds, self.namespaces[self.current])
        self.namespaces[slot] = copy.namespace
        self.current = slot
        self.stand(copy.moved(self.root), copy.moved(self.cwd))
        return None

    def visit(self, slot: int) -> str | None:
        if slot not in self.namespaces:
            return "missing"
        self.current = slot
        top = cross_mounts(*self.namespaces[slot].root)
        self.stand(top, top)
        return None

    def release(self, slot: int) -> str | None:
        if slot == self.current or slot not in self.namespaces:
            return "no"
        self.vfs.release_mount_namespace(self.namespaces.pop(slot))
        return None

    def clone(self, slot: int, path: str, recursive: bool) -> None:
        self.discard(slot)
        self.clones[slot] = self.vfs.clone_mount(self.creds, self.at(path), BindOptions(recursive=recursive))

    def attach(self, slot: int, path: str) -> str | None:
        if slot not in self.clones:
            return "missing"
        self.vfs.connect_mount_at(self.creds, self.clones[slot], self.at(path))
        del self.clones[slot]
        return None

    def discard(self, slot: int) -> None:
        if slot in self.clones:
            self.vfs.discard_mount(self.clones.pop(slot))

    def table(self) -> list[object]:
        for namespace in self.namespaces.values():
            assert namespace.mount_count == len(list(namespace))
        return told(mountinfo(self.namespaces[self.current], self.root))

    def tree(self, path: str) -> list[object]:
        rows: list[object] = []
        for slot in sorted(self.namespaces):
            self.visit(slot)
            rows.append([self.table(), *super().tree("/")])
        return rows

    def at(self, path: str, follow: bool = True) -> PathOperation:
        return PathOperation(self.root, self.cwd, path, follow)


def _one_atime(names: list[str]) -> list[str]:
    return [name for name in names if name != "strictatime" or "noatime" not in names]


def run_kernel(programs: list[list[Call]]) -> list[list[object]]:
    """See `kernel.run_all`."""
    return mounts.run_kernel(programs, KernelWorld)


def run_simulated(program: list[Call]) -> list[object]:
    """See `simulated.run`."""
    return SimulatedWorld(MountFlags.RELATIME).run(program)


COMPARISON = Comparison(PROGRAMS.map(lambda program: [*START, *program]), run_simulated, run_kernel)
