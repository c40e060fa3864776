"""The lab from here: what the guest says is believed only when it says all of it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hwtests.lab import __main__ as lab
from hwtests.lab import boot, initrd, kernel, python_files, stubs
from hwtests.lab.guest import story

JUNIT = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="{}" /></testsuites>'
END = "LAB-END rc=0 after 60.00 s\n"


def outcome(tmp_path: Path, console: str, junit: str | None) -> boot.Outcome:
    results = tmp_path / "results"
    if junit is not None:
        with tarfile.open(results, "w") as archive:
            member = tarfile.TarInfo("./junit.xml")
            member.size = len(junit)
            archive.addfile(member, io.BytesIO(junit.encode()))
    return boot.read_outcome(console, results)


def test_all_passed_and_the_end_was_reached(tmp_path: Path) -> None:
    said = outcome(tmp_path, END, JUNIT.format(25, 0, 0))
    assert said.ok
    assert (said.passed, said.total) == (25, 25)


@pytest.mark.parametrize(
    ("console", "junit"),
    [
        ("", None),  # no guest
        (END, None),  # an end without results
        (END, JUNIT.format(0, 0, 0)),  # no test
        (END, JUNIT.format(25, 0, 1)),  # one that did not run
        (END, JUNIT.format(25, 1, 0)),  # one that failed
        ("LAB-BOOTED\n", JUNIT.format(25, 0, 0)),  # results, but the end was not reached
        ("LAB-END rc=124 after 60.00 s\n", JUNIT.format(25, 0, 0)),  # it ran out of time
    ],
)
def test_anything_less_is_a_failure(console: str, junit: str | None, tmp_path: Path) -> None:
    assert not outcome(tmp_path, console, junit).ok


def test_results_that_are_cut_off_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "results").write_bytes(b"\0" * 100)
    assert not boot.read_outcome(END, tmp_path / "results").ok


def test_the_guest_is_given_what_it_needs_of_python_alone() -> None:
    given = {path for paths in python_files.python_files().values() for path in paths}
    assert {path.partition("/site-packages/")[2].partition("/")[0] for path in given} >= {
        "execnet", "pytest", "pyudev", "xdist", "yaml",
    }  # fmt: skip
    assert not [path for path in given if "/.git/" in path or "/mypy/" in path or "/hypothesis/" in path]


def test_an_archive_is_one_that_cpio_reads() -> None:
    """The format by its definition: header, name and content each end at a multiple of four."""
    archive = initrd.Archive()
    archive.file("a/b", b"12345", 0o755, mtime=7)
    archive.link("a/c", "b")
    found, data, at = [], archive.encode(), 0
    while at < len(data):
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        at += (110 + fields[11] + 3) // 4 * 4
        found.append((name, oct(fields[1]), fields[5], data[at : at + fields[6]]))
        at += (fields[6] + 3) // 4 * 4
    assert found == [
        ("a", "0o40755", 0, b""),
        ("a/b", "0o100755", 7, b"12345"),
        ("a/c", "0o120777", 0, b"b"),
        ("TRAILER!!!", "0o0", 0, b""),
    ]


STORY = f"""
# It

{story.SECTION}

Two of them.

```console
ci-a$ devproxy lease 2 -- ./work &
ci-b$ devproxy lease list
DEVICE … USER
GPU-0  ci-a
…
root# echo $?
0
```

> - why it
> - is so

## Another

```console
root# no part of it
```
"""


def test_a_story_is_read_as_who_types_what_and_sees_what() -> None:
    assert story.read_steps(STORY) == [
        story.Step("ci-a", "devproxy lease 2 -- ./work &", ()),
        story.Step("ci-b", "devproxy lease list", ("DEVICE … USER", "GPU-0  ci-a", "…")),
        story.Step("root", "echo $?", ("0",)),
    ]
    assert story.read_quotes(STORY) == ["why it", "is so"]


@pytest.mark.parametrize(
    ("printed", "is_so"),
    [
        ("DEVICE  CODE  USER\nGPU-0  ci-a\n", True),
        ("DEVICE  USER\nGPU-0  ci-a\nmore\nand more\n", True),
        ("DEVICE  USER\nGPU-1  ci-a\n", False),  # another line
        ("DEVICE  USER\nand\nGPU-0  ci-a\n", False),  # one more, where none is left out
        ("GPU-0  ci-a\n", False),  # one less
        ("", False),
    ],
)
def test_what_is_seen_is_what_is_told_but_for_what_is_left_out(printed: str, is_so: bool) -> None:
    assert story.read_steps(STORY)[1].is_as_told(printed) is is_so


def test_the_readme_tells_a_story_that_can_be_played() -> None:
    text = (python_files.TREE / "README.md").read_text(encoding="utf-8")
    steps = story.read_steps(text)
    assert {step.user for step in steps} == {"root", "ci-a", "ci-b"}
    assert 12 <= len(steps) <= 20
    assert story.read_quotes(text)


@pytest.mark.programs
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_ended_lab_takes_its_guest_with_it(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that does nothing, and the signal as soon as it is there."""
    guest = tmp_path / "guest"
    words = ["sh", "-c", f"echo $$ >{guest}.new; mv {guest}.new {guest}; exec sleep 600"]
    monkeypatch.setattr(kernel, "prepare", lambda _cache, _series: SimpleNamespace(release="6.12"))
    monkeypatch.setattr(stubs, "build", lambda _: tmp_path)
    monkeypatch.setattr(lab, "_compile_python", lambda: None)
    monkeypatch.setattr(initrd, "make", lambda *_: b"")
    monkeypatch.setattr(boot, "_command", lambda *_: words)
    monkeypatch.setattr(sys, "argv", ["lab"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = lab.main()
        except SystemExit as end:
            code = int(str(end.code))
        finally:
            os._exit(code)
    while not guest.exists():
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.02)
    pid = int(guest.read_text())
    os.kill(child, number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + number
    with contextlib.suppress(
        FileNotFoundError, ProcessLookupError
    ):  # dead, and perhaps not yet reaped by who adopted it
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    assert os.listdir(tmp_path) == ["guest"]
