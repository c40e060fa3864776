"""A whole job, from the lease to the folder: real processes on recorded hosts."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import tarfile
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from devproxy.check.finding import Finding, Report, Severity
from devproxy.cli.main import main
from devproxy.errors import DevproxyError, InputError
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.jobs.devices import Wanted
from devproxy.jobs.job import job as module
from devproxy.jobs.job.artifacts import NAMES
from devproxy.jobs.job.asked import Asked
from devproxy.jobs.job.bounded import bounded
from devproxy.jobs.job.command import How
from devproxy.jobs.job.github import annotate
from devproxy.jobs.job.guard import Guard
from devproxy.jobs.job.interrupts import Interrupts
from devproxy.jobs.job.job import run_job
from devproxy.jobs.job.listener import Listener
from devproxy.jobs.job.look import Taken
from devproxy.jobs.job.look import take as really_take
from devproxy.jobs.job.markdown import markdown_of
from devproxy.jobs.job.result import Fault, Hardware, Result
from devproxy.jobs.listing import held
from devproxy.jobs.quarantine import PLACE as KEPT_OUT
from devproxy.jobs.quarantine import kept_out
from devproxy.jobs.scope import Scope, read_scope
from devproxy.jobs.state import State
from tests.devproxy.check.test_report_junit import check_schema
from tests.devproxy.jobs.job.hosts import FIRST_NAME, GPUS, XID, fallen

pytestmark = pytest.mark.programs
NOBODY = (None, None)


class Place:
    """Where a job has its state, its quarantine and its folder."""

    def __init__(self, place: Path) -> None:
        self.path = place
        self.folder = place / "out"

    def asked(self, *command: str, **more: object) -> Asked:
        whole = Asked(
            command,
            Wanted(1),
            host=GPUS,
            artifacts=str(self.folder),
            state=str(self.path / "leases"),
            quarantine=str(self.path / "quarantine"),
        )
        return whole._replace(**more)  # type: ignore[arg-type]

    def run(self, *command: str, **more: object) -> Result:
        return run_job(self.asked(*command, **more), onward=NOBODY)

    def document(self, name: str = "job.json") -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / name).read_text())
        return found

    def leased(self) -> int:
        with State(str(self.path / "leases")) as state:
            return len(held(state))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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


class TestLostDevice:
    def test_it_is_named_and_kept_out_and_the_next_job_gets_another(self, place: Place) -> None:
        result = place.run("sh", "-c", "exit 1", after=fallen(place.path))
        assert result.verdict.devices == (FIRST_NAME,)
        assert result.verdict.headline.endswith("the command failed (exit code 1): not its fault")
        assert "Xid 79" in result.verdict.headline
        assert [entry.name for entry in result.quarantined] == [FIRST_NAME]
        assert kept_out(str(place.path / "quarantine")).keys() == {FIRST_NAME}
        following = place.run("true")
        assert following.scope is not None
        assert FIRST_NAME not in following.scope.names
        assert following.verdict.code == 0

    def test_the_folder_tells_all_of_it(self, place: Place) -> None:
        place.run("sh", "-c", "echo out; echo err >&2; exit 1", after=fallen(place.path))
        folder = place.folder
        verdict = place.document()["verdict"]
        assert isinstance(verdict, dict)
        assert (verdict["fault"], verdict["hardware"], verdict["devices"]) == ("hardware", "bad", [FIRST_NAME])
        assert probe(str(folder / "before.tar"), deep=True).nvidia is not None
        for name in ("before.tar", "after.tar"):
            with tarfile.open(folder / name) as archive:
                assert "manifest.json" in archive.getnames()
        assert read_scope(str(folder / "lease.json")).names == {FIRST_NAME}
        assert (folder / "stdout.log").read_bytes() == b"out\n"
        assert (folder / "stderr.log").read_bytes() == b"err\n"
        assert XID in (folder / "kernel.log").read_text()
        assert "GPU 0 (0000:18:00.0): gone" in (folder / "diff.txt").read_text()
        for name in ("diff.json", "check-before.json", "check-after.json", "clean.json", "timings.json"):
            assert place.document(name)
        finding = place.document("check-after.json")["findings"][0]  # type: ignore[index]
        assert finding["code"] == "device-lost-since"
        assert set(os.listdir(folder)) <= set(NAMES)

    def test_junit_and_the_page_say_the_same(self, place: Place) -> None:
        result = place.run("sh", "-c", "exit 1", after=fallen(place.path))
        root = ET.fromstring((place.folder / "junit.xml").read_bytes())
        check_schema(root)
        (suite,) = root
        cases = {case.attrib["name"]: case for case in suite.iter("testcase")}
        assert list(cases) == ["command", "health before", "health after", "left behind", "cleaned"]
        failed = [name for name, case in cases.items() if case.find("failure") is not None]
        assert failed == ["command", "health after"]
        assert suite.attrib["failures"] == "2"
        page = text_of((place.folder / "report.html").read_text())
        for words in (result.verdict.headline, FIRST_NAME, "fallen off the bus", "exit code 1", "device-lost-since"):
            assert words in page

    def test_where_nothing_may_be_kept_out_it_is_told_what_to_type(self, place: Place) -> None:
        result = place.run("sh", "-c", "exit 1", after=fallen(place.path), quarantine="/proc/nonexistent/quarantine")
        assert (result.verdict.code, result.verdict.fault) == (1, Fault.HARDWARE)
        (problem,) = result.problems
        command = shlex.split(problem.partition("by hand: sudo devproxy ")[2])
        assert command[:5] == ["quarantine", "add", FIRST_NAME, "--code", "device-lost-since"]
        assert main([*command, "--place", str(place.path / "elsewhere")]) == 0  # whole, as it is told
        assert kept_out(str(place.path / "elsewhere")).keys() == {FIRST_NAME}
        assert problem in text_of((place.folder / "report.html").read_text())

    def test_a_quarantine_that_cannot_be_read_gives_nothing_out(self, place: Place) -> None:
        (place.path / "quarantine").write_text("")
        with pytest.raises(DevproxyError, match="not a directory"):
            place.run("true")
        assert place.leased() == 0

    def test_a_rehearsal_puts_nothing_into_the_hosts_own_quarantine(self, place: Place) -> None:
        result = place.run("true", after=fallen(place.path), quarantine=KEPT_OUT)
        assert result.verdict.devices == (FIRST_NAME,)
        assert result.quarantined == ()
        assert FIRST_NAME not in kept_out()


@pytest.mark.parametrize("width", [1400, 500])
def test_a_browser_shows_all_of_the_page(place: Place, width: int) -> None:
    from tests.devproxy.check.html.test_browser import measured

    script = "for i in $(seq 200); do echo line $i; done; seq 1000 | tr '\\n' x >&2; exit 1"
    place.run("sh", "-c", script, after=fallen(place.path))
    found = measured(place.path, width, text=(place.folder / "report.html").read_text())
    assert found["wide"] == []
    assert found["page"] == found["window"] == width
    assert found["hidden"] == 0


def text_of(page: str) -> str:
    """A page's text; every element that is opened is closed."""
    found: list[str] = []
    open_: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "img", "iframe", "object")
            if tag not in ("meta", "br", "hr"):
                open_.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_.pop() == tag

        def handle_data(self, data: str) -> None:
            found.append(data)

    Reader().feed(page)
    assert open_ == []
    return "".join(found)


