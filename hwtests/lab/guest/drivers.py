"""The guest's hardware exchanged: another bus with other functions, its drivers with it; and one function taken off and found again."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from devproxy.process import run
from hwtests.lab.guest.conftest import insmod, make_nodes, rmmod

_DRIVERS: Final = ("nvidia", "nvidia-uvm", "tpu", "vfio")
_GPU: Final = "10de:2330:030200"


@contextmanager
def eight_gpus() -> Iterator[None]:
    """A server with eight GPUs, its drivers loaded and nothing in /dev yet; afterwards the guest's own hardware."""
    own = Path("/sys/module/fakepci/parameters/functions").read_text().strip()
    _exchange(",".join([_GPU] * 8))
    try:
        yield
    finally:
        _exchange(own, "mig=1")
        make_nodes()


@contextmanager
def removed(address: str) -> Iterator[None]:
    """Hot removal by sysfs, as an administrator does it; the rescan finds the function again, and udevd is waited for."""
    Path(f"/sys/bus/pci/devices/{address}/remove").write_text("1")
    try:
        yield
    finally:
        rescan()


def rescan() -> None:
    """Find again what was taken off the bus."""
    Path("/sys/bus/pci/rescan").write_text("1")
    settle()


def doom(minor: int) -> None:
    """Let a GPU fall off the bus, with the message of Xid 79, when it is asked for the third time."""
    parameters = Path("/sys/module/nvidia/parameters")
    (parameters / "answers").write_text("2")
    (parameters / "doomed").write_text(str(minor))


def settle() -> None:
    """Wait until udevd has made of every event what it makes of it."""
    run(["udevadm", "settle", "--timeout=60"], timeout=70)


def reload_nvidia(*, whole: bool) -> None:
    """nvidia-uvm, or `whole`, with nvidia below it, unloaded and loaded again.

    A driver finds the functions in the order in which the bus did, and counts its minors so: one that was taken away and
    came back would be the last. The bus forgets them all first.
    """
    rmmod("nvidia_uvm")
    if whole:
        gpus = os.listdir("/sys/bus/pci/drivers/nvidia")
        rmmod("nvidia")
        for address in gpus:
            if ":" in address:
                Path(f"/sys/bus/pci/devices/{address}/remove").write_text("1")
        rescan()
        insmod("nvidia", "mig=1")
    insmod("nvidia-uvm")
    settle()


def until(path: str) -> None:
    """Wait for a node that devtmpfs makes."""
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def _exchange(functions: str, *options: str) -> None:
    for name in (*reversed(_DRIVERS), "fakepci"):
        rmmod(name.replace("-", "_"))
    for path in (*glob.glob("/dev/nvidia[0-9]*"), *glob.glob("/dev/nvidia-*"), "/dev/nvidiactl"):
        if not os.path.isdir(path) and os.path.lexists(path):
            os.unlink(path)
    run(["/lab/busybox", "rm", "-rf", "/dev/nvidia-caps"])
    insmod("fakepci", f"functions={functions}")
    for name in _DRIVERS:
        insmod(name, *(options if name == "nvidia" else ()))
    settle()
