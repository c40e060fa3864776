"""What the client asks, and what it need not ask: lifetimes, look-ups, what a server does not know, pieces, handles."""

from __future__ import annotations

import errno
import gc
import os
import socket
import stat
from collections.abc import Callable

import pytest

from tests.vfs.fuse.fake import CONTENTS, DIRECTORY, FILE, INNER, Client, Server, attr, entry, mounted
from tests.vfs.world import raises
from vfs import ROOT, MkdirOptions, MknodOptions, OpenOptions, RenameOptions, SetStat
from vfs.copying import copy_range
from vfs.fuse import abi
from vfs.fuse.abi import InitFlags, Notify, Opcode
from vfs.fuse.messages import pack_attributes, strings
from vfs.fuse.records import (
    DATA_IN,
    IOCTL_IN,
    IOCTL_OUT,
    LSEEK_OUT,
    NOTIFY_DELETE,
    NOTIFY_INVAL_ENTRY,
    NOTIFY_INVAL_INODE,
    NOTIFY_RETRIEVE,
    NOTIFY_RETRIEVE_IN,
    OPEN_OUT,
    RENAME2_IN,
    SETATTR_IN,
    WRITE_OUT,
    AttrOut,
    InHeader,
)


@pytest.fixture
def server() -> Server:
    return Server()


def flags(server: Server, *wanted: InitFlags, **changes: int) -> None:
    server.init = server.init._replace(flags=sum(wanted), **changes)


def payloads(server: Server, opcode: Opcode) -> list[bytes]:
    return [payload for asked, _, payload in server.log if asked == opcode]


# lifetimes


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


# pieces and handles


def test_reads_and_writes_come_in_pieces(server: Server) -> None:
    flags(server, InitFlags.BIG_WRITES, max_write=8192)
    size = 20000
    server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o644, size)
    server.answers[Opcode.READ] = lambda header, payload: bytes(DATA_IN.unpack(payload).size)
    with mounted(server, data=",max_read=4096") as client, client.open("/file", os.O_RDWR) as file:
        assert len(file.read(size)) == size
        assert file.pwrite(bytes(size), 10) == size
        reads = [DATA_IN.unpack(payload) for payload in payloads(server, Opcode.READ)]
        writes = [DATA_IN.unpack(payload) for payload in payloads(server, Opcode.WRITE)]
    assert [(each.offset, each.size) for each in reads] == [
        *((offset, 4096) for offset in range(0, 16384, 4096)),
        (16384, size - 16384),
    ]
    assert [(each.offset, each.size) for each in writes] == [(10, 8192), (8202, 8192), (16394, size - 16384)]


def test_small_writes_where_big_ones_were_not_agreed_on(server: Server) -> None:
    flags(server)
    with mounted(server) as client, client.open("/file", os.O_RDWR) as file:
        assert file.write(bytes(10000)) == 10000
        assert [DATA_IN.unpack(payload).size for payload in payloads(server, Opcode.WRITE)] == [4096, 4096, 1808]


def test_short_pieces_end_a_call(server: Server) -> None:
    flags(server, InitFlags.BIG_WRITES)
    server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o644, 1 << 20)
    server.answers[Opcode.READ] = lambda header, payload: b"abc"
    server.answers[Opcode.WRITE] = lambda *_: WRITE_OUT.pack(5)
    with mounted(server) as client, client.open("/file", os.O_RDWR) as file:
        assert file.read(1 << 20) == b"abc"
        assert file.write(bytes(100)) == 5
        assert file.seek(0, os.SEEK_CUR) == 8


def test_an_error_after_something_was_written_waits(server: Server) -> None:
    flags(server)
    answers: list[bytes | int] = [WRITE_OUT.pack(4096), errno.ENOSPC, errno.ENOSPC]
    server.answers[Opcode.WRITE] = lambda *_: answers.pop(0)
    with mounted(server) as client, client.open("/file", os.O_RDWR) as file:
        assert file.write(bytes(8192)) == 4096
        with raises(errno.ENOSPC):
            file.write(bytes(4096))


