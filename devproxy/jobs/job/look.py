"""The host at one moment of a job: recorded by a child that may hang with a driver, and read from the recording."""

from __future__ import annotations

import time

from devproxy.host.facts import Host
from devproxy.host.probe import probe, probe_reader
from devproxy.host.recorded import RecordedReader, Recorder
from devproxy.host.recording_file import decode, encode, load_recording
from devproxy.host.root import LiveReader
from devproxy.jobs.job.bounded import bounded
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.job.interrupts import Interrupts

SECONDS: Final = 60.0
"""How long looking at a host may take. A deep probe gives each thing that it asks far less."""


class Taken(Record):
    """A host, and its recording's bytes."""

    host: Host
    archive: bytes


def take(source: str, interrupts: Interrupts | None) -> Taken:
    """The host now: this machine, or the recording `source`.

    Errors: Hung; InputError for a recording.
    """
    if source != "live":
        archive = encode(load_recording(source), recorded_at=int(time.time()))
        return Taken(probe(source, deep=True), archive)
    archive = bounded("looking at the host", _record, SECONDS, interrupts)
    # What is judged is what is in the file, and nothing else.
    reader = RecordedReader(decode(archive))
    return Taken(probe_reader(reader, name="live", simulated=False, deep=True), archive)


def _record() -> bytes:
    with LiveReader() as reader:
        recorder = Recorder(reader)
        probe_reader(recorder, name="live", simulated=False, deep=True)
    return encode(recorder.recording(), recorded_at=int(time.time()))
