"""Ctrl-C: exit code 130, no traceback, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import devproxy
from devproxy.cli.main import main
from tests.bundles import runc_spec_like, write_bundle

DEVPROXY = [sys.executable, "-m", "devproxy"]


def interrupted(argv: list[str], *, when: bytes) -> tuple[int, bytes]:
    """Start devproxy, interrupt it as soon as it has printed `when`; its exit code and what it said on stderr."""
    child = subprocess.Popen(
        [*DEVPROXY, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    seen = b""
    while when not in seen:
        read = os.read(child.stdout.fileno(), 4096)
        assert read, child.communicate()[1]
        seen += read
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
    return child.returncode, errors


@pytest.mark.root
def test_a_process_that_is_interrupted_ends_as_it_would_alone(tmp_path: Path) -> None:
    config = runc_spec_like(process={"args": ["sh", "-c", "echo ready; sleep 30"]})
    config["linux"]["namespaces"] = [{"type": "mount"}]
    del config["hostname"]
    code, errors = interrupted(["run", write_bundle(tmp_path, config)], when=b"ready")
    assert code == 128 + signal.SIGINT
    assert errors == b""


@pytest.mark.root
@pytest.mark.parametrize("delay", [0.02, 0.06, 0.1, 0.15, 0.25])
def test_an_interrupted_run_leaves_nothing(delay: float, tmp_path: Path) -> None:
    """Whenever it comes: while importing, planning, building, running."""
    bundle = write_bundle(
        tmp_path, runc_spec_like(process={"args": ["sh", "-c", "trap 'exit 130' INT; sleep 1 & wait"]})
    )
    child = subprocess.Popen(
        [*DEVPROXY, "run", bundle], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(delay)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    if b"KeyboardInterrupt" in errors and not _frames_of_devproxy(errors):
        return  # before devproxy's first line the interpreter is interrupted, and says so in its own way
    assert child.returncode in (130, -signal.SIGINT, 0), errors
    assert b"Traceback" not in errors


def _frames_of_devproxy(trace: bytes) -> list[bytes]:
    """The lines of a traceback in devproxy's own files, but for the two that are there before it handles interrupts."""
    package = os.fsencode(os.path.dirname(devproxy.__file__) + "/")
    frames = [line for line in trace.splitlines() if b'File "' + package in line]
    return [line for line in frames if not line.partition(package)[2].startswith((b"__init__.py", b"__main__.py"))]


@pytest.mark.programs
@pytest.mark.parametrize(
    "module", ["devproxy.cli.main", "devproxy.cli.quick", "devproxy.cli.context", "devproxy.host.probe"]
)
def test_an_interrupt_while_a_module_loads_is_no_traceback(module: str) -> None:
    """Wherever in the start-up; what is loaded when there is something to take down ends in 130."""
    program = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
module, sys.argv[1:] = sys.argv[1], ["probe"]
sys.meta_path.insert(0, Interrupt())
from devproxy.__main__ import entry
entry()
"""
    done = subprocess.run([sys.executable, "-c", program, module], capture_output=True, timeout=30, check=False)
    assert done.stderr == b""
    assert done.returncode == (130 if module.startswith(("devproxy.cli.c", "devproxy.host")) else -signal.SIGINT)


def test_interrupted_verbs_say_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(source: str, **_: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("devproxy.cli.probe.probe", interrupt)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err == ""


def test_a_defect_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(source: str, **_: bool) -> None:
        raise TypeError("nobody thought of this")

    monkeypatch.setattr("devproxy.cli.probe.probe", break_down)
    assert main(["probe"]) == 1
    said = capsys.readouterr().err
    assert "a defect of devproxy: TypeError: nobody thought of this" in said
    assert "Traceback" not in said
    assert main(["probe", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err
