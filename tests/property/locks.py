"""In which order threads take the locks of a VFS: a cycle is a deadlock that only waits for its moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import pytest


class Order:
    """The locks that were made while it watched, and which of them was taken with which one held."""

    def __init__(self) -> None:
        self.after: dict[str, set[str]] = {}
        self.taken: set[str] = set()
        self._held = threading.local()

    @contextmanager
    def watching(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Locks that are made meanwhile by `threading.Lock` and `threading.RLock` are recorded, by where they are made."""
        lock, rlock = threading.Lock, threading.RLock
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Lock", lambda: Recorded(self, lock(), _maker()))
            patch.setattr(threading, "RLock", lambda: Recorded(self, rlock(), _maker()))
            yield

    def held(self) -> list[str]:
        """The locks of this thread, the last one last."""
        if not hasattr(self._held, "names"):
            self._held.names = []
        names: list[str] = self._held.names
        return names

    def check(self) -> None:
        """The order of all threads is one: no lock comes, by way of others, after itself."""
        for name in self.after:
            pending, seen = [name], set[str]()
            while pending:
                for other in self.after.get(pending.pop(), set()) - seen:
                    assert other != name, (
                        f"{name} is taken with {sorted(self.after[name])} held, and the other way round"
                    )
                    seen.add(other)
                    pending.append(other)


def _maker() -> str:
    frame = sys._getframe(2)
    return f"{frame.f_globals['__name__']}:{frame.f_lineno}"


class Recorded:
    """A lock that tells."""

    def __init__(self, order: Order, lock: threading.Lock | threading.RLock, name: str) -> None:
        self._order = order
        self._lock = lock
        self._name = name

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        taken = self._lock.acquire(blocking, timeout)
        if taken:
            held = self._order.held()
            if self._name not in held:
                for name in held:
                    self._order.after.setdefault(name, set()).add(self._name)
            held.append(self._name)
            self._order.taken.add(self._name)
        return taken

    def release(self) -> None:
        self._order.held().remove(self._name)
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    # what threading.Condition asks of a reentrant lock

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()  # type: ignore[union-attr]
        return owned

    def _release_save(self) -> object:
        held = self._order.held()
        depth = held.count(self._name)
        for _ in range(depth):
            held.remove(self._name)
        return depth, self._lock._release_save()  # type: ignore[union-attr]

    def _acquire_restore(self, saved: tuple[int, object]) -> None:
        self._lock._acquire_restore(saved[1])  # type: ignore[union-attr]
        self._order.held().extend([self._name] * saved[0])
