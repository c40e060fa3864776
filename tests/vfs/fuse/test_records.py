"""The structures have the layout that a C compiler gives those of <linux/fuse.h>."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vfs.fuse import abi, messages, records

HEADER = "/usr/include/linux/fuse.h"
pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(shutil.which("gcc") is None or not os.path.exists(HEADER), reason="needs gcc and linux/fuse.h"),
]

STRUCTURES: dict[str, tuple[records.Record[Any], tuple[str, ...]]] = {
    "fuse_in_header": (records.IN_HEADER, ("len", "opcode", "unique", "nodeid", "uid", "gid", "pid")),
    "fuse_out_header": (records.OUT_HEADER, ("len", "error", "unique")),
    "fuse_init_in": (records.INIT_IN, ("major", "minor", "max_readahead", "flags", "flags2")),
    "fuse_init_out": (
        records.INIT_OUT,
        (
            *("major", "minor", "max_readahead", "flags", "max_background", "congestion_threshold", "max_write"),
            *("time_gran", "max_pages", "map_alignment", "flags2"),
        ),
    ),
    "fuse_attr": (
        records.ATTR,
        (
            *("ino", "size", "blocks", "atime", "mtime", "ctime", "atimensec", "mtimensec", "ctimensec"),
            *("mode", "nlink", "uid", "gid", "rdev", "blksize", "flags"),
        ),
    ),
    "fuse_forget_in": (records.FORGET_IN, ("nlookup",)),
    "fuse_forget_one": (records.FORGET_ONE, ("nodeid", "nlookup")),
    "fuse_batch_forget_in": (records.BATCH_FORGET_IN, ("count",)),
    "fuse_getattr_in": (records.GETATTR_IN, ("getattr_flags", "fh")),
    "fuse_setattr_in": (
        records.SETATTR_IN,
        (
            *("valid", "fh", "size", "lock_owner", "atime", "mtime", "ctime", "atimensec", "mtimensec", "ctimensec"),
            *("mode", "uid", "gid"),
        ),
    ),
    "fuse_mknod_in": (records.MKNOD_IN, ("mode", "rdev", "umask")),
    "fuse_mkdir_in": (records.MKDIR_IN, ("mode", "umask")),
    "fuse_rename_in": (records.RENAME_IN, ("newdir",)),
    "fuse_rename2_in": (records.RENAME2_IN, ("newdir", "flags")),
    "fuse_link_in": (records.LINK_IN, ("oldnodeid",)),
    "fuse_open_in": (records.OPEN_IN, ("flags", "open_flags")),
    "fuse_create_in": (records.CREATE_IN, ("flags", "mode", "umask", "open_flags")),
    "fuse_open_out": (records.OPEN_OUT, ("fh", "open_flags")),
    "fuse_release_in": (records.RELEASE_IN, ("fh", "flags", "release_flags", "lock_owner")),
    "fuse_flush_in": (records.FLUSH_IN, ("fh", "lock_owner")),
    "fuse_lk_in": (records.LK_IN, ("fh", "owner", "lk.start", "lk.end", "lk.type", "lk.pid", "lk_flags")),
    "fuse_lk_out": (records.LK_OUT, ("lk.start", "lk.end", "lk.type", "lk.pid")),
    "fuse_read_in": (records.DATA_IN, ("fh", "offset", "size", "read_flags", "lock_owner", "flags")),
    "fuse_write_in": (records.DATA_IN, ("fh", "offset", "size", "write_flags", "lock_owner", "flags")),
    "fuse_write_out": (records.WRITE_OUT, ("size",)),
    "fuse_kstatfs": (
        records.KSTATFS,
        ("blocks", "bfree", "bavail", "files", "ffree", "bsize", "namelen", "frsize"),
    ),
    "fuse_fsync_in": (records.FSYNC_IN, ("fh", "fsync_flags")),
    "fuse_getxattr_in": (records.GETXATTR_IN, ("size",)),
    "fuse_access_in": (records.ACCESS_IN, ("mask",)),
    "fuse_interrupt_in": (records.INTERRUPT_IN, ("unique",)),
    "fuse_ioctl_in": (records.IOCTL_IN, ("fh", "flags", "cmd", "arg", "in_size", "out_size")),
    "fuse_ioctl_out": (records.IOCTL_OUT, ("result", "flags", "in_iovs", "out_iovs")),
    "fuse_fallocate_in": (records.FALLOCATE_IN, ("fh", "offset", "length", "mode")),
    "fuse_lseek_in": (records.LSEEK_IN, ("fh", "offset", "whence")),
    "fuse_lseek_out": (records.LSEEK_OUT, ("offset",)),
    "fuse_copy_file_range_in": (
        records.COPY_FILE_RANGE_IN,
        ("fh_in", "off_in", "nodeid_out", "fh_out", "off_out", "len", "flags"),
    ),
    "fuse_notify_inval_inode_out": (records.NOTIFY_INVAL_INODE, ("ino", "off", "len")),
    "fuse_notify_inval_entry_out": (records.NOTIFY_INVAL_ENTRY, ("parent", "namelen", "flags")),
    "fuse_notify_delete_out": (records.NOTIFY_DELETE, ("parent", "child", "namelen")),
    "fuse_notify_store_out": (records.NOTIFY_STORE, ("nodeid", "offset", "size")),
    "fuse_notify_retrieve_out": (records.NOTIFY_RETRIEVE, ("notify_unique", "nodeid", "offset", "size")),
    "fuse_notify_retrieve_in": (records.NOTIFY_RETRIEVE_IN, ("offset", "size")),
    "fuse_dirent": (records.DIRENT, ("ino", "off", "namelen", "type")),
}
NUMBERS = {
    **{f"FUSE_{opcode.name}": int(opcode) for opcode in abi.Opcode},
    **{f"FUSE_NOTIFY_{code.name}": int(code) for code in abi.Notify},
    **{f"FUSE_{flag.name}": int(flag) for flag in abi.InitFlags},
    **{name: getattr(abi, name) for name in dir(abi) if name.startswith(("FATTR_", "FOPEN_"))},
    "FUSE_LK_FLOCK": abi.LK_FLOCK,
    "FUSE_RELEASE_FLOCK_UNLOCK": abi.RELEASE_FLOCK_UNLOCK,
    "FUSE_GETATTR_FH": abi.GETATTR_FH,
    "FUSE_FSYNC_FDATASYNC": abi.FSYNC_FDATASYNC,
    "FUSE_IOCTL_DIR": abi.IOCTL_DIR,
    "FUSE_IOCTL_RETRY": abi.IOCTL_RETRY,
    "FUSE_ROOT_ID": abi.ROOT_ID,
    "sizeof(struct fuse_entry_out)": messages.ENTRY_SIZE,
    "sizeof(struct fuse_attr_out)": messages.ATTR_REPLY_SIZE,
    "FUSE_COMPAT_SETXATTR_IN_SIZE": records.SETXATTR_IN.size,
    "sizeof(struct fuse_getxattr_out)": records.GETXATTR_OUT.size,
}


def compiled(directory: Path) -> Path:
    """A program that reads bytes and tells the fields that a structure made of them has."""
    lines = ["#include <stdio.h>", "#include <string.h>", f"#include <{HEADER.removeprefix('/usr/include/')}>"]
    lines.append("int main(void) { static union { unsigned char bytes[256]; } in; fread(&in, 1, 256, stdin);")
    for name, (_, fields) in STRUCTURES.items():
        lines.append(f'{{ struct {name} s; memcpy(&s, &in, sizeof s); printf("{name} %zu", sizeof s);')
        lines += [f'printf(" %llu", (unsigned long long) s.{field});' for field in fields]
        lines.append('printf("\\n"); }')
    lines += [f'printf("{name} = %llu\\n", (unsigned long long) {name});' for name in NUMBERS]
    lines.append("return 0; }")
    (directory / "records.c").write_text("\n".join(lines))
    subprocess.run(["gcc", "-w", "-o", directory / "records", directory / "records.c"], check=True)
    return directory / "records"


def test_layouts_and_numbers(tmp_path: Path) -> None:
    pattern = bytes(range(1, 128)) * 2 + bytes(2)
    told = subprocess.run([compiled(tmp_path)], input=pattern, capture_output=True, check=True).stdout.decode()
    structures = {line.split()[0]: line.split()[1:] for line in told.splitlines() if " = " not in line}
    for name, (record, _) in STRUCTURES.items():
        size, *fields = map(int, structures[name])
        values = record.unpack(pattern)
        ours = values if isinstance(values, tuple) else (values,)
        assert (name, record.size, [value % (1 << 64) for value in ours]) == (name, size, fields)
    numbers = dict(re.findall(r"^(.+) = (\d+)$", told, re.MULTILINE))
    assert {name: int(value) for name, value in numbers.items()} == NUMBERS


@pytest.mark.parametrize(
    "rdev", [0, os.makedev(1, 3), os.makedev(240, 7), os.makedev(4095, 0xFFFFF), os.makedev(5, 300)]
)
def test_device_numbers_travel(rdev: int) -> None:
    assert messages.decode_device(messages.encode_device(rdev)) == rdev


def test_what_was_packed_is_unpacked() -> None:
    listed = [messages.Listed(5, 1, 0o100000, "a"), messages.Listed(6, 2, 0o040000, "eight888")]
    assert messages.unpack_listing(b"".join(messages.pack_listed(each) for each in listed)) == listed
    out = records.EntryOut(1, 2, 3, 4, 5, 6)
    attr = records.Attr(*range(16))
    assert messages.unpack_entry(messages.pack_entry(out, attr)) == messages.Entry(out, attr)
    assert messages.split_strings(messages.strings("a", "\udcff") + b"rest", 2) == (["a", "\udcff"], b"rest")
