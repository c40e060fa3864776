"""A whole job, from the lease to the folder: real processes on recorded hosts."""

from __future__ import annotations

import errno
import os

import pytest

from devproxy.check.finding import Finding, Report, Severity
from devproxy.errors import DevproxyError, InputError
from devproxy.host.facts import Host
from devproxy.jobs.devices import Wanted
from devproxy.jobs.job import job as module
from devproxy.jobs.job.asked import Asked
from devproxy.jobs.job.command import How
from devproxy.jobs.job.github import annotate
from devproxy.jobs.job.job import run_job
from devproxy.jobs.job.listener import Listener
from devproxy.jobs.job.result import Fault, Hardware
from devproxy.jobs.scope import Scope, read_scope
from tests.devproxy.jobs.job.hosts import FIRST_NAME, fallen
from tests.devproxy.jobs.job.place import NOBODY, Place, text_of

pytestmark = pytest.mark.programs


class TestCodes:
    @pytest.mark.parametrize(("script", "own"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", 128 + 11)])
    @pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
    def test_the_commands_and_the_hardwares_stay_two(self, place: Place, script: str, own: int, bad: bool) -> None:
        """All other ends: test_verdict.py."""
        after = fallen(place.path) if bad else ""
        result = place.run("sh", "-c", script, after=after, artifacts="")
        assert result.verdict.code == (own or (3 if bad else 0))
        assert result.verdict.hardware is (Hardware.BAD if bad else Hardware.FINE)
        assert result.verdict.fault is (Fault.HARDWARE if bad else Fault.COMMAND if own else Fault.NOBODY)
        assert place.leased() == 0

    @pytest.mark.parametrize(("word", "code"), [("no-such-program", 127), ("/etc/passwd", 126), ("/tmp", 126)])
    def test_what_cannot_be_executed(self, place: Place, word: str, code: int) -> None:
        result = place.run(word)
        assert (result.verdict.code, result.verdict.fault) == (code, Fault.COMMAND)
        assert result.ended is not None
        assert result.ended.how is How.NOT_STARTED

    def test_what_this_host_can_never_give(self, place: Place) -> None:
        with pytest.raises(InputError, match="9 accelerators asked for"):
            place.run("true", wanted=Wanted(9))
        assert str(place.document()["state"]).startswith("broken off: 9 accelerators")

    def test_nothing_free_in_time_starts_nothing(self, place: Place) -> None:
        outer = place.asked("true", wanted=Wanted(8), artifacts="")
        told: list[str] = []

        class Inner(Listener):
            def command_writes(self) -> None:
                with pytest.raises(DevproxyError, match="could not be had"):
                    place.run("sh", "-c", f"touch {place.path}/started", artifacts="")
                told.append("refused")

        assert run_job(outer, Inner(), onward=NOBODY).verdict.code == 0
        assert told == ["refused"]
        assert not (place.path / "started").exists()


def test_the_command_is_told_of_lease_and_folder(place: Place) -> None:
    place.run("sh", "-c", 'echo "$DEVPROXY_LEASE_ID $CUDA_VISIBLE_DEVICES"; echo mine > $DEVPROXY_ARTIFACTS/own.txt')
    scope = read_scope(str(place.folder / "lease.json"))
    assert (place.folder / "stdout.log").read_text() == f"{scope.ident} {FIRST_NAME}\n"
    assert (place.folder / "own.txt").read_text() == "mine\n"
    place.run("true")
    assert (place.folder / "own.txt").exists()
    assert (place.folder / "stdout.log").read_text() == ""


def test_orphans_end_with_the_job(place: Place) -> None:
    """A daemon with a session of its own, whose parent is gone."""
    script = "setsid sh -c 'sleep 600 & echo $! > {0}/pid' & wait; while ! test -s {0}/pid; do sleep 0.01; done"
    place.run("sh", "-c", script.format(place.path))
    with pytest.raises(ProcessLookupError):
        os.kill(int((place.path / "pid").read_text()), 0)
    assert place.leased() == 0


def test_devices_that_are_bad_before_are_given_back_for_others(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as they can be kept out; the command runs once, on good ones."""

    def check(host: Host, *, before: Host | None, expect: object, devices: Scope) -> Report:
        bad = Finding("ecc-uncorrected", Severity.ERROR, FIRST_NAME, "0", "12", reference="Xid 48")
        return Report((bad,) if FIRST_NAME in devices.names else (), (("devices", 1),))

    monkeypatch.setattr(module, "check", check)
    result = place.run("sh", "-c", "echo ran")
    assert result.verdict.code == 0
    assert result.scope is not None
    assert FIRST_NAME not in result.scope.names
    assert [refused.scope.names for refused in result.refused] == [{FIRST_NAME}]
    assert "ecc-uncorrected" in text_of((place.folder / "report.html").read_text())
    assert (place.folder / "stdout.log").read_text() == "ran\n"
    (line,) = annotate(result)
    assert line.startswith(f"::warning title=hardware%3A {FIRST_NAME} was bad")
    every = place.run("sh", "-c", "echo ran", wanted=Wanted(8), quarantine=str(place.path / "other"))
    assert (every.verdict.code, every.ended, every.verdict.fault) == (3, None, Fault.HARDWARE)
    assert "was not started" in every.verdict.headline
    assert place.leased() == 0


def test_the_package_offers_it() -> None:
    import devproxy.jobs.job as package

    assert package.run_job is run_job
    assert package.Asked is Asked
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = package.other


def test_a_folder_that_cannot_be_written_is_devproxys_failure(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is not ended for it, and its own code counts for more."""
    really = os.rename

    def full(source: str, target: str, **more: int) -> None:
        if target.endswith(".tar"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
        really(source, target, **more)

    monkeypatch.setattr(os, "rename", full)
    result = place.run("true")
    assert (result.verdict.code, result.verdict.fault) == (125, Fault.DEVPROXY)
    assert "before.tar: no space left on device" in result.verdict.headline
    verdict = place.document()["verdict"]
    assert isinstance(verdict, dict)
    assert verdict["code"] == 125
    assert place.run("sh", "-c", "exit 7").verdict.code == 7


def test_expectations_are_held_up_before_the_command_runs(place: Place) -> None:
    expect = place.path / "expect.toml"
    expect.write_text("[gpu]\ncount = 9\n")
    result = place.run("touch", str(place.path / "started"), expect=str(expect))
    assert (result.verdict.code, result.ended) == (3, None)
    assert "gpu-count-unexpected" in result.verdict.headline
    assert not (place.path / "started").exists()
    assert place.run("true", expect=str(expect), anyway=True).ended is not None
    expect.write_text("[gpus]\n")
    with pytest.raises(InputError, match="expect"):
        place.run("true", expect=str(expect))
