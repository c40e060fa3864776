"""Servers that die, hang, interrupt, split and babble: an errno in the end, and the connection is what it is said to be."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.fuse.fake import CONTENTS, FILE, Client, Raw, Server, attr, entry, mounted, packet
from tests.vfs.world import raises
from vfs import ROOT, MountOptions
from vfs.fuse.abi import Notify, Opcode
from vfs.fuse.records import INIT_OUT, NOTIFY_STORE, OPEN_OUT, InHeader

SOON = 0.3
"""Seconds: long for a thread on a busy machine, short for who waits."""
SOONER = 0.05


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_server_that_dies_while_it_is_asked(server: Server) -> None:
    server.answers[Opcode.GETATTR] = lambda *_: server.die()
    with mounted(server) as client:
        with raises(errno.ECONNABORTED):
            client.stat("/")
        for _ in range(2):
            with raises(errno.ENOTCONN):
                client.stat("/")
        with raises(errno.ENOTCONN):
            client.open("/file")


def test_a_server_that_died_before_it_is_asked(server: Server) -> None:
    with mounted(server) as client:
        client.stat("/")
        file = client.open("/file", os.O_RDWR)
        server.die()
        calls: list[Callable[[], object]] = [lambda: client.stat("/"), lambda: file.read(5), lambda: file.write(b"x")]
        for call in (*calls, client.listdir):
            with raises(errno.ENOTCONN):
                call()
        with raises(errno.ENOTCONN):
            file.close()
        assert client.mount.open_files == 0


def test_a_server_that_is_dead_already_can_be_mounted(server: Server) -> None:
    server.die()
    with mounted(server) as client, raises(errno.ENOTCONN):
        client.stat("/")


def test_a_server_that_hangs_is_interrupted_and_let_go(server: Server) -> None:
    server.answers[Opcode.LOOKUP] = lambda *_: None
    with mounted(server) as client:
        client.stat("/")
        client.fs.connection.timeout = SOON
        with raises(errno.ETIMEDOUT):
            client.stat("/file")
        with raises(errno.ENOTCONN):
            client.stat("/")
    interrupts = [header for opcode, header, _ in server.log if opcode == Opcode.INTERRUPT]
    lookups = [header for opcode, header, _ in server.log if opcode == Opcode.LOOKUP]
    assert [header.unique for header in interrupts] == [lookups[0].unique | 1]


def test_a_server_that_obeys_an_interrupt_stays(server: Server) -> None:
    waiting: list[int] = []

    def hang(header: InHeader, payload: bytes) -> None:
        waiting.append(header.unique)

    server.answers[Opcode.LOOKUP] = hang
    server.answers[Opcode.INTERRUPT] = lambda *_: Raw((packet(waiting[0], error=-errno.EINTR),))
    with mounted(server, timeout=SOON) as client:
        with raises(errno.ETIMEDOUT):
            client.stat("/file")
        del server.answers[Opcode.LOOKUP]
        assert client.stat("/file").st_size == len(CONTENTS)


def test_a_late_answer_is_an_answer(server: Server) -> None:
    waiting: list[int] = []

    def hang(header: InHeader, payload: bytes) -> None:
        waiting.append(header.unique)

    late = entry(FILE, server.nodes[FILE])
    server.answers[Opcode.LOOKUP] = hang
    server.answers[Opcode.INTERRUPT] = lambda *_: Raw((packet(waiting[0], late),))
    with mounted(server, timeout=SOON) as client:
        assert client.stat("/file").st_ino == FILE


def test_the_servers_own_timeout_is_not_ours(server: Server) -> None:
    server.answers[Opcode.LOOKUP] = lambda *_: errno.ETIMEDOUT
    with mounted(server) as client:
        with raises(errno.ETIMEDOUT):
            client.stat("/file")
        client.stat("/")
    assert Opcode.INTERRUPT not in [opcode for opcode, _, _ in server.log]


def test_a_connection_that_is_aborted_fails_who_waits(server: Server) -> None:
    asked = threading.Event()
    server.answers[Opcode.GETATTR] = lambda *_: asked.set()
    with mounted(server) as client:
        results: list[int | None] = []

        def look() -> None:
            try:
                client.stat("/")
            except OSError as problem:
                results.append(problem.errno)

        thread = threading.Thread(target=look)
        thread.start()
        assert asked.wait(60)
        client.fs.abort()
        thread.join(60)
        assert results == [errno.ECONNABORTED]
        with raises(errno.ENOTCONN):
            client.stat("/")


@pytest.mark.parametrize("cuts", [(16,), (16, 40), (20, 60, 100)])
def test_answers_in_several_packets(server: Server, cuts: tuple[int, ...]) -> None:
    def split(header: InHeader, payload: bytes) -> Raw:
        whole = packet(header.unique, entry(FILE, server.nodes[FILE]))
        return Raw(tuple(whole[start:stop] for start, stop in zip((0, *cuts), (*cuts, len(whole)), strict=True)))

    server.answers[Opcode.LOOKUP] = split
    with mounted(server) as client:
        assert client.stat("/file").st_ino == FILE


def test_notifications_come_between(server: Server) -> None:
    noise = (packet(0, NOTIFY_STORE.pack(FILE, 0, 3) + b"abc", Notify.STORE), packet(0, b"?", 77), packet(0, b"", 3))

    def answer(header: InHeader, payload: bytes) -> Raw:
        return Raw((*noise, packet(999_998, b"for nobody"), packet(header.unique, b"text")))

    server.answers[Opcode.READLINK] = answer
    with mounted(server) as client:
        assert client.vfs.readlink_at(ROOT, client.at("/link")) == "text"


def test_a_server_that_never_stops_talking_does_not_answer(server: Server) -> None:
    stop = threading.Event()

    def babble(header: InHeader, payload: bytes) -> None:
        with suppress(OSError):
            while not stop.is_set():
                server.notify(Notify.STORE, NOTIFY_STORE.pack(FILE, 0, 0))

    server.answers[Opcode.LOOKUP] = babble
    with mounted(server, timeout=SOON) as client:
        with raises(errno.ETIMEDOUT):
            client.stat("/file")
        with raises(errno.ENOTCONN):
            client.stat("/")
        stop.set()


GARBAGE: dict[str, Callable[[int], tuple[bytes, ...]]] = {
    "short header": lambda unique: (b"12345",),
    "nothing but zeros": lambda unique: (bytes(64),),
    "too long": lambda unique: (packet(unique)[:4] + b"\xff" * 60,),
    "more than it says": lambda unique: (packet(unique) + b"more",),
    "a positive error": lambda unique: (packet(unique, error=5),),
    "an error that is none": lambda unique: (packet(unique, error=-4000),),
    "an error and data": lambda unique: (packet(unique, b"data", -2),),
    "a huge length": lambda unique: (b"\xff\xff\xff\x7f" + bytes(12),),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_what_is_no_answer_ends_the_connection(server: Server, kind: str) -> None:
    server.answers[Opcode.GETATTR] = lambda header, payload: Raw(GARBAGE[kind](header.unique))
    with mounted(server) as client:
        with raises(errno.EIO):
            client.stat("/")
        with raises(errno.ENOTCONN):
            client.stat("/")


@pytest.mark.parametrize("size", [0, 1, 87, 103, 105, 4000])
def test_an_answer_of_another_size_is_eio_and_no_more(server: Server, size: int) -> None:
    server.answers[Opcode.GETATTR] = lambda *_: bytes(size)
    with mounted(server) as client:
        with raises(errno.EIO):
            client.stat("/")
        del server.answers[Opcode.GETATTR]
        assert stat.S_ISDIR(client.stat("/").st_mode)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        bytes(63),
        INIT_OUT.pack(8, 0, *[0] * 9),
        INIT_OUT.pack(7, 11, *[0] * 9),
        errno.EPERM,
    ],
)
def test_a_server_that_cannot_agree_is_refused(server: Server, answer: bytes | int) -> None:
    server.answers[Opcode.INIT] = lambda *_: answer
    with mounted(server) as client:
        for _ in range(2):
            with raises(errno.ECONNREFUSED):
                client.stat("/")


def _use(client: Client) -> None:
    with client.open("/file", os.O_RDWR) as file:
        file.read(100)
        file.write(b"abc")
        file.seek(0, os.SEEK_DATA)
        file.allocate(0, 0, 10)
        file.sync()


OPERATIONS = (
    lambda client: client.stat("/file"),
    lambda client: client.listdir(),
    lambda client: client.vfs.readlink_at(ROOT, client.at("/link")),
    lambda client: client.open("/file", os.O_RDWR).close(),
    lambda client: client.open("/new", os.O_RDWR | os.O_CREAT).close(),
    lambda client: client.vfs.mkdir_at(ROOT, client.at("/made")),
    lambda client: client.vfs.unlink_at(ROOT, client.at("/file")),
    lambda client: client.vfs.rename_at(ROOT, client.at("/file"), client.at("/other")),
    lambda client: client.vfs.link_at(ROOT, client.at("/file"), client.at("/other")),
    lambda client: client.vfs.statfs_at(ROOT, client.at("/")),
    lambda client: client.vfs.listxattr_at(ROOT, client.at("/file")),
    _use,
)


@pytest.mark.property
@given(
    st.lists(
        st.tuples(st.sampled_from(list(Opcode)), st.one_of(st.binary(max_size=200), st.integers(1, 511))), max_size=4
    ),
    st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=8),
)
def test_any_answer_is_an_errno_or_a_result(
    answers: list[tuple[Opcode, bytes | int]], operations: list[Callable[[Client], object]]
) -> None:
    server = Server()
    for opcode, answer in answers:
        server.answers[opcode] = lambda *_, answer=answer: answer
    with mounted(server) as client:
        for operation in operations:
            with suppress(OSError):
                operation(client)


@pytest.mark.property
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=80), st.just(b"")), min_size=1, max_size=4))
def test_any_packets_are_an_errno(packets: list[bytes]) -> None:
    server = Server()
    server.answers[Opcode.LOOKUP] = lambda *_: Raw(tuple(each for each in packets if each))
    with mounted(server, timeout=SOONER) as client:
        with pytest.raises(OSError) as caught:
            client.stat("/file")
        assert caught.value.errno in {errno.EIO, errno.ETIMEDOUT}


def test_an_open_that_fails_after_it_was_made_leaves_nothing_open(server: Server) -> None:
    server.answers[Opcode.CREATE] = lambda *_: entry(50, attr(50, stat.S_IFDIR | 0o755)) + OPEN_OUT.pack(9, 0)
    with mounted(server) as client:
        with raises(errno.EIO):
            client.open("/new", os.O_RDWR | os.O_CREAT)
        assert client.mount.open_files == 0
    assert server.counts[50] == 0


def test_options_without_a_connection_are_refused(server: Server) -> None:
    with mounted(server) as client, raises(errno.EINVAL):
        client.vfs.mount_disconnected(ROOT, "x", "fuse", MountOptions(data="rootmode=40000,user_id=0,group_id=0"))
