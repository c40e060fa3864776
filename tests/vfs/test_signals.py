"""A signal's handler may raise at any moment: whatever call it ends, the lock of the VFS is free afterwards."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest

from tests.vfs.world import World
from vfs import ROOT, SetStat

CALLS: dict[str, Callable[[World], object]] = {
    "create": lambda world: world.open("/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY).close(),
    "write": lambda world: world.write("/file", b"text"),
    "read": lambda world: world.read("/file"),
    "mkdir": lambda world: world.mkdir("/new"),
    "mknod": lambda world: world.mknod("/new"),
    "symlink": lambda world: world.symlink("file", "/new"),
    "link": lambda world: world.vfs.link_at(ROOT, world.at("/file"), world.at("/new")),
    "rename": lambda world: world.vfs.rename_at(ROOT, world.at("/file"), world.at("/new")),
    "unlink": lambda world: world.vfs.unlink_at(ROOT, world.at("/file")),
    "rmdir": lambda world: world.vfs.rmdir_at(ROOT, world.at("/directory")),
    "chmod": lambda world: world.vfs.set_stat_at(ROOT, world.at("/file"), SetStat(mode=0o600)),
    "mount": lambda world: world.mount("/directory"),
    "list": lambda world: world.listdir("/directory"),
    "look up": lambda world: world.stat("/directory/missing"),
}


class Taken(Exception):
    """What the handler raises."""


class Handler:
    """Raises at one of the moments at which CPython carries out what signals ask for: where a function begins, and where a call
    of one that is written in C has returned.
    """

    def __init__(self, moment: int) -> None:
        self.left = moment

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event not in {"call", "c_return"}:
            return
        self.left -= 1
        if self.left < 0:
            raise Taken


def interrupted(call: Callable[[World], object], moment: int) -> tuple[World, bool]:
    """A world in which a call was made, and whether it was cut off at that moment."""
    world = World()
    world.mkdir("/directory")
    world.write("/file", b"")
    before = sys.getprofile()
    # A callback of the collector is no place to raise from.
    gc.disable()
    try:
        sys.setprofile(Handler(moment))
        call(world)
    except Taken:
        return world, True
    except FileNotFoundError:
        pass
    finally:
        sys.setprofile(before)
        gc.enable()
    return world, False


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_whoever_raises_in_a_call_leaves_no_lock(call: Callable[[World], object]) -> None:
    moment = 0
    with ThreadPoolExecutor(1) as other:
        while True:
            world, cut_off = interrupted(call, moment)
            assert other.submit(world.vfs.lock.acquire, blocking=False).result(), moment
            if not cut_off:
                break
            moment += 1
    assert moment > 5
