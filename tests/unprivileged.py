"""Work done by a process without privileges, whoever runs the tests: in a child that gives up root first."""

from __future__ import annotations

import codecs
import os
import socket  # noqa: F401 (the same as below)
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

# A child that is no root may not be able to read what root's interpreter has not imported yet.
import devproxy.check.outcomes
import devproxy.check.verify
import devproxy.host.probe
import devproxy.launch
import devproxy.targets.kernel.builder
import devproxy.targets.memory  # noqa: F401
from devproxy.linux.namespaces import CLONE, unshare
from tests.devproxy.linux.forked import in_child

codecs.lookup("ascii")  # the same for a codec that is loaded when it is first used
UID = os.geteuid() or 12345
GID = os.getegid() if os.geteuid() else 12345


def as_user(work: Callable[[Path], Any], prepare: Callable[[], object] = lambda: None) -> Any:
    """What `work` returned, through JSON; what it raised is raised here. It is given an empty directory of its own.
    `prepare` runs before, as root where the tests do.
    """
    if not user_namespaces():
        pytest.skip("an ordinary user can have no user namespace here")

    with tempfile.TemporaryDirectory() as directory:
        if os.geteuid() == 0:
            os.chown(directory, UID, GID)

        def child() -> Any:
            prepare()
            drop_root()
            return work(Path(directory))

        return in_child(child)


def drop_root() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(GID, GID, GID)
        os.setresuid(UID, UID, UID)


@cache
def user_namespaces() -> bool:
    """Whether an ordinary user can have a user namespace and mounts in it, found by trying."""

    def attempt() -> bool:
        drop_root()
        try:
            unshare(CLONE["user"])
            unshare(CLONE["mount"])
        except OSError:
            return False
        return True

    return bool(in_child(attempt))
