"""Uevents of a made-up machine, by the real libudev and pyudev: which are hints, and which are not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.umock.beds import GPU, MACHINE, ROOT, TPU, node, pci

pytestmark = pytest.mark.programs

# Prints one list of hints each time, as soon as there are some.
FOLLOW: Final = """
import json
from devproxy.host import watch_hints
watch_hints._contents = lambda: {}
with watch_hints.Hints() as hints:
    print(json.dumps([hints.without_events]), flush=True)
    while True:
        found = hints.wait(60)
        print(json.dumps(found), flush=True)
"""
TPU_PATH: Final = f"/sys/devices/pci0000:00/{TPU}"
FUSE: Final = "/sys/devices/virtual/misc/fuse"


class Bed:
    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def order(self, *words: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(words) + "\n")
        self._child.stdin.flush()

    def hear(self) -> list[str]:
        assert self._child.stdout is not None
        self.order("hear")
        heard: list[str] = json.loads(self._child.stdout.readline())
        return heard


@contextmanager
def bed(*records: str) -> Iterator[Bed]:
    argv = ["umockdev-wrapper", "/usr/bin/python3", "-W", "ignore", str(ROOT / "tests/umock/drive.py")]
    argv += [sys.executable, "-c", FOLLOW]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with child:
        try:
            made = Bed(child)
            made.order(*records)
            assert made.hear() == [""], "there are uevents"
            yield made
        finally:
            child.kill()


def test_what_comes_and_goes_is_a_hint() -> None:
    with bed(MACHINE) as machine:
        machine.order("event", "remove", f"{TPU_PATH}/accel/accel0")
        assert machine.hear() == ["uevent remove accel accel0"]
        machine.order("remove", f"{TPU_PATH}/accel/accel0")
        machine.order("add", node(f"/devices/pci0000:00/{TPU}", "accel", "accel0", (121, 0)))
        assert machine.hear() == ["uevent add accel accel0"]


def test_a_pci_function_is_a_hint_whatever_it_is() -> None:
    with bed(MACHINE) as machine:
        machine.order("add", pci("0000:00:1f.0", "10DE:2330", "30200", ""))
        assert machine.hear() == ["uevent add pci 0000:00:1f.0"]


def test_what_containers_make_all_day_is_none() -> None:
    network = "P: /devices/virtual/net/veth0\nE: SUBSYSTEM=net\nE: INTERFACE=veth0\nA: ifindex=5\\n\n\n"
    disk = node("/devices/virtual", "block", "loop7", (7, 7)).replace("N: loop7", "N: loop7")
    with bed(MACHINE, network, disk) as machine:
        machine.order("event", "add", "/sys/devices/virtual/net/veth0")
        machine.order("event", "change", "/sys/devices/virtual/block/loop7")
        machine.order("event", "change", f"/sys/devices/pci0000:00/{GPU}")
        heard: list[Any] = []
        while not heard:
            heard = machine.hear()
        assert heard == [f"uevent change pci {GPU}"]
