"""A root with many mounts or nodes, for strace to count.

Run as `python -m tests.devproxy.targets_kernel.many KIND COUNT DIRECTORY`.
"""

from __future__ import annotations

import os
import sys

from devproxy.mount_options import Attribute, Change
from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.targets_kernel.rig import build, tmpfs_root


def many_binds(target: KernelTarget, count: int, source: str) -> None:
    """Read-only binds of a file or a directory, on mount points that are there."""
    sources = [target.open_source(source) for _ in range(count)]
    root = target.open_source(os.path.dirname(source))
    target.attach(target.bind(root, recursive=False), "/")
    for opened in sources:
        mount = target.bind(opened, recursive=False)
        target.change(mount, Change(Attribute.RDONLY), recursive=False)
        target.attach(mount, "/" + os.path.basename(source))


def many_nodes(target: KernelTarget, count: int, gid: int) -> None:
    """Device nodes, each with its link in /dev/char."""
    tmpfs_root(target)
    for number in range(count):
        target.make_node(f"/dev/{number}", NodeKind.CHARACTER, DeviceNumber(1, number), 0o666, 0, gid)
        target.make_symlink(f"/dev/char/1:{number}", f"../{number}")


def main(kind: str, count: int, directory: str) -> None:
    """Build it and drop it."""
    if kind in ("file", "directory"):
        build(lambda target: many_binds(target, count, os.path.join(directory, kind))).close()
    else:
        build(lambda target: many_nodes(target, count, 5 if kind == "owned" else 0)).close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
