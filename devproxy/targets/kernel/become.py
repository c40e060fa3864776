"""How the builder becomes the container's process: what `launch` asks for, from terminal to exec.

It runs in the builder, inside the finished root. An error goes back to `launch` through the channel, which exec closes:
the end of the stream says that the process runs.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import struct

from devproxy.errors import DevproxyError, InputError
from devproxy.linux import process as own
from devproxy.linux.namespaces import CLONE, map_one, unshare
from devproxy.linux.paths import DEVPTS_SUPER_MAGIC, LAST_DESCRIPTOR, close_range, filesystem_magic
from devproxy.oci.spec import Capabilities, Process, Rlimit, User
from devproxy.record import Record
from devproxy.targets.kernel.channel import Channel
from devproxy.targets.kernel.credentials import AbleToRead, become_user, drop_the_rest, wanted_capabilities
from devproxy.targets.kernel.executable import check_interpreters, find_executable
from devproxy.targets.kernel.failure import NotExecutable, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, NoReturn

    from devproxy.linux.paths import Opener

_DEFAULT_UMASK: Final = 0o022
_PASSWD_MAXIMUM: Final = 1 << 20
_NO_LIMIT: Final = 1 << 63
# As termios has the first; the module itself would be loaded by every run, and here nothing is loaded any more.
_TIOCSCTTY, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x40045431, 0x5441


class Builder(Record):
    """What the builder hands over: its channel, the root by descriptor, the host's procfs, the limits on descriptors
    that it was given, and whether it had no privileges.
    """

    channel: Channel
    opener: Opener
    root: int
    proc: int
    files: tuple[int, int]
    rootless: bool


class Request(Record):
    """What `launch` sends, with the descriptors of the three standard streams, and after them of the executable, if it
    is given as one.
    """

    process: Process
    terminal: bool


def become(builder: Builder) -> NoReturn:
    """Wait for a request and become the process it describes.

    Raises EOFError when the caller dropped the root, and DevproxyError, NotFound, NotExecutable or OSError when the
    process cannot be started.
    """
    message = builder.channel.receive()
    request = _request_from_json(message.value)
    process, streams, executable = request.process, message.descriptors[:3], message.descriptors[3:]
    wanted = wanted_capabilities(process.capabilities)
    if request.terminal:
        streams = _open_terminal(builder, process.user)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    _set_limits(builder, process)
    _enter_directory(builder, process.cwd)
    environment = _environment(builder, process)
    if builder.rootless:
        _rename_user(builder, process.user)
    become_user(process.user, wanted, groups=not builder.rootless)
    path = "" if executable else _find(builder, process)
    drop_the_rest(wanted)
    if process.no_new_privs:
        own.forbid_new_privileges()
    _still_die_with_caller(builder.channel)
    os.umask(_DEFAULT_UMASK if process.user.umask is None else process.user.umask)
    close_range(3, LAST_DESCRIPTOR, cloexec=True)
    _execute(path, executable, process.args, environment)


def _rename_user(builder: Builder, user: User) -> None:
    """Show the only user there is, who is root here, as the one that the process asks for: in a user namespace below this
    one, in which nothing else changes (user_namespaces(7)). Its capabilities reach nothing outside of that.
    """
    if (user.uid, user.gid) == (0, 0):
        return
    unshare(CLONE["user"])
    with own.Dumpable():
        map_one(builder.proc, (user.uid, 0), (user.gid, 0))


def _execute(path: str, executable: list[int], args: Sequence[str], environment: Sequence[str]) -> NoReturn:
    try:
        if executable:
            own.fexecve(executable[0], args, environment)
        own.execve(path, args, environment)
    except OSError as error:
        what = path or "the executable that was given as a descriptor"
        text = (error.strerror or "").lower()
        if error.errno == errno.ENOENT:
            raise NotFound(f"{what}: it, or what has to interpret it, is not in the root") from None
        if error.errno in (errno.EACCES, errno.ENOEXEC, errno.EPERM, errno.ELOOP, errno.ETXTBSY, errno.EISDIR):
            raise NotExecutable(f"{what} cannot be executed: {text}") from None
        raise DevproxyError(f"{what} cannot be started: {text}") from None


def _still_die_with_caller(channel: Channel) -> None:
    """Ask again to die with the caller: the kernel forgot it when the user was changed."""
    own.die_with_parent()
    own.forbid_dumping()
    if channel.is_over():
        raise EOFError


# limits


def _set_limits(builder: Builder, process: Process) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, builder.files)
    for limit in process.rlimits:
        _set_limit(limit)
    if process.oom_score_adj is not None:
        _set_oom_score(builder.proc, process.oom_score_adj)


def _set_limit(limit: Rlimit) -> None:
    number = getattr(resource, limit.name, None) if limit.name.startswith("RLIMIT_") else None
    if number is None:
        raise InputError(f"process.rlimits: {limit.name} is no limit", hint="see getrlimit(2)")
    soft, hard = (resource.RLIM_INFINITY if value >= _NO_LIMIT else value for value in (limit.soft, limit.hard))
    try:
        resource.setrlimit(number, (soft, hard))
    except ValueError:
        now = resource.getrlimit(number)
        raise DevproxyError(
            f"process.rlimits: {limit.name} cannot be set to soft {limit.soft} hard {limit.hard}, it is "
            f"soft {now[0]} hard {now[1]}",
            hint="raising a hard limit needs CAP_SYS_RESOURCE, and soft must not be above hard",
        ) from None


def _set_oom_score(proc: int, score: int) -> None:
    """Write oom_score_adj (proc_pid_oom_score_adj(5)) through the host's procfs: the root's may be anything."""
    try:
        with own.Dumpable():
            descriptor = os.open("self/oom_score_adj", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(descriptor, b"%d" % score)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DevproxyError(
            f"process.oomScoreAdj cannot be set to {score}: {(error.strerror or '').lower()}",
            hint="lowering it needs CAP_SYS_RESOURCE",
        ) from None


# directory and environment


def _enter_directory(builder: Builder, cwd: str) -> None:
    """Go to the process's directory. A magic link to a descriptor of ours is refused (CVE-2024-21626)."""
    if not cwd.startswith("/"):
        raise InputError(f"process.cwd is {cwd!r}, expected an absolute path")
    try:
        directory = builder.opener(builder.root, cwd, os.O_PATH | os.O_DIRECTORY)
        os.fchdir(directory)
        os.close(directory)
        inside = os.getcwd().startswith("/")
    except OSError as error:
        raise DevproxyError(
            f"process.cwd {cwd} cannot be entered: {(error.strerror or '').lower()}",
            hint="it must be a directory of the root, reached without magic links of procfs",
        ) from None
    if not inside:
        raise DevproxyError(f"process.cwd {cwd} is outside of the root")


