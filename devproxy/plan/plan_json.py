"""A plan for machines: stable JSON.

    {"format": 1, "bundle": "/b", "mode": "none", "strict": false, "host_fifo": false,
     "character_devices": "emulated-only", "hostname": "", "domainname": "",
     "host": {"name": "live", "simulated": false},
     "steps": [{"step": "make-node", "path": "/dev/null", ..., "reason": {"source": "...", "note": ""}, "text": "..."}]}

A step has its own fields by their names, and always `step` (its kind), `path`, `reason` and `text` (its line). Modes
are octal strings, identities `{"driver": "nvidia-uvm", "minor": 0}`, `{"like_host": "/dev/accel0"}` or `{"major": 1,
"minor": 3}`, attributes of a mount lists of their names (`["nosuid", "ro"]`), an overlay `{"medium": "dir",
"directory": "/d", "size": null}`, the layers of one that the spec mounts `{"lowers": ["/a"], "upper": "/u", "work": "/w"}`,
conditions `{"when_empty": "/tmp"}`. A mount of a pod's volume names it by its source in `volume`, which is empty otherwise. What
is not there is null. `format` grows when a
field changes its meaning or goes away.
"""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.mount_options import Attribute, Change, MountOptions
from devproxy.node import Fixed, Identity, LikeHost, OfDriver
from devproxy.overlay import Layers, Overlay
from devproxy.plan.plan import Plan
from devproxy.plan.steps import (
    Bind,
    Cover,
    MakeDirectory,
    MakeNode,
    MakeSymlink,
    Mask,
    MountFilesystem,
    MountRoot,
    RequireNode,
    Seal,
    SealPath,
    Skip,
    Step,
    WhenEmpty,
    WhenMissing,
)

FORMAT = 1

_KINDS: dict[type, str] = {
    MountRoot: "mount-root",
    MountFilesystem: "mount-filesystem",
    Bind: "bind",
    MakeDirectory: "make-directory",
    MakeNode: "make-node",
    RequireNode: "require-node",
    MakeSymlink: "make-symlink",
    Mask: "mask",
    Cover: "cover",
    SealPath: "seal-path",
    Seal: "seal",
    Skip: "skip",
}


def to_json(plan: Plan) -> dict[str, object]:
    """The plan as plain values that json.dumps takes; the same plan gives the same text."""
    return {
        "format": FORMAT,
        "bundle": plan.bundle,
        "mode": plan.mode.value,
        "strict": plan.strict,
        "host_fifo": plan.host_fifo,
        "character_devices": plan.character_devices,
        "hostname": plan.hostname,
        "domainname": plan.domainname,
        "host": {"name": plan.host.name, "simulated": plan.host.simulated},
        "steps": [_step(step) for step in plan.steps],
    }


def _step(step: Step) -> dict[str, object]:
    fields: dict[str, object] = {"step": _KINDS[type(step)], "path": step.path}
    for name, value in step._asdict().items():
        if name == "mode":
            fields[name] = f"{value:04o}"
        elif name == "reason":
            fields[name] = step.reason._asdict()
        else:
            fields[name] = _plain(value)
    fields["text"] = step.describe()
    return fields


def _plain(value: object) -> object:
    match value:
        case Choice():
            return value.value
        case OfDriver() | LikeHost() | Fixed():
            return _identity(value)
        case Overlay():
            return {"medium": value.medium.value, "directory": value.directory or None, "size": value.size or None}
        case Layers():
            return {"lowers": list(value.lowers), "upper": value.upper or None, "work": value.work or None}
        case WhenEmpty():
            return {"when_empty": value.path}
        case WhenMissing():
            return {"when_missing": list(value.paths)}
        case MountOptions():
            return _options(value)
        case _:
            return value


def _identity(identity: Identity) -> dict[str, object]:
    match identity:
        case OfDriver():
            return identity._asdict()
        case LikeHost():
            return {"like_host": identity.path}
        case Fixed():
            return identity.number._asdict()


def _options(options: MountOptions) -> dict[str, object]:
    return {
        "bind": options.bind,
        "recursive_bind": options.recursive_bind,
        "change": _change(options.change),
        "recursive": _change(options.recursive),
        "superblock": list(options.superblock),
        "propagation": [("r" if recursive else "") + kind.value for kind, recursive in options.propagation],
        "data": list(options.data),
    }


def _change(change: Change) -> dict[str, object]:
    return {"set": _names(change.set), "clear": _names(change.clear), "atime": change.atime}


def _names(attributes: Attribute) -> list[str]:
    return ["ro" if a is Attribute.RDONLY else str(a.name).lower() for a in Attribute if a & attributes]