def opened_with(server: Server, open_flags: int) -> None:
    server.answers[Opcode.OPEN] = lambda *_: OPEN_OUT.pack(7, open_flags)


def test_direct_io_asks_beyond_the_end(server: Server) -> None:
    server.nodes[FILE] = attr(FILE, stat.S_IFREG | 0o644, 0)
    with mounted(server) as client:
        with client.open("/file") as file:
            assert file.read() == b""
        opened_with(server, abi.FOPEN_DIRECT_IO)
        with client.open("/file") as file:
            assert file.read() == CONTENTS
            assert file.pread(3, 2) == CONTENTS[2:5]


def test_files_without_positions(server: Server) -> None:
    opened_with(server, abi.FOPEN_NONSEEKABLE)
    with mounted(server) as client:
        with client.open("/file") as file:
            for call in (lambda: file.seek(0), lambda: file.pread(1, 0)):
                with raises(errno.ESPIPE):
                    call()
            assert (file.read(3), file.read(3)) == (CONTENTS[:3], CONTENTS[3:6])
        opened_with(server, abi.FOPEN_STREAM | abi.FOPEN_DIRECT_IO)
        with client.open("/file") as file:
            assert (file.read(3), file.read(3)) == (CONTENTS[:3], CONTENTS[:3])


def test_flush_says_what_close_says(server: Server) -> None:
    server.answers[Opcode.FLUSH] = lambda *_: errno.EDQUOT
    with mounted(server) as client:
        file = client.open("/file", os.O_RDWR)
        with raises(errno.EDQUOT):
            file.close()
        file.close()
        assert client.mount.open_files == client.mount.writers == 0
        assert server.asked()[-2:] == ["FLUSH", "RELEASE"]
        opened_with(server, abi.FOPEN_NOFLUSH)
        client.open("/file").close()
        assert "FLUSH" not in server.asked()


def test_making_a_file_opens_it(server: Server) -> None:
    with mounted(server) as client, client.open("/new", os.O_CREAT | os.O_RDWR) as file:
        assert file.write(b"x") == 1
        asked = server.asked()
        assert "CREATE" in asked
        assert "OPEN" not in asked


def test_a_file_is_cut_as_it_is_opened_if_that_was_agreed_on(server: Server) -> None:
    with mounted(server) as client:
        client.open("/file", os.O_RDWR | os.O_TRUNC).close()
        assert "SETATTR" not in server.asked()
    other = Server()
    flags(other)
    with mounted(other) as client:
        client.open("/file", os.O_RDWR | os.O_TRUNC).close()
        changed = [SETATTR_IN.unpack(payload) for payload in payloads(other, Opcode.SETATTR)]
        assert [(each.valid & abi.FATTR_SIZE, each.size) for each in changed] == [(abi.FATTR_SIZE, 0)]


def test_unnamed_files(server: Server) -> None:
    made = attr(70, stat.S_IFREG | 0o600, nlink=0)
    server.nodes[70] = made
    server.answers[Opcode.TMPFILE] = lambda *_: entry(70, made) + OPEN_OUT.pack(9, 0)
    with mounted(server) as client, client.open("/", os.O_TMPFILE | os.O_RDWR) as file:
        assert file.write(b"x") == 1
        assert file.stat().st_nlink == 0
        assert DATA_IN.unpack(payloads(server, Opcode.WRITE)[0]).fh == 9
    assert server.counts[70] == 0


def test_holes_copies_and_allocation_are_the_servers(server: Server) -> None:
    server.answers[Opcode.LSEEK] = lambda *_: LSEEK_OUT.pack(5)
    server.answers[Opcode.FALLOCATE] = server.nothing
    server.answers[Opcode.COPY_FILE_RANGE] = lambda *_: WRITE_OUT.pack(4)
    server.names["other"] = 80
    server.nodes[80] = attr(80, stat.S_IFREG | 0o644)
    with mounted(server) as client, client.open("/file", os.O_RDWR) as file, client.open("/other", os.O_RDWR) as other:
        assert file.seek(0, os.SEEK_HOLE) == 5
        file.allocate(3, 0, 10)
        with raises(errno.EOPNOTSUPP):
            file.allocate(8, 0, 4096)
        assert copy_range(file, 0, other, 0, 6) == 4
        assert "READ" not in server.asked()


