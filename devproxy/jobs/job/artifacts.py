"""The folder that tells of a job. Each file is in it whole or not at all, but for logs, which grow; so whatever kills a job leaves what
there is readable.

    job.json             what is known so far, of a job that was killed too; the mark of a folder that is a job's
    lease.json           who has which devices since when, for 'devproxy clean'
    before.tar           the host before, during which nobody else had the devices; after.tar, cleaned.tar
    check-before.json    what was wrong with it; check-after.json, check-cleaned.json
    diff.txt, diff.json  what differs between the first and the last recording
    clean.json           what was left behind, and what became of it
    junit.xml            the same as five tests
    report.html          the same for people: one page
    timings.json         what each phase took
    stdout.log           what the command wrote; stderr.log; kernel.log: what the kernel wrote meanwhile

The folder is new, empty or a job's own: files of somebody else are never written over. Names are taken from the folder's descriptor,
and no link is followed.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

from devproxy.errors import DevproxyError, InputError
from devproxy.json_text import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FORMAT: Final = "devproxy-job/1"
_STREAMS: Final = tuple(f"{stream}{part}.log" for stream in ("stdout", "stderr") for part in ("", ".last", ".previous"))
NAMES: Final = (
    "job.json", "lease.json", "before.tar", "after.tar", "cleaned.tar", "check-before.json", "check-after.json", "check-cleaned.json",
    "diff.txt", "diff.json", "clean.json", "junit.xml", "report.html", "timings.json", "codequality.json", "kernel.log", *_STREAMS,
)  # fmt: skip
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HINT: Final = "name a new directory, an empty one, or that of an earlier job"
_LONGEST: Final = 16 << 20


class Artifacts:
    """The folder, open and locked. What an earlier job left in it is removed."""

    def __init__(self, path: str) -> None:
        """Errors: InputError for a folder that is somebody else's, or another job's at this moment, or cannot be had."""
        self.path = os.path.abspath(path)
        try:
            with suppress(FileExistsError):
                os.mkdir(path, 0o755)
            self._folder = os.open(path, _DIRECTORY)
        except OSError as error:
            told = f"cannot use {path!r} for artifacts: {(error.strerror or '').lower()}"
            raise InputError(told, hint=_HINT) from error
        try:
            self._take()
        except OSError as error:
            self.close()
            raise InputError(f"cannot write in {path!r}: {(error.strerror or '').lower()}") from error
        except BaseException:
            self.close()
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another job writes its artifacts in {self.path!r} now", hint=_HINT) from None
        names = os.listdir(self._folder)
        if names and not self._is_ours(names):
            others = ", ".join(repr(name) for name in sorted(names)[:3])
            raise InputError(f"{self.path!r} has files of somebody else: {others}", hint=_HINT)
        for name in names:
            if name in NAMES or name.removesuffix(".new") in NAMES:
                self._remove(name)
        self.write("job.json", dumps({"format": FORMAT, "state": "begins"}).encode())

    def _is_ours(self, names: list[str]) -> bool:
        if "job.json" not in names:
            # One that was killed before its first file had its name.
            return names == ["job.json.new"]
        try:
            with open("job.json", "rb", opener=self._open_plainly) as file:
                found = loads(file.read(_LONGEST).decode())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(found, dict) and found.get("format") == FORMAT

    def _open_plainly(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder)

    def _remove(self, name: str) -> None:
        found = os.lstat(name, dir_fd=self._folder)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{self.path}/{name} is {stat.filemode(found.st_mode)}, expected a file", hint=_HINT)
        os.unlink(name, dir_fd=self._folder)

    def write(self, name: str, data: bytes) -> None:
        """A file, whole; one of this job's own is replaced by the same rename.

        Errors: DevproxyError.
        """
        temporary = f"{name}.new"
        try:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._folder)
            with open(os.open(temporary, _NEW, 0o644, dir_fd=self._folder), "wb") as file:
                file.write(data)
            self.replace(temporary, name)
        except OSError as error:
            raise DevproxyError(f"cannot write {self.path}/{name}: {(error.strerror or '').lower()}") from error

    def append_to(self, name: str) -> int:
        """A new file that grows: its descriptor."""
        return os.open(name, _NEW | os.O_APPEND, 0o644, dir_fd=self._folder)

    def replace(self, name: str, other: str) -> None:
        """Give a file another name, in place of what has that."""
        os.rename(name, other, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def close(self) -> None:
        """Let it go."""
        os.close(self._folder)
