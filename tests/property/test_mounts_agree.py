"""Mounts of every kind, over links, under read-only and masked paths, with propagation: memory shows, says and refuses what the kernel
does, in its newest and oldest ways.
"""

from __future__ import annotations

import json
import shutil
import tempfile

import pytest
from hypothesis import given, settings

from tests.devproxy.linux.forked import in_child
from tests.property.mounted import CASES, Case, OwnHost, differs, fill, look, planned

pytestmark = [pytest.mark.root, pytest.mark.property]

PLAIN = Case({}, [], [], [], [], "/", readonly=False, propagation=None, order="depth", overlay=True)
# What random cases have found, as small as it goes.
FOUND = {
    "a shared mount over the root": PLAIN._replace(image={"a": "link /"}, mounts=[("/a", "tmpfs", ["shared"])]),
    "a file over the root": PLAIN._replace(image={"a": "link /"}, mounts=[("/a", "bind file", [])]),
    "the root read-only by a path": PLAIN._replace(image={"a": "link ."}, readonly_paths=["/a", "/"]),
    "a masked directory with a read-only mount": PLAIN._replace(
        mounts=[("/dev/c", "tmpfs", ["ro"])], masked_paths=["/dev"]
    ),
    "a copy of what is unbindable": PLAIN._replace(
        mounts=[("/dev", "tmpfs", ["unbindable"])], readonly_paths=["/dev/null"]
    ),
    "two paths to one mount": PLAIN._replace(image={"dev": "link ../a"}, readonly_paths=["/a", "/dev"]),
    "two mounts at one place": PLAIN._replace(
        image={"a": "dir", "b": "link a"},
        mounts=[("/a", "rbind dir", []), ("/b", "rbind dir", [])],
        masked_paths=["/a/a"],
    ),
    "a link out of a mount": PLAIN._replace(
        image={"a": "dir"}, mounts=[("/b/c", "rbind dir", [])], masked_paths=["/b/c/out"], readonly_paths=["/b/c/up"]
    ),
}


@pytest.mark.rows("S20", "S35", "S50", "S51", "S52", "S68", "H24", oracle="kernel")
@pytest.mark.parametrize("shared", [False, True], ids=["a private host", "a shared host"])
def test_memory_and_kernel_agree(shared: bool) -> None:
    def work() -> int:
        host, compared = OwnHost(shared=shared), 0

        @settings(database=None)
        @given(CASES)
        def one(case: Case) -> None:
            nonlocal compared
            compared += compare(host, case)

        one()
        return compared

    assert in_child(work) > 20


@pytest.mark.rows("S35", "S36", "S52", oracle="kernel")
@pytest.mark.parametrize("shared", [False, True], ids=["a private host", "a shared host"])
@pytest.mark.parametrize("name", FOUND)
def test_so_they_do_where_they_once_did_not(name: str, shared: bool) -> None:
    assert in_child(lambda: compare(OwnHost(shared=shared), FOUND[name]))


def compare(host: OwnHost, case: Case) -> bool:
    """Hold the targets to each other. Says whether there was anything to build."""
    directory = tempfile.mkdtemp()
    count = len(case.mounts)
    try:
        host.make_sources(directory, count)
        plan = planned(directory, case)
        if isinstance(plan, str):
            return False
        looks = []
        for target in ("memory", "kernel", "oldest kernel"):
            host.make_sources(directory, count)
            fill(f"{directory}/rootfs", case.image)
            looks.append(look(plan, target, case))
        memory, kernel, oldest = looks
        assert differs(memory, kernel) is None, json.dumps(case)
        assert differs(oldest, kernel) is None, json.dumps(case)
    finally:
        host.drop_sources(directory, count)
        shutil.rmtree(directory)
    return True
