"""Whose findings they are, since when, and what could not be seen."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pytest

import devproxy
from devproxy.check.finding import Report, Severity
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from devproxy.jobs.devices import leasable
from devproxy.jobs.health import check
from devproxy.jobs.health.case import units
from devproxy.jobs.health.devices import require_same
from devproxy.jobs.health.sight import too_late
from devproxy.jobs.scope import Scope
from tests.devproxy.check.doctor.edits import Edited
from tests.devproxy.jobs.health.mutations import (
    ENTRY,
    HOLDER,
    JOB,
    MPS,
    SOUND,
    gone,
    later,
    listed,
    logged,
    sxid,
    told,
    xid,
)
from tests.hosts.make import mixed

IDENT: Final = "0123456789abcdef" * 2
OTHER: Final = "fedcba9876543210" * 2
NOW: Final = 1764547200.0  # when the recordings were made


@cache
def sound(name: str = "hgx") -> Edited:
    return Edited.of(SOUND[name])


@cache
def before(name: str = "hgx") -> Host:
    return sound(name).host()


def codes(report: Report) -> list[tuple[str, str]]:
    return [(finding.code, finding.path) for finding in report.findings]


def scope(*ranks: int, ident: str = IDENT, uid: int = 1000) -> Scope:
    """A lease of the GPUs of some ranks."""
    return Scope(ident, uid, NOW, tuple(device for device in leasable(before()) if device.rank in ranks))


# whose


def test_findings_of_other_devices_are_named_and_do_not_count() -> None:
    edited = told(5, ecc_uncorrected=2)(told(2, temperature=90)(later(sound())))
    whole = check(edited.host(), before=before())
    assert codes(whole) == [("ecc-uncorrected", "0000:ab:00.0"), ("temperature-high", "0000:3a:00.0")]
    own = check(edited.host(), before=before(), devices=scope(2, 3))
    assert codes(own) == [("temperature-high", "0000:3a:00.0")]
    assert own.exit_code == 0
    assert own.notes[1] == "not this job's, of other devices: 0000:ab:00.0 ecc-uncorrected"
    by_name = check(edited.host(), before=before(), devices=scope(5).names)
    assert codes(by_name) == [("ecc-uncorrected", "0000:ab:00.0")]
    assert dict(by_name.compared)["devices"] == 1


def test_what_concerns_the_host_concerns_every_lease() -> None:
    edited = later(sound()).text("/proc/driver/nvidia/version", lambda text: text.replace("550.163.01", "590.10.01"))
    report = check(edited.host(), before=before(), devices=scope(0))
    assert ("driver-changed-since", "/proc/driver/nvidia/version") in codes(report)


def test_nodes_and_words_of_a_device_are_its_own() -> None:
    (first, *_) = units(before())
    assert first.subjects == {"0000:18:00.0", "/dev/nvidia0", first.name}
    assert first.describe() == f"GPU {first.name} (NVIDIA H100 80GB HBM3)"


def test_an_accelerator_of_another_make_is_another_device() -> None:
    host = probe_reader(mixed(), name="mixed", simulated=True, deep=True)
    npu = "0000:00:0b.0"
    bare = host._replace(
        pci=tuple(pci._replace(driver="") if pci.address == npu else pci for pci in host.pci),
        accelerators=(),
    )
    (gpu,) = leasable(host)
    assert ("driver-not-loaded", npu) in codes(check(bare, only=["driver-not-loaded"]))
    own = check(bare, devices=frozenset((gpu.name,)), only=["driver-not-loaded"])
    assert codes(own) == []
    assert own.notes[1] == f"not this job's, of other devices: {npu} driver-not-loaded"


def held(edited: Edited, node: str, **other: object) -> Edited:
    return listed("holders", "holders", HOLDER, paths=[node, "/dev/nvidia-uvm", "/dev/nvidiactl"], **other)(edited)


@pytest.mark.parametrize(
    ("node", "lease", "left"),
    [
        ("/dev/nvidia0", IDENT, True), ("/dev/nvidia0", "", True), ("/dev/nvidia0", None, True),
        ("/dev/nvidia0", OTHER, False), ("/dev/nvidia4", IDENT, False), ("/dev/nvidia4", "", False),
    ],
)  # fmt: skip
def test_a_holder_is_the_leases_unless_it_says_or_holds_otherwise(node: str, lease: str | None, left: bool) -> None:
    report = check(
        held(later(sound()), node, lease=lease).host(), before=before(), devices=scope(0), only=["holder-left-behind"]
    )
    assert [finding.path for finding in report.findings] == (["pid 4242"] if left else [])
    if left and lease:
        assert "lease is in its environment" in report.findings[0].why


def test_a_holder_of_a_lease_needs_no_recording_of_before() -> None:
    host = held(sound(), "/dev/nvidia0", lease=IDENT).host()
    assert [each.code for each in check(host, devices=scope(0), only=["holder-left-behind"]).findings] == [
        "holder-left-behind"
    ]
    assert check(host, only=["holder-left-behind"]).findings == ()
    for lease in ("", OTHER):
        others = held(sound(), "/dev/nvidia0", lease=lease).host()
        assert check(others, devices=scope(0), only=["holder-left-behind"]).findings == ()


def test_holders_that_could_not_be_seen_are_inconclusive() -> None:
    blind = later(sound()).fact(
        "holders", lambda document: document.update(complete=False, why="3 may not be read", holders=[])
    )
    (finding,) = check(blind.host(), before=before(), only=["holder-left-behind"]).findings
    assert (finding.severity, finding.why) == (Severity.INCONCLUSIVE, "3 may not be read")


def test_a_holder_that_before_could_not_see_is_not_blamed_on_the_job() -> None:
    blind = sound().fact("holders", lambda document: document.update(complete=False, why="x")).host()
    for started, severity in (
        (8_000_000, Severity.INCONCLUSIVE),
        (8_700_000, Severity.ERROR),
    ):  # before was 8,640,000 ticks after boot
        host = held(later(sound()), "/dev/nvidia0", started=started).host()
        (finding,) = check(host, before=blind, only=["holder-left-behind"]).findings
        assert finding.severity is severity
    proven = held(later(sound()), "/dev/nvidia0", started=8_000_000, lease=IDENT).host()
    (finding,) = check(proven, before=blind, devices=scope(0), only=["holder-left-behind"]).findings
    assert finding.severity is Severity.ERROR


def test_a_device_that_is_busy_is_an_error_for_the_job_that_is_to_have_it() -> None:
    host = held(sound(), "/dev/nvidia0").host()
    for devices, severity in ((None, Severity.WARNING), (scope(0), Severity.ERROR)):
        (finding,) = check(host, devices=devices, only=["device-busy"]).findings
        assert finding.severity is severity
    assert check(host, devices=scope(1), only=["device-busy"]).findings == ()


@pytest.mark.parametrize(("uid", "left"), [(1000, True), (1001, False)])
def test_memory_of_other_users_is_not_the_leases(uid: int, left: bool) -> None:
    edited = listed("shared_memory", "mps", MPS)(listed("shared_memory", "entries", ENTRY)(later(sound())))
    report = check(
        edited.host(), before=before(), devices=scope(0, uid=uid), only=["shm-left-behind", "mps-left-behind"]
    )
    assert codes(report) == (
        [("mps-left-behind", "/tmp/nvidia-mps"), ("shm-left-behind", ENTRY["path"])] if left else []
    )


def test_an_entry_that_was_left_out_before_is_known_by_its_birth() -> None:
    many = sound().fact("shared_memory", lambda document: document.update(left_out=100)).host()
    for born, left in ((NOW - 1, False), (NOW + 1, True)):
        edited = listed("shared_memory", "entries", ENTRY, born=born)(later(sound()))
        assert bool(check(edited.host(), before=many, only=["shm-left-behind"]).findings) == left


# since when


def test_without_a_recording_the_log_counts_from_a_moment() -> None:
    host = logged(xid(48, seconds=1000.0), xid(79, seconds=86400.0 + 1800.0))(later(sound())).host()
    assert [f.found for f in check(host, only=["xid-since"]).findings] == ["Xid 48 once", "Xid 79 once"]
    assert [f.found for f in check(host, since=NOW, only=["xid-since"]).findings] == ["Xid 79 once"]
    assert check(host, since=NOW + 3000, only=["xid-since"]).findings == ()
    # What is near to the moment is told: the log's clock is not exact.
    assert check(host, since=NOW + 1803, only=["xid-since"]).findings != ()
    assert [f.found for f in check(host, devices=scope(0), only=["xid-since"]).findings] == ["Xid 79 once"]


def without_numbers(edited: Edited) -> Edited:
    def old(document: dict[str, Any]) -> None:
        del document["sequences"], document["span"]

    return edited.fact("kernel_log", old)


def test_a_recording_of_an_older_devproxy_has_its_time() -> None:
    then = without_numbers(sound()).host()
    host = logged(xid(48, seconds=1000.0), xid(79, seconds=86400.0 + 60.0))(later(sound())).host()
    assert [f.found for f in check(host, before=then, only=["xid-since"]).findings] == ["Xid 79 once"]


def test_without_any_time_the_whole_log_counts() -> None:
    then = without_numbers(sound())
    then = Edited(then.recording._replace(facts={n: d for n, d in then.recording.facts.items() if n != "clock"}))
    host = logged(xid(48, seconds=1000.0))(later(sound())).host()
    assert [f.found for f in check(host, before=then.host(), only=["xid-since"]).findings] == ["Xid 48 once"]


def test_the_same_xid_again_is_counted_from_the_recording_on() -> None:
    then = logged(xid(74))(sound())
    again = logged(xid(74), xid(74), after=7)(later(then))
    (finding,) = check(again.host(), before=then.host(), only=["xid-since"]).findings
    assert finding.found == "Xid 74 2 times"
    assert finding.expected == "no Xid since the recording of before"
    assert finding.reference == "DCGM_FR_XID_ERROR, Xid 74"


def test_a_link_of_a_switch_may_be_another_jobs() -> None:
    """Which GPU it leads to nobody knows: who had all devices had its own, and who did not is only warned. The crossbar is everybody's."""
    every = scope(*range(8))
    for number, said, own, all_of_them in (
        (20034, "Fatal, Link 48", Severity.WARNING, Severity.ERROR),
        (23001, "Fatal, Link 48", Severity.ERROR, Severity.ERROR),
        (20001, "Non-fatal, Link 48", Severity.WARNING, Severity.WARNING),
        (22013, "Non-fatal, Link 48", Severity.INFO, Severity.INFO),
    ):
        host = logged(sxid(number, said))(later(sound())).host()
        for devices, severity in ((scope(2), own), (every, all_of_them), (None, all_of_them)):
            (finding,) = check(host, before=before(), devices=devices, only=["sxid-since"]).findings
            assert (finding.severity, finding.path) == (severity, "0000:89:00.0"), (number, devices)
            assert finding.expected == "no SXid since the recording of before"


