"""Signs that what was probed is the inside of a container, and no machine."""

from __future__ import annotations

import re

from devproxy.host.system_facts import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot

_FILES: Final = (("docker", "/.dockerenv"), ("podman", "/run/.containerenv"))
# Written by systemd when it starts in a container (systemd's CONTAINER_INTERFACE).
_SYSTEMD: Final = "/run/systemd/container"
_CGROUP: Final = "/proc/1/cgroup"
_CGROUPS: Final = (
    ("kubernetes", re.compile(r":/(?:.*/)?kubepods")),
    ("docker", re.compile(r":/(?:.*/)?docker[/-]")),
    ("podman", re.compile(r":/(?:.*/)?libpod-")),
    ("lxc", re.compile(r":/(?:.*/)?(?:lxc|lxc\.payload)[/.]")),
)
_LIMIT: Final = 1 << 16


def read_containers(root: HostRoot, host: Host, environment: tuple[tuple[str, str], ...]) -> tuple[Container, ...]:
    """Each sign that there is."""
    return tuple(dict.fromkeys(_signs(root, host, environment)))


def _signs(root: HostRoot, host: Host, environment: tuple[tuple[str, str], ...]) -> Iterator[Container]:
    for kind, path in _FILES:
        if root.lstat(path) is not None:
            yield Container(kind, f"{path} is there", path)
    named = (root.read_text(_SYSTEMD, 256) or "").strip()
    if named:
        yield Container(named[:40], f"systemd was started in {named[:40]}", _SYSTEMD)
    group = root.read_text(_CGROUP, _LIMIT) or ""
    for kind, pattern in _CGROUPS:
        if pattern.search(group):
            yield Container(kind, "the control group of process 1", _CGROUP)
    if any(name == "KUBERNETES_SERVICE_HOST" for name, _ in environment):
        yield Container("kubernetes", "KUBERNETES_SERVICE_HOST is set", "facts/environment.json")
    if "microsoft" in host.kernel.lower():
        yield Container("wsl", f"the kernel is {host.kernel}", "facts/uname.json")
    elif host.node("/dev/dxg") is not None:
        yield Container("wsl", "/dev/dxg is there", "/dev/dxg")
