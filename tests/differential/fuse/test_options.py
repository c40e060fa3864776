"""What a fuse mount is told, the kernel and we take or refuse alike, and show alike in mountinfo."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from random import Random

import pytest

from tests.differential.vfs import kernel
from tests.differential.vfs import recipes as st
from vfs import ROOT, MountOptions, VirtualFilesystem
from vfs.fs.fuse import FuseType

pytestmark = [
    pytest.mark.root,
    pytest.mark.property,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse"),
]

NUMBERS = st.sampled_from(
    [
        "0",
        "1",
        "010",
        "0x10",
        "08",
        "+7",
        "-1",
        "",
        " 1",
        "1 ",
        "4294967294",
        "4294967295",
        "4294967296",
        "1k",
        "0x",
        "1_0",
    ]
)
MODES = st.sampled_from(
    ["40755", "100644", "120777", "040000", "0", "755", "8", "0x4000", "+40755", "140000", "170000", "-1", ""]
)
WORDS = st.one_of(
    st.builds("user_id={}".format, NUMBERS),
    st.builds("group_id={}".format, NUMBERS),
    st.builds("max_read={}".format, NUMBERS),
    st.builds("rootmode={}".format, MODES),
    st.builds("blksize={}".format, st.sampled_from(["512", "x"])),
    st.builds("subtype={}".format, st.sampled_from(["a", "b", ""])),
    st.builds("fd={}".format, st.sampled_from(["999", "x", "-1", ""])),
    st.sampled_from(
        [
            *(
                "default_permissions",
                "allow_other",
                "default_permissions=1",
                "allow_other=",
                "max_read",
                "user_id",
                "fd",
            ),
            *(
                "rootmode",
                "nonsense",
                "nonsense=1",
                "max_read=8192",
                "",
                "user_id=5",
                "group_id=6",
                "allow_other,allow_other",
            ),
        ]
    ),
)
REQUIRED = ("fd=FD", "rootmode=40000", "user_id=0", "group_id=0")
TYPES = st.sampled_from(["fuse", "fuse", "fuse", "fuse.sub", "fuse.", "fuse.a.b"])


def _options(random: Random) -> tuple[str, str]:
    words = [word for word in REQUIRED if random.random() < 0.97]
    words += st.lists(WORDS, max_size=2).draw(random)
    random.shuffle(words)
    return TYPES.draw(random), ",".join(words)


def by_kernel(cases: list[tuple[str, str]]) -> list[object]:
    def attempt(case: tuple[str, str]) -> object:
        fstype, words = case
        device = os.open("/dev/fuse", os.O_RDWR)
        try:
            data = words.replace("FD", str(device)).encode()
            if kernel.libc.mount(b"source", b"mnt", fstype.encode(), 0, data):
                return errno.errorcode[ctypes.get_errno()]
            with open("/proc/self/mountinfo") as lines:
                told = lines.read().splitlines()[-1].partition(" - ")[2].split(" ")
            kernel.check(kernel.libc.umount2(b"mnt", 2))
            return told
        finally:
            os.close(device)

    def job() -> list[object]:
        os.mkdir("mnt")
        return [attempt(case) for case in cases]

    return kernel.in_children([job], kernel.prepare)[0]


def by_us(case: tuple[str, str]) -> object:
    fstype, words = case
    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(FuseType())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        options = MountOptions(data=words.replace("FD", str(ours.fileno())))
        try:
            mount = vfs.mount_disconnected(ROOT, "source", fstype, options)
        except OSError as problem:
            return errno.errorcode[problem.errno or 0]
        told = [mount.fs.type_name, "source", f"rw,{mount.fs.mount_options()}"]
        vfs.discard_mount(mount)
        return told


def test_any_options_are_taken_and_shown_alike() -> None:
    random = Random("fuse options")
    cases = [_options(random) for _ in range(600)]
    theirs = by_kernel(cases)
    differences = [
        (case, ours, kernels)
        for case, kernels in zip(cases, theirs, strict=True)
        if not _same(case, ours := by_us(case), kernels)
    ]
    assert not differences
    taken = sum(isinstance(each, list) for each in theirs)
    assert 100 < taken < 500


def _same(case: tuple[str, str], ours: object, kernels: object) -> bool:
    if isinstance(ours, list) and isinstance(kernels, list):
        return ours == kernels
    # The kernel looks at the place at once, a directory here: no file is mounted on it, and no link anywhere.
    elsewhere = kernels == "ENOTDIR" or (kernels == "EINVAL" and "rootmode=120777" in case[1])
    return ours == kernels or (elsewhere and isinstance(ours, list))
