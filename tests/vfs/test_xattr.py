"""Extended attributes of a privileged caller; the rest is compared with the kernel's."""

from __future__ import annotations

import errno

from tests.vfs.world import USER, World, raises
from vfs import ROOT, Credentials
from vfs.abi import XATTR_SIZE_MAX


def test_trusted_names_are_hidden_from_the_rest(world: World) -> None:
    world.mknod("/f", 0o100666)
    vfs, op = world.vfs, world.at("/f")
    vfs.setxattr_at(ROOT, op, "trusted.t", b"1")
    vfs.setxattr_at(ROOT, op, "user.u", b"2")
    assert vfs.listxattr_at(ROOT, op) == ["trusted.t", "user.u"]
    assert vfs.listxattr_at(USER, op) == ["user.u"]
    with raises(errno.ENODATA):
        vfs.getxattr_at(USER, op, "trusted.t")
    with raises(errno.EPERM):
        vfs.setxattr_at(USER, op, "trusted.t", b"")
    with raises(errno.EPERM):
        vfs.removexattr_at(Credentials(0, 0), op, "trusted.t")


def test_values_have_a_limit(world: World) -> None:
    world.mknod("/f")
    world.vfs.setxattr_at(ROOT, world.at("/f"), "user.a", bytes(XATTR_SIZE_MAX))
    with raises(errno.E2BIG):
        world.vfs.setxattr_at(ROOT, world.at("/f"), "user.a", bytes(XATTR_SIZE_MAX + 1))
