"""Message queues in memory beside the kernel's, in an IPC namespace of its own: what a random program of calls answers."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vfs.world import World
from vfs import ROOT, OpenOptions, SetStat
from vfs.fs.mqueue import MqueueType, QueueAttributes, QueueFile, mq_open

pytestmark = pytest.mark.root

Call = tuple[str, tuple[Any, ...]]
# The numbers of x86_64 and of the architectures that share include/uapi/asm-generic/unistd.h.
NUMBERS = {"x86_64": (240, 241, 242, 243, 245), "aarch64": (180, 181, 182, 183, 185)}
FLAGS = os.O_CREAT | os.O_NONBLOCK


def program(seed: int) -> list[Call]:
    """Calls on a few names and slots, some of which are mistakes."""
    chance = random.Random(seed)
    calls: list[Call] = []
    for _ in range(300):
        name, slot = chance.choice("abc"), chance.randrange(4)
        size = chance.choice((0, 1, 5, 16, 17, 8192, 8193))
        kind = chance.randrange(12)
        if kind < 2:
            access = chance.choice((os.O_RDWR, os.O_RDWR, os.O_RDONLY, os.O_WRONLY))
            flags = access | chance.choice((FLAGS, FLAGS, os.O_NONBLOCK, FLAGS | os.O_EXCL))
            bad = chance.choice((name, name, name, name, "x/y", ".", "", "n" * 256))
            limits = chance.choice((None, (3, 16), (1, 1), (10, 8192), (0, 1), (11, 16), (2, 8193)))
            calls.append(("open", (slot, bad, flags, 0o640, limits)))
        elif kind < 6:
            calls.append(("send", (slot, size, chance.choice((0, 1, 1, 5, 32767, 32768)))))
        elif kind < 9:
            calls.append(("receive", (slot, chance.choice((16, 8192, 8192, 15)))))
        else:
            call: Call = chance.choice(
                (("attributes", (slot,)), ("unlink", (name,)), ("read", (slot,)), ("stat", (name,)), ("truncate", (name, 7)), ("list", ()),
                 ("rename", (name, "z")), ("mkdir", ("d",)), ("chmod", (name, 0o604)), ("block", (slot, chance.random() < 0.5)))
            )  # fmt: skip
            calls.append(call)
    return calls


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]


def payload(size: int, number: int) -> bytes:
    return (b"%d" % number)[:size].ljust(size, b".")


class Ours:
    """The calls on a VFS."""

    def __init__(self) -> None:
        self.world = World()
        self.world.vfs.register_filesystem_type(MqueueType())
        self.root = self.world.vfs.new_mount_namespace(ROOT, "none", "mqueue").root
        self.world.ns = self.root.mount.namespace or self.world.ns
        self.slots: dict[int, QueueFile] = {}

    def open(self, slot: int, name: str, flags: int, mode: int, limits: tuple[int, int] | None) -> str:
        attributes = QueueAttributes(*limits) if limits else QueueAttributes()
        file = mq_open(ROOT, self.root, name, OpenOptions(flags, mode), attributes)
        if slot in self.slots:
            self.slots[slot].close()
        self.slots[slot] = file
        return "ok"

    def send(self, slot: int, size: int, priority: int, number: int) -> None:
        self.slots[slot].send(payload(size, number), priority)

    def receive(self, slot: int, size: int) -> list[Any]:
        data, priority = self.slots[slot].receive(size)
        return [data.decode(), priority]

    def attributes(self, slot: int) -> list[int]:
        found = self.slots[slot].attributes()
        return [found.max_messages, found.message_size, found.messages, int(found.nonblocking)]

    def block(self, slot: int, wanted: bool) -> None:
        self.slots[slot].set_nonblocking(nonblocking=True)

    def read(self, slot: int) -> str:
        file = self.slots[slot]
        file.seek(0)
        return file.read(200).decode()

    def unlink(self, name: str) -> None:
        self.world.vfs.unlink_at(ROOT, self.world.at(f"/{name}"))

    def stat(self, name: str) -> list[int]:
        found = self.world.stat(f"/{name}")
        return [found.st_mode, found.st_size, found.st_nlink, found.st_blocks, self.world.stat("/").st_size]

    def truncate(self, name: str, size: int) -> None:
        self.world.vfs.set_stat_at(ROOT, self.world.at(f"/{name}"), SetStat(size=size))

    def chmod(self, name: str, mode: int) -> None:
        self.world.vfs.set_stat_at(ROOT, self.world.at(f"/{name}"), SetStat(mode=mode))

    def rename(self, name: str, new: str) -> None:
        self.world.vfs.rename_at(ROOT, self.world.at(f"/{name}"), self.world.at(f"/{new}"))

    def mkdir(self, name: str) -> None:
        self.world.mkdir(f"/{name}")

    def list(self) -> list[str]:
        return self.world.listdir("/")


Attributes = ctypes.c_long * 8
"""struct mq_attr: flags, the most messages, the size of one, how many there are, and nothing."""


class Kernel:
    """The calls on the kernel, by number: they are the system calls, not what a C library makes of them."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.numbers = NUMBERS[os.uname().machine]
        self.slots: dict[int, int] = {}
        os.umask(0)

    def call(self, which: int, *arguments: Any) -> int:
        result = int(self.libc.syscall(self.numbers[which], *arguments))
        if result < 0:
            raise OSError(ctypes.get_errno(), "")
        return result

    def open(self, slot: int, name: str, flags: int, mode: int, limits: tuple[int, int] | None) -> str:
        attributes = ctypes.byref(Attributes(0, *limits)) if limits else None
        descriptor = self.call(0, name.encode(), flags, mode, attributes)
        if slot in self.slots:
            os.close(self.slots[slot])
        self.slots[slot] = descriptor
        return "ok"

    def send(self, slot: int, size: int, priority: int, number: int) -> None:
        self.call(2, self.slots[slot], payload(size, number), size, priority, None)

    def receive(self, slot: int, size: int) -> list[Any]:
        buffer, priority = ctypes.create_string_buffer(size), ctypes.c_uint()
        length = self.call(3, self.slots[slot], buffer, size, ctypes.byref(priority), None)
        return [buffer.raw[:length].decode(), priority.value]

    def attributes(self, slot: int) -> list[int]:
        found = Attributes()
        self.call(4, self.slots[slot], None, ctypes.byref(found))
        return [found[1], found[2], found[3], int(bool(found[0] & os.O_NONBLOCK))]

    def block(self, slot: int, wanted: bool) -> None:
        self.call(4, self.slots[slot], ctypes.byref(Attributes(os.O_NONBLOCK)), None)

    def read(self, slot: int) -> str:
        os.lseek(self.slots[slot], 0, os.SEEK_SET)
        return os.read(self.slots[slot], 200).decode()

    def unlink(self, name: str) -> None:
        os.unlink(f"{self.place}/{name}")

    def stat(self, name: str) -> list[int]:
        found = os.stat(f"{self.place}/{name}")
        return [found.st_mode, found.st_size, found.st_nlink, found.st_blocks, os.stat(self.place).st_size]

    def truncate(self, name: str, size: int) -> None:
        os.truncate(f"{self.place}/{name}", size)

    def chmod(self, name: str, mode: int) -> None:
        os.chmod(f"{self.place}/{name}", mode)

    def rename(self, name: str, new: str) -> None:
        os.rename(f"{self.place}/{name}", f"{self.place}/{new}")

    def mkdir(self, name: str) -> None:
        os.mkdir(f"{self.place}/{name}")

    def list(self) -> list[str]:
        return sorted(os.listdir(self.place))


def answers(subject: Any, calls: list[Call]) -> list[Any]:
    """What each call says; one on a slot that was never opened is passed over."""
    found = []
    for number, (name, arguments) in enumerate(calls):
        if name in {"send", "receive", "attributes", "read", "block"} and arguments[0] not in subject.slots:
            found.append("-")
            continue
        more = (number,) if name == "send" else ()
        found.append(outcome(lambda name=name, all_=(*arguments, *more): getattr(subject, name)(*all_)))  # type: ignore[misc]
    return found


def test_queues_answer_as_the_kernels(tmp_path: Path) -> None:
    script = (
        f"mount -t mqueue none {tmp_path} && exec {sys.executable} -m tests.differential.vfs.test_mqueue {tmp_path} $0"
    )
    for seed in range(4):
        done = subprocess.run(
            ["unshare", "--ipc", "--mount", "sh", "-c", script, str(seed)], capture_output=True, text=True, check=True
        )
        calls = program(seed)
        mine = answers(Ours(), calls)
        for call, one, other in zip(calls, mine, json.loads(done.stdout), strict=True):
            assert one == other, (seed, call)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answers(Kernel(sys.argv[1]), program(int(sys.argv[2])))))
