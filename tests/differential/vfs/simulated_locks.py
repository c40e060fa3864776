"""Runs programs of lock calls on ours: a process is a table of descriptors and a lock owner."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from tests.differential.vfs.lock_programs import FILES, PROCESSES, SIZE, LockCall
from tests.vfs.world import World
from vfs import File, FileLock, LockOwner, VirtualFilesystem


class Opening(Protocol):
    """A world, as far as processes that lock need one."""

    vfs: VirtualFilesystem

    def open(self, path: str, flags: int) -> File: ...


class Process:
    """The descriptors of one process, by slot."""

    def __init__(self, world: Opening, number: int, uses: Counter[File]) -> None:
        self.world = world
        self.locks = world.vfs.locks
        self.owner = LockOwner(f"process {number}", number)
        self.slots: dict[int, File] = {}
        self.uses = uses

    def attempt(self, call: LockCall) -> object:
        try:
            return getattr(self, call.name)(*call.arguments)
        except OSError as error:
            return f"E{error.errno}"
        except KeyError:
            return "no such slot"

    def put(self, slot: int, file: File) -> None:
        self.uses[file] += 1
        self.close(slot)
        self.slots[slot] = file

    def open(self, slot: int, name: str, flags: int) -> None:
        self.close(slot)
        self.put(slot, self.world.open(name, flags))

    def close(self, slot: int) -> None:
        if slot in self.slots:
            file = self.slots.pop(slot)
            self.locks.close(file, self.owner)
            self.uses[file] -= 1
            if not self.uses[file]:
                file.close()

    def dup(self, slot: int, to: int) -> None:
        self.put(to, self.slots[slot])

    def seek(self, slot: int, offset: int) -> None:
        self.slots[slot].seek(offset)

    def flock(self, slot: int, operation: int) -> None:
        self.locks.flock(self.slots[slot], operation)

    def set_posix(self, slot: int, *lock: int) -> None:
        self.locks.set(self.slots[slot], FileLock(*lock), self.owner)

    def set_ofd(self, slot: int, *lock: int) -> None:
        self.locks.set(self.slots[slot], FileLock(*lock))

    def get_posix(self, slot: int, *lock: int) -> tuple[int, ...]:
        return tuple(self.locks.get(self.slots[slot], FileLock(*lock), self.owner))

    def get_ofd(self, slot: int, *lock: int) -> tuple[int, ...]:
        return tuple(self.locks.get(self.slots[slot], FileLock(*lock)))


def run(program: list[LockCall]) -> list[object]:
    """The result of each call. When every descriptor is closed, no lock is left."""
    world, uses = World(), Counter[File]()
    for name in FILES:
        world.write(name, b"x" * SIZE)
    results = run_in([Process(world, number, uses) for number in range(PROCESSES)], program)
    assert not world.vfs.locks.held
    assert world.ns.root_mount.open_files == 0
    return results


def run_in(processes: list[Process], program: list[LockCall]) -> list[object]:
    """The result of each call; afterwards every descriptor is closed."""
    results = [_attempt(processes, call) for call in program]
    for process in processes:
        for slot in list(process.slots):
            process.close(slot)
    return results


def _attempt(processes: list[Process], call: LockCall) -> object:
    process = processes[call.process]
    if call.name != "send":
        return process.attempt(call)
    slot, to, into = call.arguments
    if slot not in process.slots:
        return "no such slot"
    processes[to].put(into, process.slots[slot])
    return None
