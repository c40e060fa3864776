"""A file that is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from devproxy.errors import InputError
from devproxy.new_file import NewFile, require_new


@pytest.fixture(params=["without a name", "with a temporary name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "with a temporary name":
        really = os.open

        def refusing(path: str, flags: int, *rest: int, **named: int) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
            return really(path, flags, *rest, **named)

        monkeypatch.setattr(os, "open", refusing)
    return str(request.param)


def test_it_has_its_name_when_it_is_kept(way: str, tmp_path: Path) -> None:
    with NewFile(str(tmp_path / "file")) as new:
        new.file.write(b"whole")
        assert not (tmp_path / "file").exists()
        new.keep()
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]


def test_nothing_is_left_of_one_that_is_not(way: str, tmp_path: Path) -> None:
    with pytest.raises(KeyError), NewFile(str(tmp_path / "file")) as new:
        new.file.write(b"half")
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_what_came_in_between_is_not_written_over(way: str, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), NewFile(str(tmp_path / "file")) as new:
        new.file.write(b"mine")
        (tmp_path / "file").write_bytes(b"theirs")
        new.keep()
    assert (tmp_path / "file").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, why in (("file", "exists"), ("no/file", "is no directory"), ("file/x", "is no directory")):
        with pytest.raises(InputError, match=why):
            require_new(str(tmp_path / name))
    require_new(str(tmp_path / "other"))
