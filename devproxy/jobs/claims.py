"""Files that are locked while their owner lives: who waits, who has what.

A claim has no name until it is complete and locked (open(2), O_TMPFILE), so that one that is seen unlocked is dead for good. Who made
it is its owner (st_uid), and when it came is its birth time, which nobody can set; a change time others move by a link to it.
"""

from __future__ import annotations

import fcntl
import os
import stat

from devproxy.errors import DevproxyError
from devproxy.json_text import dumps, loads
from devproxy.linux.host_calls import MachineCalls
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LONGEST: Final = 64 << 10
# What follows a claim's words when its owner has looked, and found nothing: one byte, so that nobody reads half of it.
_WAITS: Final = b"\n"


class Claim(Record):
    """A claim: its file's name, when it came (nanoseconds and inode, to order by), its owner, what it says; the device that the
    file is on; whether it is alive.
    """

    name: str
    came: tuple[int, int]
    uid: int
    words: dict[str, object]
    device: int = 0
    alive: bool = True

    @property
    def inode(self) -> tuple[int, int]:
        """Device and inode: which file it is, whatever its name."""
        return self.device, self.came[1]


class Own:
    """A claim of this process, held by a descriptor that can be inherited.

    Errors: DevproxyError where it cannot be written: the disk is full, or there is no procfs to give it its name.
    """

    def __init__(self, folder: int, words: dict[str, object]) -> None:
        self.name = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._folder = folder
        try:
            self._write(folder, words)
        except OSError as error:
            raise DevproxyError(
                f"who asks for a lease cannot be written down where leases are kept: {(error.strerror or '').lower()}"
            ) from error

    def _write(self, folder: int, words: dict[str, object]) -> None:
        self.descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o644, dir_fd=folder)
        try:
            os.fchmod(self.descriptor, 0o644)
            self._size = os.write(self.descriptor, dumps(words).encode())
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.link(f"/proc/self/fd/{self.descriptor}", self.name, dst_dir_fd=folder, follow_symlinks=True)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.came = _came(self.descriptor, os.fstat(self.descriptor))

    def waits(self) -> None:
        """Say that its owner has to wait."""
        os.pwrite(self.descriptor, _WAITS, self._size)

    def withdraw(self) -> None:
        """Take it back: its file goes first, so that nobody finds it unlocked."""
        try:
            os.unlink(self.name, dir_fd=self._folder)
        finally:
            os.close(self.descriptor)


def living(folder: int) -> list[Claim]:
    """The claims whose owners live, in the order in which they came. What dead ones left is removed where that is allowed."""
    found = look(folder)
    for claim in found:
        if not claim.alive and os.geteuid() in (
            0,
            claim.uid,
        ):  # else its owner's next command removes it: it is sticky there
            remove(folder, claim)
    return [claim for claim in found if claim.alive]


def look(folder: int) -> list[Claim]:
    """All claims, those of the dead too, in the order in which they came. Nothing is removed."""
    found = [claim for name in os.listdir(folder) if (claim := _read(folder, name)) is not None]
    return sorted(found, key=lambda claim: claim.came)


def remove(folder: int, claim: Claim) -> bool:
    """Remove what a dead one left. Returns whether it is gone."""
    try:
        os.unlink(claim.name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class Watched:
    """Another's claim, looked at until its owner has withdrawn it or died: one system call a look, however many there are."""

    def __init__(self, folder: int, claim: Claim) -> None:
        self._descriptor = _open(folder, claim.name)

    def is_over(self) -> bool:
        """Whether its owner has gone, or has been served."""
        return self._descriptor is None or _is_unlocked(self._descriptor)

    def waits(self) -> bool:
        """Whether its owner has said that it has to wait; it may still be looking, and be served at once."""
        if self._descriptor is None:
            return False
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, 1, size - 1) == _WAITS if size else False

    def close(self) -> None:
        """Look no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def _open(folder: int, name: str) -> int | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None  # gone, or no file at all: nobody's claim
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _read(folder: int, name: str) -> Claim | None:
    descriptor = _open(folder, name)
    if descriptor is None:
        return None
    try:
        status = os.fstat(descriptor)
        alive = not _is_unlocked(descriptor)
        words = read_words(os.read(descriptor, _LONGEST))
        return Claim(name, _came(descriptor, status), status.st_uid, words, status.st_dev, alive)
    finally:
        os.close(descriptor)


def _is_unlocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pid_in(words: dict[str, object]) -> int:
    """The process that a claim says has it; 0 if it does not say."""
    pid = words.get("pid")
    return pid if isinstance(pid, int) else 0


def read_words(data: bytes) -> dict[str, object]:
    """What a claim says; nothing where it is none."""
    try:
        found = loads(data.decode())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _came(descriptor: int, status: os.stat_result) -> tuple[int, int]:
    born = MachineCalls().birth_ns(descriptor)
    return status.st_ctime_ns if born is None else born, status.st_ino
