"""Which findings keep a device out, for how long, and what the entry says."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import pytest

from devproxy.check.doctor.xids import XIDS
from devproxy.check.finding import Finding, Report, Severity
from devproxy.host.facts import Host
from devproxy.jobs.health import check
from devproxy.jobs.health.case import units
from devproxy.jobs.health.catalogue import JOB_CHECKS
from devproxy.jobs.health.since import DCGM_FAILS
from devproxy.jobs.quarantine import Entry, add, kept_out
from devproxy.jobs.rules import RULES, rule_of, to_quarantine
from tests.devproxy.check.doctor.edits import Edited
from tests.devproxy.jobs.health.mutations import SOUND, Change, gone, later, logged, told, xid

NOW: Final = 1_764_550_800.0
DAY: Final = 86400.0


@cache
def sound(name: str = "hgx") -> Edited:
    return Edited.of(SOUND[name])


@cache
def before(name: str = "hgx") -> Host:
    return sound(name).host()


def name_of(rank: int) -> str:
    return units(before())[rank].name


def kept(*changes: Change, name: str = "hgx") -> tuple[Entry, ...]:
    edited = later(sound(name))
    for change in changes:
        edited = change(edited)
    host = edited.host()
    return to_quarantine(check(host, before=before(name)), host, now=NOW, by=0, before=before(name))


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_host_keeps_nothing_out(name: str) -> None:
    assert kept(name=name) == ()


@pytest.mark.parametrize(
    ("number", "days"),
    [(79, None), (64, None), (48, 7), (95, 7), (74, 1), (119, 1), (94, 1), (13, 0), (31, 0), (43, 0), (45, 0), (63, 0), (9999, 0)],
)  # fmt: skip
def test_an_xid_keeps_out_as_long_as_it_means(number: int, days: float | None) -> None:
    """None is until somebody lifts it, 0 not at all: an Xid of a program's own says nothing against the GPU."""
    found = kept(logged(xid(number, bus="3a")))
    if days == 0:
        assert found == ()
        return
    (entry,) = found
    assert (entry.name, entry.code, entry.since, entry.by) == (name_of(2), "xid-since", NOW, 0)
    assert entry.until == (None if days is None else NOW + days * DAY)
    assert entry.reason.startswith(f"Xid {number} once [xid-since]. No")
    assert "; to requalify: " in entry.reason


def test_a_device_has_one_entry_with_all_reasons_and_the_longest_time() -> None:
    (entry,) = kept(told(4, ecc_uncorrected=1, remap_pending=True), logged(xid(79, bus="9a")))
    assert (entry.name, entry.code, entry.until) == (name_of(4), "xid-since", None)
    assert "Xid 79 once [xid-since]" in entry.reason
    assert "[ecc-uncorrected]" in entry.reason


def test_each_device_has_its_own() -> None:
    found = kept(told(1, remap_failed=True), told(6, ecc_uncorrected=9))
    assert {entry.name: entry.code for entry in found} == {
        name_of(1): "row-remap-failed",
        name_of(6): "ecc-uncorrected",
    }


def test_a_device_that_is_gone_is_kept_out_by_the_name_it_had() -> None:
    (entry,) = kept(gone("0000:5d:00.0", "/dev/nvidia2"))
    assert (entry.name, entry.code, entry.until) == (name_of(3), "device-lost-since", None)
    chip = before("tpu-v4").tpus[1]
    (entry,) = kept(gone(chip.address, chip.nodes[0]), name="tpu-v4")
    assert entry.name == chip.address


def test_of_a_board_that_was_exchanged_the_old_one_is_kept_out() -> None:
    path = "/proc/driver/nvidia/gpus/0000:18:00.0/information"
    new = "GPU-00000000-1111-2222-3333-444444444444"
    (entry,) = kept(lambda edited: edited.text(path, lambda text: text.replace(name_of(0), new)))
    assert entry.name == name_of(0)


def test_what_could_not_be_seen_and_what_is_no_error_keeps_nobody_out() -> None:
    assert kept(told(0, pcie_width=8), told(1, temperature=90)) == ()
    timeout = {"state": "timeout", "gpus": [], "errors": [], "during": "nvmlInitWithFlags"}
    assert kept(lambda edited: edited.fact("nvml", lambda document: document.update(timeout))) == ()
    unseen = Report((Finding("ecc-uncorrected", Severity.INCONCLUSIVE, "0000:18:00.0", "", ""),), ())
    assert to_quarantine(unseen, before(), now=NOW, by=0) == ()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("GPU-00000000-1111-2222-3333-444444444444", "GPU-00000000-1111-2222-3333-444444444444"),
        ("0000:99:00.0", "0000:99:00.0"), ("/dev/nvidia0", ""), ("GPU", ""), ("../../etc/x", ""), ("GPU 0", ""),
    ],
)  # fmt: skip
def test_only_a_uuid_or_an_address_is_a_name(path: str, name: str) -> None:
    """Findings of the host, and words that name no device of it, keep nothing out."""
    host = devproxy_less()
    report = Report((Finding("device-lost", Severity.ERROR, path, "", "lost"),), ())
    assert [entry.name for entry in to_quarantine(report, host, now=NOW, by=0)] == ([name] if name else [])


def devproxy_less() -> Host:
    """A host without any device."""
    return before()._replace(nvidia=None, tpus=())


def test_every_rule_is_for_a_code_that_there_is() -> None:
    codes = {each.code for each in JOB_CHECKS}
    for rule in RULES:
        code, _, number = rule.code.partition(" ")
        assert code in codes
        assert (code == "xid-since") == bool(number)
        if number:
            assert XIDS[int(number)].severity is Severity.ERROR, rule
    assert len({rule.code for rule in RULES}) == len(RULES)


def test_an_error_that_names_a_gpu_in_the_catalogue_of_xids_has_a_rule_or_is_the_drivers() -> None:
    """What is left out is deliberate: errors of the driver, the display or an engine that no job of ours uses."""
    numbers = {number for number, each in XIDS.items() if each.severity is Severity.ERROR}
    with_rule = {int(rule.code.split()[1]) for rule in RULES if rule.code.startswith("xid")}
    assert set(DCGM_FAILS) <= with_rule
    assert numbers - with_rule == {38, 56, 65, 73, 80, 81}
    assert rule_of(Finding("xid-since", Severity.ERROR, "x", "", "Xid 38 once")) is None


def test_what_is_kept_out_is_what_leases_pass_over(tmp_path: Path) -> None:
    place = str(tmp_path / "quarantine")
    for entry in kept(logged(xid(79))):
        add(entry, place)
    assert kept_out(place)[name_of(0)].code == "xid-since"
