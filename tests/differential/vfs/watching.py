"""Programs of calls on a tmpfs where files and directories are watched, on the kernel and on ours."""

from __future__ import annotations

import ctypes
import os
import struct
from functools import partial
from typing import Any

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs import recipes as st
from tests.differential.vfs.programs import (
    CHANGING,
    FURNISHING,
    LOOKING,
    MAKING,
    ON_OPEN_FILES,
    PLAIN,
    REMOVING,
    SLOTS,
    TMPFILE_BIT,
    Call,
)
from vfs import Inotify, MountFlags, OpenOptions
from vfs.abi import (
    IN_ALL_EVENTS,
    IN_DONT_FOLLOW,
    IN_EXCL_UNLINK,
    IN_MASK_ADD,
    IN_MASK_CREATE,
    IN_MODIFY,
    IN_ONESHOT,
    IN_ONLYDIR,
    IN_OPEN,
)

LIMIT = 16_384
_HEADER = struct.Struct("iIII")
_MASKS = st.sampled_from([IN_ALL_EVENTS] * 8 + [1 << bit for bit in range(12)] + [IN_MODIFY | IN_OPEN, 0, 1 << 16])
_HOW = st.sampled_from([0] * 8 + [IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_ONESHOT, IN_ONLYDIR, IN_MASK_ADD, IN_MASK_CREATE])
_BOTH = IN_MASK_ADD | IN_MASK_CREATE


def _plain(call: Call) -> bool:
    """Leave out what is no business of watches: a working directory, and names that files without one have."""
    if call.name in {"chdir", "fchdir", "fdlist", "link_file", "reopen", "statx", "fstatx"}:
        return False
    return not any(
        isinstance(each, int) and each & TMPFILE_BIT for each in call.arguments if call.name in {"open", "openat"}
    )


def _call(name: str, *arguments: st.Recipe[Any]) -> st.Recipe[Call]:
    return st.builds(Call, st.just(name), st.tuples(*arguments), st.just("root"))


_WATCH = _call(
    "watch", st.one_of(PLAIN, st.just("/")), st.builds(int.__or__, _MASKS, st.one_of(_HOW, _HOW, st.just(_BOTH)))
)
_ON_WATCHES = st.one_of(
    _WATCH, _WATCH, _call("unwatch", st.integers(1, 6)), _call("events", st.sampled_from([8, 17, 48, 4096, 65536]))
)
_OTHERS = st.one_of(
    MAKING, REMOVING, REMOVING, LOOKING, CHANGING, CHANGING, ON_OPEN_FILES, ON_OPEN_FILES, _call("close", SLOTS)
)
_FIRST = [Call("watch", ("/", IN_ALL_EVENTS))]
WATCHING = st.builds(
    lambda furniture, calls: [call for call in [*_FIRST, *furniture, *calls] if _plain(call)],
    FURNISHING,
    st.lists(st.one_of(_ON_WATCHES, _OTHERS, _OTHERS, _OTHERS), min_size=10, max_size=50),
)


def unpacked(data: bytes, cookies: dict[int, int]) -> list[tuple[int, str, int, bytes]]:
    """The events in what was read; cookies are numbered as they appear."""
    events = []
    while data:
        watch, mask, cookie, length = _HEADER.unpack_from(data)
        if cookie:
            cookie = cookies.setdefault(cookie, len(cookies) + 1)
        end = _HEADER.size + length
        # With its padding: that belongs to what is compared.
        events.append((watch, hex(mask), cookie, data[_HEADER.size : end]))
        data = data[end:]
    return events


class KernelWorld(kernel.World):
    """The calls of `kernel.World`, and those of inotify(7)."""

    def __init__(self) -> None:
        super().__init__()
        self.instance = kernel.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        kernel.check(self.instance)
        self.cookies: dict[int, int] = {}

    def run(self, program: list[Call]) -> list[object]:
        results = [self.attempt(call) for call in [*program, _LAST]]
        self.credentials.become("root")
        for slot in list(self.files):
            self.close(slot)
        os.close(self.instance)
        return results

    def watch(self, path: str, mask: int) -> int:
        watch: int = kernel.libc.inotify_add_watch(self.instance, os.fsencode(path), ctypes.c_uint32(mask))
        kernel.check(watch)
        return watch

    def unwatch(self, watch: int) -> None:
        kernel.check(kernel.libc.inotify_rm_watch(self.instance, watch))

    def events(self, size: int) -> object:
        return unpacked(os.read(self.instance, size), self.cookies)


class OurWorld(simulated.World):
    """The calls of `simulated.World`, and those of `vfs.inotify`."""

    def __init__(self) -> None:
        super().__init__(MountFlags(0))
        self.instance = Inotify(self.vfs)
        self.cookies: dict[int, int] = {}

    def run(self, program: list[Call]) -> list[object]:
        results = [self.attempt(call) for call in [*program, _LAST]]
        for slot in list(self.files):
            self.close(slot)
        assert not self.vfs.watches.open
        self.instance.close()
        return results

    def listdir(self, path: str) -> list[str]:
        """As os.listdir does it, which asks until nothing is left."""
        options = OpenOptions(os.O_RDONLY | os.O_DIRECTORY)
        with self.vfs.open_at(self.creds, self.at(path), options) as directory:
            names = [entry.name for entry in directory.read_directory()]
            assert not directory.read_directory()
        return sorted(names)

    def watch(self, path: str, mask: int) -> int:
        return self.instance.add_watch(self.creds, self.at(path), mask)

    def unwatch(self, watch: int) -> None:
        self.instance.rm_watch(watch)

    def events(self, size: int) -> object:
        return unpacked(self.instance.read(size), self.cookies)


_LAST = Call("events", (1 << 20,))


def ours(program: list[Call]) -> list[object]:
    return OurWorld().run(program)


def theirs(programs: list[list[Call]]) -> list[list[object]]:
    return kernel.in_children([partial(_run_in, number, each) for number, each in enumerate(programs)], kernel.prepare)


def _run_in(number: int, program: list[Call]) -> list[object]:
    os.mkdir(str(number), 0o777)
    os.chroot(str(number))
    os.chdir("/")
    return KernelWorld().run(program)
