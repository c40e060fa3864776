"""Rights are taken away from the mounts that were attached, whatever their paths lead to by then."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from devproxy.mount_options import Propagation
from devproxy.targets.kernel.kept import Kept
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.target import KernelTarget
from devproxy.targets.kernel.tree import Closer
from tests.devproxy.targets_kernel.rig import (
    EVERY_WAY,
    NO_CHANGE,
    bind_root,
    build,
    make_rootfs,
    new_namespaces,
    table,
    tmpfs,
    usable,
)


def test_the_last_mount_at_or_above_a_path_holds_it() -> None:
    kept = Kept(Closer())
    assert kept.holding("/proc/sys") is None
    kept.add("/a", 1001)
    kept.add("/a/b", 1002)
    assert (kept.holding("/a/b/c"), kept.holding("/a/bc"), kept.holding("/a/b")) == (
        (1002, "/c"),
        (1001, "/bc"),
        (1002, "/"),
    )
    assert (kept.at("/a/b"), kept.at("/a/b/c")) == (1002, None)
    kept.add("/a", 1003)
    assert kept.holding("/a/b/c") == (1003, "/b/c")
    assert kept.at("/a/b") is None, "it is hidden"


@pytest.mark.root
@pytest.mark.parametrize("paths", EVERY_WAY)
def test_a_path_that_leads_elsewhere_by_then_keeps_no_rights(paths: KernelPaths, tmp_path: Path) -> None:
    usable(paths)
    rootfs = make_rootfs(tmp_path)

    def move_away() -> None:
        """A mount moves along with its directory where another namespace renames that."""
        while not (tmp_path / "mounted").exists():
            time.sleep(0.001)
        for name in ("proc", "mnt"):
            os.rename(rootfs / name, rootfs / f"{name}.away")
            os.mkdir(rootfs / name)
        (tmp_path / "moved").touch()

    def work(target: KernelTarget) -> list[bool]:
        bind_root(target, rootfs)
        target.attach(target.filesystem("proc", "proc", NO_CHANGE, (), ()), "/proc")
        target.attach(tmpfs(target), "/mnt")
        (tmp_path / "mounted").touch()
        while not (tmp_path / "moved").exists():
            time.sleep(0.001)
        took = [target.mask("/proc/timer_list"), target.seal_path("/proc/sys"), target.mask("/proc/nothing")]
        target.propagate("/mnt", Propagation.UNBINDABLE, recursive=False)
        target.seal("/mnt")
        return took

    mover = threading.Thread(target=move_away)
    mover.start()
    with build(work, paths=paths, namespaces=new_namespaces("pid")) as root:
        assert root.outcomes == [True, True, False]
        found = {point: options for point, _, options in table(root)}
    mover.join()
    assert "ro" in found["/proc.away/sys"]
    assert "/proc.away/timer_list" in found
    assert "ro" in found["/mnt.away"]
