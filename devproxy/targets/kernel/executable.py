"""Which file of the root a process is started from (S13 to S15), and what must never be.

Everything is resolved inside the root and without magic links: /proc/self/exe is the interpreter of the host, and a
container that could start it could also write to it (CVE-2019-5736).
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from devproxy.linux.paths import may_execute
from devproxy.targets.kernel.elf import MAGIC, loader_of
from devproxy.targets.kernel.failure import NotExecutable, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from devproxy.linux.paths import Opener

# fs/exec.c, exec_binprm: a script may be interpreted by a script, four levels deep; BINPRM_BUF_SIZE is what is read.
_LEVELS: Final = 4
_FIRST_LINE: Final = 256
_START: Final = 1024  # with what an ELF file usually has to say of its loader


def find_executable(root: int, opener: Opener, name: str, cwd: str, env: Sequence[str]) -> str:
    """The path of the executable that `name` means, looked for with this process's credentials.

    A name without a slash is searched in PATH, where relative entries are passed over. ENOENT and ENOTDIR go on to the
    next; so does EACCES, but it is remembered and told in the end (as execvpe(3) has it).

    Raises NotFound, NotExecutable.
    """
    if not name:
        raise NotFound("the process has no program: its first argument is empty or missing")
    if "/" in name:
        path = posixpath.normpath(posixpath.join(cwd, name)) if not name.startswith("/") else name
        _explain(_try(root, opener, path), path, "the root")
        return path
    searched = next((entry[5:] for entry in env if entry.startswith("PATH=")), None)
    if searched is None:
        raise NotFound(f"{name} was not found: the environment has no PATH to look in")
    entries = searched.split(":")
    worst = errno.ENOENT
    for directory in entries:
        if not directory.startswith("/"):
            continue
        path = posixpath.join(directory, name)
        number = _try(root, opener, path)
        if number == 0:
            return path
        if number == errno.EACCES:
            worst = number
        elif number not in (errno.ENOENT, errno.ENOTDIR):
            _explain(number, path, "the root")
    _explain(worst, name, f"PATH {':'.join(entries)}")
    raise AssertionError


def _try(root: int, opener: Opener, path: str) -> int:
    """The errno that executing a path would give, as far as can be seen; 0 if it can be executed."""
    try:
        found = opener(root, path, os.O_PATH)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode) or not may_execute(found, path):
            return errno.EACCES
    finally:
        os.close(found)
    return 0


def _explain(number: int, name: str, where: str) -> None:
    """Raise what an errno means for who asked for `name`."""
    if number in (errno.ENOENT, errno.ENOTDIR):
        raise NotFound(f"{name} was not found in {where}")
    if number == errno.ELOOP:
        raise NotExecutable(
            f"{name} cannot be executed: it leads through a magic link of procfs or through too many links",
            hint="name the file in the root itself",
        )
    if number:
        raise NotExecutable(f"{name} was found in {where} but cannot be executed: {os.strerror(number).lower()}")


def check_interpreters(root: int, opener: Opener, path: str, cwd: str) -> None:
    """Refuse a script whose interpreter, or that one's, and so on, is a magic link, and an ELF file whose loader is one.

    Precondition: this process can read the files. Between this look and exec the root's files may change; who can do
    that while the process starts has the root's files in his hand already. `cwd` is where this process is.

    Raises NotFound, NotExecutable.
    """
    for _ in range(_LEVELS + 1):
        try:
            start, loader = _read_start(root, opener, path)
            if loader:
                _require_no_magic(root, opener, posixpath.join(cwd, loader))
        except OSError as error:
            _explain(error.errno or errno.EIO, path, "the root")
            raise
        if not start.startswith(b"#!"):
            return
        interpreter = _interpreter(start)
        if not interpreter:
            return
        path = posixpath.join(cwd, interpreter)
    raise NotExecutable(f"{path!r}: more than {_LEVELS} interpreters of interpreters")


def _interpreter(line: bytes) -> str:
    """The interpreter that a script names. Only a blank or a tab ends it, as in fs/binfmt_script.c: to split at more
    would check another file than the kernel opens.
    """
    name = line[2:].split(b"\n", 1)[0].lstrip(b" \t")
    for end in (b"\0", b" ", b"\t"):
        name = name.split(end, 1)[0]
    return os.fsdecode(name)


def _require_no_magic(root: int, opener: Opener, path: str) -> None:
    """Errors: ELOOP for a magic link. That a loader is missing is for the kernel to say."""
    try:
        os.close(opener(root, path, os.O_PATH))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise


def _read_start(root: int, opener: Opener, path: str) -> tuple[bytes, str]:
    """What exec reads of a file to know what it is, and the loader of an ELF file. A device or a fifo is not opened; it
    cannot be executed.
    """
    found = opener(root, path, os.O_PATH)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return b"", ""
    finally:
        os.close(found)
    opened = opener(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return b"", ""
        start = os.read(opened, _START)
        return start[:_FIRST_LINE], loader_of(opened, start) if start.startswith(MAGIC) else ""
    finally:
        os.close(opened)
