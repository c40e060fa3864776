"""Pseudo-terminals in memory beside those of a new instance of the kernel's: what random programs of typing, printing and
setting answer.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vfs.world import World
from vfs import ROOT, File, MountOptions
from vfs.fs.devpts import DevptsType
from vfs.fs.devpts import line as bits
from vfs.fs.devpts.line import Termios
from vfs.fs.devpts.terminal import FIONREAD, TCGETS, TCSETS, TIOCGPTN, TIOCGWINSZ, TIOCSPTLCK, TIOCSWINSZ

pytestmark = pytest.mark.root

Call = tuple[str, tuple[Any, ...]]
OPTIONS = "newinstance,ptmxmode=0666,mode=0620,gid=5,max=4"
TYPED = (
    "a",
    "bc",
    "\r",
    "\n",
    "\x7f",
    "\x15",
    "\x04",
    "\x01",
    "\t",
    "x\x7fy\r",
    "\x03",
    "\x1b[A",
    "\x04\x04",
    "\x00",
    "\xe9",
)
PRINTED = ("out", "l\n", "\r", "a\r\nb", "\t", "\x07")
INPUT = (bits.ICRNL, bits.INLCR, bits.IGNCR)
OUTPUT = (bits.OPOST, bits.ONLCR, bits.OCRNL)
LOCAL = (bits.ICANON, bits.ECHO, bits.ECHOE, bits.ECHOK, bits.ECHOKE, bits.ECHONL, bits.ECHOCTL, bits.ISIG, bits.NOFLSH)


def program(seed: int) -> list[Call]:
    """One terminal mostly, that is opened and closed at both ends, and another beside it."""
    chance = random.Random(seed)
    calls: list[Call] = [("master", (0,)), ("slave", (0,)), ("unlock", (0, 0)), ("slave", (0,))]
    for _ in range(120):
        pair = chance.choice((0, 0, 0, 0, 0, 0, 1))
        kind = chance.randrange(40)
        if kind < 10:
            calls.append(("type", (pair, chance.choice(TYPED))))
        elif kind < 16:
            calls.append(("print", (pair, chance.choice(PRINTED))))
        elif kind < 21:
            calls.append(("read_slave", (pair, chance.choice((1, 100)))))
        elif kind < 26:
            calls.append(("read_master", (pair, chance.choice((3, 100)))))
        elif kind < 29:
            flags = [sum(chance.sample(all_, chance.randrange(len(all_) + 1))) for all_ in (INPUT, OUTPUT, LOCAL)]
            calls.append(("set", (pair, *flags)))
        else:
            once: tuple[Call, ...] = (
                ("master", (pair,)), ("slave", (pair,)), ("unlock", (pair, chance.randrange(2))), ("close_master", (pair,)),
                ("close_slave", (pair,)), ("names", ()), ("stat", (pair,)), ("window", (pair, chance.randrange(200))), ("waiting", (pair,)),
                ("get", (pair,)), ("slave", (pair,)),
            )  # fmt: skip
            calls.append(chance.choice(once))
    return calls


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except KeyError:
        return "-"
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]


class Terminals:
    """The calls, in words that both sides have: `opened` opens a path, the rest works on what it gave."""

    def __init__(self) -> None:
        self.ends: dict[tuple[str, int], Any] = {}

    def opened(self, path: str) -> Any:
        raise NotImplementedError

    def closed(self, end: Any) -> None:
        raise NotImplementedError

    def ioctl(self, end: Any, request: int, argument: Any) -> Any:
        raise NotImplementedError

    def number(self, pair: int) -> int:
        return int(self.ioctl(self.ends["master", pair], TIOCGPTN, 0))

    def open_as(self, what: str, pair: int, path: str) -> str:
        self.drop(what, pair)
        self.ends[what, pair] = self.opened(path)
        return "ok"

    def drop(self, what: str, pair: int) -> None:
        end = self.ends.pop((what, pair), None)
        if end is not None:
            self.closed(end)

    def master(self, pair: int) -> str:
        self.drop("slave", pair)
        return self.open_as("master", pair, "ptmx")

    def slave(self, pair: int) -> str:
        return self.open_as("slave", pair, str(self.number(pair)))

    def close_master(self, pair: int) -> None:
        self.drop("master", pair)

    def close_slave(self, pair: int) -> None:
        self.drop("slave", pair)

    def unlock(self, pair: int, locked: int) -> None:
        self.ioctl(self.ends["master", pair], TIOCSPTLCK, locked)

    def type(self, pair: int, text: str) -> int:
        return self.written(self.ends["master", pair], text.encode("latin-1"))

    def print(self, pair: int, text: str) -> int:
        return self.written(self.ends["slave", pair], text.encode("latin-1"))

    def read_slave(self, pair: int, size: int) -> str:
        return self.found(self.ends["slave", pair], size).decode("latin-1")

    def read_master(self, pair: int, size: int) -> str:
        return self.found(self.ends["master", pair], size).decode("latin-1")

    def set(self, pair: int, *flags: int) -> None:
        end = self.ends["slave", pair]
        before = Termios.unpack(self.ioctl(end, TCGETS, bytes(36)))
        self.ioctl(end, TCSETS, before._replace(iflag=flags[0], oflag=flags[1], lflag=flags[2]).pack())

    def get(self, pair: int) -> str:
        return bytes(self.ioctl(self.ends["slave", pair], TCGETS, bytes(36))).hex()

    def window(self, pair: int, rows: int) -> str:
        self.ioctl(self.ends["master", pair], TIOCSWINSZ, bytes((rows, 0, 80, 0, 0, 0, 0, 0)))
        return bytes(self.ioctl(self.ends["slave", pair], TIOCGWINSZ, bytes(8))).hex()

    def waiting(self, pair: int) -> int:
        return int(self.ioctl(self.ends["slave", pair], FIONREAD, 0))

    def written(self, end: Any, data: bytes) -> int:
        raise NotImplementedError

    def found(self, end: Any, size: int) -> bytes:
        raise NotImplementedError


class Ours(Terminals):
    """On a VFS."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.vfs.register_filesystem_type(DevptsType())
        self.world.mkdir("/pts")
        self.world.vfs.mount_at(ROOT, "none", self.world.at("/pts"), "devpts", MountOptions(data=OPTIONS))

    def opened(self, path: str) -> File:
        return self.world.open(f"/pts/{path}", os.O_RDWR)

    def closed(self, end: File) -> None:
        end.close()

    def ioctl(self, end: File, request: int, argument: Any) -> Any:
        return end.ioctl(request, argument)

    def written(self, end: File, data: bytes) -> int:
        return end.write(data)

    def found(self, end: File, size: int) -> bytes:
        return end.read(size)

    def names(self) -> list[str]:
        return self.world.listdir("/pts")

    def stat(self, pair: int) -> list[int]:
        found = self.world.stat(f"/pts/{self.number(pair)}")
        return [found.st_mode, found.st_rdev, found.st_uid, found.st_gid, found.st_ino, found.st_nlink, found.st_size]


