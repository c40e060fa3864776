"""Roots on the kernel beside runc: one that does nothing, one with many binds, one with many device nodes."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time

import devproxy
from devproxy.bench.bundle import do_nothing, write_bundle
from devproxy.bench.measure import Budget, Pair, Row, Run, side_by_side, time_row
from devproxy.errors import DevproxyError
from devproxy.process import find_program, run
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IN_PROCESS = Budget(0.35)
_FRESH = Budget(2)
_MANY = Budget(0.4)
_FEW = 10


class Peer(Record):
    """runc, and what it says it is."""

    program: str
    version: str


def rows(*, quick: bool) -> Iterator[Row]:
    """The figures, each as soon as it is there; rows that say why when they cannot be had."""
    binds, nodes = (200, 512) if quick else (1000, 4096)
    wanted = (
        ("root and true, in this process", _IN_PROCESS),
        ("root and true, devproxy run as a fresh process", _FRESH),
        (f"{binds} binds, above {_FEW}", _MANY),
        (f"{nodes} device nodes, above {_FEW}", _MANY),
    )
    peer, why = _find_runc()
    program = do_nothing()
    if peer is None or program is None:
        yield from (Row(what, "runc", budget, note=why or "no program for this machine") for what, budget in wanted)
        return
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(scratch, program, peer)
        rounds = 5 if quick else 15
        yield bench.whole(*wanted[0], bench.in_process, rounds)
        yield bench.whole(*wanted[1], bench.fresh, rounds)
        few = 3 if quick else 5
        yield bench.marginal(*wanted[2], {"binds": _FEW}, {"binds": binds}, few)
        yield bench.marginal(*wanted[3], {"nodes": _FEW}, {"nodes": nodes}, few)


def _find_runc() -> tuple[Peer | None, str]:
    if os.geteuid() != 0:
        return None, "building on the kernel needs root"
    program = find_program("runc")
    if program is None:
        return None, "runc is not installed"
    return Peer(program, run([program, "--version"]).out.partition("\n")[0]), ""


class _Bench:
    """Bundles in a scratch directory, and the ways to run them."""

    def __init__(self, scratch: str, program: bytes, peer: Peer) -> None:
        self._scratch = scratch
        self._program = program
        self._peer = peer
        self._names = itertools.count()
        self._host = devproxy.probe()

    def whole(self, what: str, budget: Budget, ours: Callable[[str], Run], rounds: int) -> Row:
        """One bundle from its config.json to the end of its process, both ways."""
        bundle = self._bundle()
        try:
            return time_row(what, self._peer.version, budget, side_by_side(ours(bundle), self.runc(bundle), rounds))
        except DevproxyError as error:
            return Row(what, self._peer.version, budget, note=error.message)

    def marginal(self, what: str, budget: Budget, few: dict[str, int], many: dict[str, int], rounds: int) -> Row:
        """What the many cost above the few, which cancels what a root costs anyway."""
        small, large = self._bundle(**few), self._bundle(**many)
        try:
            base = side_by_side(self.in_process(small), self.runc(small), rounds)
            pair = side_by_side(self.in_process(large), self.runc(large), rounds)
        except DevproxyError as error:
            return Row(what, self._peer.version, budget, note=error.message)
        ours, theirs = pair.ours - base.ours, pair.theirs - base.theirs
        if theirs <= 0:
            return Row(what, self._peer.version, budget, note="runc's cost is lost in the noise: run it again")
        return time_row(what, self._peer.version, budget, Pair(ours, theirs, ours / theirs))

    def _bundle(self, **counts: int) -> str:
        directory = os.path.join(self._scratch, str(next(self._names)))
        os.mkdir(directory)
        return write_bundle(directory, self._program, **counts)

    # the ways

    def in_process(self, bundle: str) -> Run:
        """Everything in this process: load, plan, build, check, launch; the host is known already."""
        from devproxy.build import build
        from devproxy.check.outcomes import check_outcomes
        from devproxy.launch import launch
        from devproxy.oci.load import load
        from devproxy.plan.planner import plan

        def once() -> float:
            start = time.perf_counter()
            with build(plan(load(bundle), self._host), "kernel") as root:
                if not check_outcomes(root).ok:
                    raise DevproxyError("the root is not what was built")
                code = launch(root)
            taken = time.perf_counter() - start
            if code != 0:
                raise DevproxyError(f"the process ended with {code}")
            return taken

        return once

    def fresh(self, bundle: str) -> Run:
        """`devproxy run`, started as people do."""
        home = os.path.dirname(os.path.dirname(os.path.abspath(devproxy.__file__)))
        environment = {**os.environ, "PYTHONPATH": home}
        return _program([sys.executable, "-m", "devproxy", "run", bundle], environment)

    def runc(self, bundle: str) -> Run:
        """`runc run`; its state lies in the scratch directory."""
        state = os.path.join(self._scratch, "runc")

        def once() -> float:
            name = f"devproxy-bench-{os.getpid()}-{next(self._names)}"
            return _program([self._peer.program, "--root", state, "run", "--bundle", bundle, name])()

        return once


def _program(argv: list[str], environment: dict[str, str] | None = None) -> Run:
    def once() -> float:
        start = time.perf_counter()
        run(argv, env=environment)
        return time.perf_counter() - start

    return once
