"""Quarantine: a device that is kept out is given to no lease and no plan, until it is lifted or its time is over."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest

from devproxy.cli.main import main
from devproxy.errors import DevproxyError, InputError
from devproxy.host.probe import probe
from devproxy.jobs import quarantine, restrict
from devproxy.jobs.busy import Busy
from devproxy.jobs.devices import leasable
from devproxy.jobs.quarantine import Entry, add, entries, kept_out, lift

GPUS = str(Path(__file__).parents[3] / "example" / "host-8gpu.tar")
BAD = "GPU-5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1"


def entry(name: str = BAD, until: float | None = None) -> Entry:
    return Entry(name, "xid-since", "Xid 79 in job 4711", time.time(), until, os.getuid())


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "quarantine")


def test_what_is_kept_out_is_kept_until_it_is_lifted(place: str) -> None:
    assert entries(place) == ()
    add(entry(), place)
    add(entry("0000:00:04.0"), place)
    assert sorted(kept_out(place)) == ["0000:00:04.0", BAD]
    lift(BAD, place)
    assert sorted(kept_out(place)) == ["0000:00:04.0"]
    with pytest.raises(InputError, match="is not quarantined"):
        lift(BAD, place)
    assert sorted(os.listdir(place)) == ["0000:00:04.0.json"]


def test_a_mig_device_is_kept_out_with_its_gpu_alone(place: str) -> None:
    """It would be given out all the same: neither leases nor plans look for it."""
    with pytest.raises(InputError, match=r"is a MIG device, expected the UUID of its GPU") as error:
        add(entry("MIG-00000000-d5f3-17b6-20ce-7f9183b4e65a"), place)
    assert "nvidia-smi -L" in error.value.hint
    assert not os.path.exists(place)


def test_one_that_has_expired_is_given_out_and_still_listed(place: str) -> None:
    add(entry(until=time.time() - 1), place)
    assert kept_out(place) == {}
    assert [each.name for each in entries(place)] == [BAD]


def test_what_cannot_be_written_leaves_nothing(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DevproxyError, match="no space left"):
        add(entry(), place)
    assert os.listdir(place) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"code": 1}', '{"code": "x", "reason": "y", "since": "z", "by": 0}', "\xff"]
)
def test_a_file_that_cannot_be_understood_keeps_its_device_out(place: str, text: str) -> None:
    add(entry(), place)
    Path(place, f"{BAD}.json").write_text(text, encoding="latin-1")
    assert kept_out(place)[BAD].code == "unreadable"


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "GPU-/x", "0", "all", "nvidia.com/gpu=0"])
def test_what_names_no_device_is_refused(place: str, name: str) -> None:
    with pytest.raises(InputError, match="names no device"):
        add(entry(name), place)
    with pytest.raises(InputError, match="names no device"):
        lift(name, place)


def test_a_directory_in_which_others_write_is_refused(place: str) -> None:
    add(entry(), place)
    os.chmod(place, 0o777)
    with pytest.raises(DevproxyError, match="expected a directory of root's"):
        entries(place)


def test_a_lease_passes_it_over(place: str) -> None:
    add(entry(), place)
    busy = Busy(probe(GPUS), place)
    why = {device.name: busy.why(device) for device in leasable(probe(GPUS))}
    assert "xid-since" in why.pop(BAD)
    assert set(why.values()) == {""}


def test_a_plan_leaves_it_out_and_says_so(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add(entry(), place)
    monkeypatch.setattr(restrict, "kept_out", lambda: kept_out(place))
    host = probe(GPUS)._replace(simulated=False)
    told: list[str] = []
    left, gone = restrict.given(host, None, told.append)
    assert [gpu.uuid for gpu in left.nvidia.gpus] == [gpu.uuid for gpu in host.nvidia.gpus if gpu.uuid != BAD]  # type: ignore[union-attr]
    assert gone == {"/dev/nvidia0"}
    assert len(told) == 1
    assert "Xid 79 in job 4711" in told[0]
    with pytest.raises(InputError, match="/dev/nvidia0"):
        restrict.require_own(["/dev/nvidia0", "/dev/nvidia1"], gone)
    assert restrict.given(host._replace(simulated=True), None, told.append)[0].nvidia == host.nvidia


def test_the_verb(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--place", place, "--host", GPUS]
    assert main(["quarantine", "list", "--text", *where]) == 0
    assert capsys.readouterr().out == "nothing is quarantined\n"
    assert (
        main(["quarantine", "add", "0", "--code", "xid-since", "--reason", "fell off the bus", "--for", "7d", *where])
        == 0
    )
    assert f"{BAD} is kept out until " in capsys.readouterr().err
    assert main(["quarantine", "list", "--json", *where]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["code"], listed["reason"], listed["holds"]) == (
        BAD,
        "xid-since",
        "fell off the bus",
        True,
    )
    assert main(["quarantine", "lift", BAD, "--check", *where]) == 0
    assert main(["quarantine", "lift", BAD, *where]) == 2
    assert "is not quarantined" in capsys.readouterr().err


def test_a_device_that_is_still_wrong_is_not_lifted_with_check(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = str(Path(__file__).parents[2] / "hosts" / "tpu-without-driver.tar")
    where = ["--place", place, "--host", broken]
    assert main(["quarantine", "add", "0000:00:04.0", "--reason", "no driver", *where]) == 0
    assert main(["quarantine", "lift", "0000:00:04.0", "--check", *where]) == 1
    assert "stays quarantined: 0000:00:04.0: none, expected a driver" in capsys.readouterr().err
    assert kept_out(place)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["add"], "needs a device"),
        (["add", "0"], "no reason given"),
        (["add", "99", "--reason", "x"], "has no GPU 99"),
        (["add", "0", "--reason", "x", "--for", "soon"], "is no time"),
        (["lift", "nonsense"], "names no device"),
    ],
)
def test_wrong_words(place: str, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quarantine", *words, "--place", place, "--host", GPUS]) == 2
    assert told in capsys.readouterr().err
    assert not os.path.exists(place) or not entries(place)


def test_the_place_is_one() -> None:
    from devproxy.cli.bundle import QUARANTINE

    assert QUARANTINE == quarantine.PLACE
