from __future__ import annotations

import errno
import os

from tests.vfs.world import World, raises
from vfs.pipe import ATOMIC, CAPACITY


def test_bytes_come_out_in_order_and_then_the_end(world: World) -> None:
    world.mknod("/p", 0o010666)
    with world.open("/p") as reader:
        assert reader.read(1) == b""
        with world.open("/p", os.O_WRONLY) as writer:
            with raises(errno.EAGAIN):
                reader.read(1)
            writer.write(b"hello")
            writer.write(b" world")
            assert reader.read(7) == b"hello w"
        assert reader.read(10) == b"orld"
        assert reader.read(10) == b""


def test_a_writer_needs_a_reader(world: World) -> None:
    world.mknod("/p", 0o010666)
    with raises(errno.ENXIO):
        world.open("/p", os.O_WRONLY)
    reader = world.open("/p")
    with world.open("/p", os.O_WRONLY) as writer:
        reader.close()
        with raises(errno.EPIPE):
            writer.write(b"x")


def test_what_is_in_a_pipe_goes_with_its_last_end(world: World) -> None:
    world.mknod("/p", 0o010666)
    with world.open("/p", os.O_RDWR) as both:
        both.write(b"x")
    with world.open("/p", os.O_RDWR) as both, raises(errno.EAGAIN):
        both.read(1)


def test_a_full_pipe_takes_small_writes_whole_or_not_at_all(world: World) -> None:
    world.mknod("/p", 0o010666)
    with world.open("/p", os.O_RDWR) as both:
        assert both.write(b"x" * (CAPACITY - 10)) == CAPACITY - 10
        with raises(errno.EAGAIN):
            both.write(b"y" * ATOMIC)
        assert both.write(b"y" * (ATOMIC + 1)) == 10
        with raises(errno.EAGAIN):
            both.write(b"z")


def test_a_pipe_has_no_positions(world: World) -> None:
    world.mknod("/p", 0o010666)
    with world.open("/p", os.O_RDWR) as both:
        for call in (lambda: both.seek(0), lambda: both.pread(1, 0), lambda: both.pwrite(b"x", 0)):
            with raises(errno.ESPIPE):
                call()


def test_a_socket_is_not_opened(world: World) -> None:
    world.mknod("/s", 0o140666)
    with raises(errno.ENXIO):
        world.open("/s")
