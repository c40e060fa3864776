"""Control groups: which version, whose devices.list can be read (v1, Documentation/admin-guide/cgroup-v1/devices.rst), and
what manages them. Which version, the files tell (cgroups(7)): the mount table would tell every mount of the machine with it.
"""

from __future__ import annotations

import re

from devproxy.host.system_facts import CgroupRules, Cgroups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.root import HostRoot
    from devproxy.host.system_facts import Runtime

_ROOT: Final = "/sys/fs/cgroup"
_DEVICES: Final = f"{_ROOT}/devices"
_OWN: Final = "/proc/self/cgroup"
_V2: Final = f"{_ROOT}/cgroup.controllers"
_UNIFIED: Final = f"{_ROOT}/unified/cgroup.controllers"
_RULE: Final = re.compile(r"(?P<type>[abc]) (?P<major>\d{1,10}|\*):(?P<minor>\d{1,10}|\*) (?P<access>[rwm]{1,3})")
_CONTAINER: Final = re.compile(r"[0-9a-f]{64}|docker-[0-9a-f]{64}\.scope")
_LIMIT: Final = 1 << 16
_MOST_GROUPS: Final = 32


def read_cgroups(root: HostRoot, runtimes: tuple[Runtime, ...]) -> Cgroups | None:
    """What could be seen; None where there are no control groups, or none that can be seen."""
    manager = _manager(runtimes)
    if root.lstat(_V2) is not None:
        return Cgroups("v2", manager, source=_V2)
    if root.lstat(_DEVICES) is None:
        return None
    mode = "hybrid" if root.lstat(_UNIFIED) is not None else "v1"
    return Cgroups(mode, manager, tuple(_rules(root)), _DEVICES)


def parse_rules(text: str) -> tuple[tuple[str, str, str, str], ...]:
    """The lines of a devices.list."""
    found = (_RULE.fullmatch(line) for line in text.split("\n"))
    return tuple((rule["type"], rule["major"], rule["minor"], rule["access"]) for rule in found if rule is not None)


def own_group(text: str) -> str:
    """Our group of the devices controller, from /proc/self/cgroup: `5:devices:/user.slice`."""
    for line in text.split("\n"):
        parts = line.split(":", 2)
        if len(parts) == 3 and "devices" in parts[1].split(",") and ".." not in parts[2].split("/"):
            return parts[2].rstrip("/")
    return ""


def _rules(root: HostRoot) -> Iterator[CgroupRules]:
    own = own_group(root.read_text(_OWN, _LIMIT) or "")
    # In a container the path is the host's; what is mounted here is our group itself.
    ours = (_read(root, "self", directory) for directory in dict.fromkeys((f"{_DEVICES}{own}", _DEVICES)))
    yield from [rules for rules in ours if rules is not None][:1]
    left = _MOST_GROUPS
    for parent in ("docker", "system.slice"):
        if root.lstat(f"{_DEVICES}/{parent}") is None:
            continue
        for name in root.listdir(f"{_DEVICES}/{parent}"):
            if left and _CONTAINER.fullmatch(name) and (rules := _read(root, name, f"{_DEVICES}/{parent}/{name}")):
                left -= 1
                yield rules


def _read(root: HostRoot, group: str, directory: str) -> CgroupRules | None:
    path = f"{directory}/devices.list"
    text = root.read_text(path, _LIMIT)
    return None if text is None else CgroupRules(group, parse_rules(text), path)


def _manager(runtimes: tuple[Runtime, ...]) -> str:
    """What the engines' configurations agree on, if they say anything."""
    said = set()
    for runtime in runtimes:
        for key, value in runtime.settings:
            if key in ("cgroup-driver", "cgroup_manager") and value in ("systemd", "cgroupfs"):
                said.add(value)
            elif key.endswith(".SystemdCgroup"):
                said.add("systemd" if value == "true" else "cgroupfs")
    return said.pop() if len(said) == 1 else ""
