"""A probe that ends in time: in a process of its own, which is left behind when a driver hangs it. A call into a driver, or a read of
one of its files, cannot be cancelled.
"""

from __future__ import annotations

import os
import time

from devproxy.errors import DevproxyError
from devproxy.host.live.deadline import TooLate, lines_within
from devproxy.host.live.nvml import seconds_given
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import RecordedReader, Recorder
from devproxy.host.recording_file import decode, encode
from devproxy.host.root import LiveReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host

_NVML: Final = "DEVPROXY_NVML_SECONDS"
# What ends a child that hangs may itself take a second.
_TO_END: Final = 1.0


class Late(Exception):
    """The host did not tell everything in time."""


def recorded_within(seconds: float | None) -> tuple[Host, bytes]:
    """The running machine, probed deeply within some time, and its recording; None is as long as it takes.

    Raises:
        Late: it took longer.
        DevproxyError: the process that probed ended before it was done.
    """
    if seconds is None:
        host, recorder = recorder_of("live")
        return host, encode(recorder.recording(), recorded_at=int(time.time()))
    from base64 import b64decode

    limit = max(seconds - _TO_END, seconds * 0.8)
    try:
        (line,) = tuple(lines_within(limit, lambda: _probed(limit)))
    except TooLate:
        raise Late(f"the host did not tell everything within {seconds:g} s") from None
    except ChildProcessError as error:
        raise DevproxyError(f"the process that probed this host {error}", hint="devproxy probe") from error
    archive = b64decode(line)
    return probe_reader(RecordedReader(decode(archive)), name="live", simulated=False, deep=True), archive


def recorder_of(name: str) -> tuple[Host, Recorder]:
    """The running machine, and what was read of it."""
    with LiveReader() as reader:
        recorder = Recorder(reader)
        return probe_reader(recorder, name=name, simulated=False, deep=True), recorder


def _probed(limit: float) -> Iterator[str]:
    """In the child: NVML gets half of the time, so that what it does not tell is not all that is told."""
    from base64 import b64encode

    os.environ[_NVML] = str(min(seconds_given(), limit / 2))
    yield b64encode(recorded_within(None)[1]).decode()
