"""Settings for the next boot: written whole, known again, never over anybody else's, taken back; a unit that can do its work."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.setup import persist
from devproxy.jobs.setup.action import FileChange
from devproxy.jobs.setup.persist import Program, is_ours, marked, texts
from devproxy.linux.capabilities import Sets, capset, limit_bounding, mask
from devproxy.process import find_program, run
from tests.devproxy.jobs.setup.rig import on, setup, tree
from tests.devproxy.jobs.setup.test_prepare import READ, facts
from tests.devproxy.jobs.setup.test_real import broken, new_driver
from tests.hosts.device_facts import with_device_facts
from tests.hosts.make import hgx_h100, without_uvm

PROGRAM = Program(("/bin/true", "-I", "-m", "devproxy", "setup", "--text"), ("/bin/true",))
PLACES = ("/etc/udev", "/etc/systemd", "/etc/modules-load.d")


def test_files_are_those_that_the_host_needs() -> None:
    assert sorted(texts(READ["host-8gpu"], PROGRAM)) == sorted(
        [persist.MODULES_FILE, persist.RULE_FILE, persist.UNIT_FILE]
    )
    assert sorted(texts(READ["tpu-v4"], PROGRAM)) == sorted([persist.RULE_FILE, persist.UNIT_FILE])
    assert texts(READ["cpu-only"], PROGRAM) == {}


def test_a_text_that_was_changed_is_not_ours_any_more() -> None:
    text = marked("a\nb\n")
    assert is_ours(text)
    changed = [
        text.replace("b", "c"),
        f"{text}\n",
        text.partition("\n")[2],
        f"\n{text}",
        text.replace("devproxy", "me"),
        "",
    ]
    assert not [each for each in changed if is_ours(each)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("/opt/d/bin/python", "-m"), "ExecStart=/opt/d/bin/python -m"),
        (("/opt/a b/100%/$x", 'q"\\'), r'ExecStart="/opt/a b/100%%/$$x" "q\"\\"'),
    ],
)
def test_the_command_line_is_as_systemd_reads_it(words: tuple[str, ...], expected: str) -> None:
    unit = texts(READ["tpu-v4"], Program(words, ()))[persist.UNIT_FILE]
    assert expected in unit.split("\n")
    with pytest.raises(DevproxyError, match="cannot stand in a unit"):
        texts(READ["tpu-v4"], Program(("/opt/\n[Service]",), ()))


@pytest.mark.programs
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if find_program("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / persist.UNIT
    unit.write_text(texts(READ["mixed"], PROGRAM)[persist.UNIT_FILE])
    done = run(
        ["systemd-analyze", "verify", str(unit)], check=False, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    )
    assert (done.code, persist.UNIT in done.err) == (0, False), done
    unit.write_text(unit.read_text().replace("ProtectHome=read-only", "ProtectHom=read-only"))
    assert "ProtectHom" in run(["systemd-analyze", "verify", str(unit)], check=False).err


def test_a_recorded_hosts_settings_are_shown() -> None:
    actions, obstacles = persist.persist_changes(texts(READ["host-8gpu"], PROGRAM), live=False)
    assert [action.path for action in actions] == [
        persist.MODULES_FILE, persist.RULE_FILE, persist.UNIT_FILE, persist.ENABLED,
    ]  # fmt: skip
    assert not obstacles
    write = next(action for action in actions if isinstance(action, FileChange))
    assert write.command.startswith(f"cat > {persist.MODULES_FILE} <<'END'\n")


# what root starts


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "devproxy").write_text("#!/bin/sh\n")
    (tmp_path / "devproxy").chmod(0o755)
    return tmp_path / "devproxy"


@pytest.mark.root
@pytest.mark.parametrize("how", ["writable", "owned", "in a writable directory", "by a link"])
def test_what_somebody_else_can_change_is_not_started_by_root(program: Path, how: str) -> None:
    persist.require_trustworthy(Program(("/bin/true",), (str(program),)))
    path = program
    match how:
        case "writable":
            program.chmod(0o775)
        case "owned":
            os.chown(program, 12345, 12345)
        case "in a writable directory":
            program.parent.chmod(0o777)
        case _:
            (program.parent / "theirs").mkdir()
            os.chown(program.parent / "theirs", 12345, 0)
            (program.parent / "theirs" / "x").symlink_to(program)
            path = program.parent / "link"
            path.symlink_to("theirs/x")
            os.chown(program, 12345, 0)
    with pytest.raises(InputError, match="whoever can write there"):
        persist.require_trustworthy(Program(("/bin/true",), (str(path),)))


@pytest.mark.root
def test_what_does_not_start_is_not_written() -> None:
    with pytest.raises(DevproxyError, match="ended with code 1"):
        persist.require_trustworthy(Program(("/bin/false",), ("/bin/false",)))


@pytest.mark.root
def test_a_dry_run_shows_what_would_be_written_and_that_it_would_be_refused(program: Path) -> None:
    """A checkout of a user's."""
    os.chown(program, 12345, 12345)

    def work() -> Any:
        persist.this_program = lambda *_: Program(PROGRAM.words, (str(program),))
        return setup("--persist", "--dry-run"), setup("--persist"), os.listdir("/etc")

    dry, real, found = on(new_driver(hgx_h100), work)
    assert dry[0] == 0
    assert "--persist would be refused" in dry[1]
    assert f"would write {persist.UNIT_FILE}" in dry[1]
    assert (real[0], sorted(found)) == (2, ["group", "passwd"])


