"""`devproxy probe` and `devproxy record`, as a user sees them."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from devproxy.cli.context import Context
from devproxy.cli.main import main
from devproxy.cli.probe import run as run_probe
from devproxy.host.probe import probe
from devproxy.host.recording_file import encode, save
from devproxy.oci.configuration import Configuration
from tests.hosts.machine import Machine
from tests.hosts.make import RECORDINGS

BY_NAME = {os.path.basename(path): path for path in RECORDINGS}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(host: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    import argparse

    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    assert (
        run_probe(
            argparse.Namespace(host=host, json=False, text=True, open=False, watch=False),
            Context(Configuration(), out=out),
        )
        == 0
    )
    return out.getvalue().splitlines()


def test_a_table_of_gpus_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = on_a_terminal(BY_NAME["host-8gpu.tar"], monkeypatch)
    assert "8 NVIDIA GPUs (NVIDIA H100 80GB HBM3), driver 550.163.01" in lines
    assert any(
        line.split()[:7] == ["2", "0000:3a:00.0", "0", "3", "/dev/nvidia3", "crw-rw-rw-", "195:3"] for line in lines
    ), lines
    assert any(line.split() == ["462", "nvidia-uvm"] for line in lines)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cpu-only.tar", "no NVIDIA GPU"),
        ("without-driver.tar", "2 NVIDIA GPUs, no NVIDIA driver"),
        ("without-uvm.tar", "1 NVIDIA GPU (NVIDIA L4), driver 570.133.20"),
        ("mig.tar", "3:1         2             0                 nvidia-cap291 cr--r--r-- 463:291, "),
        ("mig.tar", "463:292  MIG-00000001-d5f3-17b6-20ce-7f9183b4e65a"),
        ("tpu-v4.tar", "0    0000:00:04.0  0     v4          -        /dev/accel0 crw-rw-rw- 121:0"),
        ("tpu-v5p.tar", "3    0000:00:07.0  0     v5p         -        /dev/vfio/3 crw------- 465:0"),
        ("tpu-without-driver.tar", "v6e         -        none: no driver is bound"),
        ("mixed.tar", "/dev/accel/accel0 crw-rw---- 261:0      -        0000:00:0b.0 (8086:7d1d)  intel_vpu"),
        ("mixed.tar", "/dev/vfio/96 crw------- 465:0           -        0000:03:00.2 (15b3:c2d5)  vfio-pci"),
        ("malformed.tar", "/proc/devices  6 lines that are no `major name`"),
    ],
)
def test_what_other_hosts_look_like(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words in "\n".join(on_a_terminal(BY_NAME[name], monkeypatch))


def test_a_gpu_without_a_node_is_seen_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine().file("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Device Minor: 5\nModel: \x1b[2J\n")
    save(encode(machine.record(), recorded_at=0), str(tmp_path / "x.tar"))
    text = "\n".join(on_a_terminal(str(tmp_path / "x.tar"), monkeypatch))
    assert "/dev/nvidia5 missing" in text
    assert "\x1b" not in text, "a recording cannot move the cursor"


def test_json_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--host", BY_NAME["host-8gpu.tar"]]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["simulated"] is True
    assert document["nvidia"]["gpus"][2]["minor"] == 3


@pytest.mark.programs
@pytest.mark.programs
def test_a_recording_of_this_machine_shows_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "here.tar")
    assert main(["record", path]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert f"recorded {path}: {len(probe().nodes)} device nodes" in told.err
    assert probe(path) == probe()._replace(name="here.tar", simulated=True)


@pytest.mark.programs
@pytest.mark.programs
def test_what_could_not_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, limit: int) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("devproxy.host.root.LiveReader.read_bytes", lambda reader, path, limit: refused(path, limit))
    assert main(["record", str(tmp_path / "x.tar")]) == 0
    assert "not recorded: /proc/devices: EACCES: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["probe", "--host", "/dev/null"], ["record", "/dev/null"], ["record", "/none/x.tar"]])
def test_a_users_mistake_is_told_without_a_traceback(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(verb) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"devproxy: error: {'cannot write' if 'none' in verb[-1] else ''}")
    assert verb[-1] in told
    assert "Traceback" not in told
