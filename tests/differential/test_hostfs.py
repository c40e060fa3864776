"""A writable hostfs and the directory that it shows answer alike, called through the VFS or directly."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs.programs import SEVERAL, Call
from vfs import ROOT, MountFlags, MountOptions, VirtualFilesystem, mounting
from vfs.fs.hostfs import HostfsOptions, HostfsType

pytestmark = [pytest.mark.root, pytest.mark.property]


def comparable(call: Call) -> bool:
    """Whether the machine is asked the same: it knows more name spaces of attributes and more modes of fallocate."""
    if call.name == "fallocate":
        return call.arguments[1] == 0
    if call.name == "chown":
        # A chown that names no owner drops set-id bits, and cannot be said by `SetStat`.
        return call.arguments[1:3] != (-1, -1)
    return "xattr" not in call.name or call.arguments[1] in {"user.a", "user.b"}


@contextmanager
def directory() -> Iterator[str]:
    place, umask = tempfile.mkdtemp(dir=kernel.PLACE), os.umask(0)
    os.chmod(place, 0o777)
    try:
        yield place
    finally:
        os.umask(umask)
        shutil.rmtree(place)


def run_through_hostfs(program: list[Call], place: str) -> list[object]:
    world = simulated.World(MountFlags(0))
    world.vfs = VirtualFilesystem()
    world.vfs.register_filesystem_type(HostfsType())
    nodev = MountFlags.NODEV if os.statvfs(place).f_flag & os.ST_NODEV else MountFlags(0)
    fd = os.open(place, os.O_PATH)
    options = MountOptions(nodev, internal=HostfsOptions(fd, writable=True))
    namespace = world.vfs.new_mount_namespace(ROOT, place, "hostfs", options)
    os.close(fd)
    world.root = world.cwd = namespace.root
    try:
        return world.run(program)
    finally:
        for slot in list(world.files):
            world.close(slot)
        mounting.umount_tree(world.vfs, namespace.root_mount)


@given(SEVERAL)
def test_any_program_does_the_same(program: list[Call]) -> None:
    program = [call for call in program if comparable(call)]
    theirs = kernel.run(program)
    with directory() as place:
        ours = run_through_hostfs(program, place)
    for step, call in enumerate(program):
        assert ours[step] == theirs[step], f"step {step}: {call}: {ours[step]}, the machine {theirs[step]}"
    assert ours[-1] == theirs[-1]