# on the kernel


def with_program(work: Callable[[], Any]) -> Callable[[], Any]:
    """What the tests run from may be anybody's: a unit starts /bin/true here."""

    def patched() -> Any:
        persist.this_program = lambda *words: PROGRAM._replace(words=(*PROGRAM.words, *words))
        return work()

    return patched


@pytest.mark.root
def test_written_written_again_and_taken_back() -> None:
    def work() -> Any:
        before = tree("/etc", "/dev")
        first = setup("--persist")
        after = tree(*PLACES)
        second = setup("--persist")
        same = tree(*PLACES) == after
        third = setup("--persist", "--group", "tpu")
        changed = Path(persist.UNIT_FILE).read_text()
        undo = setup("--undo")
        return first, after, second, same, third, changed, undo, tree("/etc", "/dev") == before

    first, after, second, same, third, changed, undo, back = on(new_driver(hgx_h100), with_program(work))
    assert first[0] == 0, first
    assert after[persist.ENABLED] == f"-> {persist.UNIT_FILE}"
    assert {after[path].split()[0] for path in (persist.UNIT_FILE, persist.RULE_FILE, persist.MODULES_FILE)} == {
        "-rw-r--r--"
    }
    assert (second, same) == ([0, "ready: nothing was to be done\n"], True)
    assert "done: write /etc/systemd/system/devproxy-setup.service anew" in third[1]
    assert "--group tpu" in changed
    assert (undo[0], back) == (0, True), undo


@pytest.mark.root
@pytest.mark.parametrize("what", ["somebody's", "changed", "a link", "a directory"])
def test_what_is_not_ours_is_not_written_over_nor_removed(what: str) -> None:
    path = Path(persist.RULE_FILE)

    def work() -> Any:
        path.parent.mkdir(parents=True)
        match what:
            case "somebody's":
                path.write_text("# mine\n")
            case "changed":
                setup("--persist")
                path.write_text(path.read_text() + "# mine\n")
            case "a link":
                path.symlink_to("/etc/passwd")
            case _:
                path.mkdir()
        before = tree("/etc/udev")
        done = setup("--persist")
        undo = setup("--undo")
        return done, undo, before == tree("/etc/udev"), os.path.exists(persist.UNIT_FILE)

    done, undo, same, unit = on(new_driver(hgx_h100), with_program(work))
    assert (done[0], same, unit) == (3, True, False), done
    assert f"not ready {persist.RULE_FILE}" in done[1]
    assert undo[0] == 0


@pytest.mark.root
def test_a_directory_of_settings_that_is_a_link_is_refused() -> None:
    """NixOS has /etc/systemd/system in its store."""

    def work() -> Any:
        os.makedirs("/etc/systemd")
        os.makedirs("/run/store")
        os.symlink("/run/store", "/etc/systemd/system")
        return setup("--persist"), os.listdir("/run/store")

    (code, said), found = on(new_driver(hgx_h100), with_program(work))
    assert (code, found) == (3, []), said
    assert "/etc/systemd/system is no directory (links are not followed)" in said
    # What is to be done now is done all the same.
    assert "done: make /dev/nvidia0" in said


@pytest.mark.root
@pytest.mark.parametrize("made", [broken, lambda: with_device_facts(without_uvm())], ids=["broken", "without uvm"])
def test_the_units_capabilities_are_enough(made: Callable[[], Any]) -> None:
    """With no more than the unit has, under no_new_privs and with all but /dev, /proc, /sys and its own directory read-only."""
    unit = texts(facts(made()), PROGRAM)[persist.UNIT_FILE]
    listed = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert listed is not None
    from devproxy.host.live.caller import _CAPABILITIES

    numbers = {_CAPABILITIES.index(name.removeprefix("CAP_")) for name in listed[1].split()}

    def work() -> Any:
        os.mkdir("/var/lib/devproxy", 0o755)  # StateDirectory=
        os.mkdir("/run/devproxy-leases", 0o755)  # RuntimeDirectory=
        run(["mount", "--bind", "/run/devproxy-leases", "/run/devproxy-leases"])
        for place in ("/etc", "/run"):
            run(["mount", "-o", "remount,bind,ro", place])
        from devproxy.linux.process import prctl

        limit_bounding(numbers)
        prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
        capset(Sets(mask(numbers), mask(numbers), 0))
        return setup(), setup()

    first, second = on(made(), work)
    assert first[0] == 0, first
    assert second == [0, "ready: nothing was to be done\n"]


def test_the_program_is_the_one_that_runs() -> None:
    program = persist.this_program("--group", "tpu")
    assert program.words[0] == program.files[0] == sys.executable
    assert program.words[-2:] == ("--group", "tpu")
    assert persist.__file__ in program.files
