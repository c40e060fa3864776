"""The texts that a report is made of: one file, one that is compressed, or the files of a must-gather.

Everything is bounded: what a report decompresses to, how many files a directory has, how deep it is.
"""

from __future__ import annotations

import os
import stat
import sys

from devproxy.errors import InputError
from devproxy.host.recording_file import MANIFEST
from devproxy.host.tar import TarError, read_members
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

# A must-gather's texts have a few megabytes; nvidia-bug-report.log has up to thirty.
TEXT_LIMIT: Final = 64 << 20
_FILE_LIMIT: Final = 16 << 20
_FILES: Final = 2000
_DEPTH: Final = 12
_GZIP: Final = b"\x1f\x8b"
# Files of a must-gather whose name says what they are: the command that wrote them, or the file that they are a copy of.
_NAMES: Final = (
    ("nvidia-smi", "nvidia-smi"), ("lspci", "lspci -nnk"), ("dmesg", "dmesg"), ("journal", "journalctl -k"), ("lsmod", "lsmod"),
    ("uname", "uname -a"), ("proc_devices", "cat /proc/devices"), ("proc-devices", "cat /proc/devices"), ("devices", ""), ("id", "id"),
    ("modinfo", "modinfo nvidia"), ("tpu-info", "tpu-info"),
)  # fmt: skip


class Document(Record):
    """A text of a report, and the command that wrote it as far as its name tells."""

    name: str
    text: str
    command: str = ""


def read_documents(path: str, note: Callable[[str], None]) -> Iterator[Document]:
    """The texts at a path; `-` is standard input. What is left out is noted.

    Raises:
        InputError: it cannot be read.
    """
    if path == "-":
        yield Document("-", _text(sys.stdin.buffer.read(TEXT_LIMIT)))
        return
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            yield from _of_directory(path, note)
            return
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISFIFO(found.st_mode):
            raise InputError(f"{path} is neither a file nor a directory")
        with open(path, "rb") as file:
            data = file.read(TEXT_LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot read the report {path}: {error.strerror}") from error
    if len(data) > TEXT_LIMIT:
        note(f"{path} is larger than {TEXT_LIMIT >> 20} MiB: the rest was not read")
        data = data[:TEXT_LIMIT]
    yield from _of_data(path, data, note)


def _of_data(path: str, data: bytes, note: Callable[[str], None]) -> Iterator[Document]:
    if data.startswith(_GZIP):
        data = _unzipped(path, data, note)
    if data[257:262] == b"ustar":
        yield from _of_tar(path, data, note)
    else:
        yield Document(path, _text(data), _command_of(path))


def _unzipped(path: str, data: bytes, note: Callable[[str], None]) -> bytes:
    """Gzip's contents up to the limit: a small file can hold a very large one. A member that is cut off is read so far."""
    import zlib

    parts: list[bytes] = []
    left = TEXT_LIMIT
    while data and left > 0:
        engine = zlib.decompressobj(wbits=31)
        try:
            part = engine.decompress(data, left)
        except zlib.error as error:
            if not parts:
                raise InputError(f"cannot decompress the report {path}: {error}") from error
            note(f"{path} is damaged: what comes after {sum(map(len, parts))} bytes was not read")
            break
        parts.append(part)
        left -= len(part)
        if engine.unconsumed_tail:
            note(f"{path} is larger than {TEXT_LIMIT >> 20} MiB: the rest was not read")
            break
        data = engine.unused_data
        if not engine.eof:
            note(f"{path} was cut off")
        elif not data.startswith(_GZIP):
            break
    return b"".join(parts)


def _of_tar(path: str, data: bytes, note: Callable[[str], None]) -> Iterator[Document]:
    try:
        for number, member in enumerate(read_members(data)):
            if number >= _FILES:
                note(f"{path} has more than {_FILES} files: the rest was not read")
                return
            if number == 0 and member.name == MANIFEST:
                raise InputError(
                    f"{path} is a recording, expected what somebody wrote or pasted",
                    hint=f"devproxy doctor --host {path}",
                )
            if stat.S_ISREG(member.mode) and _is_text(member.data):
                yield Document(member.name, _text(member.data[:_FILE_LIMIT]), _command_of(member.name))
    except TarError as error:
        note(f"{path}: {error.problem}; what comes after was not read")


def _of_directory(path: str, note: Callable[[str], None]) -> Iterator[Document]:
    """Regular files by name, links not followed. What cannot be read is noted."""
    count, left = 0, TEXT_LIMIT
    for inner in _walk(path, note):
        if count >= _FILES or left <= 0:
            note(f"{path} has more than is read of a report: {inner} and what follows was left out")
            return
        data = _file(inner, note)
        count, left = count + 1, left - len(data)
        if data.startswith(_GZIP):
            data = _unzipped(inner, data, note)[:_FILE_LIMIT]
        if _is_text(data):
            yield Document(inner, _text(data), _command_of(inner))


def _walk(path: str, note: Callable[[str], None], depth: int = 0) -> Iterator[str]:
    """Regular files, a directory's own before those of the directories in it."""
    try:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        note(f"{path} cannot be read: {error.strerror}")
        return
    yield from (entry.path for entry in entries if entry.is_file(follow_symlinks=False))
    for entry in entries:
        if depth < _DEPTH and entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, note, depth + 1)


def _file(path: str, note: Callable[[str], None]) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read(_FILE_LIMIT)
    except OSError as error:
        note(f"{path} cannot be read: {error.strerror}")
        return b""


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:4096]


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")


def _command_of(path: str) -> str:
    """The command whose output a file is, as its name says; empty for a report in somebody's words."""
    name = os.path.basename(path).lower()
    if os.path.basename(path) == "devices" and "proc" in path.split("/")[-2:-1]:
        return "cat /proc/devices"
    stem = name.removesuffix(".gz").removesuffix(".txt").removesuffix(".log").removesuffix(".out")
    for known, command in _NAMES:
        if command and (stem == known or stem.startswith((f"{known}_", f"{known}-"))):
            return command
    return ""
