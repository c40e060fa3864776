"""What it takes to probe deeply, to examine and to record: a host with 8 GPUs, and how it grows to 1,000 of them.

All of it from a recording, in this process: the live machine's part is its kernel's.
"""

from __future__ import annotations

import os
import statistics
import time

import devproxy
from devproxy.bench.measure import Budget, Row, Run, duration, side_by_side, time_row
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.host.facts import Host
from devproxy.host.probe import probe, probe_reader
from devproxy.host.recorded import Kept, RecordedReader, Recorder, Recording
from devproxy.host.recording_file import encode, load_recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROBE = Budget(60, unit=" ms")
_DOCTOR = Budget(150, unit=" ms")
_RECORD = Budget(1000, unit=" ms")
_SIZE = Budget(500, unit=" kB")
_LINEAR = Budget(1.5)
# Ships with the sources, not with the wheel.
_RECORDING = os.path.join(os.path.dirname(os.path.dirname(devproxy.__file__)), "example", "host-8gpu.tar")
_FEW, _MANY = 100, 1000
# The GPU that others are made of.
_ADDRESS, _MINOR = "0000:18:00.0", 0


def rows(*, quick: bool) -> Iterator[Row]:
    """The figures, each as soon as it is there."""
    rounds = 3 if quick else 7
    if not os.path.exists(_RECORDING):
        yield Row(
            "probing, examining and recording", "-", _PROBE, note=f"{_RECORDING} is not there: run it from the sources"
        )
        return
    yield _took("probing a recorded host with 8 GPUs deeply", _PROBE, lambda: probe(_RECORDING, deep=True), rounds)
    yield _took(
        "the doctor on it, the probe included", _DOCTOR, lambda: examine(Case(probe(_RECORDING, deep=True))), rounds
    )
    recording = load_recording(_RECORDING)
    yield _took("recording it anew", _RECORD, lambda: _recorded(recording), rounds)
    size = len(_recorded(recording)) / 1000
    yield Row("the recording's size", "-", _SIZE, f"{size:.0f} kB", figure=size)
    few, many = with_gpus(recording, _FEW), with_gpus(recording, _MANY)
    for what, work in (("probing", _probed), ("the doctor on", lambda each: examine(Case(_probed(each))))):
        pair = side_by_side(_often(work, many, 1), _often(work, few, _MANY // _FEW), rounds)
        yield time_row(f"{what} {_MANY:,} GPUs beside {_MANY // _FEW} times {_FEW}", "itself", _LINEAR, pair)


def _took(what: str, budget: Budget, work: Callable[[], object], rounds: int) -> Row:
    work()  # what it imports is not what it costs
    taken = statistics.median(_timed(work) for _ in range(rounds))
    return Row(what, "-", budget, duration(taken), figure=taken * 1e3)


def _often(work: Callable[[Recording], object], recording: Recording, times: int) -> Run:
    return lambda: _timed(lambda: [work(recording) for _ in range(times)])


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _probed(recording: Recording) -> Host:
    return probe_reader(RecordedReader(recording), name="bench", simulated=True, deep=True)


def _recorded(recording: Recording) -> bytes:
    recorder = Recorder(RecordedReader(recording))
    probe_reader(recorder, name="bench", simulated=True, deep=True)
    return encode(recorder.recording(), recorded_at=0)


def with_gpus(recording: Recording, number: int) -> Recording:
    """The same host with so many GPUs more, each in a PCI domain of its own."""
    files = dict(recording.files)
    template = {path: kept for path, kept in files.items() if _ADDRESS in path}
    node = files[f"/dev/nvidia{_MINOR}"]
    for minor in range(100, 100 + number):
        address = f"{minor:04x}{_ADDRESS[4:]}"
        for path, kept in template.items():
            data = kept.data.replace(_ADDRESS.encode(), address.encode())
            data = data.replace(b"Minor: \t %d" % _MINOR, b"Minor: \t %d" % minor).replace(
                b"GPU-5d0b", b"GPU-%04x" % minor
            )
            files[_moved(path, address)] = Kept(kept.entry, data, _moved(kept.link, address))
        entry = node.entry._replace(rdev=os.makedev(os.major(node.entry.rdev), minor))
        files[f"/dev/nvidia{minor}"] = Kept(entry)
        link = files[f"/dev/char/195:{_MINOR}"]
        files[f"/dev/char/195:{minor}"] = link._replace(link=f"../nvidia{minor}")
    absent = {path for path in recording.absent if _ADDRESS not in path}
    more = {
        _moved(path, f"{minor:04x}{_ADDRESS[4:]}")
        for path in recording.absent - absent
        for minor in range(100, 100 + number)
    }
    return recording._replace(files=files, absent=recording.absent | more)


def _moved(path: str, address: str) -> str:
    """The path in the domain of the address; the bridge above it moves along."""
    return path.replace("pci0000:18", f"pci{address[:4]}:18").replace("0000:18:", f"{address[:4]}:18:")
