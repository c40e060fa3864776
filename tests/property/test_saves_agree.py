"""A saved root is the root: what random changes leave is the same in a restored one, in memory and on the kernel, and the same file
comes of it on both.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import devproxy
from devproxy.plan.plan import Plan
from tests.roots import build_on
from tests.saves import Change, KernelWorld, MemoryWorld, bundle, planned, saved

pytestmark = [pytest.mark.property, pytest.mark.rows("S42", "S43", "S45", "S73", "H29", oracle="kernel")]

NAMES = ["a", "b", "f", "g", "l", "sub", "deep", "hosts"]
PATHS = st.one_of(
    st.tuples(
        st.sampled_from(
            ["", "/d", "/d/sub", "/etc", "/tmp", "/data", "/data/a", "/over", "/over/s", "/a", "/d/a", "/dev/shm"]
        ),
        st.sampled_from(NAMES),
    ).map("/".join),
    st.sampled_from(["/d", "/d/sub", "/d/sub/deep", "/d/sub/x", "/file", "/over/s", "/over/s/t", "/data", "/tmp"]),
)
TIMES = st.integers(-(10**18), 4 * 10**18)
CHANGES = st.one_of(
    st.tuples(st.just("mkdir"), PATHS, st.tuples(st.sampled_from([0o755, 0o1777, 0o700, 0o2750]))),
    st.tuples(st.just("write"), PATHS, st.tuples(st.sampled_from([0, 3, 5000, 200_000]), st.binary(max_size=20))),
    st.tuples(st.just("truncate"), PATHS, st.tuples(st.sampled_from([0, 10, 300_000]))),
    st.tuples(st.just("symlink"), PATHS, st.tuples(st.sampled_from(["f", "/etc/hosts", "../..", "nowhere"]))),
    st.tuples(st.just("link"), PATHS, st.tuples(PATHS)),
    st.tuples(st.just("rename"), PATHS, st.tuples(PATHS)),
    st.tuples(st.just("unlink"), PATHS, st.just(())),
    st.tuples(st.just("remove"), PATHS, st.just(())),
    st.tuples(st.just("chmod"), PATHS, st.tuples(st.sampled_from([0o600, 0o4755, 0o777, 0o1000]))),
    st.tuples(st.just("chown"), PATHS, st.tuples(st.sampled_from([0, 1000, 3_000_000]), st.sampled_from([0, 7]))),
    st.tuples(st.just("utime"), PATHS, st.tuples(TIMES)),
    st.tuples(st.just("setxattr"), PATHS, st.tuples(st.binary(max_size=9))),
    st.tuples(st.just("mkfifo"), PATHS, st.tuples(st.just(0o640))),
).map(lambda change: Change(*change))
PROGRAMS = st.lists(CHANGES, min_size=1, max_size=12)


def _restored(plan: Plan, target: str, file: str, again: str) -> None:
    """Build a root from a saved one, and save it once more."""
    with devproxy.build(plan, target, restore=file, keep=True) as root:
        root.save(again)


@given(program=PROGRAMS)
def test_a_restored_root_in_memory_is_saved_as_the_same(program: list[Change]) -> None:
    directory = tempfile.mkdtemp()
    try:
        plan = planned(bundle(Path(directory)))
        first, second = os.path.join(directory, "1.tar"), os.path.join(directory, "2.tar")
        with devproxy.build(plan) as root:
            world = MemoryWorld(root)
            for change in program:
                change.make(world)
            root.save(first)
        _restored(plan, "memory", first, second)
        assert saved(second) == saved(first)
    finally:
        shutil.rmtree(directory)


@pytest.mark.root
@settings(max_examples=settings().max_examples // 2)
@given(program=PROGRAMS, target=st.sampled_from(["kernel", "oldest kernel"]))
def test_memory_and_kernel_save_and_restore_the_same(program: list[Change], target: str) -> None:
    directory = tempfile.mkdtemp()
    try:
        plan = planned(bundle(Path(directory)))
        files = [os.path.join(directory, f"{number}.tar") for number in range(4)]
        with devproxy.build(plan) as root:
            memory = MemoryWorld(root)
            for change in program:
                change.make(memory)
            root.save(files[0])
        with build_on(plan, target, keep=True) as root:
            kernel = KernelWorld(root)
            for change in program:
                change.make(kernel)
            root.save(files[1])
        assert saved(files[1], times=False) == saved(files[0], times=False)
        _restored(plan, "kernel", files[1], files[2])
        _restored(plan, "memory", files[1], files[3])
        assert saved(files[2]) == saved(files[3]) == saved(files[1])
    finally:
        shutil.rmtree(directory)
