"""Files opened in a root that was built, as devproxy/targets/root.py says it for every target."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from devproxy.mount_options import Attribute, Change
from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.root import Root
from devproxy.targets.target import Target
from tests.contract.targets.rig import Build, overlay_root, tmpfs


def prepared(target: Target, image: str) -> None:
    overlay_root(target, image)
    target.make_directory("/ro", 0o755)
    target.make_node("/null", NodeKind.CHARACTER, DeviceNumber(1, 3), 0o666, 0, 0)
    target.make_node("/zero", NodeKind.CHARACTER, DeviceNumber(1, 5), 0o666, 0, 0)
    target.attach(tmpfs(target, change=Change(Attribute.RDONLY)), "/ro")


def told(root: Root, path: str, mode: str = "rb", *, devices: bool = False) -> str:
    try:
        root.open(path, mode, devices=devices).close()
    except OSError as error:
        return f"{errno.errorcode[error.errno or 0]} {error.filename}"
    return "opened"


def built_in(path: str, mode: str) -> IO[Any]:
    return open(path, mode, encoding=None if "b" in mode else "utf-8")


def test_every_mode_does_what_the_built_in_does(build: Build, image: str, tmp_path: Path) -> None:
    """The same work on a file of the machine, opened by the built-in."""
    twin = tmp_path / "twin"
    twin.mkdir()
    (twin / "file").write_bytes(b"a file\n")

    def work(name: str, mode: str, opener: Callable[[str, str], IO[Any]]) -> list[object]:
        done: list[object] = []
        try:
            with opener(name, mode) as file:
                done += [type(file).__name__, file.readable(), file.writable(), file.seekable(), file.tell()]
                if file.readable():
                    done.append(file.read(3))
                if file.writable():
                    done += [file.write(b"12" if "b" in mode else "ü"), file.seek(0, 2), file.truncate()]
                if file.readable():
                    file.seek(0)
                    done.append(file.read())
        except OSError as error:
            done.append(error.errno)
        return done

    with build(lambda target: prepared(target, image)) as (root, _):
        for kind in ("rb", "r", "r+b", "ab", "a+", "w+b", "x", "xb", "wb", "wt", "rt", "w"):
            for name in ("file", "new", f"new-{kind}"):
                wanted = work(f"{twin}/{name}", kind, built_in)
                assert work(f"/{name}", kind, root.open) == wanted, (name, kind)
        assert root.read_bytes("/file") == (twin / "file").read_bytes()
        assert root.listdir("/") == sorted({*os.listdir(twin), *root.listdir("/")})
    assert Path(image, "file").read_bytes() == b"a file\n"


def test_links_lead_inside_and_what_they_lead_to_is_made(build: Build, image: str, tmp_path: Path) -> None:
    with build(lambda target: prepared(target, image)) as (root, _):
        with root.open("/to-file", "r") as file:
            assert file.read() == "a file\n"
        assert [told(root, "/out", mode) for mode in ("rb", "wb", "ab")] == ["ENOENT /out"] * 3
        assert [told(root, path, mode) for path, mode in (("/loop", "rb"), ("/loop", "wb"), ("/up", "rb"))] == [
            "ELOOP /loop",
            "ELOOP /loop",
            "EISDIR /up",
        ]
        assert told(root, "/nowhere", "xb") == "EEXIST /nowhere"
        assert told(root, "/nowhere", "wb").startswith("ENOENT")
        assert told(root, "/to-mnt/new", "wb") == "opened"
        assert root.listdir("/mnt") == ["new"]
        assert stat.S_IMODE(root.stat("/mnt/new").st_mode) & ~0o666 == 0
    assert (tmp_path / "secret").read_text() == "outside\n"


def test_what_is_no_file_is_opened_only_if_asked_for(build: Build, image: str) -> None:
    with build(lambda target: prepared(target, image)) as (root, _):
        for path in ("/null", "/zero", "/pipe"):
            assert [told(root, path, mode) for mode in ("rb", "r+b", "wb", "ab")] == [f"EINVAL {path}"] * 4
        assert [told(root, path, mode) for path in ("/", "/etc", "/etc/") for mode in ("rb", "wb")] == [
            f"EISDIR {path}" for path in ("/", "/etc", "/etc/") for _ in range(2)
        ]
        assert [told(root, path) for path in ("/missing", "/file/x", "/missing/x")] == [
            "ENOENT /missing",
            "ENOTDIR /file/x",
            "ENOENT /missing/x",
        ]
        assert told(root, "/etc", devices=True) == "EISDIR /etc"
        assert told(root, "/null", "wb", devices=True) == "opened"
        with root.open("/zero", devices=True) as zero:
            assert zero.read(4) == bytes(4)


def test_what_is_read_only_is_not_written(build: Build, image: str) -> None:
    with build(lambda target: prepared(target, image)) as (root, _):
        assert told(root, "/ro/new", "wb") == "EROFS /ro/new"


@pytest.mark.parametrize("mode", ["", "b", "rw", "rbt", "r++", "q", "rU"])
def test_a_mode_that_is_none(build: Build, image: str, mode: str) -> None:
    with build(lambda target: prepared(target, image)) as (root, _), pytest.raises(ValueError, match="mode is"):
        root.open("/file", mode)
