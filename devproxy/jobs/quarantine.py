"""Devices that are kept out: by name (a GPU's UUID, a TPU chip's PCI address), with a code, a reason and an expiry.

    /var/lib/devproxy/quarantine/     root's, 0755: over a reboot a bad device stays bad
        NAME.json                     {"name", "code", "reason", "since", "until", "by"}

Only root keeps a device out or lets it in again; everybody reads it. A file that cannot be understood keeps its device out too.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress

from devproxy.errors import DevproxyError, InputError
from devproxy.json_text import dumps, loads
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PLACE: Final = "/var/lib/devproxy/quarantine"
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST: Final = 64 << 10
_SUFFIX: Final = ".json"


class Entry(Record):
    """A device that is kept out. `since` and `until` are seconds since the epoch; `until` is None for good, until it is lifted.
    `by` is the user's number.
    """

    name: str
    code: str
    reason: str
    since: float
    until: float | None
    by: int

    def holds(self, now: float) -> bool:
        """Whether it counts; one that has expired waits for somebody to look at the device."""
        return self.until is None or now < self.until

    def describe(self) -> str:
        """`quarantined since 2026-01-02 (xid-since): fell off the bus`."""
        day = time.strftime("%Y-%m-%d", time.localtime(self.since))
        return f"quarantined since {day} ({self.code}): {self.reason}"


def check_name(name: str) -> None:
    """Errors: InputError for what is no name of a device: a GPU's or MIG device's UUID, a PCI address."""
    import re

    if not re.fullmatch(r"(GPU|MIG)-[0-9a-fA-F-]{1,64}|[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]", name):
        raise InputError(
            f"{name!r} names no device, expected a GPU's UUID or a TPU's PCI address",
            hint="'devproxy probe' shows them",
        )


def entries(place: str = PLACE) -> tuple[Entry, ...]:
    """Every device that is kept out, expired or not, by name.

    Errors: DevproxyError for a directory in which somebody else than root (or the caller) could write: whoever can write there
    can take every device out of use, or bring a bad one back.
    """
    try:
        folder = os.open(place, _DIRECTORY)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DevproxyError(f"cannot read {place}: {(error.strerror or '').lower()}") from error
    try:
        _require_safe(folder, place)
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
        return tuple(_read(folder, name) for name in names)
    finally:
        os.close(folder)


def kept_out(place: str = PLACE) -> dict[str, Entry]:
    """The devices that are kept out now, by name."""
    now = time.time()
    return {entry.name: entry for entry in entries(place) if entry.holds(now)}


def add(entry: Entry, place: str = PLACE) -> None:
    """Keep a device out; what was said of it before is replaced.

    Errors: DevproxyError where that may not be written; InputError for a MIG device, which goes with its GPU: leases are of whole GPUs, and
    what a UUID is would have to be asked of NVML before every plan.
    """
    check_name(entry.name)
    if entry.name.startswith("MIG-"):
        raise InputError(
            f"{entry.name} is a MIG device, expected the UUID of its GPU: a part of a GPU is not kept out by itself",
            hint="'nvidia-smi -L' shows which GPU it is a part of",
        )
    try:
        os.makedirs(place, 0o755, exist_ok=True)
        folder = os.open(place, _DIRECTORY)
    except OSError as error:
        raise _denied(place, error) from error
    temporary = f".{entry.name}.{os.getpid()}"
    try:
        _require_safe(folder, place)
        file = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder
        )
        try:
            os.fchmod(file, 0o644)
            os.write(file, dumps(entry._asdict()).encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(temporary, entry.name + _SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise _denied(place, error) from error
    finally:
        os.close(folder)


def lift(name: str, place: str = PLACE) -> None:
    """Let a device in again.

    Errors: InputError if it is not kept out; DevproxyError where that may not be written.
    """
    check_name(name)
    try:
        os.unlink(os.path.join(place, name + _SUFFIX))
    except FileNotFoundError:
        raise InputError(f"{name} is not quarantined", hint="'devproxy quarantine list' lists those that are") from None
    except OSError as error:
        raise _denied(place, error) from error


def _denied(place: str, error: OSError) -> DevproxyError:
    hint = "only root keeps devices out" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return DevproxyError(f"cannot write in {place}: {(error.strerror or '').lower()}", hint=hint)


def _require_safe(folder: int, place: str) -> None:
    found = os.fstat(folder)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        told = f"{stat.filemode(found.st_mode)} of uid {found.st_uid}"
        raise DevproxyError(f"{place} is {told}, expected a directory of root's that nobody else writes in")


def _read(folder: int, name: str) -> Entry:
    device = name.removesuffix(_SUFFIX)
    try:
        file = os.open(name, _FILE, dir_fd=folder)
        try:
            words = loads(os.read(file, _LONGEST).decode())
        finally:
            os.close(file)
    except (OSError, ValueError, RecursionError) as error:
        return Entry(device, "unreadable", f"its file cannot be understood: {error}", 0.0, None, 0)
    match words:
        case {"code": str() as code, "reason": str() as reason, "since": int() | float() as since, "by": int() as by}:
            until = words.get("until")
            known = isinstance(until, int | float) and not isinstance(until, bool)
            return Entry(device, code, reason, float(since), float(until) if known else None, by)
        case _:
            return Entry(device, "unreadable", "its file has another form than expected", 0.0, None, 0)
