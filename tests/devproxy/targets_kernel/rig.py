"""Roots for the tests: a host without accelerators, a rootfs on disk, and work done on a target in a builder."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from devproxy.host.facts import Host, MajorLine
from devproxy.mount_options import Change
from devproxy.oci.spec import Namespace
from devproxy.targets.kernel.builder import start_builder
from devproxy.targets.kernel.handles import KernelMount
from devproxy.targets.kernel.paths import KernelPaths, forced_paths, kernel_paths
from devproxy.targets.kernel.root import KernelRoot
from devproxy.targets.kernel.target import KernelTarget

NO_CHANGE = Change()
EVERY_WAY = [
    pytest.param(
        KernelPaths(*choice),
        id="-".join(name for name, on in zip(KernelPaths._fields, choice, strict=True) if on) or "oldest",
    )
    for choice in itertools.product((True, False), repeat=3)
    if forced_paths() in (None, KernelPaths(*choice))
]


def a_host(character: Mapping[str, int] | None = None, *, simulated: bool = False) -> Host:
    lines = tuple(MajorLine(major, name) for name, major in (character or {}).items())
    return Host("a-host", simulated, "6.18", "", lines, (), (), (), (), None, ())


def new_namespaces(*kinds: str) -> list[Namespace]:
    return [Namespace(kind, None, f"linux.namespaces[{index}]") for index, kind in enumerate(kinds)]


def build(
    work: Callable[[KernelTarget], Any],
    *,
    host: Host | None = None,
    namespaces: Sequence[Namespace] = (),
    paths: KernelPaths | None = None,
    **options: Any,
) -> KernelRoot:
    """A root by `work`, whose result becomes `outcomes`."""
    return start_builder(host or a_host(), work, namespaces=namespaces, paths=paths, **options)


def usable(paths: KernelPaths) -> None:
    """Skip a way that this kernel does not have."""
    if any(wanted and not can for wanted, can in zip(paths, kernel_paths(), strict=True)):
        pytest.skip(f"this kernel has only {kernel_paths()}")


def make_rootfs(directory: Path) -> Path:
    """A rootfs with a few things to mount on and to look at."""
    rootfs = directory / "rootfs"
    for name in ("dev", "proc", "sys", "mnt", "etc", "srv/deep"):
        (rootfs / name).mkdir(parents=True)
    (rootfs / "etc/name").write_text("lower\n")
    (rootfs / "file").write_text("a file\n")
    (rootfs / "to-mnt").symlink_to("/mnt")
    (rootfs / "up").symlink_to("../../../../mnt")
    (rootfs / "nowhere").symlink_to("/not/there")
    return rootfs


def bind_root(target: KernelTarget, rootfs: str | os.PathLike[str]) -> None:
    target.attach(target.bind(target.open_source(os.fspath(rootfs)), recursive=True), "/")


def overlay_root(target: KernelTarget, rootfs: str | os.PathLike[str]) -> None:
    target.attach(target.overlay(target.open_source(os.fspath(rootfs))), "/")


def tmpfs(target: KernelTarget, *data: str, change: Change = NO_CHANGE) -> KernelMount:
    return target.filesystem("tmpfs", "tmpfs", change, (), data)


def tmpfs_root(target: KernelTarget, *data: str) -> None:
    target.attach(tmpfs(target, "mode=0755", *data), "/")


def table(root: KernelRoot) -> list[tuple[str, str, tuple[str, ...]]]:
    """The mount table as far as it does not depend on the machine."""
    return [(line.mount_point, line.fstype, line.options) for line in root.mountinfo()]
