"""Servers that lie: names, nodes, kinds and listings that cannot be are EIO, and nothing worse."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest

from tests.vfs.fuse.fake import DIRECTORY, FILE, INNER, Server, attr, entry, mounted
from tests.vfs.world import raises
from vfs import ROOT, MknodOptions
from vfs.fuse.abi import InitFlags, Opcode
from vfs.fuse.messages import Listed, pack_attributes, pack_listed
from vfs.fuse.records import ATTR, DATA_IN, DIRENT, WRITE_OUT, AttrOut, InHeader


@pytest.fixture
def server() -> Server:
    server = Server()
    server.init = server.init._replace(flags=int(InitFlags.BIG_WRITES))
    return server


@pytest.mark.parametrize("nodeid", [1, 5])
@pytest.mark.parametrize(
    "attributes",
    [attr(5, 0), attr(5, 0o170000), attr(5, stat.S_IFREG, 1 << 63)],
    ids=["no kind", "an unknown kind", "too large"],
)
def test_a_node_that_cannot_be(server: Server, nodeid: int, attributes: object) -> None:
    assert isinstance(attributes, tuple)
    answer = entry(nodeid, attr(5, 0))[: -ATTR.size] + ATTR.pack(*attributes)
    server.answers[Opcode.LOOKUP] = lambda *_: answer
    with mounted(server) as client:
        with raises(errno.EIO):
            client.stat("/file")
        client.stat("/")
    assert server.counts[5] == 0


def test_the_root_is_nowhere_else(server: Server) -> None:
    server.answers[Opcode.LOOKUP] = lambda *_: entry(DIRECTORY, server.nodes[DIRECTORY])
    with mounted(server) as client, raises(errno.EIO):
        client.stat("/inner")


def test_node_zero_is_a_missing_name(server: Server) -> None:
    server.answers[Opcode.LOOKUP] = lambda *_: entry(0, attr(0, 0), ttl=100)
    with mounted(server) as client:
        for _ in range(3):
            with raises(errno.ENOENT):
                client.stat("/file")
        assert server.asked().count("LOOKUP") == 1


@pytest.mark.parametrize("nodeid", [0, 1])
@pytest.mark.parametrize("opcode", [Opcode.MKDIR, Opcode.MKNOD, Opcode.SYMLINK, Opcode.CREATE, Opcode.LINK])
def test_nothing_is_made_as_the_root_or_as_nothing(server: Server, opcode: Opcode, nodeid: int) -> None:
    kind = {Opcode.MKDIR: stat.S_IFDIR, Opcode.SYMLINK: stat.S_IFLNK}.get(opcode, stat.S_IFREG)
    tail = bytes(16) if opcode == Opcode.CREATE else b""
    server.answers[opcode] = lambda *_: entry(nodeid, attr(1, kind | 0o644)) + tail
    with mounted(server) as client:
        new = client.at("/new")
        calls: dict[Opcode, Callable[[], object]] = {
            Opcode.MKDIR: lambda: client.vfs.mkdir_at(ROOT, new),
            Opcode.MKNOD: lambda: client.vfs.mknod_at(ROOT, new, MknodOptions(stat.S_IFREG | 0o644)),
            Opcode.SYMLINK: lambda: client.vfs.symlink_at(ROOT, new, "x"),
            Opcode.CREATE: lambda: client.open("/new", os.O_CREAT | os.O_RDWR),
            Opcode.LINK: lambda: client.vfs.link_at(ROOT, client.at("/file"), new),
        }
        with raises(errno.EIO):
            calls[opcode]()
        assert stat.S_ISDIR(client.stat("/").st_mode)


def test_what_was_made_is_what_was_asked_for(server: Server) -> None:
    server.answers[Opcode.MKDIR] = lambda *_: entry(9, attr(9, stat.S_IFREG | 0o644))
    with mounted(server) as client, raises(errno.EIO):
        client.vfs.mkdir_at(ROOT, client.at("/new"))
    assert server.counts[9] == 0


def test_a_file_that_becomes_a_directory_is_bad_to_who_has_it(server: Server) -> None:
    with mounted(server) as client, client.open("/file") as file:
        server.nodes[FILE] = attr(FILE, stat.S_IFDIR | 0o755)
        with raises(errno.EIO):
            file.stat()
        with raises(errno.EIO):
            file.read(1)
        assert stat.S_ISDIR(client.stat("/file").st_mode)
        with raises(errno.EIO):
            file.stat()
        with raises(errno.EIO):
            file.close()
    assert server.counts[FILE] == 0


def test_a_new_generation_is_another_file(server: Server) -> None:
    with mounted(server) as client, client.open("/file") as file:
        server.answers[Opcode.LOOKUP] = lambda *_: entry(FILE, server.nodes[FILE], generation=1)
        assert client.stat("/file").st_ino == FILE
        with raises(errno.EIO):
            file.stat()
        with raises(errno.EIO):
            file.close()
    assert server.counts[FILE] == 0


def test_a_directory_in_itself_ends_with_the_path(server: Server) -> None:
    server.answers[Opcode.LOOKUP] = lambda *_: entry(INNER, server.nodes[INNER])
    with mounted(server) as client:
        assert client.stat("/a" * 900).st_ino == INNER
        with raises(errno.ENAMETOOLONG):
            client.stat("/a" * 3000)


GOOD = pack_listed(Listed(5, 1, stat.S_IFREG, "good"))
LISTINGS = {
    "a slash": pack_listed(Listed(5, 1, stat.S_IFREG, "a/b")),
    "a NUL": pack_listed(Listed(5, 1, stat.S_IFREG, "a\0b")),
    "no name": DIRENT.pack(5, 1, 0, 8),
    "a name too long": pack_listed(Listed(5, 1, stat.S_IFREG, "n" * 1025)),
    "a name that ends elsewhere": GOOD + DIRENT.pack(5, 2, 200, 8) + b"short",
    "half a record": GOOD + b"1234567",
    "garbage": b"\xff" * 100,
    "more than asked for": GOOD * 4200,
}


@pytest.mark.parametrize("kind", LISTINGS)
def test_listings_that_cannot_be(server: Server, kind: str) -> None:
    server.answers[Opcode.READDIR] = lambda *_: LISTINGS[kind]
    with mounted(server) as client:
        with raises(errno.EIO):
            client.listdir()
        client.stat("/")
    assert Opcode.RELEASEDIR in [opcode for opcode, _, _ in server.log]


def test_a_listing_in_circles_ends(server: Server) -> None:
    server.answers[Opcode.READDIR] = lambda *_: GOOD
    with mounted(server) as client, raises(errno.EIO):
        client.listdir()


def test_own_names_in_a_listing_are_passed_over(server: Server) -> None:
    names = [Listed(1, number, stat.S_IFDIR, name) for number, name in enumerate((".", "..", "x"), start=1)]
    answers = [b"".join(pack_listed(each) for each in names), b""]
    server.answers[Opcode.READDIR] = lambda header, payload: answers[DATA_IN.unpack(payload).offset != 0]
    with mounted(server) as client:
        assert client.listdir() == ["x"]


def test_entries_in_a_listing_that_cannot_be_are_names_all_the_same(server: Server) -> None:
    server.init = server.init._replace(flags=int(InitFlags.DO_READDIRPLUS))
    bad = entry(6, attr(6, 0)) + pack_listed(Listed(6, 1, stat.S_IFREG, "bad"))
    server.answers[Opcode.READDIRPLUS] = lambda header, payload: b"" if DATA_IN.unpack(payload).offset else bad
    server.counts[6] += 1
    with mounted(server) as client:
        assert client.listdir() == ["bad"]
    assert server.counts[6] == 0


@pytest.mark.parametrize("text", [b"a\0b", b"x" * 4096])
def test_links_that_cannot_be(server: Server, text: bytes) -> None:
    server.answers[Opcode.READLINK] = lambda *_: text
    with mounted(server) as client, raises(errno.EIO):
        client.vfs.readlink_at(ROOT, client.at("/link"))


def test_more_than_was_asked_for(server: Server) -> None:
    server.answers[Opcode.READ] = lambda *_: bytes(1000)
    server.answers[Opcode.WRITE] = lambda *_: WRITE_OUT.pack(1000)
    server.answers[Opcode.GETXATTR] = lambda *_: bytes(70_000)
    server.answers[Opcode.LISTXATTR] = lambda *_: b"user.a"
    with mounted(server) as client:
        with client.open("/file", os.O_RDWR) as file:
            with raises(errno.EIO):
                file.read(4)
            with raises(errno.EIO):
                file.write(b"four")
        with raises(errno.EIO):
            client.vfs.getxattr_at(ROOT, client.at("/file"), "user.a")
        with raises(errno.EIO):
            client.vfs.listxattr_at(ROOT, client.at("/file"))


def test_attributes_at_the_edge_are_shown(server: Server) -> None:
    most = (1 << 32) - 1
    strange = attr(
        FILE, stat.S_IFREG | 0o7777, (1 << 63) - 1, uid=most, gid=most, nlink=most, blksize=most, blocks=(1 << 64) - 1
    )
    server.nodes[FILE] = strange._replace(
        atime=-(1 << 63), mtime=(1 << 63) - 1, mtimensec=most, rdev=most, ino=(1 << 64) - 1
    )
    with mounted(server) as client:
        info = client.stat("/file")
        assert (info.st_size, info.st_nlink, info.st_ino) == (strange.size, most, (1 << 64) - 1)
        assert info.st_mtime_ns % 10**9 == 999_999_999


def test_setattr_may_not_change_the_kind(server: Server) -> None:
    def answer(header: InHeader, payload: bytes) -> bytes:
        return pack_attributes(AttrOut(0, 0), attr(FILE, stat.S_IFIFO | 0o600))

    server.answers[Opcode.SETATTR] = answer
    with mounted(server) as client:
        file = client.open("/file", os.O_RDWR)
        with raises(errno.EIO):
            file.truncate(0)
        with raises(errno.EIO):
            file.close()
