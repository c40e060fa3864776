"""A saved root as a layer of an image, put together by umoci: the container that saved it saw the same tree."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.launch import launch
from tests.bundles import fill_with_busybox
from tests.saves import bundle, planned

pytestmark = [
    pytest.mark.root,
    pytest.mark.peer,
    pytest.mark.rows("H20", "H29", oracle="specification"),
    pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed"),
]

# What the process sees of a kernel's, of the plan's and of the host's is no part of a layer.
NOT_SAVED = {"dev", "proc", "sys", "ro", "over", "file"}
SCRIPTS = [
    "true",
    "echo new > /etc/new; ln /etc/new /etc/again; ln -s ../../x /d/away; mkfifo /fifo; mkdir -p /a/b/c; touch /a/b/c/d",
    "rm /etc/hosts; rm -r /d/sub; rm /d/g; echo over > /d/f",
    "rm -r /d; mkdir /d; touch /d/only; chmod 1770 /d; chown 1000:7 /d/only",
    "rm -r /d; echo file > /d; rm /etc/hosts; mkdir /etc/hosts; echo x > /etc/hosts/x",
    "echo in > /data/in; mkdir -p /tmp/deep/er; chmod 4755 /bin/busybox; touch -d '2001-02-03 04:05:06' /d/f",
    "dd if=/dev/zero of=/sparse bs=1 count=5 seek=3000000; n=$(printf 'x%.0s' $(seq 200)); mkdir /$n; touch /$n/$n; ln /$n/$n /$n/y",
    "mv /d/sub/x /moved; mv /d/l /d/k; ln /d/f /d/h; chmod 0 /d/sub; rmdir /over/s 2>/dev/null; : > /d/sub/deep/y",
    "touch '/ ' /ümläut \"/$(printf '\\377\\376')\"; rm -f /bin/sh; touch /bin/sh; rm /bin/ls; mkdir /bin/ls",
]


def _entry(path: str, name: str, links: dict[tuple[int, int], str]) -> dict[str, Any]:
    found = os.lstat(path)
    entry: dict[str, Any] = {"mode": found.st_mode, "owner": (found.st_uid, found.st_gid)}
    if stat.S_ISREG(found.st_mode):
        entry |= {"time": found.st_mtime_ns, "size": found.st_size, "xattrs": _xattrs(path)}
        entry["data"] = Path(path).read_bytes() if found.st_size < 1 << 22 else None
        if found.st_nlink > 1:
            # Of names in two layers each tells how many there were.
            first = links.setdefault((found.st_dev, found.st_ino), name)
            entry |= {"first": first} if first != name else {}
    if stat.S_ISLNK(found.st_mode):
        entry["link"] = os.readlink(path)
    return entry


def _xattrs(path: str) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}


def tree(base: str) -> dict[str, dict[str, Any]]:
    """Everything below a directory but for what is not saved, by its path."""
    found: dict[str, dict[str, Any]] = {}
    links: dict[tuple[int, int], str] = {}
    for directory, directories, files in os.walk(base):
        below = os.path.relpath(directory, base)
        if below == ".":
            directories[:] = [name for name in directories if name not in NOT_SAVED]
        directories.sort()
        for name in sorted([*directories, *files]):
            path = os.path.normpath(os.path.join(below, name))
            if path not in NOT_SAVED:
                found[path] = _entry(os.path.join(directory, name), path, links)
    return found


def umoci(*arguments: str) -> None:
    done = subprocess.run(["umoci", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def unpacked(base: Path, layer: str, work: Path) -> str:
    """The root file system of an image of two layers."""
    image = str(work / "image")
    umoci("init", "--layout", image)
    umoci("new", "--image", f"{image}:t")
    tar = work / "base.tar"
    subprocess.run(["tar", "-C", str(base), "--xattrs", "--format=posix", "-cf", str(tar), "."], check=True)
    for each in (str(tar), layer):
        umoci("raw", "add-layer", "--image", f"{image}:t", each)
    umoci("unpack", "--image", f"{image}:t", str(work / "unpacked"))
    return str(work / "unpacked" / "rootfs")


def _seen(root: Root) -> dict[str, dict[str, Any]]:
    return tree(f"/proc/{root.tree.pid}/root")  # type: ignore[attr-defined]


@pytest.mark.parametrize("script", SCRIPTS)
def test_umoci_makes_the_same_tree(script: str, tmp_path: Path) -> None:
    path = bundle(tmp_path / "b")
    rootfs = Path(path, "rootfs")
    fill_with_busybox(str(rootfs))
    plan = planned(path, "root:memory")
    layer = str(tmp_path / "layer.tar")
    with devproxy.build(plan, "kernel", keep=True) as root:
        shell = ["chroot", f"/proc/{root.tree.pid}/root", "/bin/busybox", "sh", "-c", script]  # type: ignore[attr-defined]
        subprocess.run(shell, check=False, capture_output=True)
        seen = _seen(root)
        root.save(layer)
    assert tree(unpacked(rootfs, layer, tmp_path)) == seen
    with devproxy.build(plan, "kernel", restore=layer) as root:
        assert _seen(root) == seen


def test_what_a_process_of_the_container_does_is_seen_so_too(tmp_path: Path) -> None:
    path = bundle(tmp_path / "b")
    fill_with_busybox(str(Path(path, "rootfs")))
    layer = str(tmp_path / "layer.tar")
    with devproxy.build(planned(path, "root:memory"), "kernel", keep=True) as root:
        script = "rm -r /d; mkdir -p /new/dir; echo 1 > /new/dir/file; echo 2 > /tmp/2; exit 5"
        assert launch(root, ["sh", "-c", script]) == 5
        root.save(layer)
    found = tree(unpacked(Path(path, "rootfs"), layer, tmp_path))
    assert found["new/dir/file"]["data"] == b"1\n"
    assert found["tmp/2"]["data"] == b"2\n"
    assert "d" not in found
