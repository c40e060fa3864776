"""The guest's first file system: busybox, the modules that reach the share, and what the guest has of its own.

Python and what it imports are copied into it (`python_files`): each file that is opened by 9p costs several round trips,
milliseconds each under emulation, and a process opens hundreds.

A cpio archive in the format newc (Documentation/driver-api/early-userspace/buffer-format.rst), written here: cpio is a
package less to install, and an archive that is made of values says exactly what the guest gets.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from devproxy.errors import DevproxyError
from devproxy.process import find_program
from hwtests.lab.kernel import Kernel
from hwtests.lab.python_files import python_files

_GUEST: Final = Path(__file__).parent / "guest"
# Everything below is copied to the guest's root.
_ROOT: Final = "root"
_DIRECTORIES: Final = ("dev", "etc", "lab", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var", "var/tmp")
_ETC: Final = {
    # Two users who share the machine: the agents of the README's story.
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    "ci-a:x:1001:1001::/home/ci-a:/bin/sh\nci-b:x:1002:1002::/home/ci-b:/bin/sh\n",
    "group": "root:x:0:\ntty:x:5:\nvideo:x:44:\nrender:x:106:\nnogroup:x:65534:\nci-a:x:1001:\nci-b:x:1002:\n",
    "hosts": "127.0.0.1 localhost\n",
    "hostname": "lab\n",
    "machine-id": "0" * 31 + "1\n",
}
# On a system whose /usr is merged these lead there; the guest has only /usr.
_MERGED: Final = ("bin", "lib", "lib64", "sbin")


class Archive:
    """A cpio archive that grows."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._made: set[str] = set()

    def directory(self, path: str) -> None:
        """A directory, and those above it."""
        parent = os.path.dirname(path)
        if parent:
            self.directory(parent)
        if path not in self._made:
            self._made.add(path)
            self._add(path, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644, mtime: int = 0) -> None:
        """A regular file."""
        self.directory(os.path.dirname(path))
        self._add(path, stat.S_IFREG | mode, content, mtime)

    def copy(self, source: str, below: str) -> None:
        """A file or link of the host, at its own path below a directory; with its time, by which Python knows what it
        has compiled.
        """
        found = os.lstat(source)
        if stat.S_ISLNK(found.st_mode):
            self.link(below + source, os.readlink(source))
        else:
            with open(source, "rb") as file:
                self.file(below + source, file.read(), stat.S_IMODE(found.st_mode), int(found.st_mtime))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self.directory(os.path.dirname(path))
        self._add(path, stat.S_IFLNK | 0o777, os.fsencode(target))

    def encode(self) -> bytes:
        """The archive. Compressed it would take the guest longer."""
        return b"".join([*self._parts, _entry("TRAILER!!!", 0, 0, b"")])

    def _add(self, path: str, mode: int, content: bytes, mtime: int = 0) -> None:
        if path:
            self._parts.append(_entry(path, len(self._parts) + 1, mode, content, mtime))


def _entry(path: str, inode: int, mode: int, content: bytes, mtime: int = 0) -> bytes:
    name = os.fsencode(path) + b"\0"
    # ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    fields = (inode, mode, 0, 0, 1, mtime, len(content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)


def make(kernel: Kernel, stubs: Path | None, settings: dict[str, str]) -> bytes:
    """The archive. `settings` are variables of the guest's shell; a guest without stubs has all tests of the tree."""
    archive = Archive()
    archive.file("bin/busybox", _busybox(), 0o755)
    archive.file("init", (_GUEST / "init").read_bytes(), 0o755)
    copied = python_files(tests=stubs is None)
    archive.file("copied", "".join(f"{directory}\n" for directory in copied).encode())
    for directory, paths in copied.items():
        archive.directory(f"copies{directory}")
        for path in paths:
            archive.copy(path, "copies")
    for number, name in enumerate(kernel.modules):
        archive.file(f"modules/{number:02}-{os.path.basename(name)}.ko", kernel.module(name))
    _add_root(archive, kernel, stubs)
    archive.file(f"{_ROOT}/lab/settings", "".join(f"{name}='{text}'\n" for name, text in settings.items()).encode())
    return archive.encode()


def _add_root(archive: Archive, kernel: Kernel, stubs: Path | None) -> None:
    for name in _DIRECTORIES:
        archive.directory(f"{_ROOT}/{name}")
    for name in _MERGED:
        if not os.path.islink(f"/{name}"):
            raise DevproxyError(f"/{name} is no link into /usr, expected a system with a merged /usr")
        archive.link(f"{_ROOT}/{name}", os.readlink(f"/{name}"))
    for name, text in _ETC.items():
        archive.file(f"{_ROOT}/etc/{name}", text.encode())
    archive.file(f"{_ROOT}/etc/ld.so.cache", Path("/etc/ld.so.cache").read_bytes())
    for rules in kernel.udev_rules.iterdir():
        archive.file(f"{_ROOT}/etc/udev/rules.d/{rules.name}", rules.read_bytes())
    archive.file(f"{_ROOT}/lab/udevadm", kernel.udevadm.read_bytes(), 0o755)
    archive.link(f"{_ROOT}/lab/systemd-udevd", "udevadm")
    archive.file(f"{_ROOT}/lab/kmod", kernel.kmod.read_bytes(), 0o755)
    for name in ("modprobe", "depmod"):
        archive.link(f"{_ROOT}/lab/{name}", "kmod")
    archive.file(f"{_ROOT}/lab/busybox", _busybox(), 0o755)
    archive.file(f"{_ROOT}/lab/main", (_GUEST / "main").read_bytes(), 0o755)
    for made in stubs.iterdir() if stubs else ():
        archive.file(f"{_ROOT}/lab/{made.name}", made.read_bytes(), 0o755)


def _busybox() -> bytes:
    program = find_program("busybox")
    if program is None:
        raise DevproxyError("the lab needs busybox, linked statically", hint="apt-get install busybox-static")
    return Path(program).read_bytes()
