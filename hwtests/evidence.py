"""What the hardware tests saw, in one tar: a recording of the machine, each test's evidence, what it ran with.

The recording is what `devproxy record` writes: no host name, no environment but what concerns accelerators.
"""

from __future__ import annotations

import io
import json
import os
import platform
import tarfile
import time
from importlib import metadata
from typing import Any, Final

import devproxy
from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Recorder
from devproxy.host.recording_file import encode
from devproxy.host.root import LiveReader

_DISTRIBUTIONS: Final = ("nvidia-ml-py", "psutil", "pytest", "pyudev", "pyyaml")


def write(path: str, results: list[dict[str, Any]]) -> None:
    """Write the tar: `recording.tar`, `results.json`, `versions.json`. It appears whole or not at all."""
    with LiveReader() as reader:
        recorder = Recorder(reader)
        host = probe_reader(recorder, name="live", simulated=False, deep=True)
    now = int(time.time())
    members = {
        "versions.json": _text(versions(host)),
        "results.json": _text(results),
        "recording.tar": encode(recorder.recording(), recorded_at=now),
    }
    unfinished = f"{path}.{os.getpid()}"
    try:
        with tarfile.open(unfinished, "w") as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(content), now
                archive.addfile(member, io.BytesIO(content))
        os.rename(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)


def versions(host: Host) -> dict[str, Any]:
    """Of everything that an answer depends on."""
    nvidia = host.nvidia
    return {
        "devproxy": devproxy.__version__,
        "kernel": host.kernel,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "product": host.product_name,
        "nvidia driver": nvidia.version if nvidia else None,
        "gpus": [gpu.model for gpu in nvidia.gpus] if nvidia else [],
        "tpus": [chip.generation for chip in host.tpus],
        "distributions": {name: _version(name) for name in _DISTRIBUTIONS},
    }


def headline(host: Host) -> str:
    """`Linux 6.8.0, driver 550.163.01, 8 x NVIDIA H100 80GB HBM3, no TPU`."""
    words = [f"Linux {host.kernel}"]
    if host.nvidia is not None:
        words.append(f"driver {host.nvidia.version or 'not loaded'}")
        words += _counted([gpu.model or "a GPU without a driver" for gpu in host.nvidia.gpus])
    else:
        words.append("no NVIDIA GPU")
    words += _counted([f"TPU {chip.generation}" for chip in host.tpus]) or ["no TPU"]
    return ", ".join(words)


def _counted(models: list[str]) -> list[str]:
    return [f"{models.count(model)} x {model}" for model in dict.fromkeys(models)]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _text(document: object) -> bytes:
    return f"{json.dumps(document, indent=1, sort_keys=True)}\n".encode()
