"""Recorded hosts on which something happens to the first GPU between two looks."""

from __future__ import annotations

import json
from pathlib import Path

from devproxy.host.recorded import Recording
from devproxy.host.recording_file import encode, load_recording

HERE = Path(__file__).parents[4]
GPUS = str(HERE / "example" / "host-8gpu.tar")
TPUS = str(HERE / "tests" / "hosts" / "tpu-v4.tar")
FIRST = "0000:18:00.0"
FIRST_NAME = "GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1"
XID = "[ 4711.000123] NVRM: Xid (PCI:0000:18:00): 79, pid=4242, name=python3, GPU has fallen off the bus."


def without_first(recording: Recording) -> Recording:
    """The host after its first GPU fell off the bus: no function, no node, and the kernel's log says so."""
    gone = {path for path in recording.files if FIRST in path or path == "/dev/nvidia0"}
    files = {path: kept for path, kept in recording.files.items() if path not in gone}
    log = json.dumps({"lines": [XID], "left_out": 0, "complete": True}).encode()
    return recording._replace(files=files, absent=recording.absent | gone, facts={**recording.facts, "kernel_log": log})


def fallen(place: Path) -> str:
    """That host's recording as a file."""
    path = place / "fallen.tar"
    path.write_bytes(encode(without_first(load_recording(GPUS)), recorded_at=0))
    return str(path)