class TestSignals:
    """Sent from within: the listener hears when the command runs."""

    def run_and(self, place: Place, script: str, *, then: Callable[[], None], **more: object) -> Result:
        """Run a script; once it has made the file `ready`, do something in a child."""
        ready = place.path / "ready"

        class Then(Listener):
            child = 0

            def command_writes(self) -> None:
                self.child = os.fork()
                if self.child == 0:
                    try:
                        os.closerange(3, 1 << 16)
                        while not ready.exists():
                            time.sleep(0.01)
                        then()
                    finally:
                        os._exit(0)

        listener = Then()
        result = run_job(place.asked("sh", "-c", script.format(ready=ready), **more), listener, NOBODY)
        os.waitpid(listener.child, 0)
        return result

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_an_interrupt_is_the_commands_and_the_rest_follows(self, place: Place, number: int) -> None:
        mine = os.getpid()
        result = self.run_and(place, "touch {ready}; sleep 600", then=lambda: os.kill(mine, number))
        assert result.ended is not None
        assert (result.ended.how, result.ended.signal) == (How.KILLED, number)
        assert (result.verdict.code, result.verdict.fault) == (128 + number, Fault.CALLER)
        assert [phase.name for phase in result.phases][-4:] == ["check after", "difference", "clean", "release"]
        assert place.document()["state"] == "over"

    def test_one_that_catches_it_may_end_as_it_likes(self, place: Place) -> None:
        mine = os.getpid()
        script = "trap 'echo saved; exit 0' TERM; touch {ready}; while :; do sleep 0.02; done"
        result = self.run_and(place, script, then=lambda: os.kill(mine, signal.SIGTERM))
        assert result.ended is not None
        assert (result.ended.code, result.ended.out.tail) == (0, b"saved\n")
        assert result.verdict.code == 143

    def test_a_second_one_kills(self, place: Place) -> None:
        mine = os.getpid()

        def twice() -> None:
            os.kill(mine, signal.SIGINT)
            time.sleep(0.1)
            os.kill(mine, signal.SIGINT)

        script = "trap '' INT; touch {ready}; while :; do sleep 0.02; done"
        result = self.run_and(place, script, then=twice, grace=600.0)
        assert result.ended is not None
        assert (result.ended.how, result.ended.signal) == (How.KILLED, signal.SIGKILL)
        assert result.verdict.code == 130
        assert place.document()["state"] == "over"
        assert place.leased() == 0

    def test_a_timeout_asks_and_then_kills(self, place: Place) -> None:
        script = "trap 'echo asked' TERM; while :; do sleep 0.02; done"
        result = place.run("sh", "-c", script, timeout=0.3, grace=0.3)
        assert result.ended is not None
        assert (result.ended.how, result.ended.out.tail) == (How.TIMED_OUT, b"asked\n")
        assert result.verdict.code == 124
        assert "ended by --timeout" in result.verdict.headline


