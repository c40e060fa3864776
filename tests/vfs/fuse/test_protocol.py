"""What the client asks, and what it need not ask: lifetimes, look-ups, what a server does not know, the end."""

from __future__ import annotations

import errno
import gc
import os
import socket
import stat
from collections.abc import Callable

from tests.vfs.fuse.asked import flags
from tests.vfs.fuse.fake import CONTENTS, DIRECTORY, FILE, INNER, Client, Server, attr, entry, mounted
from tests.vfs.world import raises
from vfs import ROOT, RenameOptions
from vfs.copying import copy_range
from vfs.fuse.abi import InitFlags, Notify, Opcode
from vfs.fuse.messages import strings
from vfs.fuse.records import (
    NOTIFY_DELETE,
    NOTIFY_INVAL_ENTRY,
    NOTIFY_INVAL_INODE,
    NOTIFY_RETRIEVE,
    NOTIFY_RETRIEVE_IN,
)


def test_names_and_attributes_are_kept_as_long_as_they_are_good(server: Server) -> None:
    server.ttl = 1000
    with mounted(server) as client:
        client.stat("/")
        client.stat("/file")
        server.asked()
        for _ in range(5):
            client.stat("/file")
        assert server.asked() == []


def test_without_a_lifetime_everything_is_asked_again(server: Server) -> None:
    with mounted(server) as client:
        client.stat("/file")
        server.asked()
        client.stat("/file")
        assert server.asked() == ["LOOKUP", "GETATTR"]


def test_a_change_here_is_seen_at_once(server: Server) -> None:
    server.ttl = 1000
    with mounted(server) as client:
        client.stat("/file")
        with client.open("/file", os.O_RDWR) as file:
            file.write(b"x" * 100)
            server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o644, 100)
            assert file.stat().st_size == 100
        client.vfs.unlink_at(ROOT, client.at("/file"))
        del server.names["file"]
        with raises(errno.ENOENT):
            client.stat("/file")


def test_what_the_server_takes_back_is_asked_for_again(server: Server) -> None:
    server.ttl = 1000
    with mounted(server) as client:
        client.stat("/file")
        server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o600, 3)
        assert client.stat("/file").st_size == len(CONTENTS)
        server.notify(Notify.INVAL_INODE, NOTIFY_INVAL_INODE.pack(FILE, -1, 0))
        assert client.stat("/file").st_size == 3
        del server.names["file"]
        client.stat("/file")
        server.notify(Notify.INVAL_ENTRY, NOTIFY_INVAL_ENTRY.pack(DIRECTORY, 4, 0) + strings("file"))
        with raises(errno.ENOENT):
            client.stat("/file")
        client.stat("/inner")
        del server.names["inner"]
        server.notify(Notify.DELETE, NOTIFY_DELETE.pack(DIRECTORY, INNER, 5) + strings("inner"))
        with raises(errno.ENOENT):
            client.stat("/inner")


def test_nothing_is_kept_of_contents(server: Server) -> None:
    with mounted(server) as client:
        client.stat("/file")
        server.notify(Notify.RETRIEVE, NOTIFY_RETRIEVE.pack(77, FILE, 2, 100))
        server.notify(Notify.RETRIEVE, NOTIFY_RETRIEVE.pack(78, 999, 2, 100))
        client.stat("/")
    replies = [(header, payload) for opcode, header, payload in server.log if opcode == Opcode.NOTIFY_REPLY]
    assert [(header.unique, header.nodeid) for header, _ in replies] == [(77, FILE)]
    assert NOTIFY_RETRIEVE_IN.unpack(replies[0][1]) == (2, 0)


def test_links_are_kept_if_that_was_agreed_on(server: Server) -> None:
    flags(server, InitFlags.CACHE_SYMLINKS)
    with mounted(server) as client:
        for _ in range(3):
            assert client.vfs.readlink_at(ROOT, client.at("/link")) == "file"
        assert server.asked().count("READLINK") == 1


# look-ups


def test_every_look_up_is_taken_back(server: Server) -> None:
    with mounted(server) as client:
        for _ in range(3):
            client.stat("/file")
            client.listdir()
            client.open("/new", os.O_CREAT | os.O_RDWR).close()
        assert server.counts[FILE] > 3
        del server.names["file"]
        with raises(errno.ENOENT):
            client.stat("/file")
        gc.collect()
        client.stat("/")
        assert server.counts[FILE] == 0
        assert server.counts[INNER] > 0
    assert not any(server.counts.values())


def test_an_open_file_keeps_its_node(server: Server) -> None:
    with mounted(server) as client:
        with client.open("/file") as file:
            client.vfs.unlink_at(ROOT, client.at("/file"))
            del server.names["file"]
            client.stat("/")
            assert server.counts[FILE] > 0
            assert file.read() == CONTENTS
            assert file.stat().st_ino == FILE
        del file
        gc.collect()
        client.stat("/")
        assert server.counts[FILE] == 0


