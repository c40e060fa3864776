"""The conversation with a server: one request at a time, its answer, and what the server tells unasked.

Analogous to struct fuse_conn of Linux (fs/fuse/dev.c, fs/fuse/inode.c). `lock` is taken inside the lock of the VFS, never the
other way round: what is called with it held takes no other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fuse.abi import (
    COUNTED,
    DEFAULT_MAX_PAGES,
    INTERRUPT_BIT,
    MAJOR,
    MAX_ERROR,
    MINOR,
    OLDEST_FLOCK_MINOR,
    OLDEST_MINOR,
    PAGE_SIZE,
    InitFlags,
    Opcode,
)
from vfs.fuse.messages import ENTRY_SIZE
from vfs.fuse.records import (
    BATCH_FORGET_IN,
    ENTRY_OUT,
    FORGET_IN,
    FORGET_ONE,
    IN_HEADER,
    INIT_IN,
    INIT_OUT,
    INTERRUPT_IN,
    OUT_HEADER,
    InitIn,
)

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.file import File
    from vfs.fuse.channel import Channel
    from vfs.fuse.records import InitOut

WANTED: Final = (
    InitFlags.POSIX_LOCKS
    | InitFlags.FLOCK_LOCKS
    | InitFlags.ATOMIC_O_TRUNC
    | InitFlags.BIG_WRITES
    | InitFlags.DONT_MASK
    | InitFlags.DO_READDIRPLUS
    | InitFlags.READDIRPLUS_AUTO
    | InitFlags.NO_OPEN_SUPPORT
    | InitFlags.NO_OPENDIR_SUPPORT
    | InitFlags.MAX_PAGES
    | InitFlags.CACHE_SYMLINKS
)
"""What this client knows how to do."""

_READAHEAD: Final = 1 << 17
_GRACE: Final = 1.0
"""Seconds that an interrupted request has to be answered."""
_FORGETS: Final = 500
"""So many fit in the smallest buffer that a server may have (FUSE_MIN_READ_BUFFER)."""
_INIT_SIZES: Final = frozenset({24, 64})

Told = Callable[[int, bytes], None]


class Connection:
    """A server. `told` hears of notifications, with `lock` held. What a node was looked up for and is no longer needed is put
    into `forgets`, from anywhere, and sent with the next request.

    `timeout` is how many seconds a request may take. `unsupported` are the opcodes that the server answered with ENOSYS: it is not asked for them again.
    """

    def __init__(self, channel: Channel, timeout: float, max_pages: int, told: Told) -> None:
        """Errors: those of the channel."""
        self.lock = threading.Lock()
        self.forgets: deque[tuple[int, int]] = deque()
        self.unsupported: set[Opcode] = set()
        self.flags = InitFlags(0)
        self.max_write = self.max_data = PAGE_SIZE
        self._channel = channel
        self.timeout = timeout
        self._max_pages = max_pages
        self._told = told
        self._unique = 0
        self._abandoned: dict[int, int] = {}
        self._waits: dict[int, Wait] = {}
        self._failure: int | None = None
        self._init: int | None = None
        init = INIT_IN.pack(*InitIn(MAJOR, MINOR, _READAHEAD, WANTED))
        # As on Linux, a server that has gone by now is noticed by the first who asks it.
        with contextlib.suppress(_Broken):
            self._init = self._send(Opcode.INIT, 0, (init,), None, self._deadline())

    def _deadline(self) -> float:
        return time.monotonic() + self.timeout

    # requests

    def request(
        self, opcode: Opcode, nodeid: int, parts: Sequence[bytes | memoryview], creds: Credentials | None
    ) -> bytes:
        """Ask, and return what follows the header of the answer.

        Errors: the server's; ENOTCONN for a connection that has ended, ECONNREFUSED for one that never began;
        ECONNABORTED when it ends meanwhile; ETIMEDOUT; EIO for an answer that is none.
        """
        with self.lock:
            self._begin()
            try:
                return self._ask(opcode, nodeid, parts, creds, self._deadline())
            except _Broken as broken:
                raise error(broken.number) from None

    # locks that are waited for

    def begin_wait(self, wait: Wait, parts: Sequence[bytes | memoryview], creds: Credentials) -> None:
        """Ask for a lock that may be long in coming (SETLKW): others are served meanwhile. The answer comes to `wait`.

        Errors: as `request`; EBADF for a file that was closed.
        """
        with self.lock:
            wait.file.check_open()
            self._begin()
            try:
                deadline = self._deadline()
                self._prepare(deadline)
                wait.unique = self._send(Opcode.SETLKW, wait.nodeid, parts, creds, deadline)
            except _Broken as broken:
                raise error(broken.number) from None
            self._waits[wait.unique] = wait

    def check_wait(self, wait: Wait) -> bool:
        """Whether the answer is there. Errors: ECONNABORTED when the connection has ended meanwhile."""
        if wait.answer is None:
            self.listen()
        if wait.answer is None and self._failure is not None:
            raise error(errno.ECONNABORTED)
        return wait.answer is not None

    def interrupt_wait(self, wait: Wait) -> None:
        """Tell the server that the lock is not wanted any more; it will answer, or not."""
        with self.lock:
            if wait.answer is None and self._failure is None:
                with contextlib.suppress(_Broken):
                    self._send_interrupt(wait.unique, self._deadline())

    def give_up_wait(self, wait: Wait) -> bool:
        """Whether no answer has come by now; a lock that is granted later is given back."""
        with self.lock:
            wait.given_up = wait.answer is None
            return wait.given_up

    def end_waits(self, file: File) -> None:
        """Who waits is told EBADF, and nobody minds what the server answers. Precondition: the file counts as closed."""
        with self.lock:
            waits = [wait for wait in self._waits.values() if wait.file is file]
        for wait in waits:
            if not wait.given_up:
                self.interrupt_wait(wait)
            with self.lock:
                if self._waits.pop(wait.unique, None) is not None:
                    wait.tell(-errno.EBADF)

    # the beginning

    def _begin(self) -> None:
        """The answer to INIT is waited for when it is first needed: the server may start after the mount."""
        if self._failure is not None:
            raise error(self._failure)
        if self._init is None:
            return
        try:
            answer = self._wait(Opcode.INIT, self._init, self._deadline())
            self._agree(answer)
        except _Broken as broken:
            raise error(broken.number) from None
        except OSError:
            self._end(errno.ECONNREFUSED)
            raise error(errno.ECONNREFUSED) from None
        self._init = None

    def _agree(self, answer: bytes) -> None:
        if len(answer) not in _INIT_SIZES:
            raise error(errno.EPROTO)
        out: InitOut = INIT_OUT.unpack(answer.ljust(INIT_OUT.size, b"\0"))
        if out.major != MAJOR or out.minor < OLDEST_MINOR:
            raise error(errno.EPROTO)
        self.flags = InitFlags(out.flags & WANTED)
        if out.minor < OLDEST_FLOCK_MINOR and self.flags & InitFlags.POSIX_LOCKS:
            self.flags |= InitFlags.FLOCK_LOCKS
        pages = max(out.max_pages, 1) if self.flags & InitFlags.MAX_PAGES else DEFAULT_MAX_PAGES
        self.max_data = min(pages, self._max_pages) * PAGE_SIZE
        wanted = max(out.max_write, PAGE_SIZE) if self.flags & InitFlags.BIG_WRITES else PAGE_SIZE
        self.max_write = min(wanted, self.max_data)

    def _ask(
        self,
        opcode: Opcode,
        nodeid: int,
        parts: Sequence[bytes | memoryview],
        creds: Credentials | None,
        deadline: float,
    ) -> bytes:
        self._prepare(deadline)
        unique = self._send(opcode, nodeid, parts, creds, deadline)
        return self._wait(opcode, unique, deadline)

    def _prepare(self, deadline: float) -> None:
        self._send_forgets(deadline)
        # What arrived while nobody listened comes first: the end of the conversation, too.
        self._listen()
        if self._failure is not None:
            raise error(self._failure)

    def _send(
        self,
        opcode: Opcode,
        nodeid: int,
        parts: Sequence[bytes | memoryview],
        creds: Credentials | None,
        deadline: float,
        *,
        unique: int | None = None,
    ) -> int:
        if unique is None:
            self._unique += 2
            unique = self._unique
        size = IN_HEADER.size + sum(len(part) for part in parts)
        uid, gid = (0, 0) if creds is None else (creds.uid, creds.gid)
        header = IN_HEADER.pack(size, opcode, unique, nodeid, uid, gid, os.getpid())
        try:
            self._channel.send((header, *parts), deadline)
        except OSError as problem:
            # The server never saw it.
            number = errno.ENOTCONN if problem.errno == errno.ECONNABORTED else problem.errno or errno.EIO
            self._end(errno.ENOTCONN)
            raise _Broken(number) from None
        except BaseException:
            # A signal's handler took over: who knows how much was sent.
            self._end(errno.ENOTCONN)
            raise
        return unique

    def _send_forgets(self, deadline: float) -> None:
        while self.forgets:
            some = [self.forgets.popleft() for _ in range(min(len(self.forgets), _FORGETS))]
            if len(some) == 1:
                nodeid, count = some[0]
                self._send(Opcode.FORGET, nodeid, (FORGET_IN.pack(count),), None, deadline)
            else:
                parts = (BATCH_FORGET_IN.pack(len(some)), *(FORGET_ONE.pack(*each) for each in some))
                self._send(Opcode.BATCH_FORGET, 0, (b"".join(parts),), None, deadline)

    # answers

    def _wait(self, opcode: Opcode, unique: int, deadline: float) -> bytes:
        """Wait for an answer; past the deadline, interrupt the request and wait a little more."""
        try:
            try:
                return self._answer(unique, deadline)
            except _Late:
                return self._interrupt(unique)
        except (OSError, _Broken):
            raise
        except BaseException:
            # A signal's handler took over. The answer comes later, to nobody.
            self._abandoned[unique] = opcode
            raise

    def _interrupt(self, unique: int) -> bytes:
        grace = time.monotonic() + min(_GRACE, self.timeout)
        self._send_interrupt(unique, grace)
        try:
            return self._answer(unique, grace)
        except InterruptedError:
            raise error(errno.ETIMEDOUT) from None
        except _Late:
            self._end(errno.ENOTCONN)
            raise _Broken(errno.ETIMEDOUT) from None

    def _send_interrupt(self, unique: int, deadline: float) -> None:
        self._send(Opcode.INTERRUPT, 0, (INTERRUPT_IN.pack(unique),), None, deadline, unique=unique | INTERRUPT_BIT)

    def _answer(self, wanted: int, deadline: float) -> bytes:
        while True:
            unique, number, payload = self._receive(deadline)
            if unique == wanted:
                if number:
                    raise error(-number)
                return payload
            if time.monotonic() > deadline:
                # A server that never stops talking does not answer either.
                raise _Late

    def _receive(self, deadline: float) -> tuple[int, int, bytes]:
        """The next message: to which request, the error, and the rest. A notification is acted on, and has the number 0."""
        try:
            message = self._channel.receive(deadline)
        except TimeoutError:
            raise _Late from None
        except OSError as problem:
            self._end(errno.ENOTCONN)
            raise _Broken(problem.errno or errno.EIO) from None
        _, number, unique = OUT_HEADER.unpack(message)
        payload = message[OUT_HEADER.size :]
        if not unique:
            self._told(number, payload)
        elif not -MAX_ERROR < number <= 0 or (number and payload):
            self._end(errno.ENOTCONN)
            raise _Broken(errno.EIO)
        else:
            self._take_back(unique, number, payload)
        return unique, number, payload

    def _take_back(self, unique: int, number: int, payload: bytes) -> None:
        """A late answer that counts a look-up counts for nobody; a lock that nobody waits for any more is given back."""
        wait = self._waits.pop(unique, None)
        if wait is not None:
            wait.tell(number)
            if wait.given_up and not number:
                self._send(Opcode.SETLK, wait.nodeid, (wait.undo,), None, self._deadline())
        opcode = self._abandoned.pop(unique, None)
        if opcode in COUNTED and not number and len(payload) >= ENTRY_SIZE:
            nodeid = ENTRY_OUT.unpack(payload).nodeid
            if nodeid:
                self.forgets.append((nodeid, 1))

    # listening and ending

    def listen(self) -> None:
        """Take note of what the server told meanwhile, without waiting. Never fails: who asks next hears of the end."""
        if self._failure is None and self._init is None and self.lock.acquire(blocking=False):
            try:
                self._listen()
            except _Broken:
                pass
            finally:
                self.lock.release()

    def _listen(self) -> None:
        deadline = time.monotonic() + min(_GRACE, self.timeout)
        while self._failure is None and self._channel.waiting() and time.monotonic() < deadline:
            try:
                self._receive(deadline)
            except _Late:
                self._end(errno.ENOTCONN)
                raise _Broken(errno.EIO) from None
            except _Broken as broken:
                # Nobody waits for an answer: it is a connection that had ended before.
                raise _Broken(errno.ENOTCONN if broken.number == errno.ECONNABORTED else broken.number) from None

    def reply(self, opcode: Opcode, nodeid: int, unique: int, data: bytes) -> None:
        """Answer a notification. Precondition: called by `told`."""
        self._send(opcode, nodeid, (data,), None, self._deadline(), unique=unique)

    def _end(self, number: int) -> None:
        self._failure = number
        self._channel.shut_down()

    def abort(self) -> None:
        """End the conversation at once; who waits for an answer gets ECONNABORTED (/sys/fs/fuse/connections/N/abort)."""
        self._failure = errno.ENOTCONN
        self._channel.shut_down()

    def close(self) -> None:
        """Say goodbye to a server that still listens, and close the channel."""
        with self.lock:
            if self._failure is None and self._init is None:
                with contextlib.suppress(OSError, _Broken):
                    self._ask(Opcode.DESTROY, 0, (), None, self._deadline())
            self._failure = errno.ENOTCONN
            self._channel.close()


class Wait:
    """Somebody waits for a lock: `answer` is 0 or a negative errno, once `answered` is set. `undo` is the request that gives
    the lock back.
    """

    __slots__ = ("answer", "answered", "file", "given_up", "nodeid", "undo", "unique")

    def __init__(self, file: File, nodeid: int, undo: bytes) -> None:
        self.file = file
        self.nodeid = nodeid
        self.undo = undo
        self.unique = 0
        self.answered = threading.Event()
        self.answer: int | None = None
        self.given_up = False

    def tell(self, answer: int) -> None:
        """Precondition: the lock of the connection is held."""
        self.answer = answer
        self.answered.set()


class _Broken(Exception):
    """The conversation has ended; `number` is what the caller is told."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Late(Exception):
    """The deadline has come."""
