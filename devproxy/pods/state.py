"""Which processes a named pod has: files that say where its namespace can be had, and locks that say who is alive.

    /run/devproxy/pods/          of the machine's root; others have $XDG_RUNTIME_DIR/devproxy/pods, or /tmp/devproxy-UID/pods
        NAME/                    locked while somebody joins or leaves
            PID-RANDOM           one member, which holds a lock on it: {"pid", "started", "mount", "user"}

`mount` and `user` are descriptors of the member's, found through /proc/PID/fd. A killed member loses its lock with its life: the
next command that looks removes what it left, whatever the pod's name. Everything is a directory or file of the user's own
(0700), opened without following links; what somebody else has put in their place is refused.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat

from devproxy.errors import DevproxyError, InputError
from devproxy.linux.paths import above_stdio
from devproxy.own_directory import make_own, open_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final, Self

_HINT: Final = "pods keep there who is in them: remove it, or set XDG_RUNTIME_DIR to a directory of your own"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST: Final = 64
_OTHERS: Final = frozenset("-_.")


def check_name(name: str) -> None:
    """Errors: InputError for a name that is no plain component of a path."""
    plain = name[:1].isalnum() and all(c.isalnum() or c in _OTHERS for c in name)
    if not (name.isascii() and plain and len(name) <= _LONGEST):
        raise InputError(
            f"the pod's name is {name!r}, expected letters, digits, '-', '_' and '.', at most {_LONGEST}",
            hint="it begins with a letter or digit, for example: --pod web-1",
        )


class Membership:
    """This process's place among the members of a named pod. `leave` gives it back; so does the end of the process."""

    def __init__(self, name: str) -> None:
        check_name(name)
        self.name = name
        self._file = -1
        self._own = ""

    @property
    def joined(self) -> bool:
        """Whether this process is a member."""
        return self._file >= 0

    def locked(self) -> Members:
        """Keep others from joining and leaving: a context manager."""
        return Members(self.name)

    def join(self, members: Members, descriptors: tuple[int, int]) -> None:
        """Become a member whose descriptors of the pod's namespace, mount and user, others can use."""
        self._own = f"{os.getpid()}-{os.urandom(6).hex()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE
        self._file = above_stdio(os.open(self._own, flags, 0o600, dir_fd=members.folder))
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mount, user = descriptors
        about = {"pid": os.getpid(), "started": _started(os.getpid()), "mount": mount, "user": user}
        os.write(self._file, json.dumps(about).encode())

    def leave(self) -> None:
        """Be no member any more; the last one leaves nothing behind."""
        if not self.joined:
            return
        try:
            with self.locked() as members:
                members.remove(self._own)
        finally:
            os.close(self._file)
            self._file = -1


