"""The cgroup hierarchies of this machine (cgroups(7))."""

from __future__ import annotations

import os

from devproxy.linux.namespaces import CLONE, setns, unshare
from devproxy.record import Record


class Hierarchy(Record):
    """A hierarchy of version 1: the directory in which it is usually shown, and its mount options."""

    directory: str
    options: tuple[str, ...]


def hierarchies() -> list[Hierarchy]:
    """The hierarchies of version 1, the oldest first: none on a machine that has version 2 alone, or no cgroups."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = [line.split(":", 2) for line in file]
    except FileNotFoundError:
        return []
    return [_hierarchy(names) for number, names, _ in sorted(lines, key=lambda line: int(line[0])) if number != "0"]


def _hierarchy(names: str) -> Hierarchy:
    if names.startswith("name="):
        return Hierarchy(names.removeprefix("name="), ("none", names))
    return Hierarchy(names, tuple(names.split(",")))


class OwnView:
    """A context in which this process is in a cgroup namespace of its own (cgroup_namespaces(7)).

    A hierarchy that is mounted in it has the caller's cgroup as its root and shows nothing of the others. Nor does
    mounting change the machine there: outside the first namespace neither a new hierarchy nor other options for cgroup2
    are to be had. Precondition: this process has one thread.

    Errors: EPERM where it could not come back, as in a user namespace without a cgroup namespace of its own.
    """

    def __enter__(self) -> None:
        self._namespace = os.open("/proc/self/ns/cgroup", os.O_RDONLY)
        try:
            setns(self._namespace, CLONE["cgroup"])
            unshare(CLONE["cgroup"])
        except OSError:
            os.close(self._namespace)
            raise

    def __exit__(self, *error: object) -> None:
        try:
            setns(self._namespace, CLONE["cgroup"])
        finally:
            os.close(self._namespace)
