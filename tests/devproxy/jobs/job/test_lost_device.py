"""A device that is lost under a job: who is told, what is kept, what is kept out."""

from __future__ import annotations

import os
import shlex
import tarfile
from xml.etree import ElementTree as ET

import pytest

from devproxy.cli.main import main
from devproxy.errors import DevproxyError
from devproxy.host.probe import probe
from devproxy.jobs.job.artifacts import NAMES
from devproxy.jobs.job.markdown import markdown_of
from devproxy.jobs.job.result import Fault
from devproxy.jobs.quarantine import PLACE as KEPT_OUT
from devproxy.jobs.quarantine import kept_out
from devproxy.jobs.scope import read_scope
from tests.devproxy.check.test_report_junit import check_schema
from tests.devproxy.jobs.job.hosts import FIRST_NAME, XID, fallen
from tests.devproxy.jobs.job.place import Place, text_of

pytestmark = pytest.mark.programs


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
