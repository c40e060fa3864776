"""The links in /dev/char: by them systemd and runc find a device for the rules of a control group, and drop the rules of one that has
none at the next daemon-reload. NVIDIA's driver has no device class, so that udev makes none for its nodes.
"""

from __future__ import annotations

import os

from devproxy.jobs.setup.action import LinkChange, NodeChange, Obstacle
from devproxy.node import DeviceNumber

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from devproxy.host.facts import Host

LINKS: Final = "/dev/char"
_NVIDIA: Final = "/dev/nvidia"


def link_changes(host: Host, changes: Sequence[NodeChange], covered: frozenset[str]) -> Iterator[LinkChange | Obstacle]:
    """The links to make, turn or remove once the nodes are as `changes` leave them. `covered` are the paths of other nodes than
    NVIDIA's that are to have one.
    """
    numbers = _numbers_after(host, changes)
    paths = [path for path in numbers if path.startswith(_NVIDIA) or path in covered]
    links = host.details.devices.links if host.details is not None else None
    if links is None:
        if paths:
            yield Obstacle(LINKS, "the links to nodes could not be seen", f"ls -l {LINKS}", unseen=True)
        return
    targets = {link.path: link.target for link in links}
    yield from _stale(numbers, targets)
    done: set[DeviceNumber] = set()
    for path in paths:
        number = numbers[path]
        place = f"{LINKS}/{number}"
        if number in done:
            continue  # two names of one device: one link
        done.add(number)
        if not host.knows(place):
            yield Obstacle(place, f"whether {path} has a link could not be seen", f"ls -l {place}", unseen=True)
        elif numbers.get(targets.get(place, "")) != number:
            target = os.path.relpath(path, LINKS)
            why = f"without a link for {path} its rules are lost at the next daemon-reload"
            yield LinkChange(place, targets.get(place), target, why, path)


def _stale(numbers: dict[str, DeviceNumber], targets: dict[str, str]) -> Iterator[LinkChange]:
    """Links by a number that the node they lead to does not have, unless another node has it and takes the link over."""
    taken = {str(number) for number in numbers.values()}
    for place, target in targets.items():
        number, known = place.removeprefix(f"{LINKS}/"), numbers.get(target)
        if target.startswith(_NVIDIA) and known is not None and str(known) != number and number not in taken:
            yield LinkChange(place, target, None, f"{target} is {known}: the link is of a number that it had", place)


def _numbers_after(host: Host, changes: Sequence[NodeChange]) -> dict[str, DeviceNumber]:
    """The number of each character node by path, as it will be; of drivers that are yet to be loaded nothing is known."""
    numbers = {node.path: node.number for node in host.nodes if node.kind.value == "c"}
    for change in changes:
        if change.after is not None and isinstance(change.after.number, DeviceNumber):
            numbers[change.path] = change.after.number
    return numbers
