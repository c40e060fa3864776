"""What an overlay may be mounted with, and what mountinfo shows then: ours and the kernel's."""

from __future__ import annotations

import os
import tempfile
from functools import partial

import pytest

from tests.differential.vfs import kernel
from tests.differential.vfs.kernel import CLONE_NEWNS, MS_PRIVATE, MS_REC, check, libc
from vfs import ROOT, MountOptions, PathOperation, VirtualDentry, VirtualFilesystem
from vfs.fs.overlay import OverlayOptions, OverlayType
from vfs.fs.tmpfs import TmpfsType
from vfs.mountinfo import mountinfo

pytestmark = pytest.mark.root

DIRECTORIES = ["l1", "l2", "l1/in", "u", "u/x", "u2", "w", "w2", "m", "a:b", "c\\d", "e f", "a,b"]
_W = ",upperdir=u,workdir=w"
TEXTS = [
    *("", "lowerdir=l1", "lowerdir=l1:l2", ",lowerdir=l1:l2,", "lowerdir=l1,upperdir=u", "lowerdir=l1,workdir=w"),
    *("lowerdir=l1:l2,workdir=w", "upperdir=u,workdir=w", f"lowerdir{_W}", f"lowerdir={_W}", "upperdir=,lowerdir=l1"),
    *(f"lowerdir=l1{_W}", f"lowerdir=l1,lowerdir=l2{_W}", f"lowerdir=l1,upperdir=u2{_W}", f"lowerdir=l1,foo{_W}"),
    *(f"lowerdir+=l1,lowerdir+=l2{_W}", f"lowerdir=l1,lowerdir+=l2{_W}", f"lowerdir+=l1,lowerdir=l2{_W}"),
    *("lowerdir=l1,upperdir=u,workdir=u/x", "lowerdir=l1,upperdir=u/x,workdir=u", "lowerdir=l1,upperdir=u,workdir=u"),
    *(f"lowerdir=l1:l1{_W}", "lowerdir=l1,upperdir=l1,workdir=w", "lowerdir=l1,upperdir=l1/in,workdir=w"),
    *(
        "lowerdir=l1/in,upperdir=l1,workdir=w",
        "lowerdir=l1,upperdir=u,workdir=l1",
        f"lowerdir=u{_W}",
        f"lowerdir=w{_W}",
    ),
    *("lowerdir=l1,upperdir=u,workdir=l1/in", f"lowerdir=l1:l1/in{_W}", f"lowerdir=l1/in:l1{_W}", "lowerdir=l1:l1"),
    *(f"lowerdir=l1:l2:{_W}", f"lowerdir=:l1{_W}", f"lowerdir=l1:::l2{_W}"),
    *(f"lowerdir=a\\:b:l1{_W}", f"lowerdir=c\\\\d:l1{_W}", f"lowerdir=c\\d:l1{_W}", f"lowerdir=e f:l1{_W}"),
    *(f"lowerdir+=a:b{_W}", f"lowerdir+=a\\:b{_W}", "lowerdir=l1,upperdir=a:b,workdir=w"),
    *("lowerdir=l1,upperdir=a\\:b,workdir=w", f"lowerdir=a\\,b{_W}"),
    *(f"lowerdir=nope{_W}", f"lowerdir=file{_W}", "lowerdir=l1,upperdir=file,workdir=w", f"lowerdir=file/x{_W}"),
    *("lowerdir=l1,upperdir=u,workdir=file", f"lowerdir=link{_W}", f"lowerdir=l1,default_permissions{_W}"),
    *(f"lowerdir=l1,redirect_dir={word}{_W}" for word in ("on", "off", "follow", "nofollow", "x")),
    *(f"lowerdir=l1:l2,redirect_dir={word}" for word in ("on", "off", "follow", "nofollow")),
    *(f"lowerdir=l1,userxattr{_W}", "lowerdir=l1:l2,userxattr", f"lowerdir=l1,userxattr=1{_W}"),
    *(f"lowerdir=l1,userxattr,redirect_dir={word}{_W}" for word in ("on", "off", "follow", "nofollow")),
    *(f"lowerdir=l1,volatile{_W}", "lowerdir=l1:l2,volatile"),
    f"lowerdir=l1,index=off,metacopy=off,xino=off,nfs_export=off,verity=off{_W}",
]


def _kernel(place: str, text: str) -> list[object]:
    check(libc.unshare(CLONE_NEWNS))
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    check(libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, b""))
    os.chdir(place)
    for name in DIRECTORIES:
        os.mkdir(name)
    with open("file", "wb"):
        os.symlink("l1", "link")
    try:
        check(libc.mount(b"overlay", b"m", b"overlay", 0, text.encode()))
    except OSError as refused:
        return [refused.errno]
    with open("/proc/self/mountinfo", encoding="ascii") as lines:
        (row,) = (line.rstrip("\n") for line in lines if f" {place}/m " in line)
    # That file handles tell of the overlay is not shown by ours, which has none.
    return [row.split(" ", 5)[5].replace(",uuid=on", "")]


def _ours(text: str) -> list[object]:
    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(TmpfsType())
    vfs.register_filesystem_type(OverlayType())
    namespace = vfs.new_mount_namespace(ROOT, "none", "tmpfs")
    root: VirtualDentry = namespace.root
    for name in DIRECTORIES:
        vfs.mkdir_at(ROOT, PathOperation(root, root, name))
    vfs.make_synthetic_mountpoint(ROOT, PathOperation(root, root, "file"), directory=False)
    vfs.symlink_at(ROOT, PathOperation(root, root, "link"), "l1")
    options = MountOptions(data=text, internal=OverlayOptions(root=root, start=root))
    mounts_before = len(mountinfo(namespace))
    try:
        vfs.mount_at(ROOT, "overlay", PathOperation(root, root, "m"), "overlay", options)
    except OSError as refused:
        assert len(mountinfo(namespace)) == mounts_before
        return [refused.errno]
    return [mountinfo(namespace)[-1].split(" ", 5)[5].replace("rw -", "rw,relatime -", 1)]


def test_the_same_texts_name_an_overlay() -> None:
    place = tempfile.mkdtemp(dir=kernel.PLACE)
    try:
        theirs = kernel.in_children([partial(_kernel, place, text) for text in TEXTS])
    finally:
        os.rmdir(place)
    told = [(text, _ours(text), their) for text, their in zip(TEXTS, theirs, strict=True)]
    assert [row for row in told if row[1] != row[2]] == []
