"""The key host-fifo, from the configuration to a fifo (S21)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import devproxy
from devproxy.oci.configuration import parse_configuration
from devproxy.targets.memory.root import MemoryRoot
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from vfs import ROOT, File, OpenOptions, PathOperation


def open_fifo(tmp_path: Path, *pairs: str) -> File:
    """Open for writing, in a root in memory, a fifo of a bind that has a reader on the machine; the root is gone by then."""
    config = runc_spec_like(mounts=[{"destination": "/s", "source": f"{tmp_path}/source", "options": ["bind"]}])
    plan = devproxy.plan(
        devproxy.load(write_bundle(tmp_path / "bundle", config, rootfs="empty")),
        host_with_gpus(),
        config=parse_configuration(None, pairs).configuration,
    )
    with devproxy.build(plan, "memory") as root:
        tree = root.tree
        assert isinstance(tree, MemoryRoot)
        place = tree.namespace.root
        return tree.vfs.open_at(ROOT, PathOperation(place, place, "/s/fifo"), OpenOptions(os.O_WRONLY | os.O_NONBLOCK))


def test_a_fifo_of_a_bind_is_the_machines_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source" / "fifo")
    reader = os.open(tmp_path / "source" / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with open_fifo(tmp_path, "host-fifo=open") as writer:
            assert writer.write(b"hello") == 5
        assert os.read(reader, 10) == b"hello"
        with pytest.raises(OSError) as alone:
            open_fifo(tmp_path)
        assert alone.value.errno == errno.ENXIO, "the reader on the machine is none of the VFS's"
    finally:
        os.close(reader)
