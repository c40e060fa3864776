"""What a process finds in a sandbox of runsc's: its file system types, what its device files do. The same in memory."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.oci.configuration import parse_configuration
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.cases import ALL, device
from tests.differential.peers import require, run
from tests.vfs.world import World
from vfs import ROOT

pytestmark = [pytest.mark.root, pytest.mark.peer]

# 240:7 and 7:9 have no driver in a sandbox.
NODES = [device("/dev/nobody", "c", 240, 7), device("/dev/nothing", "b", 7, 9)]
ALLOWED = {"devices": [{"allow": True, "access": "rwm"}]}
DEVICES = ("null", "zero", "full", "random", "urandom", "net/tun", "fuse", "nobody", "nothing")
# What reading eight bytes of each gives (of random ones how many), and what writing two.
LOOK = f"""
cat /proc/filesystems; echo --
mknod /dev/nobody c 240 7; mknod /dev/nothing b 7 9; cd /run
for name in {" ".join(DEVICES)}; do
    if dd if=/dev/$name of=read bs=8 count=1 2> error; then
        case $name in *random) wc -c < read;; *) od -An -tx1 read;; esac > shown
    else
        sed 's/.*: //' error > shown
    fi
    (echo x > /dev/$name) 2> error && echo written > error
    echo $name: $(cat shown): $(sed 's/.*: //' error)
done
ls /dev/net
"""
TYPES = (
    "tmpfs",
    "tmpfs.sub",
    "tmpfs.a.b",
    "tmpfs.",
    ".tmpfs",
    "nobodys",
    "nobodys.tmpfs",
    "devtmpfs.x",
    "Tmpfs",
    "tmpfs ",
)
MOUNT = "\n".join(f"mount -t '{name}' none /tmp 2>/dev/null; echo $?" for name in TYPES)


def bundle(directory: str, script: str, **changes: Any) -> str:
    capabilities = {name: [*ALL, "CAP_SYS_ADMIN"] for name in ("bounding", "effective", "permitted")}
    config = runc_spec_like(root={"readonly": False}, **changes)
    config["process"] |= {"args": ["/bin/sh", "-c", script], "capabilities": capabilities}
    return write_bundle(f"{directory}/bundle", config)


@cache
def inside(script: str, network: str = "none") -> list[str]:
    """What a script prints in a sandbox."""
    with tempfile.TemporaryDirectory() as directory:
        flags = ["--root", f"{directory}/state", f"--network={network}", "--ignore-cgroups", "--platform=ptrace"]
        name = f"devproxy-{uuid.uuid4().hex[:12]}"
        _, out, err = run(require("runsc"), *flags, "run", "--bundle", bundle(directory, script), name)
    assert out, err
    return out.splitlines()


def in_memory(tmp_path: Path, *settings: str) -> Root:
    path = bundle(str(tmp_path), "true", linux={"devices": NODES, "resources": ALLOWED})
    config = parse_configuration(None, list(settings)).configuration
    return devproxy.build(devproxy.plan(devproxy.load(path), devproxy.probe(), config=config))


@pytest.mark.rows("S1", oracle="runsc")
def test_the_types_are_those_of_runsc(tmp_path: Path) -> None:
    out = inside(LOOK)
    theirs = {line.replace("9p", "hostfs") for line in out[: out.index("--")]}
    with in_memory(tmp_path) as root:
        ours = root.read_bytes("/proc/filesystems").decode().splitlines()
    assert len(ours) == len(set(ours))
    assert set(ours) == theirs | {"nodev\tcgroup2"}  # H25


@pytest.mark.rows("S2", oracle="runsc")
def test_a_type_is_found_as_runsc_finds_it() -> None:
    ours = dict.fromkeys(TYPES, "0")
    for name in TYPES:
        try:
            World().vfs.mount_disconnected(ROOT, "none", name)
        except OSError as error:
            ours[name] = os.strerror(error.errno or 0)
    theirs = inside(MOUNT)
    assert ours == dict(
        zip(TYPES, (os.strerror(errno.ENODEV) if code == "255" else code for code in theirs), strict=True)
    )


def read(root: Root, name: str) -> str:
    try:
        with root.open(f"/dev/{name}", "rb", devices=True) as file:
            found = file.read(8)
    except OSError as error:
        return os.strerror(error.errno or 0)
    return str(len(found)) if name.endswith("random") else found.hex(" ")


def write(root: Root, name: str) -> str:
    try:
        with root.open(f"/dev/{name}", "wb", devices=True) as file:
            file.write(b"x\n")
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "written"


@pytest.mark.rows("S4", "S9", "S10", oracle="runsc")
def test_devices_are_read_and_written_as_in_runsc(tmp_path: Path) -> None:
    out = inside(LOOK)
    with in_memory(tmp_path) as root:
        ours = [f"{name}: {read(root, name)}: {write(root, name)}" for name in DEVICES]
    assert ours == out[out.index("--") + 1 :][: len(DEVICES)]


@pytest.mark.rows("S10", "H26", oracle="kernel")
def test_without_a_terminal_there_is_no_dev_tty(tmp_path: Path) -> None:
    """runsc of 2022 says EIO; newer gVisor what Linux says."""
    ask = "import os; os.setsid()\ntry: os.open('/dev/tty', os.O_RDWR)\nexcept OSError as error: print(os.strerror(error.errno))"
    _, theirs, _ = run(sys.executable, "-c", ask)
    with in_memory(tmp_path) as root:
        assert read(root, "tty") == write(root, "tty") == theirs.strip() == os.strerror(errno.ENXIO)


@pytest.mark.parametrize(("network", "setting"), [("none", "tun=true"), ("host", "tun=false")])
@pytest.mark.rows("S3", oracle="runsc")
def test_tun_is_there_unless_the_network_is_the_hosts(network: str, setting: str, tmp_path: Path) -> None:
    theirs = inside("ls /dev/net 2>&1; echo --; ls /dev", network)
    with in_memory(tmp_path, setting) as root:
        assert ("net" in root.listdir("/dev") and root.listdir("/dev/net") == ["tun"]) == (theirs[0] == "tun")
        ours = set(root.listdir("/dev")) - {"char", "block", "nobody", "nothing", "mqueue"}  # H1, S48
    assert ours == set(theirs[theirs.index("--") + 1 :])
    assert ("net" in ours) == (network == "none")
