"""A root with busybox in it, and a process started there whose output the test reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from devproxy.launch import launch
from devproxy.mount_options import Attribute, Change
from devproxy.node import DeviceNumber, NodeKind
from devproxy.oci.spec import Process
from devproxy.targets.kernel.target import KernelTarget
from tests.bundles import fill_with_busybox
from tests.devproxy.targets_kernel.rig import build, new_namespaces, overlay_root

PATH = "PATH=/usr/bin:/bin"


def make_rootfs(directory: Path) -> Path:
    rootfs = directory / "rootfs"
    rootfs.mkdir()
    fill_with_busybox(str(rootfs))
    return rootfs


def usual(rootfs: Path) -> Callable[[KernelTarget], None]:
    """/proc, /dev with null and zero, /dev/pts."""

    def work(target: KernelTarget) -> None:
        overlay_root(target, rootfs)
        plain = Change(Attribute.NOSUID | Attribute.NOEXEC)
        target.attach(target.filesystem("proc", "proc", plain, (), ()), "/proc")
        target.attach(target.filesystem("devtmpfs", "dev", plain, (), ()), "/dev")
        target.make_directory("/dev/pts", 0o755)
        target.attach(
            target.filesystem("devpts", "devpts", plain, (), ("ptmxmode=0666", "mode=0620", "gid=5")), "/dev/pts"
        )
        for name, minor in (("null", 3), ("zero", 5)):
            target.make_node("/dev/" + name, NodeKind.CHARACTER, DeviceNumber(1, minor), 0o666, 0, 0)

    return work


class Ran:
    """What became of a process: its exit code and what it wrote."""

    def __init__(self, code: int, output: str) -> None:
        self.code = code
        self.output = output

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


def run(
    rootfs: Path,
    *argv: str,
    kinds: Sequence[str] = ("pid", "uts", "ipc", "network"),
    work: Callable[[KernelTarget], Any] | None = None,
    executable: int | None = None,
    **process: Any,
) -> Ran:
    """Run a command with its output in a file; fields of the process may be given."""
    process.setdefault("env", (PATH,))
    output = os.open(rootfs.parent / "output", os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
    saved = os.dup(1), os.dup(2)
    with build(work or usual(rootfs), namespaces=new_namespaces(*kinds)) as root:
        try:
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = launch(root, process=Process(argv, **process), executable=executable)
        finally:
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            os.close(output)
    return Ran(code, (rootfs.parent / "output").read_text(errors="replace"))
