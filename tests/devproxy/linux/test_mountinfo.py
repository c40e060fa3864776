"""The mount table: the kernel's escapes are undone, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.linux import mounts
from devproxy.linux.mountinfo import MountLine, parse_line
from devproxy.linux.namespaces import CLONE, unshare
from tests.devproxy.linux.forked import in_child

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0/,"), min_size=1, max_size=12)


def mangle(text: str) -> str:
    """What the kernel does to names (fs/proc_namespace.c, mangle; fs/seq_file.c, mangle_path)."""
    return "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\#" else letter for letter in text)


@given(root=TEXT, point=TEXT, source=TEXT, tags=st.lists(st.sampled_from(["shared:3", "master:1", "unbindable"])))
def test_a_line_is_read_as_it_was_written(root: str, point: str, source: str, tags: list[str]) -> None:
    entry = MountLine(7, 6, "0:51", "/" + root, "/" + point, ("rw", "nosuid"), tuple(tags), "tmpfs", source, ("rw",))
    middle = "".join(f"{tag} " for tag in tags)
    line = f"7 6 0:51 /{mangle(root)} /{mangle(point)} rw,nosuid {middle}- tmpfs {mangle(source)} rw\n"
    assert parse_line(line) == entry


@pytest.mark.parametrize("line", ["", "1 2 3:4 / /", "1 2 3:4 / / rw - tmpfs", "a 2 3:4 / / rw - tmpfs x rw"])
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        parse_line(line)


def test_every_line_of_this_machine_is_read() -> None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        lines = file.readlines()
    assert any(parse_line(line).mount_point == "/" for line in lines)


@pytest.mark.root
def test_a_mount_point_with_every_escape_is_read_back(tmp_path: Path) -> None:
    point = tmp_path / "a b\tc\nd\\e#f é"
    point.mkdir()

    def work() -> list[str]:
        unshare(CLONE["mount"])
        mounts.set_propagation_of_everything(mounts.MS_PRIVATE)
        context = mounts.fsopen("tmpfs")
        mounts.fsconfig_string(context, "source", "so urce")
        mounts.fsconfig_create(context)
        place = os.open(point, os.O_PATH)
        mounts.move_mount(mounts.fsmount(context, 0), place)
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            entry = parse_line(file.readlines()[-1])
        return [entry.mount_point, entry.source, entry.fstype]

    assert in_child(work) == [str(point), "so urce", "tmpfs"]
