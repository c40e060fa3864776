"""The running machine's accelerator nodes, as its /dev has them: what the facts about nodes are gathered for."""

from __future__ import annotations

import os

from devproxy.host.accelerator_nodes import accelerator_nodes, is_accelerator_driver
from devproxy.host.dev import read_nodes
from devproxy.host.proc_devices import read_majors
from devproxy.host.root import HostRoot, LiveReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import HostNode


def live_nodes(directory: str = "/") -> tuple[HostNode, ...]:
    """The accelerator nodes in the /dev of a tree."""
    with LiveReader(directory) as reader:
        return accelerator_nodes(read_nodes(HostRoot(reader))[0])


def live_majors(directory: str = "/") -> frozenset[int]:
    """The character majors that belong to accelerators' drivers now. One that others share (misc) is none of them."""
    with LiveReader(directory) as reader:
        character, _ = read_majors(HostRoot(reader))
    return frozenset(line.major for line in character if is_accelerator_driver(line.name))


def is_first_pid_namespace() -> bool:
    """Whether every process of the machine can be seen from here at all (pid_namespaces(7)). The kernel gives its first
    namespaces fixed numbers: PROC_PID_INIT_INO, include/linux/proc_ns.h.
    """
    try:
        return os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"
    except OSError:
        return False
