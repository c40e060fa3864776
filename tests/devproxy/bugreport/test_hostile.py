"""Reports that were made to do harm: no exception, no more work than the text is long, nothing executed."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any, SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.bugreport.draft import Draft
from devproxy.bugreport.files import TEXT_LIMIT, read_documents
from devproxy.bugreport.lines import LINE_LIMIT, Line, lines_of
from devproxy.bugreport.machine import to_host
from devproxy.bugreport.recognisers import RECOGNISERS
from devproxy.bugreport.report import read_report, read_text
from devproxy.errors import InputError

# Pieces of everything that is recognised: what they come to in any order must be read without an exception.
PIECES = (
    "crw-rw-rw- 1 root root 195, 0 Feb 17 13:47 /dev/nvidia0", "crw-rw-rw- 1 root root 195, 255", "$ ls -l /dev/nvidia*", "Character devices:",
    "195 nvidia", "99999 x", "Block devices:", "```", "> ", "$ cat /proc/devices | grep nvidia", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  1.2",
    "Model: x", "Bus Location: 0000:00:00.0", "Device Minor: 99999999999999999999", "DeviceFileMode: 438", "ModifyDeviceFiles: 1", "config 1",
    "01:00.0 3D controller [0302]: NVIDIA Corporation Device [10de:20b5]", "Kernel driver in use: nvidia", "GPU 0: A (UUID: GPU-", "vendor: 0x10de",
    "device: 0x1", "driver: vfio-pci", "nvidia 1000 1", "$ lsmod", "uid=0(root) gid=0(root) groups=0(root)", "c 195:* m", "a b", "",
    "cdiVersion: 0.5.0", "kind: nvidia.com/gpu", "devices:", "{", '{"cdiVersion": "0.5.0",', '"runtimes": {', "}", "before:", "after:", "# Expected",
    "[ 1.0] NVRM: API mismatch: the client has the version 1.2", "NVRM: x", "  File: /dev/nvidia0", "drwxr-xr-x 2 root root 80 Feb 17 13:47 /dev/nvidia0",
    "/dev/nvidia0", "/dev/nvidia0:", "nvidia-container-cli: device error: x: unknown device", "\x1b[31mred", "docker exec x sh -c 'ls -l /dev'",
    "Failed to initialize NVML: Unknown Error", "max locked memory (kbytes, -l) 99999999999999999999", "NVIDIA_VISIBLE_DEVICES=all", "inside the container:",
    "crw-rw-rw- 1 root root 4294967295, 0 Feb 17 13:47 /dev/nvidia0", "-rw-r--r-- 1 root root 0 Feb 17 13:47 /dev/nvidia-caps", "Device Index: 9", "0",
    "crw-rw-rw- 1 root root 195, 0 Feb 17 13:47 /dev/nvidia-caps/x", "crw-rw-rw- 1 root root 9999, 9999999 Feb 17 13:47 /dev/a/../../x", "'", '"', "\\",
)  # fmt: skip
pytestmark = pytest.mark.property


class CountedLines(list[Line]):
    """Lines that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        found = super().__getitem__(at)
        self.looks += len(found) if isinstance(found, list) else 1
        return found


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=80)), max_size=60))
def test_any_lines_make_a_host(lines: list[str]) -> None:
    found = read_text("\n".join(lines))
    assert 0 <= found.read <= found.lines
    assert found.host.simulated
    assert all(1 <= use.first <= use.last for use in found.used)


@given(st.binary(max_size=2000))
def test_any_bytes_make_a_host(data: bytes) -> None:
    found = read_text(data.decode("utf-8", "replace"))
    assert 0 <= found.read <= found.lines
    assert found.host.simulated


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("many", [200, 1600])
def test_work_grows_with_the_text_alone(piece: str, many: int) -> None:
    """The same line over and over, alone and between others: each line is looked at a bounded number of times."""
    for text in (
        f"{piece}\n" * many,
        f"{piece}\n$ ls -l /dev\n" * (many // 2),
        f"{piece}\nGPU 0: A (UUID: GPU-\n" * (many // 2),
    ):
        lines = CountedLines(lines_of(text))
        draft, at = Draft(), 0
        while at < len(lines):
            at += next((took for take in RECOGNISERS if (took := take(lines, at, draft))), 1)
        assert lines.looks <= 400 * len(lines)


@pytest.mark.parametrize(
    "character",
    [" ", "a", ">", "`", "/", "|", "'", "#", "0", ",", "-", "crw-", "a@b:", "1 ", "\x1b[", "[", "=", ":", "$ "],
)
def test_a_long_line_is_cut(character: str) -> None:
    """A line of a megabyte costs what a line of the limit does."""
    (line,) = lines_of(character * ((1 << 20) // len(character)))
    assert len(line.raw) <= LINE_LIMIT
    read_text(f"{character * 4000}\nx\n{character * 4000}x")


def test_a_compressed_report_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "nvidia-bug-report.log.gz"
    head = b"crw-rw-rw- 1 root root 195, 0 Feb 17 13:47 /dev/nvidia0\n"
    path.write_bytes(gzip.compress(head + b"\n" * (TEXT_LIMIT + 1000), 9))
    notes: list[str] = []
    (document,) = read_documents(os.fspath(path), notes.append)
    assert len(document.text) == TEXT_LIMIT
    assert any("larger than" in note for note in notes)


def test_a_report_that_was_cut_off_is_read_so_far(tmp_path: Path) -> None:
    path = tmp_path / "report.log.gz"
    text = "".join(f"crw-rw-rw- 1 root root 195, {n} Feb 17 13:47 /dev/nvidia{n}\n" for n in range(200))
    path.write_bytes(gzip.compress(text.encode())[:-200])
    found = read_report(os.fspath(path))
    assert 0 < len(found.host.nodes) < 200
    assert any("cut off" in note for note in found.notes)


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gz"
    bad.write_bytes(b"\x1f\x8bnonsense")
    for path in (os.fspath(bad), os.fspath(tmp_path / "absent"), "/dev/null"):
        with pytest.raises(InputError):
            read_report(path)


@pytest.fixture
def gathered(tmp_path: Path) -> Path:
    folder = tmp_path / "must-gather" / "node-1"
    (folder / "proc").mkdir(parents=True)
    (folder / "lsmod.txt").write_text("Module Size Used by\nnvidia 100000 0\n")
    (folder / "proc" / "devices").write_text("Character devices:\n  1 mem\n195 nvidia\n\nBlock devices:\n  8 sd\n")
    (folder / "secret").symlink_to("/etc/hostname")
    (folder / "binary").write_bytes(b"\0" * 100)
    os.mkfifo(folder / "pipe")
    return tmp_path / "must-gather"


def test_a_must_gather_is_walked(gathered: Path) -> None:
    found = read_report(os.fspath(gathered))
    assert found.host.major_of("nvidia") == 195
    assert found.host.knows_entry("/proc/modules", "nvidia_uvm")
    assert found.host.knows("/proc/devices")


def test_a_draft_without_anything_is_a_host_of_which_nothing_is_known() -> None:
    host = to_host(Draft(), "empty")
    assert not host.knows("/dev/nvidia0")
    assert host.details is not None
