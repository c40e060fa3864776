"""Which looks move an access time, under which flags of the mount: ours and the kernel's (mount(8), "FILESYSTEM-INDEPENDENT
MOUNT OPTIONS").
"""

from __future__ import annotations

import os
import stat
import tempfile

import pytest

from tests.differential.vfs import kernel, propagation
from tests.differential.vfs.programs import Call
from vfs import MountFlags, OpenOptions

pytestmark = pytest.mark.root

LONG_AGO, FAR_AHEAD = 5, 4_102_444_800
FLAGS = [["relatime"], ["noatime"], ["strictatime"], ["relatime", "nodiratime"], ["strictatime", "nodiratime"], ["ro"]]
LOOKS = ["read", "nothing", "list", "text", "follow", "twice"]
START = [
    Call("mount", ("a", 0)),
    Call("mkdir", ("a/d", 0o777)),
    Call("mknod", ("a/f", stat.S_IFREG, 0o644, 0)),
    Call("symlink", ("d", "a/l")),
]


class KernelWorld(propagation.KernelWorld):
    """Looks, and the access time as it was set or not."""

    def look(self, how: str) -> None:
        if how in {"read", "nothing"}:
            descriptor = os.open("a/f", os.O_RDONLY)
            if how == "read":
                os.read(descriptor, 10)
            os.close(descriptor)
        elif how == "list":
            os.listdir("a/d")
        elif how == "text":
            os.readlink("a/l")
        else:
            os.stat("a/l/")

    def is_kept(self, path: str, seconds: int) -> bool:
        return os.lstat(path).st_atime_ns == seconds * 10**9


class SimulatedWorld(propagation.SimulatedWorld):
    """The same on ours."""

    def look(self, how: str) -> None:
        if how in {"read", "nothing"}:
            with self.vfs.open_at(self.creds, self.at("a/f"), OpenOptions(os.O_RDONLY)) as file:
                if how == "read":
                    file.read(10)
        elif how == "list":
            self.listdir("a/d")
        elif how == "text":
            self.readlink("a/l")
        else:
            self.vfs.stat_at(self.creds, self.at("a/l/"))

    def is_kept(self, path: str, seconds: int) -> bool:
        return self.vfs.stat_at(self.creds, self.at(path, follow=False)).st_atime_ns == seconds * 10**9


@pytest.mark.parametrize("flags", FLAGS, ids="-".join)
def test_the_same_looks_move_the_time(flags: list[str]) -> None:
    program = [Call("mkdir", ("a", 0o777)), *START]
    for seconds in (LONG_AGO, FAR_AHEAD):
        for how in LOOKS:
            # "twice": a walk that was taken before is another look.
            program += [Call("look", (how,))] if how == "twice" else []
            program += [Call("utime", (path, seconds, seconds, False)) for path in ("a/d", "a/f", "a/l")]
            program += [Call("attributes", ("a", flags, [], False)), Call("look", (how,))]
            program += [Call("is_kept", (path, seconds)) for path in ("a/d", "a/f", "a/l")]
            program += [Call("attributes", ("a", ["relatime"], ["ro", "nodiratime"], False))]
    ours = SimulatedWorld(MountFlags.RELATIME).run(program)
    with tempfile.TemporaryDirectory() as place:
        theirs = kernel.in_child(place, program, KernelWorld)
    told = [(call, ours[step], theirs[step]) for step, call in enumerate(program)]
    assert [row for row in told if row[1] != row[2]] == []
    kept = {answer for call, answer, _ in told if call.name == "is_kept"}
    assert kept == ({True} if flags in (["noatime"], ["ro"]) else {True, False})
