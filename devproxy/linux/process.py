"""What a process sets on itself before it becomes another program."""

from __future__ import annotations

import errno
import os

from devproxy.linux.foreign import Array, c_char_p
from devproxy.linux.syscalls import INT, LONG, PIDFD_SEND_SIGNAL, POINTER, STRING, check, encode, libc, prototype

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence
    from typing import Final, NoReturn
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# SIGKILL and SIGSTOP cannot be set; 32 and 33 belong to the C library.
_BLOCKABLE: Final = [number for number in range(1, signal.NSIG) if number not in (32, 33)]
_SETTABLE: Final = [number for number in _BLOCKABLE if number not in (signal.SIGKILL, signal.SIGSTOP)]


_pidfd_send_signal = prototype(INT, INT, STRING, INT)
_keyctl = libc["syscall"]
_keyctl.argtypes, _keyctl.restype = (LONG, INT, STRING), LONG
_prctl = libc.prctl
_prctl.argtypes = (INT, LONG, LONG, LONG, LONG)
_signal = libc.signal
_signal.argtypes, _signal.restype = (INT, POINTER), POINTER


def prctl(option: int, value: int, further: int = 0) -> int:
    """One operation on this process (prctl(2)); the unused arguments are zero, as some options demand."""
    return check(_prctl(option, value, further, 0, 0))


def die_with_parent() -> None:
    """Be killed when the thread that made this process ends (prctl(2), PR_SET_PDEATHSIG).

    The kernel forgets it when the process changes its user.
    """
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Be the parent of every descendant whose own parent ends, instead of init (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_dumping() -> None:
    """Close /proc/PID of this process to others until exec (prctl(2), PR_SET_DUMPABLE; ptrace(2))."""
    prctl(_PR_SET_DUMPABLE, 0)


class Dumpable:
    """A context in which /proc/PID belongs to the process's user, so that it can write there itself."""

    def __enter__(self) -> None:
        prctl(_PR_SET_DUMPABLE, 1)

    def __exit__(self, *_: object) -> None:
        forbid_dumping()


# keyctl(2) by architecture: it is older than the time when a new call got one number everywhere.
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL_JOIN_SESSION_KEYRING = 1


def new_session_keyring() -> None:
    """Leave the caller's session keyring, whose keys everyone in the session possesses, for a new one (session-keyring(7)).

    Where the kernel has no keys, or a seccomp filter refuses the call, nobody can ask for them either. Errors: EDQUOT.
    """
    number = _KEYCTL.get(os.uname().machine)
    if number is None:
        return
    try:
        check(_keyctl(number, _KEYCTL_JOIN_SESSION_KEYRING, None))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
            raise


def keep_capabilities() -> None:
    """Keep the permitted capabilities when the user is changed (prctl(2), PR_SET_KEEPCAPS)."""
    prctl(_PR_SET_KEEPCAPS, 1)


def forbid_new_privileges() -> None:
    """Make exec grant nothing (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def send_signal(pidfd: int, number: int) -> None:
    """Send a signal to the process of a descriptor, and to no other (pidfd_send_signal(2)). Errors: ESRCH when it has
    ended.
    """
    check(_pidfd_send_signal(PIDFD_SEND_SIGNAL, pidfd, number, None, 0))


def block_signals() -> set[int | signal.Signals]:
    """Block every signal in this thread (pthread_sigmask(3)). Returns those that were blocked."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKABLE)


def reset_signals() -> None:
    """Give every signal its default action and block none, as a fresh process has it (signal(7)).

    The interpreter ignores SIGPIPE and SIGXFSZ, and exec would hand that on. It is not told: none of its handlers is
    called any more.
    """
    for number in _SETTABLE:
        _signal(number, None)  # SIG_DFL
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def execve(path: str, arguments: Sequence[str], environment: Sequence[str]) -> NoReturn:
    """Become another program (execve(2)). Unlike os.execve, it takes the environment in order and with duplicates."""
    check(libc.execve(encode(path), _vector(arguments), _vector(environment)), path)
    raise AssertionError


def fexecve(descriptor: int, arguments: Sequence[str], environment: Sequence[str]) -> NoReturn:
    """Become the program of a descriptor (fexecve(3)). Errors: ENOENT for a script, whose interpreter could not find it
    again once exec has closed the descriptor.
    """
    check(libc.fexecve(descriptor, _vector(arguments), _vector(environment)))
    raise AssertionError


def _vector(strings: Sequence[str]) -> Array[c_char_p]:
    """An array of C strings that ends with NULL."""
    return (c_char_p * (len(strings) + 1))(*(encode(string) for string in strings), None)
