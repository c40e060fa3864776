"""Runs programs of lock calls on the kernel: each process is a child, told what to do through a pipe."""

from __future__ import annotations

import fcntl
import os
import pickle
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tests.differential.vfs.lock_programs import FILES, PROCESSES, SIZE, LockCall

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of x86-64 and arm64."""
COMMANDS = {
    "set_posix": fcntl.F_SETLK,
    "get_posix": fcntl.F_GETLK,
    "set_ofd": fcntl.F_OFD_SETLK,
    "get_ofd": fcntl.F_OFD_GETLK,
}


class Child:
    """What a process does: its descriptors, by slot. Descriptors are sent to another through a socket."""

    def __init__(self, sending: socket.socket, receiving: socket.socket) -> None:
        self.sending, self.receiving = sending, receiving
        self.slots: dict[int, int] = {}

    def attempt(self, call: LockCall) -> object:
        try:
            return getattr(self, call.name)(*call.arguments)
        except OSError as error:
            return f"E{error.errno}"
        except KeyError:
            return "no such slot"

    def reset(self) -> None:
        for descriptor in self.slots.values():
            os.close(descriptor)
        self.slots.clear()

    def put(self, slot: int, descriptor: int) -> None:
        self.close(slot)
        self.slots[slot] = descriptor

    def open(self, slot: int, name: str, flags: int) -> None:
        self.close(slot)
        self.slots[slot] = os.open(name, flags)

    def close(self, slot: int) -> None:
        if slot in self.slots:
            os.close(self.slots.pop(slot))

    def dup(self, slot: int, to: int) -> None:
        self.put(to, os.dup(self.slots[slot]))

    def give(self, slot: int) -> None:
        socket.send_fds(self.sending, [b"x"], [self.slots[slot]])

    def take(self, slot: int) -> None:
        self.put(slot, socket.recv_fds(self.receiving, 1, 1)[1][0])

    def seek(self, slot: int, offset: int) -> None:
        os.lseek(self.slots[slot], offset, os.SEEK_SET)

    def flock(self, slot: int, operation: int) -> None:
        fcntl.flock(self.slots[slot], operation)

    def set_posix(self, *arguments: int) -> None:
        self._fcntl("set_posix", *arguments)

    def set_ofd(self, *arguments: int) -> None:
        self._fcntl("set_ofd", *arguments)

    def get_posix(self, *arguments: int) -> tuple[int, ...]:
        return self._fcntl("get_posix", *arguments)

    def get_ofd(self, *arguments: int) -> tuple[int, ...]:
        return self._fcntl("get_ofd", *arguments)

    def _fcntl(self, name: str, slot: int, *lock: int) -> tuple[int, ...]:
        descriptor = self.slots[slot]
        return _FLOCK.unpack(fcntl.fcntl(descriptor, COMMANDS[name], _FLOCK.pack(*lock)))


class Processes:
    """The children, each with the pipe that leads to it and the one that leads back."""

    def __init__(self) -> None:
        self.sockets = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pipes: list[tuple[BinaryIO, BinaryIO]] = []
        self.pids: list[int] = []
        for _ in range(PROCESSES):
            self._start()

    def _start(self) -> None:
        down, up = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                for writing, reading in self.pipes:
                    writing.close()
                    reading.close()
                os.close(down[1])
                os.close(up[0])
                _serve(Child(*self.sockets), os.fdopen(down[0], "rb"), os.fdopen(up[1], "wb"))
            finally:
                os._exit(0)
        os.close(down[0])
        os.close(up[1])
        self.pipes.append((os.fdopen(down[1], "wb"), os.fdopen(up[0], "rb")))
        self.pids.append(pid)

    def tell(self, call: LockCall) -> object:
        writing, reading = self.pipes[call.process]
        pickle.dump(call, writing)
        writing.flush()
        answer = pickle.load(reading)
        if isinstance(answer, tuple) and answer[-1] in self.pids:
            return (*answer[:-1], self.pids.index(answer[-1]))
        return answer

    def attempt(self, call: LockCall) -> object:
        if call.name != "send":
            return self.tell(call)
        slot, to, into = call.arguments
        answer = self.tell(LockCall("give", (slot,), call.process))
        return answer or self.tell(LockCall("take", (into,), to))

    def run(self, program: list[LockCall]) -> list[object]:
        for name in FILES:
            with open(name, "wb") as file:
                file.write(b"x" * SIZE)
        results = [self.attempt(call) for call in program]
        for process in range(PROCESSES):
            self.tell(LockCall("reset", (), process))
        return results

    def end(self) -> None:
        for pipes, pid in zip(self.pipes, self.pids, strict=True):
            for pipe in pipes:
                pipe.close()
            os.waitpid(pid, 0)
        for each in self.sockets:
            each.close()


def _serve(child: Child, reading: BinaryIO, writing: BinaryIO) -> None:
    while True:
        try:
            call = pickle.load(reading)
        except EOFError:
            return
        pickle.dump(child.attempt(call), writing)
        writing.flush()


@contextmanager
def processes() -> Iterator[Processes]:
    """The children, in an empty directory."""
    before = os.open(".", os.O_PATH)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        os.chdir(place)
        found = Processes()
        try:
            yield found
        finally:
            found.end()
            os.fchdir(before)
            os.close(before)
