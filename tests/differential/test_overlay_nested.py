"""An overlay whose lower layer is an overlay, in which the marks of the outer one are kept: ours and the kernel's."""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs.kernel import CLONE_NEWNS, MS_PRIVATE, MS_REC, check, libc
from tests.differential.vfs.programs import Call
from vfs import ROOT, MountFlags, MountOptions, PathOperation
from vfs.fs.overlay import OverlayOptions, OverlayType

pytestmark = pytest.mark.root

_FILE = os.O_WRONLY | os.O_CREAT
_MARK = "trusted.overlay."
NAMES = ("base", "lower", "upper", "work", "inner", "outer", "upper2", "work2", "third", "upper3", "work3")
INSIDE = [
    *(Call("mkdir", (f"base/{path}", 0o755)) for path in ("d", "d/below", "x", "x/gone", "x/stays", "r", "r/moved")),
    Call("mkdir", ("lower/d", 0o755)),
]
THROUGH_INNER = [
    Call("setxattr", ("inner/d", f"{_MARK}opaque", b"y", 0, True)),
    Call("mkdir", ("inner/d/own", 0o755)),
    Call("mkdir", ("inner/x", 0o755)),
    Call("setxattr", ("inner/x", f"{_MARK}opaque", b"x", 0, True)),
    Call("open", (0, "inner/x/gone", _FILE, 0o644)),
    Call("setxattr", ("inner/x/gone", f"{_MARK}whiteout", b"", 0, True)),
    Call("mkdir", ("inner/n", 0o755)),
    Call("setxattr", ("inner/n", f"{_MARK}redirect", b"r", 0, True)),
    *(Call("listxattr", (f"inner/{path}", True)) for path in ("d", "x", "x/gone", "n")),
    *(Call("listdir", (f"inner/{path}",)) for path in (".", "d", "x", "n")),
    *(Call("listxattr", (f"upper/{path}", True)) for path in ("x", "n")),
]
THROUGH_OUTER = [
    *(Call("listdir", (f"outer/{path}",)) for path in (".", "d", "x", "n", "r")),
    *(Call("listxattr", (f"outer/{path}", True)) for path in ("d", "x", "n")),
    Call("stat", ("outer/x/gone", True)),
    Call("rmdir", ("outer/n/moved",)),
    Call("setxattr", ("outer/d", f"{_MARK}opaque", b"z", 0, True)),
    Call("getxattr", ("outer/d", f"{_MARK}opaque", True)),
    Call("getxattr", ("upper2/d", f"{_MARK}overlay.opaque", True)),
    Call("listdir", ("outer/n",)),
]
MOUNTS = {
    "inner": "lowerdir=lower,upperdir=upper,workdir=work",
    "outer": "lowerdir=inner:base,upperdir=upper2,workdir=work2",
    "third": "lowerdir=outer,upperdir=upper3,workdir=work3",
}
PROGRAM = [
    *(Call("mkdir", (name, 0o777)) for name in NAMES),
    *INSIDE,
    Call("overlay", ("inner",)),
    *THROUGH_INNER,
    Call("overlay", ("outer",)),
    *THROUGH_OUTER,
    Call("overlay", ("third",)),
]


class KernelWorld(kernel.World):
    """The calls in a tmpfs of one's own."""

    def __init__(self, place: str) -> None:
        super().__init__()
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        check(libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, b"mode=0777"))
        os.chdir(place)

    def overlay(self, name: str) -> None:
        check(libc.mount(b"overlay", name.encode(), b"overlay", 0, MOUNTS[name].encode()))

    def run(self, program: list[Call]) -> list[object]:
        return [self.attempt(call) for call in program]


class SimulatedWorld(simulated.World):
    """The same on ours."""

    def overlay(self, name: str) -> None:
        options = MountOptions(data=MOUNTS[name], internal=OverlayOptions(root=self.root, start=self.root))
        self.vfs.mount_at(ROOT, "overlay", PathOperation(self.root, self.root, name), "overlay", options)

    def run(self, program: list[Call]) -> list[object]:
        return [self.attempt(call) for call in program]


def test_marks_are_kept_for_the_outer_overlay() -> None:
    world = SimulatedWorld(MountFlags(0))
    world.vfs.register_filesystem_type(OverlayType())
    ours = world.run(PROGRAM)
    world.close(0)
    place = tempfile.mkdtemp(dir=kernel.PLACE)
    try:
        theirs = kernel.in_child(place, PROGRAM, KernelWorld)
    finally:
        os.rmdir(place)
    told = [(call, left, right) for call, left, right in zip(PROGRAM, ours, theirs, strict=True)]
    assert [row for row in told if row[1] != row[2]] == []
    assert ours[-1] == "E22"
