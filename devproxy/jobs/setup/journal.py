"""What setup did, a line each, written down before it is done: from it everything can be taken back, also what a killed one did.

    /var/lib/devproxy/setup.jsonl     root's, 0644
        {"boot": "...", "kind": "node", "path": "/dev/nvidia0", "before": null, "after": {...}, "reason": "...", "source": "..."}

/dev and loaded modules end with the boot: what another boot did to them is forgotten. Settings in /etc stay.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

from devproxy.errors import DevproxyError
from devproxy.jobs.setup.action import FileChange, LinkChange, ModuleChange, NodeChange, Standing
from devproxy.jobs.setup.place import directory, temporary
from devproxy.json_text import dumps, loads
from devproxy.node import DeviceNumber, OfDriver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Final, Self

    from devproxy.jobs.setup.action import Action

PLACE: Final = "/var/lib/devproxy/setup.jsonl"
_BOOT: Final = "/proc/sys/kernel/random/boot_id"
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LIMIT: Final = 16 << 20
_LASTING: Final = "/etc/"
_KINDS: Final = {"module": ModuleChange, "node": NodeChange, "link": LinkChange, "file": FileChange}


class Journal:
    """The record, open and locked: one setup at a time. A context manager.

    Errors: DevproxyError where it cannot be kept, is somebody else's, or another setup is at work.
    """

    def __init__(self, path: str = PLACE) -> None:
        self._folder, self._name = os.path.split(os.path.abspath(path))
        self._path = path
        self._boot = _boot()
        self._file = -1

    def entries(self) -> tuple[Action, ...]:
        """See `entries_in`."""
        return _entries(os.pread(self._file, _LIMIT, 0), self._path, self._boot)

    def add(self, action: Action) -> None:
        """Write an action down, on the disk before this returns."""
        line = f"{_line(self._boot, action)}\n".encode()
        if os.write(self._file, line) != len(line):
            raise DevproxyError(f"{self._path} cannot be written: no space left on device")
        os.fsync(self._file)

    def drop_last(self) -> None:
        """Cross out what was written down last: it was not done."""
        text = os.pread(self._file, _LIMIT, 0)
        os.ftruncate(self._file, text.rfind(b"\n", 0, len(text) - 1) + 1)
        os.fsync(self._file)

    def keep(self, actions: Sequence[Action]) -> None:
        """Forget all but these."""
        with directory(self._folder) as folder:
            other = temporary()
            file = os.open(other, _FLAGS | os.O_EXCL, 0o644, dir_fd=folder)
            fcntl.flock(file, fcntl.LOCK_EX)
            os.write(file, "".join(f"{_line(self._boot, action)}\n" for action in actions).encode())
            os.fsync(file)
            os.rename(other, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            os.close(self._file)
            self._file = file

    def forget_other_boots(self) -> None:
        """Let go of what ended with its boot."""
        kept = self.entries()
        if len(kept) != os.pread(self._file, _LIMIT, 0).count(b"\n"):
            self.keep(kept)

    def __enter__(self) -> Self:
        try:
            with directory(self._folder, make=True) as folder:
                while not self._open(folder):
                    pass
        except OSError as error:
            self._close()
            raise DevproxyError(f"cannot keep a record in {self._path}: {(error.strerror or '').lower()}") from error
        except BaseException:
            self._close()
            raise
        return self

    def _open(self, folder: int) -> bool:
        """Open and lock it; False if it was another file by the time that it was locked."""
        self._close()
        self._file = os.open(self._name, _FLAGS, 0o644, dir_fd=folder)
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            told = f"{stat.filemode(found.st_mode)} of uid {found.st_uid}"
            raise DevproxyError(
                f"{self._path} is {told}, expected a regular file of root's", hint="--record names another"
            )
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevproxyError("another 'devproxy setup' is at work", hint=f"fuser -v {self._path}") from None
        self._cut_off_the_unfinished()
        try:
            return os.stat(self._name, dir_fd=folder, follow_symlinks=False).st_ino == found.st_ino
        except FileNotFoundError:
            return False

    def _cut_off_the_unfinished(self) -> None:
        text = os.pread(self._file, _LIMIT, 0)
        whole = text.rfind(b"\n") + 1
        if whole != len(text):
            os.ftruncate(self._file, whole)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            if os.fstat(self._file).st_size == 0:  # nothing to take back: nothing to keep
                os.unlink(os.path.join(self._folder, self._name))
        self._close()


def entries_in(path: str = PLACE) -> tuple[Action, ...]:
    """What is written down and was done in this boot, or lasts; oldest first. A line that a killed setup did not finish was not
    acted upon.

    Errors: DevproxyError for a line that is not understood: nothing is guessed.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DevproxyError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error
    try:
        return _entries(os.read(file, _LIMIT), path, _boot())
    finally:
        os.close(file)


def _entries(text: bytes, path: str, boot: str) -> tuple[Action, ...]:
    lines = text.decode("utf-8", "backslashreplace").split("\n")[:-1]
    found = [_action(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    return tuple(action for its, action in found if its == boot or action.path.startswith(_LASTING))


def _boot() -> str:
    """The name of this boot (random(4))."""
    with open(_BOOT, encoding="ascii") as file:
        return file.read().strip()


def _line(boot: str, action: Action) -> str:
    kind = next(name for name, made in _KINDS.items() if type(action) is made)
    return dumps({"boot": boot, "kind": kind, **{name: _plain(value) for name, value in action._asdict().items()}})


def _plain(value: object) -> object:
    match value:
        case Standing(number=OfDriver()):
            raise AssertionError("what is done has a number")
        case Standing():
            number = None if value.number is None else list(value.number)
            return value._asdict() | {"number": number}
        case _:
            return value


def _action(line: str, where: str) -> tuple[str, Action]:
    """The boot and the action of a line. Errors: DevproxyError."""
    try:
        return _parsed(loads(line))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        hint = "look at it; --record names another, rm it to forget what was done"
        raise DevproxyError(f"{where} is not understood: {error}", hint=hint) from None


def _parsed(words: object) -> tuple[str, Action]:
    """Errors: TypeError, ValueError, KeyError for another form than `_line` gives."""
    if not isinstance(words, dict):
        raise TypeError("no object")
    boot, kind = words.pop("boot"), _KINDS[words.pop("kind")]
    made = kind(**{name: _read(name, value) for name, value in words.items()})
    if not isinstance(boot, str) or not isinstance(made.path, str):
        raise TypeError("no boot, or no path")
    if (kind is not ModuleChange and os.path.normpath(made.path) != made.path) or not made.path:
        raise ValueError(f"{made.path!r} is no path that setup works on")
    return boot, made


def _read(name: str, value: object) -> object:
    """A field's value. Errors: TypeError, ValueError."""
    if isinstance(value, dict) and name in ("before", "after"):
        return _read_standing(Standing(**value))
    if isinstance(value, str | bool) or (value is None and name in ("before", "after")):
        return value
    raise TypeError(f"{name} is {value!r}")


def _read_standing(standing: Standing) -> Standing:
    """One whose number is a list still. Errors: TypeError, ValueError."""
    pair: object = standing.number
    numbers = [standing.mode, standing.uid, standing.gid, *(pair if isinstance(pair, list) else ())]
    if standing.kind not in ("c", "b", "d") or (pair is None) != (standing.kind == "d"):
        raise ValueError(f"{standing} is neither a device node nor a directory")
    if any(type(each) is not int or not 0 <= each < 1 << 32 for each in numbers):
        raise TypeError(f"{standing} has something that is no number")
    return standing if pair is None else standing._replace(number=DeviceNumber(*numbers[3:]))