def _environment(builder: Builder, process: Process) -> list[str]:
    """The spec's environment, and HOME where it has none, as runc and runsc do."""
    if any(entry.startswith("HOME=") for entry in process.env):
        return list(process.env)
    return [*process.env, f"HOME={_home(builder, process.user.uid)}"]


def _home(builder: Builder, uid: int) -> str:
    """The home directory that /etc/passwd of the root gives a user (passwd(5)), or "/"."""
    try:
        text = _read_regular(builder, "/etc/passwd").decode(errors="surrogateescape")
    except OSError:
        return "/"
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) == 7 and fields[2] == str(uid) and fields[5].startswith("/") and "\0" not in fields[5]:
            return fields[5]
    return "/"


def _read_regular(builder: Builder, path: str) -> bytes:
    """The start of a regular file of the root. Errors: EINVAL for anything else, which is not opened."""
    found = builder.opener(builder.root, path, os.O_PATH)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        opened = os.open(f"self/fd/{found}", os.O_RDONLY, dir_fd=builder.proc)
    finally:
        os.close(found)
    try:
        return os.read(opened, _PASSWD_MAXIMUM)
    finally:
        os.close(opened)


def _find(builder: Builder, process: Process) -> str:
    name = process.args[0] if process.args else ""
    path = find_executable(builder.root, builder.opener, name, process.cwd, process.env)
    with AbleToRead():
        check_interpreters(builder.root, builder.opener, path, os.getcwd())
    return path


# terminal


def _open_terminal(builder: Builder, user: User) -> list[int]:
    """A pseudoterminal of the root's own devpts (pty(7)): its master goes to the caller, its other end is the process's
    controlling terminal. The other end is had from the master, not by its name (CVE-2025-52565).
    """
    try:
        master = builder.opener(builder.root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise DevproxyError(
            f"process.terminal needs a devpts at /dev/pts, /dev/pts/ptmx: {(error.strerror or '').lower()}"
        ) from None
    if filesystem_magic(master) != DEVPTS_SUPER_MAGIC:
        raise DevproxyError("process.terminal needs a devpts at /dev/pts, which is something else in this root")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("=i", 0))
    terminal = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(terminal, _TIOCSCTTY, 0)
    if not builder.rootless:
        os.fchown(terminal, user.uid, -1)
    builder.channel.send({"terminal": True}, (master,))
    os.close(master)
    return [terminal] * 3


# the request


def _request_from_json(value: list[Any]) -> Request:
    """A request that crossed as JSON, where records and tuples are arrays."""
    process, terminal = value
    args, env, cwd, user, rlimits, capabilities, no_new_privs, wants_terminal, oom_score_adj = process
    uid, gid, groups, umask = user
    return Request(
        Process(
            tuple(args),
            tuple(env),
            cwd,
            User(uid, gid, tuple(groups), umask),
            tuple(Rlimit(*limit) for limit in rlimits),
            None if capabilities is None else Capabilities(*(tuple(names) for names in capabilities)),
            no_new_privs,
            wants_terminal,
            oom_score_adj,
        ),
        terminal,
    )
