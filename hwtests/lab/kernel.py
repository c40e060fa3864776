"""The lab's kernels: Debian's 6.12 with the headers to build modules for it, and its 6.1, downloaded and unpacked, never installed.

Installing it would pull in an initramfs, udev and an upgrade of systemd. The release changes with every update of
Debian's, so that it is asked for: linux-image-6.12-amd64 depends on the newest. (Why 6.12: it has 9p, which the cloud
flavour lacks, and DRM's class of accelerators. Why 6.1: it is the oldest that can be had, and knows neither mounts on what
is attached nowhere nor overlays by descriptor.)
"""

from __future__ import annotations

import lzma
import os
import shutil
from pathlib import Path
from typing import Final

from devproxy.errors import DevproxyError
from devproxy.process import run

LAB: Final = "6.12"
# The package that depends on the newest kernel of a series.
SERIES: Final = {LAB: "linux-image-6.12-amd64", "6.1": "linux-image-amd64"}
_SHARE: Final = ("net/9p/9pnet", "net/9p/9pnet_virtio", "fs/9p/9p", "fs/overlayfs/overlay")
_VIRTIO: Final = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci")
# Modules that the guest loads, in that order; what a kernel has built in is not listed.
_MODULES: Final = {
    LAB: ("fs/netfs/netfs", *_SHARE),
    "6.1": (
        *(f"drivers/virtio/{name}" for name in _VIRTIO),
        "drivers/char/virtio_console",
        "fs/netfs/netfs",
        "fs/fscache/fscache",
        *_SHARE,
    ),
}
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class Kernel:
    """An unpacked kernel in a directory of its own."""

    def __init__(self, directory: Path, release: str, series: str) -> None:
        self.directory = directory
        self.release = release
        self.series = series

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules to load, in order, as `module` takes them."""
        return _MODULES[self.series]

    @property
    def image(self) -> Path:
        """The uncompressed kernel: QEMU starts it directly (PVH), which spares the guest to unpack it under TCG. Of an older series
        the compressed one, which unpacks itself.
        """
        return self.directory / ("vmlinux" if self.series == LAB else f"boot/vmlinuz-{self.release}")

    @property
    def headers(self) -> Path:
        """Where modules are built against."""
        return self.directory / "usr/src" / f"linux-headers-{self.release}"

    @property
    def udevadm(self) -> Path:
        """systemd-udevd and udevadm, one program."""
        return self.directory / "bin/udevadm"

    @property
    def udev_rules(self) -> Path:
        """The rules that come with it."""
        return self.directory / "lib/udev/rules.d"

    @property
    def kmod(self) -> Path:
        """modprobe and depmod, one program."""
        return self.directory / "bin/kmod"

    def module(self, name: str) -> bytes:
        """A module of `modules`, as insmod takes it."""
        path = self.directory / "lib/modules" / self.release / "kernel" / f"{name}.ko"
        return path.read_bytes() if path.exists() else lzma.decompress(Path(f"{path}.xz").read_bytes())


def newest_release(series: str) -> str:
    """`6.12.117+deb12-amd64`, as the metapackage says.

    Raises:
        DevproxyError: apt does not know the metapackage.
    """
    metapackage = SERIES[series]
    for line in run(["apt-cache", "depends", metapackage], check=False).out.splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name.removeprefix("linux-image-")
    raise DevproxyError(f"apt knows no {metapackage}", hint="the lab needs Debian 12's package lists: apt-get update")


def prepare(cache: Path, series: str = LAB) -> Kernel:
    """The newest kernel of a series, from `cache` if it is there; complete or not at all."""
    release = newest_release(series)
    kernel = Kernel(cache / release, release, series)
    if kernel.directory.exists():
        if not kernel.kmod.exists():
            _unpack(kernel.directory, _KMOD)  # one that an older lab downloaded
        return kernel
    unfinished = cache / f"{release}.{os.getpid()}"
    unfinished.mkdir(parents=True)
    try:
        headers = _headers(release) if series == LAB else {}
        _unpack(unfinished, {**_image(kernel), **headers, **_UDEV, **_KMOD})
        if series == LAB:
            _extract_image(unfinished, release)
        os.rename(unfinished, kernel.directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if series == LAB:
        # The headers' makefile names the directory that they would be installed to.
        makefile = kernel.headers / "Makefile"
        makefile.write_text(makefile.read_text().replace(" /usr/src/", f" {kernel.directory}/usr/src/"))
    return kernel


def _image(kernel: Kernel) -> dict[str, list[str]]:
    """The kernel's package, with what tar unpacks of it."""
    release = kernel.release
    modules = [f"./lib/modules/{release}/kernel/{name}.ko*" for name in kernel.modules]
    return {f"linux-image-{release}": ["--wildcards", "--", f"./boot/vmlinuz-{release}", *modules]}


def _headers(release: str) -> dict[str, list[str]]:
    """The packages that stub drivers are built with, and what tar unpacks of them."""
    abi = release.removesuffix("-amd64")
    headers = f"./usr/src/linux-headers-{abi}"
    return {
        # Without vmlinux no BTF is made, which would need pahole.
        f"linux-headers-{release}": ["--exclude", f"{headers}-amd64/vmlinux"],
        f"linux-headers-{abi}-common": ["--exclude", f"{headers}-common/arch/[!x]*"],
        f"linux-kbuild-{abi}": [],
    }


_UDEV: Final[dict[str, list[str]]] = {"udev": ["--", "./bin/udevadm", "./lib/udev/rules.d"]}
_KMOD: Final[dict[str, list[str]]] = {"kmod": ["--", "./bin/kmod"]}


def _unpack(directory: Path, wanted: dict[str, list[str]]) -> None:
    _download(directory, list(wanted))
    for package, selection in wanted.items():
        (deb,) = directory.glob(f"{package}_*.deb")
        # By way of a file: a pipe of the shell's hides that its first half failed.
        unpacked = directory / "data.tar"
        run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" >"$2"', "sh", str(deb), str(unpacked)], timeout=120)
        run(["tar", "-x", "-f", str(unpacked), "-C", str(directory), *selection], timeout=120)
        deb.unlink()
        unpacked.unlink()


def _download(directory: Path, packages: list[str]) -> None:
    command = ["apt-get", "download", "-qq", *packages]
    done = run(command, timeout=180, check=False, cwd=str(directory))
    if done.code != 0 and os.geteuid() == 0:
        # The package lists are older than the archive.
        run(["apt-get", "update", "-qq"], timeout=120)
        done = run(command, timeout=180, check=False, cwd=str(directory))
    if done.code != 0:
        raise DevproxyError(f"cannot download the lab's kernel: {done.err.strip()}")


def _extract_image(directory: Path, release: str) -> None:
    """vmlinuz is a program that unpacks what is behind it."""
    compressed = (directory / f"boot/vmlinuz-{release}").read_bytes()
    start = compressed.find(_ZSTD)
    if start < 0:
        raise DevproxyError(f"the kernel {release} is not compressed with zstd, expected it to be")
    packed, image = directory / "vmlinux.zst", directory / "vmlinux"
    packed.write_bytes(compressed[start:])
    # zstd complains of what follows the compressed part, after it has written the whole; a file of its own it would remove.
    run(["sh", "-c", 'zstd -dcq "$1" >"$2"', "sh", str(packed), str(image)], check=False, timeout=60)
    packed.unlink()
    if not image.exists() or image.read_bytes()[:4] != b"\x7fELF":
        raise DevproxyError(f"no kernel was found in vmlinuz-{release}")
