"""Mounts that are attached by their name in a directory that is held come to where the whole path leads, every time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.targets_kernel.rig import EVERY_WAY, bind_root, build, make_rootfs, table, tmpfs, usable

pytestmark = pytest.mark.root

# Each is attached in its turn; paths in a mount that is new are made first.
ORDERS = {
    "neighbours": ["/mnt/a", "/mnt/b", "/srv/a", "/mnt/c"],
    "one on the other": ["/mnt", "/mnt", "/mnt/a", "/mnt/a"],
    "over the directory that is held": ["/mnt/a", "/mnt/b", "/mnt", "/mnt/a", "/mnt/b"],
    "over the one above it": ["/srv/deep/a", "/srv", "/srv/deep/a", "/srv/deep/b"],
    "through a link, and over what it leads to": ["/to-mnt/a", "/mnt", "/to-mnt/a", "/mnt/b"],
    "at a link": ["/srv/a", "/to-mnt", "/to-mnt/a", "/mnt/b"],
}


@pytest.mark.parametrize("paths", EVERY_WAY)
@pytest.mark.parametrize("order", ORDERS)
def test_a_mount_comes_to_where_its_path_leads(order: str, paths: KernelPaths, tmp_path: Path) -> None:
    usable(paths)
    rootfs = make_rootfs(tmp_path)

    def work(target: KernelTarget) -> list[list[str]]:
        bind_root(target, rootfs)
        seen = []
        for number, path in enumerate(ORDERS[order]):
            target.make_directory(path, 0o755)
            mount = tmpfs(target, "mode=0755")
            os.mkdir(f"is-{number}", dir_fd=mount.descriptor)
            target.attach(mount, path)
            seen.append(target.list_directory(path))
        return seen

    with build(work, paths=paths) as root:
        assert root.outcomes == [[f"is-{number}"] for number in range(len(ORDERS[order]))]
        assert len(table(root)) >= 2
