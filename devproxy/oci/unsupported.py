"""What a spec asks for and `run` does not do: the work of a low-level runtime (docs/architecture.md, section 3).

Each is told, never dropped in silence. What `runc spec` writes into every bundle is harmless: it is told, but is no
warning.
"""

from __future__ import annotations

import os

from devproxy.oci.json_path import JsonValue
from devproxy.oci.spec import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# JSON path (without the last part) -> member -> what it is called. Members that are empty ask for nothing.
_MEMBERS = {
    "process": {
        "apparmorProfile": "the AppArmor profile",
        "selinuxLabel": "the SELinux label",
        "scheduler": "the scheduling policy",
        "ioPriority": "the I/O priority",
        "execCPUAffinity": "the CPU affinity",
    },
    "linux": {
        "cgroupsPath": "placing the process in a cgroup",
        "gidMappings": "the user namespace's gid mapping",
        "intelRdt": "Intel RDT",
        "memoryPolicy": "the memory policy",
        "mountLabel": "the SELinux label of mounts",
        "netDevices": "moving network devices",
        "personality": "the execution domain",
        "seccomp": "seccomp",
        "sysctl": "sysctl",
        "timeOffsets": "clock offsets",
        "uidMappings": "the user namespace's uid mapping",
    },
}
_MAPPED = ("linux.uidMappings", "linux.gidMappings")
_NAMESPACES = {"user": "a user namespace of its own", "time": "a time namespace"}


def find_unsupported(document: JsonValue) -> Iterator[Unsupported]:
    """Everything in the spec that is left out, in the order hooks, process, linux, resources, namespaces."""
    hooks = document.member("hooks")
    if hooks is not None:
        yield from _find_hooks(hooks)
    linux = document.member("linux")
    mapped = linux is not None and _maps_the_caller(linux)
    for owner, members in _MEMBERS.items():
        for found in _find_members(document.member(owner), members):
            if not (mapped and found.where in _MAPPED):
                yield found
    if linux is not None:
        yield from _find_resources(linux)
        yield from _find_namespaces(linux, mapped=mapped)


def _find_hooks(hooks: JsonValue) -> Iterator[Unsupported]:
    from devproxy.oci import nvidia_hooks

    for kind, entries in hooks.members():
        if entries.value != []:
            done = nvidia_hooks.are_done_here(entries)
            yield Unsupported(entries.path, nvidia_hooks.told(kind, entries), harmless=done)


def _find_members(owner: JsonValue | None, members: dict[str, str]) -> Iterator[Unsupported]:
    if owner is None:
        return
    for key, what in members.items():
        found = owner.member(key)
        if found is not None and found.value not in ("", [], {}):
            yield Unsupported(found.path, what)


def _find_resources(linux: JsonValue) -> Iterator[Unsupported]:
    resources = linux.member("resources")
    if resources is None:
        return
    for key, found in resources.members():
        if key == "devices":
            yield from _find_device_rules(found, linux)
        elif found.value not in ("", [], {}):
            yield Unsupported(found.path, f"the cgroup limits of {key}")


def _find_device_rules(rules: JsonValue, linux: JsonValue) -> Iterator[Unsupported]:
    """Harmless is a rule that denies everything, and behind it those that allow what linux.devices lists anyway."""
    found = [rule.value for rule in rules.elements()]
    if found:
        listed = {_numbered(device.value) for device in linux.optional_elements("devices")}
        allowed = [isinstance(rule, dict) and rule.get("allow") is True for rule in found[1:]]
        usual = all(allowed) and all(_numbered(rule) in listed for rule in found[1:])
        harmless = found[0] == {"allow": False, "access": "rwm"} and usual
        yield Unsupported(rules.path, "the cgroup device rules", harmless=harmless)


def _numbered(entry: object) -> tuple[str, ...]:
    """Which device an entry is about, whatever stands there."""
    return tuple(repr(entry.get(key)) for key in ("type", "major", "minor")) if isinstance(entry, dict) else ()


def _maps_the_caller(linux: JsonValue) -> bool:
    """Whether the mappings are the ones that `run` makes for this caller anyway, without privileges: what `runc spec
    --rootless` writes.
    """
    maps = [linux.member(key) for key in ("uidMappings", "gidMappings")]
    if any(found is None for found in maps):
        return False
    from devproxy.linux.namespaces import is_privileged

    own = [{"containerID": 0, "hostID": number, "size": 1} for number in (os.geteuid(), os.getegid())]
    asked = [None if found is None else found.value for found in maps]
    return asked == [[each] for each in own] and not is_privileged()


def _find_namespaces(linux: JsonValue, *, mapped: bool) -> Iterator[Unsupported]:
    for entry in linux.optional_elements("namespaces"):
        kind = entry.required("type").text()
        what = _NAMESPACES.get(kind)
        if kind == "user" and mapped and entry.member("path") is None:
            continue
        if what is not None:
            yield Unsupported(entry.path, what)
