"""Signals, time-outs and output of a job's command."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from devproxy.jobs.job.command import How
from devproxy.jobs.job.job import run_job
from devproxy.jobs.job.listener import Listener
from devproxy.jobs.job.result import Fault, Result
from tests.devproxy.jobs.job.place import NOBODY, Place

pytestmark = pytest.mark.programs


class TestSignals:
    """Sent from within: the listener hears when the command runs. The scripts start nothing once they are ready: dash loses signals that
    come while it starts a program.
    """

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
        result = self.run_and(place, ": >{ready}; exec sleep 600", then=lambda: os.kill(mine, number))
        assert result.ended is not None
        assert (result.ended.how, result.ended.signal) == (How.KILLED, number)
        assert (result.verdict.code, result.verdict.fault) == (128 + number, Fault.CALLER)
        assert [phase.name for phase in result.phases][-4:] == ["check after", "difference", "clean", "release"]
        assert place.document()["state"] == "over"

    def test_one_that_catches_it_may_end_as_it_likes(self, place: Place) -> None:
        mine = os.getpid()
        script = "trap 'echo saved; exit 0' TERM; sleep 600 & : >{ready}; wait"
        result = self.run_and(place, script, then=lambda: os.kill(mine, signal.SIGTERM))
        assert result.ended is not None
        assert (result.ended.code, result.ended.out.tail) == (0, b"saved\n")
        assert result.verdict.code == 143

    def test_a_second_one_kills(self, place: Place) -> None:
        mine = os.getpid()
        heard = place.path / "ready.heard"

        def twice() -> None:
            os.kill(mine, signal.SIGINT)
            while not heard.exists():  # two at once are one
                time.sleep(0.01)
            os.kill(mine, signal.SIGINT)

        script = "trap ': >{ready}.heard' INT; sleep 600 & : >{ready}; wait; while :; do sleep 0.02; done"
        result = self.run_and(place, script, then=twice, grace=600.0)
        assert result.ended is not None
        assert (result.ended.how, result.ended.signal) == (How.KILLED, signal.SIGKILL)
        assert result.verdict.code == 130
        assert place.document()["state"] == "over"
        assert place.leased() == 0

    def test_a_timeout_asks_and_then_kills(self, place: Place) -> None:
        script = "trap 'echo asked' TERM; sleep 600 & wait; while :; do sleep 0.02; done"
        result = place.run("sh", "-c", script, timeout=1, grace=1)
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
