"""What a file system does with one path, whatever file system it is: ours, the kernel's, and those of Python packages."""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PAGE = bytes(4096)
_CHUNK = bytes(64 * 1024)
CHUNKS = 64
"""How many chunks of 64 KiB `write` writes."""


class Files(Record):
    """The calls that are measured. `write` makes a file of 4 MiB in chunks, `names` lists the directory they all work in."""

    create: Callable[[str], None]
    fill: Callable[[str], None]
    read: Callable[[str], None]
    rename: Callable[[str, str], None]
    unlink: Callable[[str], None]
    write: Callable[[str], None]
    names: Callable[[], list[str]]


def of_vfs() -> Files:
    """Our tmpfs, called as its users do."""
    from vfs.credentials import ROOT
    from vfs.fs.tmpfs import TmpfsType
    from vfs.options import OpenOptions
    from vfs.resolve import PathOperation
    from vfs.virtual_filesystem import VirtualFilesystem

    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(TmpfsType())
    top = vfs.new_mount_namespace(ROOT, "none", "tmpfs").root
    making, writing = OpenOptions(os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), OpenOptions(os.O_WRONLY)
    reading = OpenOptions(os.O_RDONLY)

    def create(path: str) -> None:
        vfs.open_at(ROOT, PathOperation(top, top, path), making).close()

    def fill(path: str) -> None:
        with vfs.open_at(ROOT, PathOperation(top, top, path), writing) as file:
            file.write(_PAGE)

    def read(path: str) -> None:
        with vfs.open_at(ROOT, PathOperation(top, top, path), reading) as file:
            file.read(4096)

    def write(path: str) -> None:
        with vfs.open_at(ROOT, PathOperation(top, top, path), making) as file:
            for _ in range(CHUNKS):
                file.write(_CHUNK)

    return Files(
        create,
        fill,
        read,
        lambda old, new: vfs.rename_at(ROOT, PathOperation(top, top, old), PathOperation(top, top, new)),
        lambda path: vfs.unlink_at(ROOT, PathOperation(top, top, path)),
        write,
        lambda: vfs.listdir_at(ROOT, PathOperation(top, top, "/")),
    )


def of_os(system: Any, directory: str) -> Files:  # noqa: ANN401 (the os module, or one that pretends to be it)
    """The same through `os`, or through something that has its functions."""
    prefix = directory + "/"

    def create(path: str) -> None:
        system.close(system.open(prefix + path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def fill(path: str) -> None:
        descriptor = system.open(prefix + path, os.O_WRONLY)
        system.write(descriptor, _PAGE)
        system.close(descriptor)

    def read(path: str) -> None:
        descriptor = system.open(prefix + path, os.O_RDONLY)
        system.read(descriptor, 4096)
        system.close(descriptor)

    def write(path: str) -> None:
        descriptor = system.open(prefix + path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        for _ in range(CHUNKS):
            system.write(descriptor, _CHUNK)
        system.close(descriptor)

    return Files(
        create,
        fill,
        read,
        lambda old, new: system.rename(prefix + old, prefix + new),
        lambda path: system.unlink(prefix + path),
        write,
        lambda: list(system.listdir(directory)),
    )


def of_pyfakefs() -> tuple[str, Files]:
    """pyfakefs, and what it calls itself. Errors: ImportError."""
    from pyfakefs.fake_filesystem import FakeFilesystem
    from pyfakefs.fake_os import FakeOsModule

    filesystem = FakeFilesystem()
    filesystem.create_dir("/bench")
    return f"pyfakefs {version('pyfakefs')}", of_os(FakeOsModule(filesystem), "/bench")


def of_memoryfs() -> tuple[str, Files]:
    """The memory file system of PyFilesystem2. Errors: ImportError, also where setuptools has no pkg_resources any more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fs.memoryfs import MemoryFS

    memory = MemoryFS()

    def create(path: str) -> None:
        memory.create(path)

    def fill(path: str) -> None:
        with memory.openbin(path, "w") as file:
            file.write(_PAGE)

    def read(path: str) -> None:
        with memory.openbin(path, "r") as file:
            file.read(4096)

    def write(path: str) -> None:
        with memory.openbin(path, "w") as file:
            for _ in range(CHUNKS):
                file.write(_CHUNK)

    return f"PyFilesystem2 {version('fs')}", Files(
        create, fill, read, memory.move, memory.remove, write, lambda: list(memory.listdir("/"))
    )


def of_fsspec() -> tuple[str, Files]:
    """The memory file system of fsspec, which all its instances share. Errors: ImportError."""
    from fsspec.implementations.memory import MemoryFileSystem

    memory = MemoryFileSystem()
    # A place of its own among what others keep there.
    place = f"/bench-{os.getpid()}/"
    memory.mkdirs(place, exist_ok=True)

    def fill(path: str) -> None:
        with memory.open(place + path, "wb") as file:
            file.write(_PAGE)

    def read(path: str) -> None:
        with memory.open(place + path, "rb") as file:
            file.read(4096)

    def write(path: str) -> None:
        with memory.open(place + path, "wb") as file:
            for _ in range(CHUNKS):
                file.write(_CHUNK)

    return f"fsspec {version('fsspec')}", Files(
        lambda path: memory.touch(place + path),
        fill,
        read,
        lambda old, new: memory.mv(place + old, place + new),
        lambda path: memory.rm_file(place + path),
        write,
        lambda: list(memory.ls(place, detail=False)),
    )
