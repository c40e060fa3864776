"""The same work on every target.

Work gets a `Target` and returns plain values (strings, numbers, lists), since the kernel's happens in another process. A new
target joins the suite by a line in `TARGETS`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from devproxy.host.facts import Host, MajorLine
from devproxy.mount_options import Change
from devproxy.targets.kernel.builder import start_builder
from devproxy.targets.memory import MemoryTarget
from devproxy.targets.root import Root
from devproxy.targets.target import Detached, Target

Work = Callable[[Target], Any]
Build = Callable[..., AbstractContextManager[tuple[Root, Any]]]

NO_CHANGE = Change()
HOST = Host("a-host", False, "6.18", "", (MajorLine(195, "nvidia"),), (), (), (), (), None, ())


@contextmanager
def in_memory(work: Work, host: Host = HOST) -> Iterator[tuple[Root, Any]]:
    """The root, and what the work returned."""
    with MemoryTarget(host) as target:
        result = work(target)
        target.finish()
        root = target.root()
    with root:
        yield root, result


@contextmanager
def on_the_kernel(work: Work, host: Host = HOST) -> Iterator[tuple[Root, Any]]:
    """The root, and what the work returned, there and back as JSON."""

    def all_of_it(target: Target) -> list[Any]:
        result = work(target)
        target.finish()
        return [result]

    with start_builder(host, all_of_it, live={}) as root:
        yield root, root.outcomes[0]


TARGETS = [
    pytest.param(in_memory, id="memory"),
    pytest.param(on_the_kernel, id="kernel", marks=pytest.mark.root),
]


def told(verb: Callable[..., object], *arguments: object, **options: object) -> str:
    """What a verb returns, or the errno and the path that it raises."""
    try:
        return str(verb(*arguments, **options))
    except OSError as error:
        return f"{errno.errorcode[error.errno or 0]} {error.filename}"


def make_image(directory: Path) -> str:
    """A directory of the machine with something of every kind; links lead inside, outside and nowhere."""
    image = directory / "image"
    for name in ("dev", "mnt", "etc", "srv/deep"):
        (image / name).mkdir(parents=True)
    (image / "etc/name").write_text("of the image\n")
    (image / "file").write_text("a file\n")
    (image / "to-mnt").symlink_to("/mnt")
    (image / "to-file").symlink_to("file")
    (image / "up").symlink_to("../../../../mnt")
    (image / "nowhere").symlink_to("/not/there")
    (image / "loop").symlink_to("loop")
    os.mkfifo(image / "pipe")
    (directory / "secret").write_text("outside\n")
    (image / "out").symlink_to(directory / "secret")
    return str(image)


def overlay_root(target: Target, image: str) -> None:
    """An overlay over the image as the root."""
    target.attach(target.overlay(target.open_source(image)), "/")


def bind_root(target: Target, image: str) -> None:
    """The image itself as the root."""
    target.attach(target.bind(target.open_source(image), recursive=True), "/")


def tmpfs(target: Target, *data: str, change: Change = NO_CHANGE) -> Detached:
    """A detached tmpfs."""
    return target.filesystem("tmpfs", "tmpfs", change, (), data)


def tmpfs_root(target: Target) -> None:
    """An empty root."""
    target.attach(tmpfs(target, "mode=0755"), "/")
