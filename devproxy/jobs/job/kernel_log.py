"""What the kernel wrote to its log while a job ran: everything, of accelerators or not (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import errno
import os

from devproxy.host.live.kernel_log import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.job.result import Look

_KMSG: Final = "/dev/kmsg"
_RECORD: Final = 16 << 10
_MOST: Final = 20_000


class KernelLog:
    """The log from now on. Where it may not be read, `why` says so."""

    def __init__(self) -> None:
        self.why = ""
        self._descriptor = -1
        try:
            self._descriptor = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            self.why = f"{_KMSG}: {(error.strerror or '').lower()}"

    def lines(self) -> list[str]:
        """What was written since the last time, as dmesg shows it, at most so many lines of it."""
        found: list[str] = []
        while not self.why and len(found) < _MOST:
            try:
                record = os.read(self._descriptor, _RECORD)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    found.append("(older lines were overwritten before they could be read)")
                    continue
                break  # EAGAIN is the end
            if not record:
                break
            found += [line] if (line := shown(record)) else []
        return found

    def close(self) -> None:
        """Read no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lines_since(before: Look | None, after: Look | None) -> list[str]:
    """What the later recording has of the log that the earlier one has not: what concerns accelerators, where the log itself may
    not be read, or is a recorded machine's.
    """
    old, new = (_events(look) for look in (before, after))
    return [
        f"[{seconds:12.6f}] {text}" if seconds is not None else text
        for seconds, text in new
        if (seconds, text) not in old
    ]


def _events(look: Look | None) -> list[tuple[float | None, str]]:
    details = look.host.details if look is not None and look.host is not None else None
    return [(event.seconds, event.text) for event in (details.system.log if details else None) or ()]
