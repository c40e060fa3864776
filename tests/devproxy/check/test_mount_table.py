"""The mount table, asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.mount_table import MountTable, flags_in_force, type_class
from devproxy.linux.mountinfo import MountLine


def line(mount_id: int, parent: int, point: str, fstype: str = "tmpfs", options: str = "rw,relatime") -> MountLine:
    return MountLine(mount_id, parent, "0:1", "/", point, tuple(options.split(",")), (), fstype, "none", ("rw",))


@given(st.permutations(range(6)))
def test_a_stack_is_known_by_its_parents_whatever_the_order_of_the_file(order: list[int]) -> None:
    lines = [line(10 + n, 10 + n - 1, "/mnt") for n in range(6)]
    table = MountTable(lines[n] for n in order)
    assert table.stack("/mnt") == lines
    assert table.holding("/mnt/x/y") == lines[-1]


def test_the_root_may_be_its_own_parent() -> None:
    lines = [line(2, 1, "/"), line(1, 1, "/")]
    assert [found.mount_id for found in MountTable(lines).stack("/")] == [1, 2]


def test_a_path_lies_on_the_nearest_mount_above_by_whole_names() -> None:
    table = MountTable([line(1, 0, "/", "overlay"), line(2, 1, "/dev"), line(3, 2, "/dev/pts", "devpts")])
    assert [table.holding(p).fstype for p in ("/", "/dev", "/device", "/dev/pts/0")] == [  # type: ignore[union-attr]
        "overlay",
        "tmpfs",
        "overlay",
        "devpts",
    ]
    assert table.is_pseudo("/dev/pts")
    assert not table.is_inside_pseudo("/dev/pts")
    assert table.is_inside_pseudo("/dev/pts/0")
    assert MountTable([]).holding("/x") is None


@pytest.mark.parametrize(
    ("options", "superblock", "expected"),
    [
        ("rw,relatime", "rw", {"relatime"}),
        ("ro,nosuid,nodev,noexec,noatime", "rw", {"ro", "nosuid", "nodev", "noexec", "noatime"}),
        ("rw,nodiratime", "rw", {"nodiratime", "strictatime"}),
        ("rw,relatime", "ro,size=1k", {"ro", "relatime"}),
        ("rw,relatime,nosymfollow,idmapped", "rw", {"relatime", "nosymfollow"}),
    ],
)
def test_flags_in_force_are_the_mounts_and_a_read_only_file_system(
    options: str, superblock: str, expected: set[str]
) -> None:
    found = line(1, 0, "/", options=options)._replace(super_options=tuple(superblock.split(",")))
    assert flags_in_force(found) == expected


def test_a_devtmpfs_is_a_tmpfs_and_what_holds_files_is_a_bind() -> None:
    assert type_class("devtmpfs") == type_class("tmpfs")
    assert type_class("ext4") == type_class("hostfs") == type_class("xfs") == "bind"
    assert type_class("proc") != type_class("sysfs")
