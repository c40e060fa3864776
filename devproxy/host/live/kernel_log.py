"""The kernel's log, reduced to what is about accelerators (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import errno
import os
import re
import time

from devproxy.host.kernel_messages import concerns_accelerators

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

_KMSG: Final = "/dev/kmsg"
_RECORD: Final = 16 << 10
_SECONDS: Final = 0.5
_MOST_LINES: Final = 400
_MOST_BYTES: Final = 48 << 10
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


def read() -> dict[str, object]:
    """`{"lines": ["[    1.234567] NVRM: ..."], "left_out": how many older ones}`.

    Errors: OSError where the log may not be read (EPERM under dmesg_restrict) or there is none.
    """
    return last_lines(_records(_KMSG))


def last_lines(records: Iterable[bytes]) -> dict[str, object]:
    """The last lines about accelerators, as many as a recording is to have."""
    found = [line for record in records if (line := _line(record)) and concerns_accelerators(line)]
    kept: list[str] = []
    size = 0
    for line in reversed(found[-_MOST_LINES:]):
        size += len(line)
        if size > _MOST_BYTES:
            break
        kept.append(line)
    return {"left_out": len(found) - len(kept), "lines": kept[::-1]}


def _records(path: str) -> Iterator[bytes]:
    """One record a read. Those that the kernel overwrote meanwhile are passed over (EPIPE); EAGAIN is the end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    until = time.monotonic() + _SECONDS
    try:
        while time.monotonic() < until:
            try:
                record = os.read(fd, _RECORD)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return
                if error.errno not in (errno.EPIPE, errno.EINVAL):
                    raise
                continue
            if not record:
                return
            yield record
    finally:
        os.close(fd)


def _line(record: bytes) -> str:
    """`6,1234,5678901,-;NVRM: ...` and lines of properties, as dmesg shows it; empty for what is none of the kernel's."""
    head, semicolon, rest = record.decode("utf-8", "replace").partition(";")
    fields = head.split(",")
    if not semicolon or len(fields) < 3 or not fields[0].isdigit() or not fields[2].isdigit() or int(fields[0]) >> 3:
        return ""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), rest.partition("\n")[0])
    seconds, micros = divmod(int(fields[2]), 1_000_000)
    return f"[{seconds:5d}.{micros:06d}] {text}"[:1024].replace("\n", " ")
