"""A scripted server that keeps locks, as one that others share files with would: by what the wire tells of owners."""

from __future__ import annotations

import fcntl
import itertools
import stat
from collections.abc import Callable
from typing import NamedTuple

from tests.vfs.fuse.fake import Answer, Server, Transport, attr
from tests.vfs.world import World
from vfs import File, FileLock, LockOwner
from vfs.abi import MAX_FILE_SIZE
from vfs.fuse.abi import LK_FLOCK, RELEASE_FLOCK_UNLOCK, Opcode
from vfs.fuse.records import FLUSH_IN, LK_IN, LK_OUT, OPEN_OUT, RELEASE_IN, InHeader, LkIn

SIZE = 100
BSD = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}


class Told(NamedTuple):
    """One request about locks. Owners that may hold something are numbered, others are 0; of the pid it counts whether there is one."""

    opcode: str
    handle: int
    owner: int | None
    rest: tuple[int, ...] = ()


class Keeper(Server):
    """`/a` and `/b`; what is locked goes with the handle that it was locked through. Nothing waits here: SETLKW is SETLK."""

    def __init__(self, transport: Transport | None = None, flags: int = 0xFFFF_FFFF) -> None:
        self.world = World()
        self.files: dict[int, File] = {}
        self.handles = itertools.count(1)
        super().__init__(transport, flags)
        self.names = {"a": 10, "b": 11}
        for name, nodeid in self.names.items():
            self.world.write(f"/{name}", b"")
            self.nodes[nodeid] = attr(nodeid, stat.S_IFREG | 0o644, SIZE)

    def on_open(self, header: InHeader, payload: bytes) -> Answer:
        handle = next(self.handles)
        name = next(name for name, nodeid in self.names.items() if nodeid == header.nodeid)
        self.files[handle] = self.world.open(f"/{name}", 2)
        return OPEN_OUT.pack(handle, 0)

    def on_setlk(self, header: InHeader, payload: bytes) -> Answer:
        wanted = LK_IN.unpack(payload)
        locks, file = self.world.vfs.locks, self.files[wanted.fh]
        try:
            if wanted.lk_flags & LK_FLOCK:
                locks.flock(file, BSD[wanted.type])
            else:
                locks.set(file, _lock(wanted), LockOwner(wanted.owner, wanted.pid))
        except OSError as problem:
            return problem.errno or 0
        return b""

    def on_setlkw(self, header: InHeader, payload: bytes) -> Answer:
        return self.on_setlk(header, payload)

    def on_getlk(self, header: InHeader, payload: bytes) -> Answer:
        wanted = LK_IN.unpack(payload)
        try:
            found = self.world.vfs.locks.get(self.files[wanted.fh], _lock(wanted), LockOwner(wanted.owner))
        except OSError as problem:
            return problem.errno or 0
        end = found.start + found.length - 1 if found.length else MAX_FILE_SIZE
        return LK_OUT.pack(found.start, end, found.type, found.pid)

    def on_flush(self, header: InHeader, payload: bytes) -> Answer:
        flushed = FLUSH_IN.unpack(payload)
        self.world.vfs.locks.close(self.files[flushed.fh], LockOwner(flushed.lock_owner))
        return b""

    def on_release(self, header: InHeader, payload: bytes) -> Answer:
        self.files.pop(RELEASE_IN.unpack(payload).fh).close()
        return b""

    def told(self) -> list[Told]:
        """What the server heard about locks since this was called last."""
        telling = _Telling()
        # A FLUSH that is not known is heard once, and ends nothing.
        heard = [each for each in self.log if each[0] != Opcode.FLUSH or Opcode.FLUSH not in self.answers]
        found = [telling.tell(opcode, header.nodeid, payload) for opcode, header, payload in heard]
        self.log.clear()
        return [each for each in found if each is not None]


class _Telling:
    """Numbers owners, each for as long as it may hold something: through which handles of which nodes that may be."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[int, set[tuple[int, int]]]] = {}
        self._count = itertools.count(1)

    def tell(self, opcode: Opcode, nodeid: int, payload: bytes) -> Told | None:
        if opcode in {Opcode.GETLK, Opcode.SETLK, Opcode.SETLKW}:
            lock = LK_IN.unpack(payload)
            if opcode != Opcode.GETLK:
                if lock.owner not in self._owners:
                    self._owners[lock.owner] = next(self._count), set()
                self._owners[lock.owner][1].add((nodeid, lock.fh))
            rest = (lock.start, lock.end, lock.type, int(lock.pid != 0), lock.lk_flags)
            return Told(opcode.name, lock.fh, self._number(lock.owner), rest)
        if opcode == Opcode.FLUSH:
            flushed = FLUSH_IN.unpack(payload)
            # That of the last close of a file whose descriptors nobody told of.
            number = None if flushed.lock_owner == 0 else self._number(flushed.lock_owner)
            self._forget(lambda owner, place: owner == flushed.lock_owner and place[0] == nodeid)
            return Told(opcode.name, flushed.fh, number)
        if opcode == Opcode.RELEASE:
            released = RELEASE_IN.unpack(payload)
            number = self._number(released.lock_owner)
            self._forget(lambda owner, place: place[1] == released.fh)
            return Told(opcode.name, released.fh, number, (released.release_flags & RELEASE_FLOCK_UNLOCK,))
        return None

    def _number(self, owner: int) -> int:
        return self._owners.get(owner, (0,))[0]

    def _forget(self, wanted: Callable[[int, tuple[int, int]], bool]) -> None:
        for owner, (_, places) in list(self._owners.items()):
            places -= {place for place in places if wanted(owner, place)}
            if not places:
                del self._owners[owner]


def _lock(wanted: LkIn) -> FileLock:
    length = 0 if wanted.end == MAX_FILE_SIZE else wanted.end - wanted.start + 1
    return FileLock(wanted.type, 0, wanted.start, length)