class Members:
    """The directory of a pod, locked. Its path is made if it is missing, and removed when nothing is left in it.

    Errors: DevproxyError for a directory that is somebody else's; OSError.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._place = runtime_directory()
        self.folder = -1
        self._pods = -1
        self.removed = 0
        """How many members that were killed have been removed, of this pod and of others."""

    def __enter__(self) -> Self:
        try:
            while not self._lock():
                self._close()  # somebody has left, and taken the directories along
            self._sweep()
        except BaseException:
            self._close()
            raise
        return self

    def _lock(self) -> bool:
        """Open the pod's directory and lock it; false if it is gone by then."""
        try:
            self._pods = self._open_pods()
            self.folder = _make(self._pods, self._name, f"{self._place}/{self._name}")
        except FileNotFoundError:
            return False
        fcntl.flock(self.folder, fcntl.LOCK_EX)
        return os.fstat(self.folder).st_nlink > 0

    def _open_pods(self) -> int:
        """The directory of all pods. Only what is above is the system's."""
        base, *names = self._place.rsplit("/", 2)
        above = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for index, name in enumerate(names):
            try:
                below = _make(above, name, "/".join((base, *names[: index + 1])))
            finally:
                os.close(above)
            above = below
        return above

    def living(self) -> list[int]:
        """Descriptors of the pod's namespace, had from a living member; none if there is no member.

        Errors: DevproxyError if no member's can be had.
        """
        members = [name for name in os.listdir(self.folder) if self._is_held(self.folder, name)]
        why = ""
        for name in members:
            try:
                return self._descriptors_of(name)
            except (OSError, ValueError) as error:
                why = str(error)
        if why:
            raise DevproxyError(
                f"pod {self._name}: no member lets its namespace be had ({why})",
                hint="members and who joins them run as one user, in one pid namespace",
            )
        return []

    def _descriptors_of(self, name: str) -> list[int]:
        """Errors: ProcessLookupError if it is another process by now; ValueError if they are no namespaces."""
        file = os.open(name, os.O_RDONLY | _FILE, dir_fd=self.folder)
        try:
            about = json.loads(os.read(file, 4096))
        finally:
            os.close(file)
        if _started(about["pid"]) != about["started"]:
            raise ProcessLookupError(errno.ESRCH, f"process {about['pid']} is another one")
        found: list[int] = []
        try:
            for kind, number in (("mnt", about["mount"]), ("user", about["user"])):
                if number >= 0:
                    found.append(_namespace(about["pid"], number, kind))
        except BaseException:
            for descriptor in found:
                os.close(descriptor)
            raise
        return found

    def remove(self, name: str) -> None:
        """Remove a member's file."""
        try:
            os.unlink(name, dir_fd=self.folder)
        except FileNotFoundError:
            return  # somebody has cleaned up by hand

    def _is_held(self, folder: int, name: str) -> bool:
        """Whether a member is alive; the file of one that is not is removed."""
        try:
            file = os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
        except OSError:
            return False  # no file of ours
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            os.unlink(name, dir_fd=folder)
            self.removed += 1
            return False
        finally:
            os.close(file)

    def _sweep(self) -> None:
        """Remove what the killed members of all pods left. One that somebody works on is left to them."""
        for name in os.listdir(self.folder):
            self._is_held(self.folder, name)
        for name in os.listdir(self._pods):
            if name == self._name:
                continue
            try:
                folder = os.open(name, _DIRECTORY, dir_fd=self._pods)
            except OSError:
                continue
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for member in os.listdir(folder):
                    self._is_held(folder, member)
                os.rmdir(name, dir_fd=self._pods)
            except OSError:
                continue
            finally:
                os.close(folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        base, *names = self._place.rsplit("/", 2)
        try:
            os.rmdir(self._name, dir_fd=self._pods)
            for index in (2, 1):
                os.rmdir("/".join((base, *names[:index])))
        except OSError:
            pass  # others are in it
        self._close()

    def _close(self) -> None:
        for descriptor in (self.folder, self._pods):
            if descriptor >= 0:
                os.close(descriptor)
        self.folder = self._pods = -1


def runtime_directory() -> str:
    """Where the pods of this process's user are."""
    user = os.geteuid()
    if user == 0:
        return "/run/devproxy/pods"
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given.startswith("/") and _is_own(given, user):
        return f"{os.path.normpath(given)}/devproxy/pods"
    return f"/tmp/devproxy-{user}/pods"  # noqa: S108 (refused if it is anybody else's)


def _is_own(path: str, user: int) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022


def _make(parent: int, name: str, path: str) -> int:
    """Open a directory of our own, made if it is missing. Errors: DevproxyError for anything else of that name."""
    make_own(parent, name)
    return open_own(parent, name, path, _HINT)


def _started(pid: int) -> int:
    """When a process started, in clock ticks since the machine did (proc_pid_stat(5), starttime). Errors: ESRCH."""
    try:
        with open(f"/proc/{int(pid)}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, f"there is no process {pid}") from None


def _namespace(pid: int, number: int, kind: str) -> int:
    """A copy of a process's descriptor of a namespace. Errors: ValueError if it is something else."""
    descriptor = above_stdio(os.open(f"/proc/{pid}/fd/{int(number)}", os.O_RDONLY | os.O_CLOEXEC))
    found = os.readlink(f"/proc/self/fd/{descriptor}")
    if not found.startswith(f"{kind}:["):
        os.close(descriptor)
        raise ValueError(f"descriptor {number} of process {pid} is {found}, no {kind} namespace")
    return descriptor
