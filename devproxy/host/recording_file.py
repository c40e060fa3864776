"""Recordings as files: a plain tar that every tool can list.

    manifest.json            format, time, tool, what was absent, what could not be read and why, what was not read
    facts/uname.json         one document for each source that is no file
    root/dev/nvidia0         device nodes with their numbers, links, the files that were read, and each
    root/dev                 directory that was listed

A newer devproxy may add keys to the manifest, facts, and top directories with members of any type: they are passed over, and
noted (`Recording.notes`). `format` is one number, which grows only when what is there already gets another meaning: a recording of
a higher one is refused, and says which devproxy wrote it.

It may be compressed with gzip, as what is attached to a report often is. Loading takes nothing on trust: a recording is sent by
somebody else. Nothing is unpacked to disk, and nothing that is small unpacks to much.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time

from devproxy import __version__
from devproxy.errors import InputError
from devproxy.host.recorded import Kept, Recording, parents
from devproxy.host.root import FILE_LIMIT, Entry, fact_path
from devproxy.host.tar import Member, TarError, read_members
from devproxy.new_file import why_not_to_write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeGuard

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_HINT: Final = "make a recording with `devproxy record FILE.tar` on the machine itself"
# A thousand devices need some ten thousand members; a recording of one machine is well under a megabyte.
_MOST_MEMBERS: Final = 100_000
_MOST_BYTES: Final = 64 << 20
_LONGEST_PATH: Final = 4096
_DEEPEST_PATH: Final = 64
_KNOWN: Final = (MANIFEST, "facts", "root")
_KEYS: Final = frozenset(("format", "time", "tool", "absent", "unread", "looked", "others"))
_MOST_NOTES: Final = 100
_NEWER: Final = "not understood: a newer devproxy wrote it"


def load_recording(path: str) -> Recording:
    """The recording in a file.

    Raises:
        InputError: there is none, or it is damaged; the message names the file and the member.
    """
    try:
        return decode(_unpacked(_read_file(path)))
    except OSError as error:
        raise InputError(f"cannot read the recording {path!r}: {error.strerror}", hint=_HINT) from error
    except TarError as error:
        member = f"member {error.member!r} " if error.member else ""
        raise InputError(f"recording {path!r}: {member}{error.problem}", hint=_HINT) from error


def decode(archive: bytes) -> Recording:
    """The recording in the bytes of a tar.

    Raises:
        TarError: something in it is not as a recording has it.
    """
    members: dict[str, Member] = {}
    notes: dict[str, str] = {}
    for number, member in enumerate(read_members(archive, known=_KNOWN), 1):
        name = _checked_name(member)
        if number > _MOST_MEMBERS:
            raise TarError(name, f"is one more than the {_MOST_MEMBERS} members that a recording can have")
        top = name.partition("/")[0]
        if top not in _KNOWN:
            notes[top] = _NEWER
            continue
        if name in members:
            raise TarError(name, "is there twice")
        if len(member.data) > FILE_LIMIT:
            raise TarError(name, f"has {len(member.data)} bytes, a recording's file at most {FILE_LIMIT}")
        members[name] = member
    if MANIFEST not in members:
        raise TarError(MANIFEST, "is missing: this is no recording")
    manifest = _read_manifest(members.pop(MANIFEST).data)
    facts = {_fact_name(name): members[name].data for name in members if name.startswith("facts/")}
    files = {name.removeprefix("root"): _kept(members[name]) for name in members if name.startswith("root/")}
    _check_tree(files)
    from devproxy.host.live_facts import known_facts

    notes |= {fact_path(name): _NEWER for name in sorted(facts.keys() - known_facts())}
    return manifest._replace(files=files, facts=facts, notes=(*manifest.notes, *notes.items()))


def encode(recording: Recording, *, recorded_at: int, tool: str = f"devproxy {__version__}") -> bytes:
    """The bytes of a recording's tar: the same recording, time and tool give the same bytes."""
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:

        def add(name: str, entry: Entry, data: bytes = b"", link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type = _TAR_TYPES[stat.S_IFMT(entry.mode)]
            info.mode, info.uid, info.gid = stat.S_IMODE(entry.mode), entry.uid, entry.gid
            info.devmajor, info.devminor = os.major(entry.rdev), os.minor(entry.rdev)
            info.mtime, info.size, info.linkname = recorded_at, len(data), link
            archive.addfile(info, io.BytesIO(data))

        add(MANIFEST, _DOCUMENT, _manifest(recording, recorded_at, tool))
        for name, document in sorted(recording.facts.items()):
            add(fact_path(name), _DOCUMENT, document)
        for path, kept in sorted(recording.files.items()):
            add(f"root{path}", kept.entry, kept.data, kept.link)
    return buffer.getvalue()


def save(archive: bytes, path: str, *, what: str = "recording") -> None:
    """Write the file of a recording, or of `what` else, whole or not at all. A regular file that is there is replaced by
    the same rename.

    Raises:
        InputError: something else is there (a device, a link), or it cannot be written.
    """
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    try:
        _refuse_other_than_file(path)
        try:
            _write_new(temporary, archive)
            os.rename(temporary, path)
        except BaseException:
            _remove(temporary)
            raise
    except OSError as error:
        raise InputError(f"cannot write the {what} {path!r}: {error.strerror}") from error


# loading


def _read_file(path: str) -> bytes:
    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)

    with open(path, "rb", opener=without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise TarError("", "is no regular file")
        if found.st_size > _MOST_BYTES:
            raise TarError("", f"has {found.st_size} bytes, a recording at most {_MOST_BYTES}")
        return file.read(_MOST_BYTES)


def _unpacked(data: bytes) -> bytes:
    """What was compressed with gzip (RFC 1952), one stream or several, with a limit; anything else as it is."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    import zlib

    parts, left = [], _MOST_BYTES + 1
    while data:
        stream = zlib.decompressobj(wbits=31)
        try:
            part = stream.decompress(data, left)
        except zlib.error as error:
            raise TarError("", f"is damaged where gzip compressed it: {error}") from error
        left -= len(part)
        if left <= 0:
            raise TarError("", f"unpacks to more than the {_MOST_BYTES} bytes that a recording has at most")
        if not stream.eof:
            raise TarError("", "was cut off where gzip compressed it")
        parts.append(part)
        data = stream.unused_data
    return b"".join(parts)


def _checked_name(member: Member) -> str:
    name = member.name.removesuffix("/") if stat.S_ISDIR(member.mode) else member.name
    head, *rest = name.split("/")
    if any(part in ("", ".", "..") for part in (head, *rest)):
        raise TarError(member.name[:_LONGEST_PATH], "has an empty, `.` or `..` part in its name")
    _check_path(member.name, name)
    if head == "root" and rest:
        return name
    if (name == MANIFEST or (head == "facts" and len(rest) == 1)) and stat.S_ISREG(member.mode):
        return name
    if head not in _KNOWN and head.isascii() and head.isprintable():
        return name
    raise TarError(member.name, f"is neither {MANIFEST} nor a file in facts/ nor anything in root/")


def _check_path(member: str, path: str) -> None:
    if len(path) > _LONGEST_PATH or path.count("/") > _DEEPEST_PATH:
        raise TarError(
            member[:80], f"names a path of {len(path)} characters and {path.count('/')} parts: no machine has it"
        )


def _fact_name(name: str) -> str:
    return name.removeprefix("facts/").removesuffix(".json")


def _kept(member: Member) -> Kept:
    if member.major >= 1 << 12 or member.minor >= 1 << 20:
        raise TarError(member.name, f"has the number {member.major}:{member.minor}, beyond what Linux has")
    if member.uid >= 1 << 32 or member.gid >= 1 << 32:
        raise TarError(member.name, f"belongs to {member.uid}:{member.gid}, beyond what Linux has")
    rdev = os.makedev(member.major, member.minor)
    return Kept(Entry(member.mode, member.uid, member.gid, rdev), member.data, member.link)


def _check_tree(files: dict[str, Kept]) -> None:
    for path in files:
        for parent in parents(path):
            if parent in files and not stat.S_ISDIR(files[parent].entry.mode):
                raise TarError(f"root{path}", f"lies below root{parent}, which is no directory")


def _read_manifest(data: bytes) -> Recording:
    """A recording without its files: what the manifest alone says."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TarError(MANIFEST, f"is no JSON: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(version := manifest.get("format"), int):
        raise TarError(MANIFEST, "does not say its format: this is no recording")
    if version != FORMAT:
        raise TarError(MANIFEST, f"says format {version}, this devproxy reads format {FORMAT}{_written_by(manifest)}")
    if not _is_texts(absent := manifest.get("absent")):
        raise TarError(MANIFEST, "has no list of absent paths")
    unread, looked, others = (_table(manifest, name) for name in ("unread", "looked", "others"))
    for path in (*absent, *unread, *looked, *others):
        _check_path(MANIFEST, path)
    return Recording(
        files={},
        facts={},
        absent=frozenset(absent),
        unread={path: _error_name(path, name) for path, name in unread.items()},
        looked={path: _looked(path, words) for path, words in looked.items()},
        others={path: _names(path, names) for path, names in others.items()},
        notes=tuple((f"{MANIFEST}: {key[:80]}", _NEWER) for key in sorted(manifest.keys() - _KEYS)[:_MOST_NOTES]),
    )


def _written_by(manifest: dict[str, object]) -> str:
    tool = manifest.get("tool")
    if not isinstance(tool, str) or not tool or not tool[:80].isprintable():
        return ""
    return f"; it was written by {tool[:80]}: read it with that one, or a newer one"


def _table(manifest: dict[str, object], name: str) -> dict[str, object]:
    table = manifest.get(name)
    if not isinstance(table, dict):
        raise TarError(MANIFEST, f"has no table {name!r} of paths")
    return table


def _error_name(path: str, name: object) -> str:
    if isinstance(name, str) and name in errno.errorcode.values():
        return name
    raise TarError(MANIFEST, f"has {name!r} for the unread {path!r}, expected an errno's name")


def _names(path: str, names: object) -> list[str]:
    if _is_texts(names):
        return names
    raise TarError(MANIFEST, f"has {names!r} for the other names in {path!r}, expected a list of names")


def _looked(path: str, words: object) -> Entry:
    match words:
        case [str() as mode, int() as uid, int() as gid] if (
            0 < len(mode) <= 6 and 0 <= min(uid, gid) <= max(uid, gid) < 1 << 32 and not mode.strip("01234567")
        ):
            return Entry(int(mode, 8), uid, gid, 0)
    raise TarError(MANIFEST, f"has {words!r} for {path!r}, expected mode, uid and gid")


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


# writing

_DOCUMENT: Final = Entry(stat.S_IFREG | 0o644, 0, 0, 0)
_TAR_TYPES: Final = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
}


def _manifest(recording: Recording, recorded_at: int, tool: str) -> bytes:
    manifest = {
        "format": FORMAT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(recorded_at)),
        "tool": tool,
        "absent": sorted(recording.absent),
        "unread": dict(sorted(recording.unread.items())),
        "looked": {path: [f"{mode:06o}", uid, gid] for path, (mode, uid, gid, _) in sorted(recording.looked.items())},
        "others": dict(sorted(recording.others.items())),
    }
    return json.dumps(manifest, indent=1).encode() + b"\n"


def require_file(path: str) -> None:
    """Raises InputError unless `save` can write a file at `path`: before the work, not only after it."""
    try:
        _refuse_other_than_file(path)
        directory = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(directory):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if why := why_not_to_write(directory):
            raise PermissionError(errno.EACCES, why)
    except OSError as error:
        raise InputError(f"cannot write the recording {path!r}: {error.strerror}") from error


def _refuse_other_than_file(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path!r} is {stat.filemode(found.st_mode)}, expected a regular file or a new name")


def _write_new(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