def test_a_log_that_may_not_be_read_is_inconclusive() -> None:
    recording = sound().recording
    facts = {name: data for name, data in recording.facts.items() if name != "kernel_log"}
    unread = {**recording.unread, "facts/kernel_log.json": "EPERM"}
    host = Edited(recording._replace(facts=facts, unread=unread)).host()
    report = check(host, before=before(), only=["xid-since"])
    assert [(f.code, f.severity) for f in report.findings] == [("xid-since", Severity.INCONCLUSIVE)]
    assert report.exit_code == 4


def test_a_log_that_begins_anew_is_no_continuation() -> None:
    """Where the boot's number is not known, lower numbers of records tell that it is another one's."""
    nameless = sound().fact("clock", lambda document: document.update(boot="")).host()

    def begin(document: dict[str, Any]) -> None:
        document.update(lines=[xid(79)], sequences=[300], span=[0, 400])

    report = check(later(sound()).fact("kernel_log", begin).host(), before=nameless, only=["xid-since"])
    assert [(f.severity, f.found) for f in report.findings] == [
        (Severity.ERROR, "Xid 79 once"),
        (Severity.INCONCLUSIVE, "not seen"),
    ]


def test_of_an_overwritten_log_how_much_is_missing_is_told() -> None:
    start = before().details.system.log_span  # type: ignore[union-attr]
    assert start is not None
    span = [start.following + 1234, start.following + 5000]
    edited = later(sound()).fact("kernel_log", lambda document: document.update(lines=[], sequences=[], span=span))
    (finding,) = check(edited.host(), before=before(), only=["xid-since"]).findings
    assert finding.why.startswith("1234 records since then were overwritten")


