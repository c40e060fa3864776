"""`devproxy setup` as it is typed: what it prints of recorded hosts, in which form, and with which code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devproxy.cli.main import main

HOSTS = Path(__file__).parents[2] / "hosts"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["setup", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("host", "code", "last"),
    [
        ("mig", 0, "ready: nothing was to be done"),
        ("without-uvm", 0, "3 things to be done, and links once the module has a number"),
        ("lab", 0, "14 things to be done"),
        ("malformed", 4, "1 thing to be done, and links once the module has a number, and 3 things in the way"),
        ("tpu-without-driver", 3, "not ready: nothing was to be done; 8 things left"),
        ("without-driver", 3, "not ready: nothing was to be done; 1 thing left"),
    ],
)
def test_a_recorded_host_is_looked_at_and_left(
    host: str, code: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(capsys, "--host", str(HOSTS / f"{host}.tar"), "--text")
    assert (found[0], found[1].splitlines()[-1]) == (code, last)


def test_each_thing_has_its_reason_its_command_and_the_way_back(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--host", str(HOSTS / "without-uvm.tar"), "--text")
    assert out.splitlines()[:4] == [
        "would load nvidia-uvm",
        "  why   the NVIDIA driver is loaded without it: nvidia-smi works, CUDA does not (/proc/devices)",
        "  type  modprobe nvidia-uvm",
        "  undo  modprobe -r nvidia-uvm",
    ]


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--host", str(HOSTS / "tpu-without-driver.tar"), "--json")
    document = json.loads(out)
    assert (code, document["ready"], document["steps"], len(document["left"])) == (3, False, [], 8)
    code, out, _ = run(capsys, "--host", str(HOSTS / "lab.tar"))
    document = json.loads(out)
    assert (code, document["host"], document["ready"], len(document["steps"])) == (0, "lab.tar", False, 14)
    step = document["steps"][0]
    assert (step["outcome"], step["command"], step["undo"]) == (
        "intended",
        "ln -s ../nvidia-caps/nvidia-cap1 /dev/char/244:1",
        "rm /dev/char/244:1",
    )


def test_that_there_is_no_accelerator_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--host", str(HOSTS / "cpu-only.tar"), "--text")
    assert (code, out) == (0, "ready: nothing was to be done\n")
    assert "this host has no accelerator" in err


@pytest.mark.parametrize(
    "words",
    [("--undo", "--persist"), ("--undo", "--host", "x"), ("--undo", "--group", "0"), ("--group", "no such group")],
)
def test_words_that_do_not_go_together(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "error" in err


def test_an_undoing_can_be_looked_at_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--undo", "--dry-run", "--record", str(tmp_path / "none"), "--text")[:2] == (
        0,
        "there is nothing to take back\n",
    )
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    line = {"boot": boot, "kind": "link", "path": "/dev/char/195:0", "before": None, "after": "../nvidia0"}
    (tmp_path / "record").write_text(json.dumps({**line, "reason": "", "source": ""}) + "\n")
    code, out, _ = run(capsys, "--undo", "--dry-run", "--record", str(tmp_path / "record"), "--text")
    assert code == 0
    assert "type  rm /dev/char/195:0" in out
    assert out.splitlines()[-1] == "would be: 1 thing taken back"
