"""Watching a machine: what of its accelerators comes, goes and changes, while it happens.

Whatever tells of a change is a hint, never the truth: an event may come late, when its device is gone again, and NVIDIA's
nodes have no events at all. So a hint is waited out until there are no more of them for a moment, then the machine is
probed again, and what is told is the difference.
"""

from __future__ import annotations

import time

from devproxy.host.details import Details, DeviceDetails, SystemDetails
from devproxy.host.difference import Difference, differences
from devproxy.host.probe import probe_reader
from devproxy.host.root import HostRoot, LiveReader, Reader
from devproxy.host.watch_hints import Hints
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from devproxy.host.facts import Host

# How long there has to be no hint before the machine is probed again, and how long that is waited for at most.
_SETTLE: Final = 0.3
_SETTLE_AT_MOST: Final = 5.0
# How often is looked at what tells of no change itself.
_INTERVAL: Final = 2.0


class Change(Record):
    """What changed: when it was seen (seconds since the epoch), the differences, what made devproxy look, and the machine
    as it is now.
    """

    time: float
    differences: tuple[Difference, ...]
    because: tuple[str, ...]
    host: Host


def watch(
    *,
    settle: float = _SETTLE,
    interval: float = _INTERVAL,
    tell: Callable[[str], object] = lambda _: None,
    until_closed: int | None = None,
) -> Iterator[Change]:
    """Every change of the running machine from the first `next()` on, until the iterator is closed.

    Kernel uevents are followed, and every `interval` seconds /proc/devices and the CDI directories are looked at: a driver
    that is loaded again moves its majors without an event. `tell` is given what makes the watching less than that (no
    uevents in a user namespace, for one). It ends when the reader of the pipe `until_closed` is gone.
    """
    with Hints(until_closed) as hints:
        if hints.without_events:
            tell(f"no uevents ({hints.without_events}): everything is looked at every {interval:g} s")
        before = _look()
        while not hints.closed:
            because = hints.wait(interval)
            if not because and not hints.without_events:
                continue
            because += _settled(hints, settle) if because else ()
            after = _look()
            found = differences(before, after)
            before = after
            if found:
                yield Change(time.time(), found, tuple(dict.fromkeys(because)) or ("looked again",), after)


def _settled(hints: Hints, settle: float) -> tuple[str, ...]:
    """The hints that come until none does for a moment."""
    found: list[str] = []
    deadline = time.monotonic() + max(settle, _SETTLE_AT_MOST)
    while not hints.closed and time.monotonic() < deadline:
        more = hints.wait(settle)
        if not more:
            break
        found += more
    return tuple(found)


def _look() -> Host:
    with LiveReader() as reader:
        return look(reader)


def look(reader: Reader) -> Host:
    """A plain probe, and of the deep one what is cheap and changes with devices: links, modules and CDI specs."""
    from devproxy.host.sources.cdi_files import read_cdi_files
    from devproxy.host.sources.links import read_links
    from devproxy.host.sources.modules import read_modules

    host = probe_reader(reader, name="live", simulated=False)
    root = HostRoot(reader)
    devices = DeviceDetails(links=read_links(root, host))
    system = SystemDetails(modules=read_modules(root), cdi=read_cdi_files(root, ()))
    unseen = tuple(dict.fromkeys((*host.unseen, *root.unseen)))
    return host._replace(details=Details(devices=devices, system=system), unseen=unseen)
