"""What every /dev holds (S5, S6): the links and directories of user space, and the nodes that programs expect.

The numbers are those of Documentation/admin-guide/devices.txt: they never differ from machine to machine.
"""

from __future__ import annotations

from devproxy.host.facts import Host
from devproxy.node import DeviceNumber, Fixed, NodeKind
from devproxy.plan.steps import Level, MakeDirectory, MakeNode, MakeSymlink, Reason, Skip, Step

_REASON = Reason("rule: contents of /dev")
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_DIRECTORIES = ("shm", "pts", "char", "block")
_NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("net/tun", 10, 200),
    ("fuse", 10, 229),
)


def dev_contents(host: Host, *, tun: bool) -> list[Step]:
    """The steps that fill a new /dev. Its tun node is made if `tun` is wanted and the host has the driver (S3)."""
    no_tun = "" if tun and host.has_misc("tun") else "the host has no tun driver" if tun else "tun is false"
    steps: list[Step] = [MakeSymlink(f"/dev/{name}", target, _REASON) for name, target in _LINKS]
    steps += [MakeDirectory(f"/dev/{name}", 0o755, _REASON) for name in _DIRECTORIES]
    for name, major, minor in _NODES:
        if name == "net/tun" and no_tun:
            reason = Reason(_REASON.source, no_tun)
            steps.append(Skip("/dev/net/tun", "the node /dev/net/tun", Level.NOTE, reason))
        else:
            steps.append(_node(f"/dev/{name}", DeviceNumber(major, minor)))
    return steps


def _node(path: str, number: DeviceNumber) -> MakeNode:
    return MakeNode(path, NodeKind.CHARACTER, Fixed(number), 0o666, None, None, "", _REASON)
