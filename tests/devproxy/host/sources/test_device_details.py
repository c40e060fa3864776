"""The sources of device details: made-up machines, documents that anybody may have written, replay equal to live."""

from __future__ import annotations

import errno
import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.details import DeviceDetails
from devproxy.host.device_facts import CharLink, ClassNode, Holder, NumaNode
from devproxy.host.facts import Host
from devproxy.host.probe import probe, probe_reader
from devproxy.host.recorded import RecordedReader, Recorder
from devproxy.host.recording_file import decode, encode
from devproxy.host.root import LiveReader
from devproxy.host.sources.numa import parse_cpu_list
from tests.hosts.machine import Machine
from tests.hosts.make import hgx_h100, mixed, tpu_v4

FACTS: Final = ("holders", "udev", "affinity", "locks", "opens")
HOLDER: Final = {"name": "python3", "paths": ["/dev/nvidia0"], "pid": 7, "started": 99, "uid": 1000}


def deep(machine: Machine) -> Host:
    return probe_reader(machine, name="machine", simulated=True, deep=True)


def devices(host: Host) -> DeviceDetails:
    assert host.details is not None
    return host.details.devices


def notes(host: Host) -> dict[str, str]:
    return {unseen.path: unseen.why for unseen in host.unseen}


# links


def machine_with_links() -> Machine:
    machine = Machine().node("/dev/nvidia0", (195, 0)).node("/dev/nvidia1", (195, 1)).node("/dev/nvidiactl", (195, 255))
    machine.node("/dev/null", (1, 3)).link("/dev/char/1:3", "../null")
    return machine.link("/dev/char/195:0", "../nvidia0").link("/dev/char/195:1", "/dev/gone")


def test_links_of_accelerators_alone_and_where_they_lead() -> None:
    absolute = CharLink("/dev/char/195:1", "/dev/gone", dangling=True)
    assert devices(deep(machine_with_links())).links == (CharLink("/dev/char/195:0", "/dev/nvidia0"), absolute)


def test_a_directory_of_links_that_is_not_there_has_none() -> None:
    assert devices(deep(Machine().node("/dev/nvidia0", (195, 0)))).links == ()


def test_a_recording_that_never_looked_for_links_knows_nothing_of_them() -> None:
    recorder = Recorder(machine_with_links())
    probe_reader(recorder, name="plain", simulated=True)
    host = probe_reader(RecordedReader(recorder.recording()), name="plain", simulated=True, deep=True)
    assert devices(host).links is None
    assert "/dev/char" in notes(host)


# classes


def test_what_drivers_of_npus_and_corals_registered_is_found_with_and_without_a_node() -> None:
    assert devices(deep(mixed())).class_devices == devices(deep(mixed().remove("/dev/accel/accel0"))).class_devices
    (npu,) = devices(deep(mixed())).class_devices
    assert (npu.path, npu.class_name, npu.address) == ("/dev/accel/accel0", "accel", "0000:00:0b.0")
    assert npu.source == "/sys/devices/pci0000:00/0000:00:0b.0/accel/accel0"
    assert devices(deep(tpu_v4())).class_devices == ()


def test_corals_are_looked_for_where_there_is_one() -> None:
    path = "/sys/devices/pci0000:00/0000:03:00.0"
    machine = Machine().file(f"{path}/uevent", "DRIVER=apex\nPCI_CLASS=88000\nPCI_ID=1AC1:089A\n")
    machine.file(f"{path}/apex/apex_0/dev", "120:0\n").link("/sys/class/apex/apex_0", f"../..{path[4:]}/apex/apex_0")
    assert devices(deep(machine)).class_devices == ()
    machine.link("/sys/bus/pci/devices/0000:03:00.0", f"../../..{path[4:]}")
    recorder = Recorder(machine)
    host = probe_reader(recorder, name="coral", simulated=True, deep=True)
    assert devices(host).class_devices == (ClassNode("/dev/apex_0", "apex", "0000:03:00.0", f"{path}/apex/apex_0"),)
    again = probe_reader(RecordedReader(recorder.recording()), name="coral", simulated=True, deep=True)
    assert devices(again).class_devices == devices(host).class_devices


# holders


def test_holders_by_pid() -> None:
    others = [{**HOLDER, "pid": 9}, HOLDER]
    machine = Machine().fact("holders", {"complete": True, "holders": others, "unread": 0, "why": ""})
    holders = devices(deep(machine)).holders
    assert holders is not None
    assert [holder.pid for holder in holders.holders] == [7, 9]
    assert holders.complete
    assert holders.of("/dev/nvidia0")[0] == Holder(7, "python3", 1000, 99, ("/dev/nvidia0",))
    assert holders.of("/dev/nvidia1") == ()