class Kernel(Terminals):
    """On an instance of the kernel's, mounted at a place."""

    def __init__(self, place: str, delay: float) -> None:
        super().__init__()
        self.place = place
        self.delay = delay

    def opened(self, path: str) -> int:
        return os.open(f"{self.place}/{path}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def closed(self, end: int) -> None:
        os.close(end)

    def ioctl(self, end: int, request: int, argument: Any) -> Any:
        if request in {TIOCGPTN, TIOCSPTLCK, FIONREAD}:
            return int.from_bytes(fcntl.ioctl(end, request, int(argument).to_bytes(4, "little")), "little")
        return fcntl.ioctl(end, request, argument)

    def written(self, end: int, data: bytes) -> int:
        written = os.write(end, data)
        time.sleep(self.delay)
        return written

    def found(self, end: int, size: int) -> bytes:
        return os.read(end, size)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.place))

    def stat(self, pair: int) -> list[int]:
        found = os.stat(f"{self.place}/{self.number(pair)}")
        return [found.st_mode, found.st_rdev, found.st_uid, found.st_gid, found.st_ino, found.st_nlink, found.st_size]


def answers(subject: Terminals, calls: list[Call]) -> list[Any]:
    """What each call says; "-" for one on an end that is not open."""
    found = []
    for name, arguments in calls:
        found.append(outcome(lambda name=name, all_=arguments: getattr(subject, name)(*all_)))  # type: ignore[misc]
    for end in subject.ends.values():
        subject.closed(end)
    return found


SEEDS = range(10)
DELAYS = (0.002, 0.02, 0.1)
"""How long the kernel gets to move what was written, which it does in a queue of work (tty_flip_buffer_push): more where the answers
differ, as another order there is no difference.
"""


def kernels(place: Path, delay: float, seeds: list[int]) -> dict[int, list[Any]]:
    """What the kernel says to the programs of some seeds."""
    module = "tests.differential.vfs.test_devpts"
    script = f'mount -t devpts -o {OPTIONS} none {place} && exec {sys.executable} -m {module} {place} {delay} "$0"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, json.dumps(seeds)], capture_output=True, text=True, check=True
    )
    return dict(zip(seeds, json.loads(done.stdout), strict=True))


def differences(seed: int, theirs: list[Any]) -> list[Any]:
    """The first call that was answered otherwise, with those before it."""
    calls = program(seed)
    for number, (one, other) in enumerate(zip(answers(Ours(), calls), theirs, strict=True)):
        if one != other:
            return [seed, calls[max(0, number - 12) : number + 1], one, other]
    return []


@pytest.mark.rows("H26", oracle="kernel")
def test_terminals_answer_as_the_kernels(tmp_path: Path) -> None:
    left = list(SEEDS)
    found: list[Any] = []
    for delay in DELAYS:
        found = [each for seed, theirs in kernels(tmp_path, delay, left).items() if (each := differences(seed, theirs))]
        left = [each[0] for each in found]
        if not left:
            return
    assert not found


@pytest.mark.rows("H26", oracle="kernel")
def test_max_is_enospc_and_the_lowest_number_is_given() -> None:
    ours = Ours()
    for pair in range(4):
        assert ours.master(pair) == "ok"
    assert outcome(lambda: ours.master(4)) == "ENOSPC"
    ours.close_master(1)
    assert ours.names() == ["0", "2", "3", "ptmx"]
    assert ours.master(4) == "ok"
    assert ours.number(4) == 1
    found = ours.world.stat("/pts/1")
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o620, 0, 5)
    for pair in (0, 2, 3, 4):
        ours.close_master(pair)


@pytest.mark.rows("H26", oracle="kernel")
def test_instances_are_apart() -> None:
    one, two = Ours(), Ours()
    two.world.mkdir("/other")
    two.world.vfs.mount_at(ROOT, "none", two.world.at("/other"), "devpts", MountOptions(data=OPTIONS))
    one.master(0)
    two.master(0)
    assert (one.names(), two.names(), two.world.listdir("/other")) == (["0", "ptmx"], ["0", "ptmx"], ["ptmx"])
    one.close_master(0)
    two.close_master(0)


if __name__ == "__main__":
    where, pause, chosen = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
    sys.stdout.write(json.dumps([answers(Kernel(where, pause), program(seed)) for seed in chosen]))
