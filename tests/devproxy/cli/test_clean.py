"""`devproxy clean`: after a lease whose command has ended, by its note, its number, or whichever there are; not while it lives."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devproxy.jobs.clean.process import is_alive
from devproxy.jobs.scope import Scope, read_scope, scope_document
from devproxy.process import run
from tests.devproxy.jobs.clean.dirty import identity
from tests.unprivileged import UID

HERE = Path(__file__).parents[3]
GPUS = str(HERE / "example" / "host-8gpu.tar")

pytestmark = pytest.mark.programs


class Desk:
    """A place with leases of its own; what is left of them is ended at the end."""

    def __init__(self, place: Path) -> None:
        self.note = str(place / "note")
        self.state = str(place / "leases")
        self.left: list[int] = []

    def devproxy(self, *words: str) -> tuple[int, str, str]:
        done = run([sys.executable, "-m", "devproxy", *words], check=False, cwd=str(HERE), timeout=120)
        assert "Traceback" not in done.err
        return done.code, done.out, done.err

    def lease(self, script: str) -> int:
        """A lease whose command is a shell's; it prints the pid of what it leaves."""
        code, out, err = self.devproxy(
            "lease", "1", "--host", GPUS, "--state", self.state, "--note", self.note, "--", "sh", "-c", script
        )
        assert (code, err) == (0, "")
        self.left.append(int(out))
        return int(out)

    def clean(self, *words: str) -> tuple[int, Any, str]:
        code, out, err = self.devproxy("clean", "--state", self.state, *words)
        return code, json.loads(out) if out else None, err


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for pid in made.left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


_LEAVES = "sleep 600 >/dev/null 2>&1 & echo $!"


def what(document: Any) -> list[tuple[str, str]]:
    return [(dirt["kind"], dirt["what"].split()[0]) for each in document for dirt in each["removed"]]


def test_a_lease_by_its_note(desk: Desk) -> None:
    pid = desk.lease(_LEAVES)
    known = identity(pid)
    code, dry, _ = desk.clean("--lease", desk.note, "--dry-run")
    assert (code in (0, 4), is_alive(known)) == (True, True)
    code, document, _ = desk.clean("--lease", desk.note)
    assert code in (0, 4)  # 4 where not everything can be seen, in a container
    assert [kind for kind, _ in what(document)] == ["process", "claim"]
    assert document == [each | {"dry_run": False} for each in dry]
    assert document[0]["lease"] == read_scope(desk.note).ident
    assert not is_alive(known)
    code, document, _ = desk.clean("--lease", desk.note)
    assert (code in (0, 4), what(document)) == (True, [])
    assert desk.devproxy("lease", "8", "--host", GPUS, "--state", desk.state, "--", "true")[0] == 0


def test_a_lease_by_its_number_and_those_that_there_are(desk: Desk) -> None:
    first, second = identity(desk.lease(_LEAVES)), identity(desk.lease(_LEAVES))
    number = read_scope(desk.note).ident
    code, document, _ = desk.clean("--lease", number)
    assert (code in (0, 4), [each["lease"] for each in document]) == (True, [number])
    assert (is_alive(first), is_alive(second)) == (True, False)
    code, document, _ = desk.clean("--dry-run")
    assert ("process", "sleep") in what(document)
    assert number not in [each["lease"] for each in document]
    code, out, _ = desk.devproxy("clean", "--state", desk.state, "--lease", number, "--text")
    assert (code, out) == (0, f"nothing is left of {number}\n")


def test_one_that_lives_is_not_cleaned_after(desk: Desk) -> None:
    """Asked below the lease itself, by another directory of leases, and by the number."""
    clean = f"{sys.executable} -m devproxy clean"
    asked = f"{clean} --lease {desk.note} --state {desk.state}; echo $? >&3; {clean} --lease {desk.note} --state /nowhere; echo $? >&3"
    script = f"exec 3>{desk.note}.codes; {asked}; {clean} --lease $DEVPROXY_LEASE_ID --state {desk.state} --text; echo $? >&3"
    command = ["lease", "1", "--host", GPUS, "--state", desk.state, "--note", desk.note, "--", "sh", "-c", script]
    code, out, err = desk.devproxy(*command)
    assert (code, out) == (0, "")
    assert Path(f"{desk.note}.codes").read_text().split() == ["2", "2", "2"]
    assert err.count("is not over: sh (pid ") == 3


def test_text_says_what_was_done_and_what_was_left(desk: Desk) -> None:
    desk.lease(_LEAVES)
    code, out, _ = desk.devproxy("clean", "--state", desk.state, "--lease", desk.note, "--text")
    ident = read_scope(desk.note).ident
    lines = out.splitlines()
    assert code in (0, 4)
    assert lines[0] == f"lease {ident} of uid {os.getuid()}"
    assert lines[1].startswith("  removed process sleep (pid ")
    assert lines[1].endswith(f"was started with DEVPROXY_LEASE_ID={ident}")
    code, out, _ = desk.devproxy("clean", "--state", desk.state, "--lease", desk.note, "--text")
    assert "removed" not in out
    # Of a process that began this moment and may not be looked into it cannot say whose it is.
    assert code == 4 or out.splitlines()[1] == "  nothing is left"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--lease", "/nowhere/note"), "cannot read the lease in '/nowhere/note'"),
        (("--grace", "forever"), "'--grace forever' never ends"),
        (("--grace", "soon"), "soon"),
        (("--before", "/nowhere/before.tar"), "/nowhere/before.tar"),
    ],
)
def test_what_cannot_be(desk: Desk, words: tuple[str, ...], told: str) -> None:
    code, document, err = desk.clean(*words)
    assert (code, document) == (2, None)
    assert told in err


def test_a_note_without_a_lease_is_refused(desk: Desk) -> None:
    """An empty number would be that of every process whose variable is empty."""
    Path(desk.note).write_text(scope_document(Scope("", os.getuid(), time.time(), ())))
    code, _, err = desk.clean("--lease", desk.note)
    assert code == 2
    assert "expected 32 hexadecimal digits" in err


@pytest.mark.root
def test_root_takes_no_note_of_one_users_about_anothers_lease(desk: Desk) -> None:
    Path(desk.note).write_text(scope_document(Scope("0" * 32, 0, time.time(), ())))
    os.chown(desk.note, UID, UID)
    code, _, err = desk.clean("--lease", desk.note)
    assert code == 2
    assert f"is uid {UID}'s and tells of a lease of uid 0's" in err


def test_a_dry_run_makes_no_directory(desk: Desk) -> None:
    assert desk.clean("--dry-run")[0] in (0, 3, 4)
    assert not os.path.exists(desk.state)