@pytest.mark.parametrize(
    "document",
    [
        {"complete": "yes", "holders": [HOLDER]},
        {"complete": True, "holders": {}},
        {"complete": True, "holders": [{**HOLDER, "pid": "7"}]},
        {"complete": True, "holders": [{**HOLDER, "paths": [1]}]},
        {"complete": True, "holders": [7]},
        {"complete": False, "holders": [], "unread": 3, "why": "the descriptors of 3 processes may not be read"},
    ],
)
def test_a_doubtful_document_is_never_complete(document: object) -> None:
    holders = devices(deep(Machine().fact("holders", document))).holders
    assert holders is not None
    assert not holders.complete


def test_nobody_looked() -> None:
    found = devices(deep(Machine()))
    assert (found.holders, found.udev, found.affinity, found.opens, found.tpu_lock) == (None,) * 5


# udev, NUMA, NVIDIA's parts


def test_udev_that_could_not_be_asked_is_unseen() -> None:
    host = deep(Machine().fact("udev", {"error": "pyudev: no libudev"}))
    assert devices(host).udev is None
    assert "no libudev" in notes(host)["facts/udev.json"]


def test_numa_nodes_with_cpus_and_memory() -> None:
    machine = Machine().file("/sys/devices/system/node/node0/cpulist", "0-3,8\n").file("/sys/devices/system/node/x", "")
    machine.file("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       32657540 kB\nNode 0 MemFree: 1 kB\n")
    machine.file("/sys/devices/system/node/node10/cpulist", "\n")
    machine.file("/sys/devices/system/node/node2/cpulist", "0-\n")
    host = deep(machine)
    directory = "/sys/devices/system/node/node"
    assert devices(host).numa == (
        NumaNode(0, "0-3,8", 32657540 << 10, f"{directory}0"),
        NumaNode(2, "", None, f"{directory}2"),
        NumaNode(10, "", None, f"{directory}10"),
    )
    assert "no list of CPUs" in notes(host)[f"{directory}2/cpulist"]


@given(st.frozensets(st.integers(0, 300)))
def test_a_cpu_list_in_the_kernels_form(cpus: frozenset[int]) -> None:
    """As bitmap_print_to_pagebuf writes it: ranges of neighbours, in order."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    text = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
    assert parse_cpu_list(f"{text}\n") == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1,,2", "0-99999999999", "٣", "0-999999999"])
def test_what_is_no_cpu_list(text: str) -> None:
    assert parse_cpu_list(text) is None


def test_parameters_of_the_drivers_other_parts() -> None:
    machine = hgx_h100().file("/proc/driver/nvidia-nvswitch/permissions", "DeviceFileMode: 384\nDeviceFileUID: 0\n")
    services = {service.name: dict(service.values) for service in devices(deep(machine)).services}
    assert services["nvidia-nvswitch"] == {"DeviceFileMode": "384", "DeviceFileUID": "0"}
    assert services["nvidia-imex"] == {"ImexChannelCount": "2048", "nodes": "0"}


def test_a_lock_file_that_is_something_else_is_unseen() -> None:
    lock = {"held": None, "kind": "link", "mode": 511, "path": "/tmp/libtpu_lockfile", "pid": None, "uid": 0}
    host = deep(Machine().fact("locks", {"locks": [lock]}))
    assert "no regular file" in notes(host)["facts/locks.json"]


# whatever the document

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS: Final = ("holders", "complete", "unread", "why", "devices", "error", "cpus", "locks", "opens", "left_out")
INNER: Final = (
    "pid",
    "name",
    "paths",
    "uid",
    "started",
    "path",
    "held",
    "kind",
    "errno",
    "number",
    "properties",
    "mode",
)
documents = st.dictionaries(
    st.sampled_from(KEYS),
    anything | st.lists(st.dictionaries(st.sampled_from(INNER), anything, max_size=6), max_size=3),
)


@pytest.mark.property
@given(st.sampled_from(FACTS), documents | anything)
def test_no_document_is_a_traceback(name: str, document: Any) -> None:
    host = deep(Machine().fact(name, document))
    holders = devices(host).holders
    if holders is not None and holders.complete:
        assert document["complete"] is True


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_that_may_not_be_read_is_unseen(name: str) -> None:
    class Refusing(Machine):
        def read_fact(self, wanted: str) -> bytes:
            if wanted == name:
                raise PermissionError(errno.EACCES, "denied", wanted)
            return super().read_fact(wanted)

    assert f"facts/{name}.json" in notes(deep(Refusing()))


# live


@pytest.mark.programs
def test_replay_says_what_live_said() -> None:
    with LiveReader() as reader:
        recorder = Recorder(reader)
        live = probe_reader(recorder, name="live", simulated=False, deep=True)
    archive = encode(recorder.recording(), recorded_at=0)
    replayed = probe_reader(RecordedReader(decode(archive)), name="live", simulated=False, deep=True)
    assert devices(replayed) == devices(live)


@pytest.mark.programs
def test_this_machine_is_told_as_json() -> None:
    from devproxy.host.facts_json import to_json

    host = probe(deep=True)
    assert json.loads(json.dumps(to_json(host)))["details"]["devices"]["affinity"]["cpus"]
