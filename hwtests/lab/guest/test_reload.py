"""nvidia-uvm loaded again: its major moves, as it does on hosts whose driver is updated while containers are kept."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import devproxy
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.host.difference import Difference
from devproxy.host.facts import Host
from devproxy.host.watch import Change, watch
from hwtests.lab.guest.conftest import (
    NVIDIA,
    UVM,
    Cli,
    ask,
    bundle,
    inside,
    insmod,
    majors,
    make_nodes,
    rmmod,
)


class Watcher:
    """A thread that watches the machine, ready once it has told of a change."""

    def __init__(self) -> None:
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._reader, self._writer = os.pipe()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        attempts = 0
        while not self._is_ready():
            attempts += 1
            assert attempts < 10

    def wait_for(self, driver: str, major: int) -> Difference:
        """Told as moved, or as gone and come again: it is looked at when it is."""
        while True:
            for found in self._changes.get(timeout=60).differences:
                told = found.kind == "driver" and found.subject == driver and found.after
                if told and found.after in (str(major), f"major {major}"):
                    return found

    def close(self) -> None:
        """A watch ends when its reader is gone."""
        os.close(self._reader)
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()
        os.close(self._writer)

    def _watch(self) -> None:
        for change in watch(interval=0.3, settle=0.1, until_closed=self._writer):
            self._changes.put(change)

    def _is_ready(self) -> bool:
        """Its first look tells of nothing: a driver comes and goes until one of its changes is seen."""
        (rmmod if "other" in majors() else insmod)("other")
        with contextlib.suppress(queue.Empty):
            return any(found.subject == "other" for found in self._changes.get(timeout=5).differences)
        return False


class Moved(NamedTuple):
    """nvidia-uvm's major before and after, and what the watch said of it."""

    before: int
    after: int
    seen: Difference


@pytest.fixture(scope="module")
def moved() -> Iterator[Moved]:
    """nvidia-uvm loaded again after another driver took its major, the host's nodes left as they were."""
    before = majors()["nvidia-uvm"]
    watcher = Watcher()
    if "other" in majors():
        rmmod("other")
    rmmod("nvidia_uvm")
    insmod("other")
    insmod("nvidia-uvm")
    after = majors()["nvidia-uvm"]
    seen = watcher.wait_for("nvidia-uvm", after)
    watcher.close()
    yield Moved(before, after, seen)
    rmmod("nvidia_uvm")
    rmmod("other")
    insmod("nvidia-uvm")
    make_nodes()


def test_the_major_moved_and_another_driver_has_the_old_one(moved: Moved) -> None:
    before, after, _ = moved
    assert before != after
    assert majors()["other"] == before
    # The host's node is stale now: it opens, and somebody else answers.
    assert ask("/dev/nvidia-uvm") == {"/dev/nvidia-uvm": "ioctl: Inappropriate ioctl for device"}


def test_the_watch_told_of_it(moved: Moved) -> None:
    """`devproxy probe --watch`: no event says that a major moved."""
    before, after, seen = moved
    assert seen.describe() in (
        f"driver nvidia-uvm: major {before} -> {after}",
        f"driver nvidia-uvm appeared: major {after}",
    )


def test_a_new_plan_has_the_new_major(moved: Moved, tmp_path: Path, cli: Cli) -> None:
    """Whatever the spec says, and whatever number the host's own node has."""
    before, after, _ = moved
    listed = [("/dev/nvidiactl", 195, 255), ("/dev/nvidia0", 195, 0), ("/dev/nvidia-uvm", before, 0)]
    devices = [{"path": path, "type": "c", "major": major, "minor": minor} for path, major, minor in listed]
    made = bundle(tmp_path, devices=devices)
    assert f"major {after} here, the spec said {before}" in cli("run", made, "-v", "--", "true").err
    said = inside(cli, made, "/dev/nvidia-uvm", "/dev/nvidia0")
    assert said == {"/dev/nvidia-uvm": f"{UVM} 0", "/dev/nvidia0": f"{NVIDIA} 0"}
    cli("verify", made)


def test_the_environment_gets_the_new_major(moved: Moved, tmp_path: Path, cli: Cli) -> None:
    made = bundle(tmp_path, "NVIDIA_VISIBLE_DEVICES=all")
    assert inside(cli, made, "/dev/nvidia-uvm") == {"/dev/nvidia-uvm": f"{UVM} 0"}


def test_the_probe_shows_the_stale_node(moved: Moved, host: Host) -> None:
    before, after, _ = moved
    node = host.node("/dev/nvidia-uvm")
    assert node is not None
    assert (node.number.major, host.major_of("nvidia-uvm"), host.driver_of(before)) == (before, after, "other")


def test_the_doctor_names_the_stale_node_and_the_stale_bundle(moved: Moved, tmp_path: Path, cli: Cli) -> None:
    listed = {"path": "/dev/nvidia-uvm", "type": "c", "major": moved.before, "minor": 0}
    made = bundle(tmp_path, devices=[listed])
    report = json.loads(cli("doctor", made, "--json", code=3).out)
    found = {(finding["code"], finding["path"]): finding for finding in report["findings"]}
    stale = found["node-major-mismatch", "/dev/nvidia-uvm"]
    assert (stale["expected"], stale["found"]) == (f"major {moved.after}", f"major {moved.before}, the major of other")
    assert [code for code, _ in found if code == "bundle-device-stale"]
    assert stale["hint"]


def test_new_nodes_leave_the_doctor_nothing_to_say_of_them(moved: Moved) -> None:
    """What its hint does: nvidia-modprobe makes the nodes anew."""
    make_nodes()
    report = examine(Case(devproxy.probe(deep=True)))
    assert not [found for found in report.findings if found.code == "node-major-mismatch"]
    assert ask("/dev/nvidia-uvm") == {"/dev/nvidia-uvm": f"{UVM} 0"}
