from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import raises
from vfs.path import byte_length, check_name, check_path, components, split

PATHS = st.text(alphabet="ab./", min_size=1, max_size=12)


@given(PATHS)
def test_split_loses_nothing_but_slashes_at_the_end(path: str) -> None:
    head, name, trailing = split(path)
    assert components(head) + ([name] if name else []) == components(path)
    assert trailing == (path.endswith("/") and bool(path.strip("/")))
    assert "/" not in name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", ("", "a", False)),
        ("/a", ("/", "a", False)),
        ("a/b/", ("a/", "b", True)),
        ("//", ("//", "", False)),
        ("a/..", ("a/", "..", False)),
    ],
)
def test_split(path: str, expected: tuple[str, str, bool]) -> None:
    assert split(path) == expected


@given(st.text(max_size=400))
def test_names_are_measured_in_bytes(name: str) -> None:
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        return
    assert byte_length(name) == size
    if size > 255:
        with raises(errno.ENAMETOOLONG):
            check_name(name)
    else:
        check_name(name)


def test_a_path_has_a_length_and_no_nul() -> None:
    check_path("x" * 4095)
    for path, number in [("", errno.ENOENT), ("x" * 4096, errno.ENAMETOOLONG), ("a\0b", errno.EINVAL)]:
        with raises(number):
            check_path(path)