# what is not there


def test_a_device_of_a_lease_is_missed_without_a_recording() -> None:
    lease = scope(0, 3)
    edited = gone("0000:5d:00.0", "/dev/nvidia2")(sound())
    report = check(edited.host(), devices=lease, only=["device-lost-since"])
    (finding,) = report.findings
    assert finding.path == lease.devices[1].name
    assert finding.severity is Severity.ERROR
    assert check(before(), devices=lease, only=["device-lost-since"]).findings == ()


def test_another_board_in_its_place_is_told() -> None:
    uuid = "GPU-00000000-1111-2222-3333-444444444444"
    path = "/proc/driver/nvidia/gpus/0000:18:00.0/information"
    (first, *_) = units(before())
    edited = later(sound()).text(path, lambda text: text.replace(first.name, uuid))
    found = {
        f.code: f
        for f in check(edited.host(), before=before(), only=["device-lost-since", "device-appeared-since"]).findings
    }
    assert found["device-lost-since"].found == f"another one is in its place: GPU {uuid} (NVIDIA H100 80GB HBM3)"
    assert uuid in found["device-appeared-since"].found


def test_a_gpu_that_lost_its_uuid_is_the_one_that_was_there() -> None:
    path = "/proc/driver/nvidia/gpus/0000:18:00.0/information"
    (first, *_) = units(before())
    edited = later(sound()).text(
        path, lambda text: text.replace(first.name, "GPU-????????-????-????-????-????????????")
    )
    assert check(edited.host(), before=before(), only=["device-lost-since", "device-appeared-since"]).findings == ()


