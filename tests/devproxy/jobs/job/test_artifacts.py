"""The folder of a job: new, empty or a job's own, and nothing of anybody else's is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.job.artifacts import NAMES, Artifacts
from devproxy.jobs.job.output import Log


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_new_one_is_made_and_an_empty_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        Artifacts(str(tmp_path / name)).close()
        assert names(tmp_path / name) == ["job.json"]


def test_that_of_an_earlier_job_is_emptied_of_what_it_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    Artifacts(str(folder)).close()
    for name in (*NAMES, "before.tar.new", "mine.txt", "after.tar.gz"):
        if name != "job.json":
            (folder / name).write_text("old")
    Artifacts(str(folder)).close()
    assert names(folder) == ["after.tar.gz", "job.json", "mine.txt"]


def test_one_that_was_killed_at_its_very_beginning_is_taken(tmp_path: Path) -> None:
    (tmp_path / "job.json.new").write_text("{")
    Artifacts(str(tmp_path)).close()
    assert names(tmp_path) == ["job.json"]


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[1]", '{"format": "other/1"}', '{"format": "devproxy-job/1"', "\xff", "[" * 100_000]
)
def test_somebody_elses_is_refused_and_left_as_it_is(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "report.html").write_text("theirs")
    if text is not None:
        (tmp_path / "job.json").write_text(text, encoding="latin-1")
    before = names(tmp_path)
    with pytest.raises(InputError, match="has files of somebody else: "):
        Artifacts(str(tmp_path))
    assert names(tmp_path) == before
    assert (tmp_path / "report.html").read_text() == "theirs"


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.raises(InputError, match=r"cannot use .*(not a directory|too many)"):
        Artifacts(str(tmp_path / "link"))
    folder = tmp_path / "out"
    Artifacts(str(folder)).close()
    (elsewhere / "file").write_text("theirs")
    (folder / "junit.xml").symlink_to(elsewhere / "file")
    with pytest.raises(InputError, match=r"junit\.xml is l.*expected a file"):
        Artifacts(str(folder))
    (folder / "junit.xml").unlink()
    artifacts = Artifacts(str(folder))
    (folder / "junit.xml").symlink_to(elsewhere / "file")
    (folder / "diff.txt.new").symlink_to(elsewhere / "file")
    artifacts.write("junit.xml", b"ours")
    artifacts.write("diff.txt", b"ours")
    artifacts.close()
    assert (elsewhere / "file").read_text() == "theirs"
    assert not (folder / "junit.xml").is_symlink()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_another_kind_of_file_where_the_mark_should_be(tmp_path: Path, make: object) -> None:
    make(tmp_path / "job.json")  # type: ignore[operator]
    with pytest.raises(InputError, match="somebody else"):
        Artifacts(str(tmp_path))


def test_two_jobs_do_not_share_one(tmp_path: Path) -> None:
    first = Artifacts(str(tmp_path))
    with pytest.raises(InputError, match="another job writes its artifacts in"):
        Artifacts(str(tmp_path))
    first.close()
    Artifacts(str(tmp_path)).close()


@pytest.mark.parametrize("path", ["missing/out", "file/out", "file"])
def test_a_place_where_none_can_be(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot use '.*' for artifacts: "):
        Artifacts(str(tmp_path / path))


def test_a_file_is_whole_and_everybodys_to_read(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    for data in (b"first", b"second"):
        artifacts.write("junit.xml", data)
        assert (tmp_path / "junit.xml").read_bytes() == data
    assert stat.S_IMODE((tmp_path / "junit.xml").stat().st_mode) & 0o400
    (tmp_path / "diff.txt").mkdir()
    with pytest.raises(DevproxyError, match=r"cannot write .*/diff\.txt: is a directory"):
        artifacts.write("diff.txt", b"")
    artifacts.close()


class TestLog:
    def test_the_first_and_the_last_bytes_are_kept(self, tmp_path: Path) -> None:
        artifacts = Artifacts(str(tmp_path))
        log = Log(artifacts, "stdout", limit=400)
        data = b"".join(b"%09d\n" % number for number in range(100))
        for at in range(0, len(data), 7):
            log.write(data[at : at + 7])
        log.close()
        artifacts.close()
        assert log.files == ["stdout.log", "stdout.last.log", "stdout.previous.log"]
        first, last, previous = ((tmp_path / name).read_bytes() for name in log.files)
        assert (first, previous + last) == (data[:200], data[-len(previous + last) :])
        assert len(previous) == 100
        assert len(first) + log.lost + len(previous) + len(last) == len(data)

    def test_a_short_one_is_one_file(self, tmp_path: Path) -> None:
        artifacts = Artifacts(str(tmp_path))
        log = Log(artifacts, "stderr", limit=400)
        log.write(b"x" * 200)
        log.close()
        artifacts.close()
        assert (log.files, log.lost) == (["stderr.log"], 0)
        assert names(tmp_path) == ["job.json", "stderr.log"]

    def test_without_a_folder_nothing_is_kept(self) -> None:
        log = Log(None, "stdout")
        log.write(b"x")
        log.close()
        assert log.files == []