def test_ioctls_of_known_size(server: Server) -> None:
    def answer(header: InHeader, payload: bytes) -> bytes:
        wanted = IOCTL_IN.unpack(payload)
        return IOCTL_OUT.pack(3, 0, 0, 0) + payload[IOCTL_IN.size :][::-1][: wanted.out_size]

    server.answers[Opcode.IOCTL] = answer
    both, none = 3 << 30 | 4 << 16 | ord("E") << 8, ord("E") << 8
    with mounted(server) as client, client.open("/file") as file:
        assert file.ioctl(both, b"abcd") == b"dcba"
        assert file.ioctl(none, 9) == 3
        with raises(errno.EINVAL):
            file.ioctl(both, b"abc")
        server.answers[Opcode.IOCTL] = lambda *_: IOCTL_OUT.pack(0, abi.IOCTL_RETRY, 1, 0)
        with raises(errno.EIO):
            file.ioctl(both, b"abcd")


def test_renames_with_flags(server: Server) -> None:
    server.answers[Opcode.RENAME2] = server.nothing
    with mounted(server) as client:
        client.vfs.rename_at(ROOT, client.at("/file"), client.at("/moved"), RenameOptions(1))
        (sent,) = payloads(server, Opcode.RENAME2)
        assert RENAME2_IN.unpack(sent).flags == 1
        client.vfs.rename_at(ROOT, client.at("/link"), client.at("/moved"))
        assert "RENAME" in server.asked()


def test_changes_are_told_as_they_are(server: Server) -> None:
    server.answers[Opcode.SETATTR] = lambda *_: pack_attributes(AttrOut(0, 0), server.nodes[FILE])
    changes = {
        abi.FATTR_MODE: SetStat(mode=0o600),
        abi.FATTR_UID | abi.FATTR_GID: SetStat(uid=5, gid=6),
        abi.FATTR_SIZE: SetStat(size=9),
        abi.FATTR_ATIME | abi.FATTR_MTIME: SetStat(atime_ns=1_000_000_001, mtime_ns=-1),
        abi.FATTR_ATIME | abi.FATTR_ATIME_NOW | abi.FATTR_MTIME | abi.FATTR_MTIME_NOW: SetStat(touch=True),
    }
    with mounted(server) as client:
        for change in changes.values():
            client.vfs.set_stat_at(ROOT, client.at("/file"), change)
    sent = [SETATTR_IN.unpack(payload) for payload in payloads(server, Opcode.SETATTR)]
    assert [each.valid for each in sent] == list(changes)
    assert (sent[0].mode, sent[1].uid, sent[1].gid, sent[2].size) == (stat.S_IFREG | 0o600, 5, 6, 9)
    assert (sent[3].atime, sent[3].atimensec, sent[3].mtime, sent[3].mtimensec) == (1, 1, -1, 999_999_999)


def test_who_asks_is_told(server: Server) -> None:
    from vfs import Credentials

    user = Credentials(7, 8)
    server.answers[Opcode.MKDIR] = lambda *_: entry(90, attr(90, stat.S_IFDIR | 0o755))
    server.answers[Opcode.MKNOD] = lambda *_: entry(91, attr(91, stat.S_IFIFO | 0o644))
    with mounted(server, data=",allow_other") as client:
        client.stat("/")
        client.vfs.mkdir_at(user, client.at("/made"), MkdirOptions())
        client.vfs.mknod_at(user, client.at("/fifo"), MknodOptions(stat.S_IFIFO | 0o644))
        with client.vfs.open_at(user, client.at("/file"), OpenOptions()) as file:
            client.stat("/file")
            file.read(1)
        client.vfs.unlink_at(user, client.at("/file"))
        client.vfs.statfs_at(user, client.at("/"))
    wanted = {Opcode.MKDIR, Opcode.MKNOD, Opcode.OPEN, Opcode.READ, Opcode.UNLINK, Opcode.STATFS}
    assert {(header.uid, header.gid) for opcode, header, _ in server.log if opcode in wanted} == {(7, 8)}


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