def test_two_names_of_a_node_are_one_file(server: Server) -> None:
    server.names["other"] = FILE
    with mounted(server) as client:
        places = [client.vfs.get_dentry_at(ROOT, client.at(path)) for path in ("/file", "/other")]
        assert places[0].dentry.inode is places[1].dentry.inode


def test_listings_bring_attributes_where_that_helps(server: Server) -> None:
    server.ttl = 1000
    with mounted(server) as client:
        client.listdir()
        server.asked()
        for name in ("/file", "/link", "/inner"):
            client.vfs.stat_at(ROOT, client.at(name, follow=False))
        assert server.asked() == ["GETATTR"] * 0


# what a server does not know


def test_a_request_that_is_not_known_is_made_once(server: Server) -> None:
    unknown = (
        *(Opcode.OPEN, Opcode.OPENDIR, Opcode.CREATE, Opcode.FLUSH, Opcode.FSYNC, Opcode.ACCESS, Opcode.LSEEK),
        *(Opcode.GETXATTR, Opcode.SETXATTR, Opcode.LISTXATTR, Opcode.REMOVEXATTR, Opcode.FALLOCATE, Opcode.LINK),
        *(Opcode.RENAME2, Opcode.TMPFILE, Opcode.IOCTL, Opcode.COPY_FILE_RANGE),
    )
    for opcode in unknown:
        server.answers[opcode] = lambda *_: errno.ENOSYS
    server.answers[Opcode.MKNOD] = server.on_lookup
    server.names["new"] = FILE
    with mounted(server) as client:
        for _ in range(2):
            _use_all(client, server)
    asked = server.asked()
    assert {opcode.name: asked.count(opcode.name) for opcode in unknown} == {opcode.name: 1 for opcode in unknown}
    assert "RELEASE" not in asked
    assert "RELEASEDIR" not in asked


def _use_all(client: Client, server: Server) -> None:
    vfs, file_at = client.vfs, client.at("/file")
    del server.names["new"]
    client.listdir()
    server.answers[Opcode.MKNOD] = lambda *_: entry(60, attr(60, stat.S_IFREG | 0o644))
    with client.open("/new", os.O_CREAT | os.O_RDWR) as new, client.open("/file", os.O_RDWR) as file:
        server.names["new"] = FILE
        new.sync()
        assert file.seek(0, os.SEEK_HOLE) == len(CONTENTS)
        assert copy_range(file, 0, new, 0, 3) == 3
        refusals: list[tuple[Callable[[], object], int]] = [
            (lambda: file.allocate(0, 0, 10), errno.EOPNOTSUPP),
            (lambda: file.ioctl(0x1234), errno.ENOTTY),
            (lambda: file.get_xattr("user.a"), errno.ENOTSUP),
            (lambda: file.set_xattr("user.a", b""), errno.ENOTSUP),
            (lambda: file.remove_xattr("user.a"), errno.ENOTSUP),
            (file.list_xattr, errno.ENOTSUP),
            (lambda: vfs.link_at(ROOT, file_at, client.at("/linked")), errno.EPERM),
            (lambda: vfs.rename_at(ROOT, file_at, client.at("/moved"), RenameOptions(1)), errno.EINVAL),
            (lambda: client.open("/", os.O_TMPFILE | os.O_RDWR), errno.EOPNOTSUPP),
        ]
        for call, number in refusals:
            with raises(number):
                call()
    vfs.access_at(ROOT, file_at, 4)


# the end


def test_the_server_is_told_goodbye_and_the_descriptor_closed(server: Server) -> None:
    with mounted(server) as client:
        client.stat("/file")
    assert [opcode.name for opcode, _, _ in server.log][-2:] == ["FORGET", "DESTROY"]


def test_a_server_that_was_never_asked_is_only_hung_up_on(server: Server) -> None:
    with mounted(server):
        pass
    assert [opcode for opcode, _, _ in server.log] in ([], [Opcode.INIT])


def test_a_stream_carries_messages_too() -> None:
    from vfs.fuse.channel import SocketChannel

    ours, theirs = socket.socketpair()
    with ours, theirs:
        left, right = SocketChannel(ours.fileno(), 4096), SocketChannel(theirs.fileno(), 4096)
        first, second = (48).to_bytes(4, "little") + bytes(44), (16).to_bytes(4, "little") + bytes(12)
        left.send((first, second), 1e12)
        assert right.waiting()
        assert (right.receive(1e12), right.receive(1e12)) == (first, second)
        with raises(errno.ETIMEDOUT):
            right.receive(0)
        left.shut_down()
        with raises(errno.ECONNABORTED):
            right.receive(1e12)
        left.close()
        right.close()
