"""The lab's stub driver against the real one: every field and name that the stub has is one of the real driver's."""

from __future__ import annotations

import os

import pytest

from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Recorder
from devproxy.host.recording_file import load_recording
from devproxy.host.root import LiveReader
from hwtests.conftest import Tell
from hwtests.gpu.shape import shapes, unknown_to

pytestmark = pytest.mark.gpu
LAB = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "hosts", "lab.tar")


def test_the_stub_says_nothing_that_the_driver_does_not(gpu_host: Host, tell: Tell) -> None:
    assert gpu_host.nvidia is not None
    with LiveReader() as reader:
        recorder = Recorder(reader)
        probe_reader(recorder, name="live", simulated=False)
    real, stub = recorder.recording(), load_recording(LAB)
    for kind, names in sorted(shapes(real).items()):
        tell(kind, ", ".join(sorted(names)))
    # Before 550.40 the driver's major had one name, nvidia-frontend.
    wrong = unknown_to(real, stub)
    if gpu_host.nvidia.version.partition(".")[0] < "550":
        wrong.pop("majors", None)
    assert not wrong
