"""The probe as a whole: on this machine as anybody, on every recording in the repository, and what it costs."""

from __future__ import annotations

import json
import os
import stat
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from devproxy.host.facts import Host
from devproxy.host.facts_json import to_json
from devproxy.host.probe import probe
from devproxy.node import DeviceNumber, NodeKind
from devproxy.process import run
from tests.counting import calls_of
from tests.hosts.make import RECORDINGS, recording_of

BY_NAME = {os.path.basename(path): path for path in RECORDINGS}

CALLS = 45_000  # a deep recording has half as many members again; they are read with the rest


def test_this_machine_is_seen() -> None:
    host = probe()
    assert (host.name, host.simulated, host.kernel) == ("live", False, os.uname().release)
    assert host.major_of("mem") == 1
    assert host.driver_of(1) == "mem"
    null = host.node("/dev/null")
    assert null is not None
    found = os.stat("/dev/null")
    assert (null.kind, null.number.rdev, null.mode) == (NodeKind.CHARACTER, found.st_rdev, stat.S_IMODE(found.st_mode))


def test_every_node_of_dev_is_found_two_levels_deep() -> None:
    expected = set()
    for directory in ("/dev", *(entry.path for entry in os.scandir("/dev") if entry.is_dir(follow_symlinks=False))):
        if os.path.basename(directory) in ("pts", "shm", "mqueue", "hugepages"):
            continue
        for entry in os.scandir(directory):
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                expected.add(entry.path)
    assert {node.path for node in probe().nodes} == expected


@pytest.mark.root
def test_anybody_can_probe_and_is_told_what_was_not_seen() -> None:
    def as_nobody() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        assert probe().major_of("mem") == 1

    assert in_child(as_nobody) == 0


def test_a_probe_leaves_no_descriptor_open() -> None:
    before = os.listdir("/proc/self/fd")
    probe()
    probe(BY_NAME["host-8gpu.tar"])
    assert os.listdir("/proc/self/fd") == before


# the recordings in the repository


@pytest.mark.parametrize("name", BY_NAME)
def test_the_script_makes_the_recordings_byte_for_byte(name: str) -> None:
    path = BY_NAME[name]
    assert Path(path).read_bytes() == recording_of(RECORDINGS[path]()), "run `python -m tests.hosts.make`"


@pytest.mark.parametrize("name", BY_NAME)
def test_every_recording_says_all_that_the_probe_asks_for(name: str) -> None:
    host = probe(BY_NAME[name])
    assert (host.name, host.simulated) == (name, True)
    assert [unseen for unseen in host.unseen if "the recording does not say" in unseen.why] == []
    assert bool(host.unseen) == (name == "malformed.tar")


def test_eight_gpus_in_the_order_of_their_addresses() -> None:
    host = probe(BY_NAME["host-8gpu.tar"])
    assert host.nvidia is not None
    assert (host.nvidia.version, dict(host.nvidia.params)["DeviceFileMode"]) == ("550.163.01", "438")
    assert [gpu.address.split(":")[1] for gpu in host.nvidia.gpus] == "18 2a 3a 5d 9a ab ba db".split()  # noqa: SIM905
    assert [gpu.minor for gpu in host.nvidia.gpus] == [0, 1, 3, 2, 4, 5, 6, 7]
    assert host.major_of("nvidia-uvm") == 462
    assert host.node("/dev/nvidia-caps/nvidia-cap1") is not None
    for gpu in host.nvidia.gpus:
        node = host.node(f"/dev/nvidia{gpu.minor}")
        assert node is not None
        assert node.number == DeviceNumber(195, gpu.minor or 0)


def test_numbers_of_the_example_belong_to_its_drivers() -> None:
    host = probe(BY_NAME["host-8gpu.tar"])
    majors = {line.major for line in host.character} | {line.major for line in host.block}
    assert {node.number.major for node in host.nodes} <= majors


def test_what_the_other_recordings_are_there_for() -> None:
    def host(name: str) -> Host:
        return probe(BY_NAME[f"{name}.tar"])

    before = host("before-550")
    assert before.major_of("nvidia") == before.major_of("nvidia-frontend") == 195
    assert "nvidia" not in {line.name for line in before.character}
    assert host("without-uvm").major_of("nvidia-uvm") is None
    without_driver = host("without-driver")
    assert without_driver.nvidia is not None
    assert [gpu.minor for gpu in without_driver.nvidia.gpus] == [None, None]
    assert without_driver.nvidia.version == ""
    malformed = host("malformed")
    assert (malformed.major_of("nvidia"), malformed.major_of("nvidia-uvm"), malformed.major_of("mem")) == (195, None, 1)
    assert host("cpu-only").nvidia is None


@pytest.mark.parametrize("name", BY_NAME)
def test_a_host_as_json_has_every_fact_and_its_source(name: str) -> None:
    host = probe(BY_NAME[name])
    document = json.loads(json.dumps(to_json(host)))
    assert document.keys() == set(host._fields)
    for field in ("character", "block", "misc", "nodes", "pci", "limits", "unseen"):
        assert len(document[field]) == len(getattr(host, field))
        assert all(entry.get("source") or entry.get("why") for entry in document[field])
    if host.nvidia is not None:
        assert [gpu["uuid"] for gpu in document["nvidia"]["gpus"]] == [gpu.uuid for gpu in host.nvidia.gpus]


# what it costs


def test_a_recorded_host_is_probed_within_its_calls() -> None:
    # 60 ms are its budget; `devproxy bench` has the time, here are the calls that make it.
    source = BY_NAME["host-8gpu.tar"]
    probe(source)
    assert calls_of(lambda: probe(source)) < CALLS


@pytest.mark.programs
@pytest.mark.parametrize("source", ["live", BY_NAME["host-8gpu.tar"]])
def test_a_probe_imports_little(source: str) -> None:
    dear = "dataclasses inspect logging pathlib subprocess tarfile tempfile typing_extensions argparse shutil"
    code = (
        f"import sys, devproxy.host.probe as p; p.probe({source!r}); print(*set({dear.split()!r}) & set(sys.modules))"
    )
    result = run([sys.executable, "-S", "-c", code])
    assert result.out.strip() == ""


def in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 (the child must not return into the test)
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
