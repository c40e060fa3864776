"""Recordings without names: the same machine, the same plans, the same findings; nothing of whose it is."""

from __future__ import annotations

import json
import os
import re
import string
from typing import Final

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import devproxy
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.host.anonymize import Anonymized, anonymize
from devproxy.host.facts import Host
from devproxy.host.facts_json import to_json
from devproxy.host.probe import probe_reader
from devproxy.host.pseudonyms import Names, Pseudonyms
from devproxy.host.recorded import RecordedReader, Recording
from devproxy.host.recording_file import decode, encode, load_recording
from devproxy.plan.plan_json import to_json as plan_json
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.machine import Machine
from tests.hosts.make import RECORDINGS, hgx_h100

NAMES: Final = {os.path.basename(path): path for path in RECORDINGS}
UUIDS: Final = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def probed(recording: Recording) -> Host:
    return probe_reader(RecordedReader(recording), name="x", simulated=True, deep=True)


def written(made: Anonymized) -> bytes:
    return encode(made.recording, recorded_at=0)


@pytest.mark.property
@pytest.mark.parametrize("name", NAMES)
def test_the_probe_is_the_same_but_for_the_names(name: str) -> None:
    recording = load_recording(NAMES[name])
    made = anonymize(recording)
    before, after = (json.dumps(to_json(probed(each)), indent=1) for each in (recording, decode(written(made))))
    assert made.pseudonyms.text(before) == after
    uuids = set(UUIDS.findall(encode(recording, recorded_at=0)))
    assert not uuids & set(UUIDS.findall(written(made)))
    assert (before != after) == bool(uuids) == bool(made.replaced)
    assert dict(made.replaced).get("UUID", 0) == len(uuids)


@pytest.mark.property
@pytest.mark.parametrize("name", NAMES)
def test_the_findings_are_the_same(name: str) -> None:
    recording = load_recording(NAMES[name])
    made = anonymize(recording)
    before, after = (examine(Case(probed(each))) for each in (recording, made.recording))
    text = made.pseudonyms.text
    assert [(each.code, each.severity, text(each.path)) for each in before.findings] == [
        (each.code, each.severity, each.path) for each in after.findings
    ]


@pytest.mark.property
@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_the_same_for_the_same_bundle(name: str, tmp_path: object) -> None:
    recording = load_recording(NAMES[name])
    made = anonymize(recording)
    host = probed(recording)
    gpus = [gpu.uuid for gpu in host.nvidia.gpus if gpu.uuid] if host.nvidia else []
    for number, wanted in enumerate(("all", ",".join(gpus[:2]), ",".join(reversed(gpus)) or "none")):
        plans = []
        for which, each in enumerate((wanted, made.pseudonyms.text(wanted))):
            env = [f"NVIDIA_VISIBLE_DEVICES={each}", "NVIDIA_DRIVER_CAPABILITIES=all"]
            spec = runc_spec_like(process={"env": env})
            bundle = write_bundle(os.path.join(str(tmp_path), f"{number}-{which}"), spec, rootfs="empty")
            loaded = devproxy.load(bundle)._replace(bundle="/b", rootfs="/b/rootfs")
            plans.append(json.dumps(plan_json(plan(loaded, (host, probed(made.recording))[which])), indent=1))
        assert made.pseudonyms.text(plans[0]) == plans[1]


# what is planted is not found again

WORDS: Final = st.text(string.ascii_letters + string.digits, min_size=8, max_size=16).map(lambda word: f"q{word}z")
OCTETS: Final = st.tuples(*[st.integers(100, 199)] * 4).filter(lambda each: each[0] != 127)
SECRETS: Final = st.fixed_dictionaries({
    "user": WORDS, "host": WORDS, "serial": st.from_regex(r"\A[1-9][0-9]{12}\Z"), "volume": WORDS,
    "uuid": st.uuids().map(lambda uuid: f"GPU-{uuid}"),
    "mac": st.binary(min_size=6, max_size=6).filter(lambda b: b[0] != b[1]).map(lambda b: b.hex(":")),
    "ip": OCTETS.map(lambda each: ".".join(map(str, each))),
    "ip6": st.ip_addresses(v=6, network="2001:db8:7777::/48").map(str),
}).filter(lambda each: len({each["user"].lower(), each["host"].lower(), each["volume"].lower()}) == 3)  # fmt: skip


