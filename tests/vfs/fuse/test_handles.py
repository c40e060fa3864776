"""What the client asks about open files: pieces, handles, positions, and calls that go to the server as they are."""

from __future__ import annotations

import errno
import os
import stat

from tests.vfs.fuse.asked import flags, payloads
from tests.vfs.fuse.fake import CONTENTS, FILE, Server, attr, entry, mounted
from tests.vfs.world import raises
from vfs import ROOT, MkdirOptions, MknodOptions, OpenOptions, RenameOptions, SetStat
from vfs.copying import copy_range
from vfs.fuse import abi
from vfs.fuse.abi import InitFlags, Opcode
from vfs.fuse.messages import pack_attributes
from vfs.fuse.records import (
    DATA_IN,
    IOCTL_IN,
    IOCTL_OUT,
    LSEEK_OUT,
    OPEN_OUT,
    RENAME2_IN,
    SETATTR_IN,
    WRITE_OUT,
    AttrOut,
    InHeader,
)


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