class TestOutput:
    def test_every_byte_is_passed_on_and_kept(self, place: Place) -> None:
        data = os.urandom(300_000)
        (place.path / "data").write_bytes(data)
        with open(place.path / "got-out", "wb") as out, open(place.path / "got-err", "wb") as err:
            script = f"cat {place.path}/data; tac {place.path}/data >&2"
            run_job(place.asked("sh", "-c", script), onward=(out.fileno(), err.fileno()))
        assert (place.path / "got-out").read_bytes() == data == (place.folder / "stdout.log").read_bytes()
        assert (place.path / "got-err").read_bytes() == (place.folder / "stderr.log").read_bytes()
        assert len((place.path / "got-err").read_bytes()) == len(data)

    def test_a_slow_reader_gets_all_of_it(self, place: Place) -> None:
        """Nothing is lost, and nothing is held in memory, when whoever reads is slower than the command."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            total = 0
            while data := os.read(reader, 1000):
                total += len(data)
            os._exit(0 if total == 200_000 else 1)
        os.close(reader)
        run_job(place.asked("head", "-c", "200000", "/dev/zero"), onward=(writer, None))
        os.close(writer)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_a_reader_that_goes_away_ends_nothing(self, place: Place) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        result = run_job(place.asked("sh", "-c", "head -c 200000 /dev/zero; exit 5"), onward=(writer, None))
        os.close(writer)
        assert result.verdict.code == 5
        assert (place.folder / "stdout.log").stat().st_size == 200_000

    def test_what_is_left_behind_and_writes_on_does_not_keep_the_job(self, place: Place) -> None:
        result = place.run("sh", "-c", "yes >&2 & exit 0")
        assert result.verdict.code == 0
        assert place.leased() == 0


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


class TestWhatHangs:
    def test_a_driver_in_a_look_leaves_the_verdict_open_and_the_rest_is_done(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked = []

        def take(source: str, interrupts: Interrupts) -> Taken:
            looked.append(source)
            if len(looked) > 2:  # for the lease, before, and then
                return bounded("looking at the host", lambda: time.sleep(600), 0.1, interrupts)  # type: ignore[return-value]
            return really_take(source, interrupts)

        monkeypatch.setattr(module, "take", take)
        result = place.run("sh", "-c", "exit 7")
        assert (result.verdict.code, result.verdict.fault) == (7, Fault.COMMAND)
        assert result.verdict.hardware is Hardware.UNKNOWN
        assert "did not answer within 0.1 s" in result.verdict.headline
        states = {phase.name: phase.state.value for phase in result.phases}
        assert states["check after"] == states["difference"] == "inconclusive"
        assert states["clean"] == states["release"] == "done"
        suite = ET.fromstring((place.folder / "junit.xml").read_bytes())[0]
        assert suite.attrib["skipped"] == "1"
        assert "did not answer" in text_of((place.folder / "report.html").read_text())
        assert place.leased() == 0

    def test_a_command_that_cannot_be_killed_is_left_to_its_guard(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As one that waits in the kernel for a driver: here the signals for it are lost."""
        monkeypatch.setattr("devproxy.jobs.job.command._DYING", 0.1)
        monkeypatch.setattr(Guard, "signal", lambda self, number: None)
        result = place.run("sleep", "600", timeout=0.1, grace=0.1)
        assert result.ended is not None
        assert result.ended.how is How.STUCK
        assert (result.verdict.hardware, result.verdict.code) == (Hardware.BAD, 137)
        assert "cannot be killed" in result.verdict.headline
        assert place.leased() == 0

    def test_one_that_the_guard_cannot_kill_either_makes_the_hardware_bad(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def finish(guard: Guard, seconds: float) -> bool:
            assert really(guard, 60)
            return False

        really = Guard.finish
        monkeypatch.setattr(Guard, "finish", finish)
        result = place.run("true")
        assert (result.verdict.code, result.verdict.hardware) == (3, Hardware.BAD)
        assert "could not be removed" in result.verdict.headline


def test_a_defect_in_a_check_costs_the_check_and_not_the_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(host: Host, *, before: Host | None, **more: object) -> Report:
        if before is not None:
            raise KeyError("no such board")
        return Report((), (("devices", 1),))

    monkeypatch.setattr(module, "check", check)
    result = place.run("sh", "-c", "exit 7")
    assert (result.verdict.code, result.verdict.fault) == (7, Fault.COMMAND)
    assert result.problems == ("check after: a defect of devproxy: KeyError: 'no such board'",)
    assert "clean" in [phase.name for phase in result.phases]
    assert place.run("true").verdict.code == 125
    assert place.leased() == 0


def test_a_listener_that_nobody_reads_does_not_end_a_job(place: Place) -> None:
    class Broken(Listener):
        def begins(self, phase: str) -> None:
            raise BrokenPipeError

    result = run_job(place.asked("sh", "-c", "exit 7"), Broken(), NOBODY)
    assert result.verdict.code == 7
    assert place.leased() == 0


def test_the_guard_has_the_lease_and_nothing_else_of_the_jobs(place: Place) -> None:
    """Whoever reads what devproxy writes must not wait for a process that cannot be killed."""
    script = "ls -l /proc/$PPID/fd"
    place.run("sh", "-c", script)
    lines = (place.folder / "stdout.log").read_text().splitlines()
    links = [line.partition(" -> ")[2] for line in lines if " -> " in line]
    kept = [link for link in links if link.startswith(str(place.path))]
    assert len(kept) == 2, links  # the device's lock and the claim
    assert not [link for link in links if link.startswith(str(place.folder))]
    assert links.count("/dev/null") >= 3


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


def test_what_a_hostile_command_writes_is_text_on_the_page(place: Place) -> None:
    script = (
        r"""printf '</div><script>alert(1)</script>\033[31mred\033[0m\033]0;title\007\342\200\256<b>\0' >&2; exit 1"""
    )
    place.run("sh", "-c", script)
    page = text_of((place.folder / "report.html").read_text())
    assert "</div><script>alert(1)</script>red" in page
    assert "\u202e" not in page
    check_schema(ET.fromstring((place.folder / "junit.xml").read_bytes()))


def test_words_that_are_no_unicode(place: Place) -> None:
    result = place.run("sh", "-c", "exit 1", "\udcff\x1b[2J")
    assert result.problems == ()
    assert place.document()["command"]["argv"][-1] == "\udcff\x1b[2J"  # type: ignore[index]
    assert "\\udcff\\x1b[2J" in text_of((place.folder / "report.html").read_text())
    assert "\x1b" not in markdown_of(result)
