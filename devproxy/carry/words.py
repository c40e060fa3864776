"""What is told of a step that is carried out: which number it got, what was in its place, why it failed."""

from __future__ import annotations

import errno
import os

from devproxy.errors import DevproxyError, InputError
from devproxy.node import DeviceNumber, Fixed, LikeHost, NodeKind, OfDriver
from devproxy.plan.steps import (
    Bind,
    MakeDirectory,
    MakeNode,
    MakeSymlink,
    MountFilesystem,
    MountRoot,
    Reason,
    RequireNode,
    Step,
)
from devproxy.targets.numbers import FIXED_MAJORS
from devproxy.targets.target import FileKind, Look, NumberFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_KIND_WORDS = {
    FileKind.DIRECTORY: "a directory",
    FileKind.REGULAR: "a regular file",
    FileKind.SYMLINK: "a symbolic link",
    FileKind.CHARACTER: "character device",
    FileKind.BLOCK: "block device",
    FileKind.FIFO: "a fifo",
    FileKind.SOCKET: "a socket",
}


def explain_number(step: MakeNode | RequireNode, answer: NumberFound) -> str:
    """What was decided about a number that the plan left to the target."""
    identity, number = step.identity, answer.number
    if isinstance(identity, LikeHost):
        return _explain_like_host(step, identity, answer)
    if not isinstance(identity, OfDriver):
        return f"{number} on every machine, the spec said {step.asked}" if step.asked else ""
    asked = f", the spec said {step.asked.partition(':')[0]}" if step.asked and step.asked != str(number) else ""
    if answer.reserved:
        how = "is its own everywhere" if identity.driver in FIXED_MAJORS else "reserved"
        return f"{identity.driver} is not in /proc/devices: major {number.major} {how}{asked}"
    return f"major {number.major} here{asked}"


def _explain_like_host(step: MakeNode | RequireNode, identity: LikeHost, answer: NumberFound) -> str:
    if answer.reserved:
        return f"the host has no {identity.path}: {answer.number}, as the spec says"
    asked = f", the spec said {step.asked}" if step.asked and step.asked != str(answer.number) else ""
    return f"{answer.number} on the host{asked}"


def require_same(
    step: MakeNode | RequireNode, there: Look | None, number: DeviceNumber | None, maker: Reason | None
) -> Look:
    """A node that exists is accepted only if it is the one asked for (config-linux.md, "Devices"; S69). `maker` is what else
    in the plan has made it, if anything. Returns what is there.
    """
    if there is None or there.kind.value != step.kind.value or there.number != number:
        raise DevproxyError(
            f"{step.path} is {describe(there)}, expected {expected(step.kind, number)} ({step.reason})",
            hint="the image or a mount brings this path: remove it there, or drop the device from the spec"
            if maker is None
            else f"{maker.source} made it: a path can be one device, drop or change one of the two",
        )
    return there


def expected(kind: NodeKind, number: DeviceNumber | None) -> str:
    """What a node should be: `character device 195:0`."""
    word = _KIND_WORDS[FileKind(kind.value)]
    return word if number is None else f"{word} {number}"


def describe(there: Look | None) -> str:
    """What is at a path: `a symbolic link to /dev/null`."""
    if there is None:
        return "missing"
    word = _KIND_WORDS[there.kind]
    if there.link is not None:
        return f"{word} to {there.link}"
    return word if there.number is None else f"{word} {there.number}"


def refuse_source(step: Bind | MountRoot, error: OSError) -> NoReturn:
    """Tell why a source of the host cannot be had. Raises InputError: nothing was started."""
    what = step.reason.source if isinstance(step, MountRoot) else f"the source of {step.path}"
    hint = "create it, or correct the path in config.json" if error.errno == errno.ENOENT else ""
    raise InputError(f"{what}, {step.source}: {told(error, name=False)} ({step.reason})", hint=hint) from error


def told(error: OSError, *, name: bool = True) -> str:
    """An OSError in the house's words: the path it names, and what the system said."""
    text = (error.strerror or str(error)).lower() if error.errno else str(error)
    where = os.fsdecode(error.filename) if name and isinstance(error.filename, str | bytes) else ""
    return f"{where}: {text}" if where else text


_HINTS = {
    errno.ENXIO: "load its driver on the host; nvidia-modprobe makes the nodes of NVIDIA's",
    errno.ENODEV: "run it as root, then a node with the right number is made",
    errno.EROFS: "the place is read-only: let the root have its overlay (overlay2=root:memory), or make it in the image",
    errno.ENOTDIR: "the image has a file where a directory is needed on the way there",
    errno.ELOOP: "symbolic links here lead in a circle, or out of the root through /proc",
    errno.EADDRINUSE: "the recorded host cannot be shown on this machine; 'devproxy inspect' can show it in memory",
}
_WHITEOUT = Fixed(DeviceNumber(0, 0))
_LAYERS_REFUSED = "the layers or options do not go together, or a file system cannot hold one; dmesg says which"
_WRONG_KIND = "a directory can be mounted only over a directory, a file only over a file"


def failure(step: Step, error: OSError, *, rootless: bool) -> DevproxyError:
    """The ladder: an OSError of a verb, in terms of the step that was being carried out."""
    hint = _not_permitted(step, rootless=rootless) if error.errno == errno.EPERM else _HINTS.get(error.errno or 0, "")
    if isinstance(step, Bind | MountFilesystem) and error.errno in (errno.ENOTDIR, errno.EISDIR):
        hint = _WRONG_KIND
    if isinstance(step, MountFilesystem) and step.layers is not None and error.errno in (errno.EINVAL, errno.ELOOP):
        hint = _LAYERS_REFUSED
    # What a root's overlay depends on is a long list, and seldom what failed.
    what = f"root {step.source}" if isinstance(step, MountRoot) else step.describe()
    return DevproxyError(f"{what}: {told(error)} ({step.reason})", hint=hint)


def _not_permitted(step: Step, *, rootless: bool) -> str:
    if rootless:
        return "this needs root with CAP_SYS_ADMIN and CAP_MKNOD; 'devproxy inspect' works without"
    if isinstance(step, MakeNode) and step.identity == _WHITEOUT:
        return "0:0 in an overlay is the mark of a removed file: drop the device, or take overlay2=none"
    if isinstance(step, MakeNode | MakeDirectory | MakeSymlink | Bind | MountFilesystem):
        return "nothing can be made there: proc, sysfs and devpts hold only what the kernel puts there, and a node needs CAP_MKNOD"
    return ""