def test_where_the_bus_is_shut_nothing_is_lost_for_sure() -> None:
    edited = gone("0000:18:00.0", "/dev/nvidia0")(later(sound()))
    place = "/proc/driver/nvidia/gpus"
    files = {path: kept for path, kept in edited.recording.files.items() if not path.startswith(place)}
    unread = {**edited.recording.unread, place: "EACCES"}
    blind = Edited(edited.recording._replace(files=files, unread=unread))
    (finding,) = check(blind.host(), before=before(), only=["device-lost-since"]).findings
    assert finding.severity is Severity.INCONCLUSIVE


def test_a_host_without_accelerators_is_not_healthy() -> None:
    host = devproxy.probe("tests/hosts/cpu-only.tar", deep=True)
    report = check(host)
    assert [(f.code, f.severity) for f in report.findings] == [("no-accelerator", Severity.INCONCLUSIVE)]
    assert report.exit_code == 4
    from devproxy.jobs.health.expectations import Expectations

    assert check(host, expect=Expectations(gpu_count=0)).findings == ()
    assert check(before()).findings == ()


def test_a_host_that_was_late_is_inconclusive() -> None:
    report = too_late("the host did not tell everything within 3 s")
    assert [(f.code, f.severity) for f in report.findings] == [("check-timeout", Severity.INCONCLUSIVE)]
    assert report.exit_code == 4


def test_a_plain_probe_is_inconclusive() -> None:
    report = check(devproxy.probe(SOUND["hgx"]))
    assert report.exit_code == 4


# of which machine


def test_a_recording_of_another_machine_is_refused() -> None:
    from devproxy.host.anonymize import anonymize

    other = Edited(anonymize(sound().recording).recording).host()
    with pytest.raises(InputError, match=r"not one GPU of 'x\.tar' is on this host"):
        require_same(other, before(), "x.tar")
    require_same(before(), before(), "x.tar")
    require_same(before("tpu-v4"), before(), "x.tar")
    require_same(before(), later(sound()).host(), "x.tar")
    with pytest.raises(InputError, match="was made after"):
        require_same(later(sound()).host(), before(), "x.tar")
    require_same(before(), gone("0000:18:00.0", "/dev/nvidia0")(sound()).host(), "x.tar")


def test_it_is_a_function_of_the_package() -> None:
    assert devproxy.check is check
    assert devproxy.check(before(), before=before()).ok
    assert JOB
