"""The options of a tmpfs beside the kernel's: which are taken, and how large it is then."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devproxy.linux import mounts
from vfs.credentials import ROOT
from vfs.fs.tmpfs.filesystem import TmpfsFilesystem
from vfs.virtual_filesystem import VirtualFilesystem

Facts = tuple[int, int, int, int, int]


def on_the_kernel(option: str) -> Facts | str:
    """Blocks, inodes, mode and owner of a tmpfs with one option, or the errno."""
    context = mounts.fsopen("tmpfs")
    try:
        key, equals, value = option.partition("=")
        if equals:
            mounts.fsconfig_string(context, key, value)
        else:
            mounts.fsconfig_flag(context, key)
        mounts.fsconfig_create(context)
        mount = mounts.fsmount(context, 0)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        os.close(context)
    try:
        space, root = os.fstatvfs(mount), os.fstat(mount)
        return space.f_blocks, space.f_files, stat.S_IMODE(root.st_mode), root.st_uid, root.st_gid
    finally:
        os.close(mount)


def in_memory(option: str) -> Facts | str:
    """The same of ours. What the option leaves open is the kernel's default, half of the machine's memory."""
    try:
        fs = TmpfsFilesystem(VirtualFilesystem(), ROOT, option)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    root = fs.root.inode.stat()
    found = on_the_kernel("noswap")
    assert not isinstance(found, str)
    key = option.partition("=")[0]
    blocks = (fs.max_pages or 0) if key in ("size", "nr_blocks") else found[0]
    inodes = (fs.max_inodes or 0) if key == "nr_inodes" else found[1]
    return blocks, inodes, stat.S_IMODE(root.st_mode), root.st_uid, root.st_gid


NUMBERS = st.text(alphabet="0178xXaeEkKmgTp%+-.,", max_size=6) | st.integers(0, 1 << 66).map(str)
POLICIES = st.builds(
    lambda mode, flags, nodes: mode + flags + nodes,
    st.sampled_from(
        ["default", "prefer", "bind", "interleave", "local", "prefer (many)", "weighted interleave", "Bind", ""]
    ),
    st.sampled_from(["", "=static", "=relative", "=static=relative", "=", "=x"]),
    # Every machine has the node 0.
    st.sampled_from(["", ":", ":0", ":0-0", ":0,0", ":x", ":0:0", ":0-", ":,"]),
).map(lambda policy: f"mpol={policy}")
OPTIONS = (
    st.builds(lambda key, value: f"{key}={value}", st.sampled_from(["size", "nr_blocks", "nr_inodes"]), NUMBERS)
    | st.builds(lambda key, value: f"{key}={value}", st.sampled_from(["mode", "uid", "gid"]), NUMBERS)
    | POLICIES
    | st.sampled_from(["always", "never", "within_size", "advise", "deny", "force", "", "x"]).map("huge={}".format)
    | st.sampled_from(
        ["inode32", "inode64", "noswap", "inode64=1", "noswap=", "huge", "mpol", "size", "other", "other=1"]
    )
)


@pytest.mark.rows("S54", "S55", oracle="kernel")
@pytest.mark.root
@pytest.mark.property
@given(option=OPTIONS)
@example("size=010000")
@example("size=0x100000")
@example("size=0xek")
@example("size=08")
@example("size=0x")
@example("size=16e")
@example("size=18446744073709551615")
@example("size=99999999999999999999")
@example("size=0x10%")
@example("size=k")
@example("nr_blocks=18446744073709551615")
@example("nr_inodes=18014398509481984")
@example("uid=010")
@example("uid=+5")
@example("mode=+7")
@example("mode=7777777")
@example("mpol=prefer:0-0")
@example("mpol=default=x")
@example("huge=always")
@example("inode64")
def test_an_option_means_what_it_means_to_the_kernel(option: str) -> None:
    assert in_memory(option) == on_the_kernel(option)
