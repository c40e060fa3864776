"""Who is let in, who decides, and how a fuse mount is named."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable

import pytest

from tests.vfs.fuse.fake import FILE, REQUIRED, Client, Server, attr, mounted
from tests.vfs.world import World, raises
from vfs import ROOT, BindOptions, Credentials, FuseOptions, FuseType, MountOptions, OpenOptions, SetStat
from vfs.abi import MAY_READ, MAY_WRITE
from vfs.credentials import ALL_CAPABILITIES
from vfs.fuse.abi import Opcode
from vfs.mountinfo import mountinfo

USER = Credentials(1000, 1000)
MEMBER = Credentials(0, 1000, frozenset({0}), ALL_CAPABILITIES)
"""Root by user, but not by group: not who mounted it."""


@pytest.fixture
def server() -> Server:
    return Server()


def calls(client: Client, creds: Credentials) -> list[Callable[[], object]]:
    vfs, at = client.vfs, client.at
    return [
        lambda: vfs.stat_at(creds, at("/")),
        lambda: vfs.stat_at(creds, at("/file")),
        lambda: vfs.listdir_at(creds, at("/")),
        lambda: vfs.open_at(creds, at("/file"), OpenOptions()),
        lambda: vfs.open_at(creds, at("/new"), OpenOptions(os.O_CREAT | os.O_RDWR)),
        lambda: vfs.mkdir_at(creds, at("/made")),
        lambda: vfs.unlink_at(creds, at("/file")),
        lambda: vfs.set_stat_at(creds, at("/"), SetStat(mode=0o700)),
        lambda: vfs.listxattr_at(creds, at("/")),
        lambda: vfs.access_at(creds, at("/"), 0),
    ]


@pytest.mark.parametrize("creds", [USER, MEMBER], ids=["another user", "another group"])
@pytest.mark.parametrize("options", ["", ",default_permissions"])
def test_nobody_but_who_mounted_it_is_let_in(server: Server, creds: Credentials, options: str) -> None:
    server.ttl = 1000
    with mounted(server, options) as client:
        client.stat("/")
        client.stat("/file")
        server.asked()
        for call in calls(client, creds):
            with raises(errno.EACCES):
                call()
        found = client.vfs.statfs_at(creds, client.at("/"))
        assert (found.type, found.blocks) == (0x65735546, 0)
        assert server.asked() == []
        assert client.stat("/").st_ino == 1


def test_the_root_is_closed_too_where_its_walk_is_remembered(server: Server) -> None:
    world = World()
    world.vfs.register_filesystem_type(FuseType())
    for path in ("/fuse", "/bound"):
        world.mkdir(path)
    world.mknod("/file")
    try:
        internal = FuseOptions(server.client.fileno())
        options = MountOptions(data=REQUIRED, internal=internal)
        world.vfs.mount_at(ROOT, "server", world.at("/fuse"), "fuse", options)
        world.vfs.bind_at(ROOT, world.at("/fuse/file"), world.at("/file"), BindOptions())
        for path in ("/fuse", "/file"):
            for _ in range(3):
                assert world.stat(path).st_ino in {1, FILE}
                with raises(errno.EACCES):
                    world.vfs.stat_at(USER, world.at(path))
        for path in ("/file", "/fuse"):
            world.vfs.umount_at(ROOT, world.at(path))
    finally:
        server.close()


def test_others_are_let_in_where_that_was_asked_for(server: Server) -> None:
    with mounted(server, ",allow_other") as client:
        assert client.vfs.stat_at(USER, client.at("/file")).st_ino == FILE


def test_the_mode_decides_under_default_permissions(server: Server) -> None:
    server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o640)
    with mounted(server, ",allow_other,default_permissions") as client:
        with raises(errno.EACCES):
            client.open("/file", creds=USER)
        with raises(errno.EACCES):
            client.vfs.access_at(USER, client.at("/file"), MAY_READ)
        with raises(errno.EPERM):
            client.vfs.set_stat_at(USER, client.at("/file"), SetStat(mode=0o666))
        server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o644)
        client.open("/file", creds=USER).close()
        assert "ACCESS" not in server.asked()


def test_the_server_decides_otherwise(server: Server) -> None:
    server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o600)
    server.answers[Opcode.ACCESS] = lambda *_: errno.EACCES
    with mounted(server, ",allow_other") as client:
        client.open("/file", creds=USER).close()
        client.vfs.set_stat_at(USER, client.at("/file"), SetStat(mode=0o666))
        assert "ACCESS" not in server.asked()
        with raises(errno.EACCES):
            client.vfs.access_at(USER, client.at("/file"), MAY_WRITE)
        assert "ACCESS" in server.asked()


def test_what_is_known_is_checked_again_before_it_refuses(server: Server) -> None:
    server.ttl = 1000
    server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o600)
    with mounted(server, ",allow_other,default_permissions") as client:
        client.stat("/file")
        server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o644)
        client.open("/file", creds=USER).close()


def test_the_sticky_bit_is_the_servers_business(server: Server) -> None:
    server.nodes[1] = attr(1, stat.S_IFDIR | 0o1777, uid=5)
    for options, refused in ((",allow_other", False), (",allow_other,default_permissions", True)):
        other = Server()
        other.nodes[1] = server.nodes[1]
        with mounted(other, options) as client:
            assert client.stat("/").st_mode == stat.S_IFDIR | 0o1777
            if refused:
                with raises(errno.EPERM):
                    client.vfs.unlink_at(USER, client.at("/file"))
            else:
                client.vfs.unlink_at(USER, client.at("/file"))
    server.close()


@pytest.mark.parametrize(("fstype", "data"), [("fuse.sub", ""), ("fuse", ",subtype=sub")])
def test_a_mount_is_shown_as_the_kernel_shows_it(server: Server, fstype: str, data: str) -> None:
    world = World()
    world.vfs.register_filesystem_type(FuseType())
    try:
        options = MountOptions(
            data=f"{REQUIRED},allow_other,default_permissions,max_read=100{data}",
            internal=FuseOptions(server.client.fileno()),
        )
        namespace = world.vfs.new_mount_namespace(ROOT, "server", fstype, options)
        (line,) = mountinfo(namespace)
        shown = "rw,user_id=0,group_id=0,default_permissions,allow_other,max_read=4096"
        assert line.partition(" - ")[2] == f"fuse.sub server {shown}"
        namespace.root_mount.fs.release()
    finally:
        server.close()


def test_only_sockets_with_messages_in_order_are_taken() -> None:
    vfs = World().vfs
    vfs.register_filesystem_type(FuseType())
    datagram = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    null = os.open("/dev/null", os.O_RDWR)
    try:
        for descriptor in (null, datagram[0].fileno(), 9999):
            with raises(errno.EINVAL):
                vfs.mount_disconnected(ROOT, "x", "fuse", MountOptions(data=f"fd={descriptor},{REQUIRED}"))
    finally:
        os.close(null)
        for each in datagram:
            each.close()


def test_a_process_inside_has_no_descriptors_of_ours(server: Server) -> None:
    vfs = World().vfs
    vfs.register_filesystem_type(FuseType())
    options = MountOptions(data=f"fd={server.client.fileno()},{REQUIRED}", user_mount=True)
    with raises(errno.EINVAL):
        vfs.mount_disconnected(ROOT, "x", "fuse", options)
    server.close()
