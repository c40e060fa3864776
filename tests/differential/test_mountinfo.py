"""The lines of the mount table, letter by letter, beside those that the peers show (S56)."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

import devproxy
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import require, run, with_runc_raw
from tests.hosts import host_with_gpus

pytestmark = [pytest.mark.root, pytest.mark.peer]

# What has a meaning in the table is written in octal: space, tab, newline, backslash (proc_pid_mountinfo(5)).
NAMES = ("/with space", "/with\ttab", "/with\nline", "/with\\back", "/with#sharp", "/plain", "/\u00fcber")
MOUNTS: list[dict[str, Any]] = [
    {"destination": name, "type": "tmpfs", "source": "tmpfs", "options": ["noexec", "mode=0711"]} for name in NAMES
]


def bundle(directory: Path, *args: str) -> str:
    document = runc_spec_like(mounts=[*runc_spec_like()["mounts"], *MOUNTS], root={"readonly": False})
    document["process"]["args"] = list(args)
    return write_bundle(directory, document)


def points(text: str, place: int) -> list[str]:
    """The mount points of ours as they are written, in the order of the table."""
    words = [line.split(" ") for line in text.splitlines()]
    return [line[place] for line in words if line[place].startswith(("/with", "/plain", "/\u00fc"))]


def in_memory(tmp_path: Path, name: str) -> str:
    plan = devproxy.plan(devproxy.load(bundle(tmp_path / "memory", "true")), host_with_gpus())
    with devproxy.build(plan) as root:
        return root.read_bytes(f"/proc/self/{name}").decode()


@pytest.mark.rows("S56", oracle="runc")
@pytest.mark.parametrize(("name", "place"), [("mountinfo", 4), ("mounts", 1)])
def test_names_are_escaped_as_the_kernel_escapes_them(name: str, place: int, tmp_path: Path) -> None:
    theirs = with_runc_raw(bundle(tmp_path / "runc", "cat", f"/proc/self/{name}"))
    ours = in_memory(tmp_path, name)
    assert points(ours, place) == points(theirs, place)
    assert len(points(ours, place)) == len(NAMES)


@pytest.mark.rows("S56", oracle="runc")
def test_a_line_has_the_fields_of_the_kernels(tmp_path: Path) -> None:
    theirs = with_runc_raw(bundle(tmp_path / "runc", "cat", "/proc/self/mountinfo"))
    ours = in_memory(tmp_path, "mountinfo")
    lines = [[line for line in text.splitlines() if " /plain " in line] for text in (ours, theirs)]
    # Numbers and sizes are each one's own: what is compared is the root, the place, the flags, the tags and the type.
    fields = [[line.split(" ")[3:8] for line in each] for each in lines]
    assert fields[0] == fields[1] == [["/", "/plain", "rw,noexec,relatime", "-", "tmpfs"]]


@pytest.mark.rows("S56", oracle="runsc")
def test_the_order_is_that_of_mounting_as_with_runsc(tmp_path: Path) -> None:
    flags = ["--root", str(tmp_path / "state"), "--network=none", "--ignore-cgroups", "--platform=ptrace"]
    directory = bundle(tmp_path / "runsc", "cat", "/proc/self/mountinfo")
    _, out, err = run(require("runsc"), *flags, "run", "--bundle", directory, f"devproxy-{uuid.uuid4().hex[:12]}")
    assert out, err
    theirs, ours = points(out, 4), points(in_memory(tmp_path, "mountinfo"), 4)
    assert sorted(ours) == sorted(theirs)
    # Both number mounts as they are made, and list them by number; runsc makes shorter paths first (S33).
    numbers = [int(line.split(" ")[0]) for line in in_memory(tmp_path, "mountinfo").splitlines()]
    assert numbers == sorted(numbers)
    assert [int(line.split(" ")[0]) for line in out.splitlines()] == sorted(
        int(line.split(" ")[0]) for line in out.splitlines()
    )