def planted(secrets: dict[str, str]) -> Machine:
    """A machine that tells its names in every way that recordings have."""
    user, host, serial, uuid = (secrets[name] for name in ("user", "host", "serial", "uuid"))
    machine = hgx_h100()
    machine.fact("nvml", {
        "state": "answered", "driver": "550.163.01",
        "gpus": [{"rank": 0, "uuid": uuid, "serial": serial, "address": "00000000:18:00.0", "name": "NVIDIA H100"}],
    })  # fmt: skip
    machine.fact("environment", {"HOSTNAME": host, "values": [["USER", user]], "HOME": f"/home/{user}/work"})
    log = f"Nov 26 02:14:13 {host} kernel: NVRM: GPU at PCI:0000:18:00: {uuid}, Board Serial Number: {serial}\n"
    log += f"eth0: {secrets['mac']} has {secrets['ip']} and [{secrets['ip6']}], {host.upper()}.lab/{user.upper()}\n"
    machine.file("/sys/devices/virtual/dmi/id/product_name", log)
    machine.fact(
        "kernel_log", {"lines": log.splitlines(), f"of {host}": [uuid.upper(), int(serial)], "serial": int(serial)}
    )
    machine.node(f"/dev/mapper/{secrets['volume']}", (253, 7))
    machine.link(f"/dev/{host}", f"/home/{user}/{uuid}").link(f"/dev/{host}-vg/root", "../dm-7")
    return machine


@pytest.mark.property
@settings(max_examples=20, phases=(Phase.explicit, Phase.generate))
@given(SECRETS)
@example({
    "user": "quserz", "host": "qhostz", "serial": "1650522000123", "volume": "qvg-rootz", "mac": "52:54:00:12:34:56",
    "uuid": "GPU-00000000-0000-0000-0000-00000000000a", "ip": "10.0.0.5", "ip6": "2001:db8::5",
})  # fmt: skip
def test_nothing_that_was_replaced_is_anywhere_in_the_file(secrets: dict[str, str]) -> None:
    recording = planted(secrets).record()
    made = anonymize(recording)
    archive = written(made)
    lower = archive.lower()
    for kind, secret in secrets.items():
        assert secret.removeprefix("GPU-").lower().encode() not in lower, kind
    kinds = dict(made.replaced)
    assert {
        "UUID",
        "serial number",
        "host name",
        "user name",
        "MAC address",
        "IP address",
        "volume name",
    } == kinds.keys()
    before, after = (json.dumps(to_json(probed(each))) for each in (recording, decode(archive)))
    assert len(before) == len(after)
    assert re.findall(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]", before) == re.findall(
        r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]", after
    )


def test_one_recording_has_one_stand_in_and_the_next_has_another() -> None:
    secrets = {
        "user": "quserz", "host": "qhostz", "serial": "1650522000123", "volume": "qvgz", "mac": "52:54:00:12:34:56",
        "uuid": "GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b2", "ip": "10.0.0.5", "ip6": "2001:db8::5",
    }  # fmt: skip
    recording = planted(secrets).record()
    one, other = anonymize(recording), anonymize(recording)
    assert one.recording != other.recording
    assert one.replaced == other.replaced
    assert anonymize(recording, key=b"k").recording == anonymize(recording, key=b"k").recording
    host = probed(one.recording)
    assert host.details is not None
    (gpu,) = host.details.nvml.gpus
    assert gpu.uuid is not None
    assert gpu.uuid.startswith("GPU-")
    assert f"GPU at PCI:0000:18:00: {gpu.uuid}, Board Serial Number: {gpu.serial}" in host.product_name


# single words


