"""A writable hostfs and the directory that it shows answer alike, called through the VFS or directly."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.programs import SEVERAL, Call, is_basic
from vfs import ROOT, MountFlags, MountOptions, VirtualFilesystem
from vfs.fs.hostfs import HostfsOptions, HostfsType

pytestmark = [pytest.mark.root, pytest.mark.property]


def comparable(call: Call) -> bool:
    """Whether the machine is asked the same: it knows more name spaces of attributes and more modes of fallocate."""
    if not is_basic(call):
        return False
    if call.name in {"statx", "fstatx", "reopen", "fchmod", "fchown", "futime"} or (
        call.name[0] == "f" and "xattr" in call.name
    ):
        # The machine's `os` tells no time of birth. A directory that is open and has no name any more cannot be changed, nor can anything be opened again without one.
        return False
    if call.name == "listxattr":
        return True
    if call.name == "fallocate":
        return call.arguments[1] == 0
    return "xattr" not in call.name or call.arguments[1] in {"user.a", "user.b"}


def run_through_hostfs(program: list[Call]) -> list[object]:
    place, umask = tempfile.mkdtemp(dir=kernel.PLACE), os.umask(0)
    os.chmod(place, 0o777)
    try:
        return _run_in(place, program)
    finally:
        os.umask(umask)
        shutil.rmtree(place)


def _run_in(place: str, program: list[Call]) -> list[object]:
    world = simulated.World(MountFlags(0))
    world.vfs = VirtualFilesystem()
    world.vfs.register_filesystem_type(HostfsType())
    fd = os.open(place, os.O_PATH)
    options = MountOptions(internal=HostfsOptions(fd, writable=True))
    namespace = world.vfs.new_mount_namespace(ROOT, place, "hostfs", options)
    os.close(fd)
    world.root = world.cwd = namespace.root
    try:
        return world.run(program)
    finally:
        for slot in list(world.files):
            world.close(slot)
        world.vfs.release_mount_namespace(namespace)


def test_any_program_does_the_same() -> None:
    programs = SEVERAL.map(lambda program: [call for call in program if comparable(call)])
    explore("hostfs", Comparison(programs, run_through_hostfs, kernel.run_all))
