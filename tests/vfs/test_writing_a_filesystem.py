"""The type on the page about writing one: the page shows what is tested here, and it does what the page says."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from example.mappingfs import MappingType
from tests.vfs.world import USER, raises
from vfs import (
    ROOT,
    File,
    MknodOptions,
    MountOptions,
    OpenOptions,
    PathOperation,
    SetStat,
    VirtualDentry,
    VirtualFilesystem,
)

ROOM = Path(__file__).parents[2]
PAGE = (ROOM / "docs" / "writing-a-filesystem.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Mapped:
    """A mapping with one item, mounted."""

    def __init__(self) -> None:
        self.items = {"one": b"first"}
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(MappingType())
        self.root: VirtualDentry = self.vfs.new_mount_namespace(
            ROOT, "none", "mapping", MountOptions(internal=self.items)
        ).root

    def at(self, path: str) -> PathOperation:
        return PathOperation(self.root, self.root, path)

    def open(self, path: str, flags: int = os.O_RDONLY) -> File:
        return self.vfs.open_at(ROOT, self.at(path), OpenOptions(flags, 0o640))


@pytest.fixture
def mapped() -> Mapped:
    return Mapped()


def test_the_page_shows_the_file() -> None:
    assert BLOCKS[0] == (ROOM / "example" / "mappingfs.py").read_text(encoding="utf-8")


def test_the_page_says_how_it_is_used() -> None:
    exec(compile(BLOCKS[1], "writing-a-filesystem.md", "exec"), {})


def test_items_are_files(mapped: Mapped) -> None:
    assert mapped.vfs.listdir_at(ROOT, mapped.at("/")) == ["one"]
    info = mapped.vfs.stat_at(ROOT, mapped.at("/one"))
    assert (info.st_mode, info.st_size, info.st_nlink) == (stat.S_IFREG | 0o644, 5, 1)
    with mapped.open("/one") as file:
        assert (file.read(2), file.read(), file.read()) == (b"fi", b"rst", b"")


def test_what_is_written_is_in_the_mapping(mapped: Mapped) -> None:
    with mapped.open("/one", os.O_RDWR | os.O_APPEND) as file:
        file.write(b" item")
        assert mapped.items == {"one": b"first item"}
        file.truncate(5)
    with mapped.open("/two", os.O_RDWR | os.O_CREAT | os.O_EXCL) as file:
        file.pwrite(b"x", 3)
        file.pwrite(b"", 9)
        file.pwrite(b"y", 1)
    mapped.open("/three", os.O_CREAT | os.O_WRONLY).close()
    assert mapped.items == {"one": b"first", "two": b"\0y\0x", "three": b""}
    mapped.open("/one", os.O_WRONLY | os.O_TRUNC).close()
    assert mapped.items["one"] == b""


def test_a_removed_item_is_read_on_by_who_has_it(mapped: Mapped) -> None:
    with mapped.open("/one", os.O_RDWR) as file:
        mapped.vfs.unlink_at(ROOT, mapped.at("/one"))
        mapped.open("/one", os.O_CREAT | os.O_WRONLY).close()
        file.pwrite(b"F", 0)
        assert file.pread(9, 0) == b"First"
        assert file.stat().st_nlink == 0
    assert mapped.items == {"one": b""}


def test_errors_are_those_of_linux(mapped: Mapped) -> None:
    vfs, at = mapped.vfs, mapped.at
    with raises(errno.ENOENT):
        vfs.stat_at(ROOT, at("/none"))
    with raises(errno.ENOTDIR):
        vfs.stat_at(ROOT, at("/one/below"))
    with raises(errno.EEXIST):
        mapped.open("/one", os.O_CREAT | os.O_EXCL)
    with raises(errno.EACCES):
        vfs.unlink_at(USER, at("/one"))
    with raises(errno.EACCES):
        vfs.open_at(USER, at("/one"), OpenOptions(os.O_WRONLY))
    with raises(errno.EFBIG):
        vfs.set_stat_at(ROOT, at("/one"), SetStat(size=1 << 40))
    calls: list[Callable[[], object]] = [
        lambda: vfs.mkdir_at(ROOT, at("/new")),
        lambda: vfs.symlink_at(ROOT, at("/new"), "one"),
        lambda: vfs.link_at(ROOT, at("/one"), at("/new")),
        lambda: vfs.rename_at(ROOT, at("/one"), at("/new")),
        lambda: vfs.mknod_at(ROOT, at("/new"), MknodOptions(stat.S_IFIFO | 0o600)),
        lambda: vfs.set_stat_at(ROOT, at("/one"), SetStat(mode=0o600)),
    ]
    for call in calls:
        with raises(errno.EPERM):
            call()
    assert mapped.items == {"one": b"first"}
    for options in (MountOptions(), MountOptions(internal={}, data="size=1")):
        with raises(errno.EINVAL):
            vfs.mount_disconnected(ROOT, "none", "mapping", options)
