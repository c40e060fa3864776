"""`devproxy.linux.foreign` against ctypes, which it stands for."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from devproxy.linux import foreign

TYPES = ("c_char", "c_int", "c_long", "c_longlong", "c_char_p", "c_void_p")


def outcome(make: Any, *values: object) -> object:
    """The value that comes out, or the class of what is raised."""
    try:
        return make(*values).value
    except (TypeError, ValueError, OverflowError) as error:
        return type(error)


@pytest.mark.parametrize("name", TYPES)
@given(value=st.none() | st.integers() | st.binary(max_size=3) | st.text(max_size=2))
def test_a_type_is_the_one_of_ctypes(name: str, value: object) -> None:
    ours, theirs = getattr(foreign, name), getattr(ctypes, name)
    assert ctypes.sizeof(ours) == ctypes.sizeof(theirs)
    assert ours.__bases__ == theirs.__bases__
    assert ours().value == theirs().value
    assume(name != "c_char_p" or not isinstance(value, int))  # an address, from which `value` would read
    assert outcome(ours, value) == outcome(theirs, value)


@given(st.lists(st.binary(max_size=9).filter(lambda word: 0 not in word)))
def test_vectors_of_strings_are_alike(words: list[bytes]) -> None:
    ours, theirs = (foreign.c_char_p * len(words))(*words), (ctypes.c_char_p * len(words))(*words)
    assert list(ours) == list(theirs) == words


def test_a_buffer_is_zero_and_as_long_as_asked() -> None:
    buffer = foreign.create_string_buffer(12)
    assert buffer.raw == bytes(12) == ctypes.create_string_buffer(12).raw


def test_functions_return_what_those_of_ctypes_do_and_keep_errno() -> None:
    ours, theirs = foreign.CDLL(None, use_errno=True), ctypes.CDLL(None, use_errno=True)
    for libc, get_errno in ((ours, foreign.get_errno), (theirs, ctypes.get_errno)):
        assert libc.getpid() == os.getpid()
        assert libc.access(b"/nowhere/at/all", 0) == -1
        assert get_errno() == errno.ENOENT
        assert libc.close(-1) == -1
        assert get_errno() == errno.EBADF
        with pytest.raises(AttributeError):
            libc.no_such_function  # noqa: B018 (looking it up is what raises)
    assert ours.getpid is ours.getpid
    assert ours["getpid"] is not ours["getpid"]


def test_a_prototype_converts_as_ctypes_does() -> None:
    for module in (foreign, ctypes):
        function = module.CDLL(None, use_errno=True)["strtol"]
        function.argtypes = (module.c_char_p, module.c_void_p, module.c_int)
        function.restype = module.c_long
        assert function(b"-7fffffffff", None, 16) == -0x7FFFFFFFFF
        with pytest.raises(ctypes.ArgumentError):
            function("text", None, 16)
        with pytest.raises(ctypes.ArgumentError):
            function(b"1", None, "16")


def test_errno_is_a_threads_own() -> None:
    libc = foreign.CDLL(None, use_errno=True)
    libc.close(-1)
    other: list[int] = []
    thread = threading.Thread(target=lambda: other.append(foreign.get_errno()))
    thread.start()
    thread.join()
    assert (other, foreign.get_errno()) == ([0], errno.EBADF)
