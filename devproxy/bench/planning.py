"""How planning grows, and how long a recorded host takes to read."""

from __future__ import annotations

import os
import statistics
import time

import devproxy
from devproxy.bench.measure import Budget, Row, Run, duration, side_by_side, time_row
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.mount_options import MountOptions
from devproxy.oci.spec import Mount, Spec
from devproxy.plan.planner import plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINEAR = Budget(120)
_PROBE = Budget(60, unit=" ms")
# Ships with the sources, not with the wheel.
_RECORDING = os.path.join(os.path.dirname(os.path.dirname(devproxy.__file__)), "example", "host-8gpu.tar")


def rows(*, quick: bool) -> Iterator[Row]:
    """The figures, each as soon as it is there."""
    rounds = 3 if quick else 5
    host = Host("none", True, "", "", (), (), (), (), (), None, ())  # noqa: FBT003 (a record's field)
    pair = side_by_side(_planning(host, 10_000), _planning(host, 100), rounds)
    yield time_row("planning 10,000 mounts beside 100", "itself", _LINEAR, pair)
    what = "probing a recorded host with 8 GPUs"
    if os.path.exists(_RECORDING):
        taken = statistics.median(_timed(lambda: probe(_RECORDING)) for _ in range(rounds))
        yield Row(what, "-", _PROBE, duration(taken), figure=taken * 1e3)
    else:
        yield Row(what, "-", _PROBE, note=f"{_RECORDING} is not there: run it from the sources")


def _planning(host: Host, mounts: int) -> Run:
    """Plan so often that both sides take a while, and tell the time of one plan."""
    spec, often = _spec(mounts), 10_000 // mounts
    return lambda: _timed(lambda: [plan(spec, host) for _ in range(often)]) / often


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _spec(mounts: int) -> Spec:
    options = MountOptions(bind=True)
    return Spec(
        bundle="/bench",
        version="1.0.2",
        rootfs="/bench/rootfs",
        readonly=True,
        hostname="",
        domainname="",
        process=None,
        mounts=tuple(Mount(f"/a{n % 97}/{n}", "bind", "/bench", options, f"mounts[{n}]") for n in range(mounts)),
        devices=(),
        namespaces=(),
        masked_paths=(),
        readonly_paths=(),
        rootfs_propagation=None,
        annotations=(),
        unsupported=(),
    )
