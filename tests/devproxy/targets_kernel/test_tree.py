"""Descriptors are closed many at a time, and never one that is needed."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from devproxy.targets.kernel.tree import Closer


@given(choices=st.lists(st.booleans(), min_size=1, max_size=150))
def test_exactly_what_was_given_is_closed(choices: list[bool]) -> None:
    closer, kept, given_up = Closer(), list[int](), list[int]()
    descriptors = [os.open("/", os.O_PATH) for _ in choices]
    for descriptor, drop in zip(descriptors, choices, strict=True):
        (given_up if drop else kept).append(descriptor)
        if drop:
            closer.add(descriptor)
            os.fstat(descriptor)  # what was just added can still be used
    closer.flush()
    assert [is_open(descriptor) for descriptor in given_up] == [False] * len(given_up)
    assert [is_open(descriptor) for descriptor in kept] == [True] * len(kept)
    for descriptor in kept:
        os.close(descriptor)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
