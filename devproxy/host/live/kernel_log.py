"""The kernel's log, reduced to what is about accelerators (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import errno
import os
import re
import time

from devproxy.host.kernel_messages import concerns_accelerators, may_concern_accelerators

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_KMSG: Final = "/dev/kmsg"
_RECORD: Final = 16 << 10
_SECONDS: Final = 0.8
_MOST_LINES: Final = 400
_MOST_BYTES: Final = 48 << 10
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


def read() -> dict[str, object]:
    """`{"lines": ["[    1.234567] NVRM: ..."], "sequences": the number of each, "left_out": how many older ones, "complete": whether
    it was read to its end, "span": [number of the first record of all, the number after the last]}`.

    Errors: OSError where the log may not be read (EPERM under dmesg_restrict) or there is none.
    """
    fd = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        records, complete, span = _records(fd, time.monotonic() + _SECONDS)
    finally:
        os.close(fd)
    return {**last_lines(records), "complete": complete, "span": span}


def last_lines(records: Iterable[bytes]) -> dict[str, object]:
    """The last lines about accelerators, as many as a recording is to have."""
    found = [(line, _sequence(record)) for record in records if (line := shown(record)) and concerns_accelerators(line)]
    kept: list[tuple[str, int | None]] = []
    size = 0
    for line, sequence in reversed(found[-_MOST_LINES:]):
        size += len(line)
        if size > _MOST_BYTES:
            break
        kept.append((line, sequence))
    kept.reverse()
    lines, sequences = [line for line, _ in kept], [sequence for _, sequence in kept]
    return {"left_out": len(found) - len(kept), "lines": lines, "sequences": sequences}


def _records(fd: int, until: float) -> tuple[list[bytes], bool, list[int]]:
    """Those that may concern accelerators, one a read, whether there were no more, and the span of all. Those that the kernel
    overwrote meanwhile are passed over (EPIPE); EAGAIN is the end.
    """
    found: list[bytes] = []
    first = last = b""
    while time.monotonic() < until:
        try:
            record = os.read(fd, _RECORD)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return found, True, _span(first, last)
            if error.errno not in (errno.EPIPE, errno.EINVAL):
                raise
            continue
        if not record:
            return found, True, _span(first, last)
        first, last = first or record, record
        if may_concern_accelerators(record):
            found.append(record)
    return found, False, _span(first, last)


def _span(first: bytes, last: bytes) -> list[int]:
    start, end = _sequence(first), _sequence(last)
    return [0, 0] if start is None or end is None else [start, end + 1]


def _sequence(record: bytes) -> int | None:
    """The number of a record, the second of its fields."""
    fields = record.split(b",", 2)
    return int(fields[1]) if len(fields) == 3 and fields[1].isdigit() and len(fields[1]) < 20 else None


def shown(record: bytes) -> str:
    """`6,1234,5678901,-;NVRM: ...` and lines of properties, as dmesg shows it; empty for what is none of the kernel's."""
    head, semicolon, rest = record.decode("utf-8", "replace").partition(";")
    fields = head.split(",")
    if not semicolon or len(fields) < 3 or not fields[0].isdigit() or not fields[2].isdigit() or int(fields[0]) >> 3:
        return ""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), rest.partition("\n")[0])
    seconds, micros = divmod(int(fields[2]), 1_000_000)
    return f"[{seconds:5d}.{micros:06d}] {text}"[:1024].replace("\n", " ")
