"""The NVIDIA driver's libraries, by the version in their names, and libtpu. Directories are listed, no library is opened."""

from __future__ import annotations

import re

from devproxy.host.system_facts import Library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot

# Where distributions, driver containers, GKE, NixOS and WSL put them.
_DIRECTORIES: Final = (
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/usr/lib64", "/usr/lib64/nvidia", "/usr/lib", "/usr/lib/nvidia", "/usr/local/nvidia/lib64",
    "/home/kubernetes/bin/nvidia/lib64", "/run/opengl-driver/lib", "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
    "/run/nvidia/driver/usr/lib64", "/usr/lib/wsl/lib",
)  # fmt: skip
_DRIVER: Final = re.compile(
    r"(?P<name>libcuda|libcudadebugger|libnvidia-[a-z0-9-]+|libnvcuvid|libnvoptix|libnvfm|libvdpau_nvidia"
    r"|lib(?:GLX|EGL|GLESv2|GLESv1_CM)_nvidia)\.so\.(?P<version>\d{1,4}(?:\.\d{1,4}){0,3})"
)
# What programs load by `.so.1`, a link to the version that counts.
_LOADED: Final = ("libcuda", "libnvidia-ml")
_LIBTPU: Final = ("/lib/libtpu.so", "/usr/lib/libtpu.so", "/usr/local/lib/libtpu.so")
_PYTHON: Final = "/usr/local/lib"
_DIST: Final = re.compile(r"(?P<name>libtpu(?:_nightly)?)-(?P<version>[\w.+]{1,60})\.dist-info")
_MOST: Final = 500


def read_libraries(root: HostRoot, host: Host) -> tuple[Library, ...]:
    """Those that are there, by path. They are looked for where there is a driver, a GPU or TPU, or in a report."""
    found: list[Library] = []
    if host.nvidia is not None or host.coverage is not None or host.node("/dev/dxg") is not None:
        for directory in _DIRECTORIES:
            found += _in(root, directory)
    if host.tpus:
        found += _libtpu(root)
    return tuple(sorted(found[:_MOST], key=lambda library: library.path))


def _in(root: HostRoot, directory: str) -> Iterator[Library]:
    known = [match for name in root.listdir(directory) if (match := _DRIVER.fullmatch(name)) is not None]
    current = {_target(root, directory, name) for name in _LOADED if any(match["name"] == name for match in known)}
    for match in known:
        path = f"{directory}/{match.string}"
        if "." in match["version"]:
            yield Library(match["name"], match["version"], path, match.string in current)


def _target(root: HostRoot, directory: str, name: str) -> str:
    """The name of the file that `.so.1` leads to."""
    path = f"{directory}/{name}.so.1"
    return root.follow(path).rpartition("/")[2] if root.lstat(path) is not None else ""


def _libtpu(root: HostRoot) -> Iterator[Library]:
    """The library itself has no version in its name; the package that brought it has."""
    for path in _LIBTPU:
        if root.lstat(path) is not None:
            yield Library("libtpu", "", path)
    for name in root.listdir(_PYTHON):
        if re.fullmatch(r"python3\.\d{1,3}", name):
            directory = f"{_PYTHON}/{name}/dist-packages"
            for package in root.listdir(directory):
                if found := _DIST.fullmatch(package):
                    yield Library("libtpu", found["version"], f"{directory}/{package}")