@pytest.mark.parametrize(
    "text",
    [
        "550.163.01", "535.183.01.5", "version 12.4.1.0", "libcuda.so.1.2.3.4", "0000:18:00.0", "00000000:18:00.0", "195:255",
        "127.0.0.1", "0.0.0.0", "::1", "::", "02:14:13", "std::vector", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00",
        "10DE:2330", "/dev/nvidia0", "pci0000:00/0000:00:02.0", "a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6a7b8c9d0",
        "00000000-0000-0000-0000-000000000000", "/dev/mapper/control", "GPU-index", "0-31,64-95", "/home/../etc",
    ],
)  # fmt: skip
def test_what_is_nobodys_name_stays(text: str) -> None:
    assert Pseudonyms(b"k").text(text) == text


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("GPU-5D0BB1A7-8F2C-4C1E-9A35-1E7720F6C4B1", r"GPU-[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"),
        ("MIG-GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1/3/0", r"MIG-GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/3/0"),
        ("tcp://10.20.30.5:2376", r"tcp://10\.\d\d\.\d\d\.\d:2376"),
        ("fe80::1ff:fe23:4567:890a%eth0", r"[0-9a-f]{4}::[0-9a-f]{3}:[0-9a-f]{4}:[0-9a-f]{4}:[0-9a-f]{4}%eth0"),
        ("/home/somebody/.cache", "/home/[a-z]{8}/.cache"),
        ("root=/dev/mapper/vg0-root ro", "root=/dev/mapper/[a-z]{2}[0-9]-[a-z]{4} ro"),
        ("0123:4567:89ab:cdef", "([0-9a-f]{4}:){3}[0-9a-f]{4}"),
        ("0123456789abcdef0123456789ABCDEF", "[0-9a-fA-F]{32}"),
    ],
)
def test_forms_stay(text: str, form: str) -> None:
    found = Pseudonyms(b"k").text(text)
    assert found != text
    assert re.fullmatch(form, found)


@given(st.text())
def test_any_text_keeps_its_length(text: str) -> None:
    names = Pseudonyms(b"k", Names(frozenset({"box"}), frozenset({"me", "\u212a"}), frozenset({"123456"})))
    assert len(names.text(f"{text} box K")) == len(text) + 6


def test_the_beginning_of_a_uuid_stays_one() -> None:
    names = Pseudonyms(b"k")
    whole = names.text("GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1")
    assert whole.startswith(names.text("GPU-5d0bb1a7"))
    assert whole.startswith(names.text("GPU-5d0bb1a7-8f2c"))


def test_a_name_that_the_system_has_too_stays_and_is_told() -> None:
    """Somebody called `uvm` on a machine called `node0`: devices could not be found any more."""
    machine = hgx_h100().file("/sys/devices/system/node/node0/cpulist", "0-31\n")
    machine.fact("caller", {"user": "uvm", "home": "/home/uvm/x"})
    recording = machine.record()._replace(facts={"caller": b'{"user": "uvm", "home": "/home/uvm/x"}'})
    made = anonymize(recording, Names(hosts=frozenset({"node0"})))
    assert made.kept == ("node0", "uvm")
    assert probed(made.recording).details == probed(recording).details
    assert "/dev/nvidia-uvm" in made.recording.files
    assert b"/home/uvm/" not in made.recording.facts["caller"]


def test_names_in_shared_memory_are_replaced_and_what_it_is_stays() -> None:
    from tests.devproxy.jobs.health.mutations import ENTRY

    entry = {**ENTRY, "path": "/dev/shm/sem.mariposa-7c9e6679-7425-40de-944b-e07fc1f90ae7"}
    machine = Machine().fact("shared_memory", {"entries": [entry], "mps": [], "segments": [], "left_out": 3})
    made = anonymize(machine.record(), Names(users=frozenset(("mariposa",))))
    assert b"mariposa" not in written(made)
    assert b"7c9e6679" not in written(made)
    before, after = (probed(each).details.system.shared_memory for each in (machine.record(), made.recording))  # type: ignore[union-attr]
    assert before is not None
    assert after is not None
    (was,), (now,) = before.entries, after.entries
    assert now.path.startswith("/dev/shm/sem.")
    assert (now._replace(path=was.path), len(now.path), after.left_out) == (was, len(was.path), 3)
