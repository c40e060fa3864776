"""Roots on the kernel beside runc and crun: one that does nothing, one with many binds, one with many device nodes."""

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
# Before 1.9 crun refuses a machine with this beside the hierarchies of version 1; whoever starts it may hide it.
_UNIFIED = "/sys/fs/cgroup/unified"
_HIDE = ("unshare", "--mount", "sh", "-c", 'umount "$0" && exec "$@"', _UNIFIED)
_FRESH_ROW = "root and true, devproxy run as a fresh process"


class Peer(Record):
    """A runtime: how it is started, what it says it is, and the seconds that are not its own."""

    command: tuple[str, ...]
    version: str
    apart: float = 0.0


def rows(*, quick: bool) -> Iterator[Row]:
    """The figures, each as soon as it is there; rows that say why when they cannot be had."""
    binds, nodes = (200, 512) if quick else (1000, 4096)
    wanted = (
        ("root and true, in this process", _IN_PROCESS),
        (_FRESH_ROW, _FRESH),
        (f"{binds} binds, above {_FEW}", _MANY),
        (f"{nodes} device nodes, above {_FEW}", _MANY),
    )
    peer, why = _find_runc()
    program = do_nothing()
    if peer is None or program is None:
        yield from (Row(what, "runc", budget, note=why or "no program for this machine") for what, budget in wanted)
        yield Row(_FRESH_ROW, "crun", None, note=why or "no program for this machine")
        return
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(scratch, program, peer)
        rounds = 5 if quick else 15
        yield bench.whole(*wanted[0], bench.in_process, rounds)
        yield bench.whole(*wanted[1], bench.fresh, rounds)
        yield _beside_crun(bench, rounds)
        few = 3 if quick else 5
        yield bench.marginal(*wanted[2], {"binds": _FEW}, {"binds": binds}, few)
        yield bench.marginal(*wanted[3], {"nodes": _FEW}, {"nodes": nodes}, few)


def _find_runc() -> tuple[Peer | None, str]:
    if os.geteuid() != 0:
        return None, "building on the kernel needs root"
    program = find_program("runc")
    if program is None:
        return None, "runc is not installed"
    return Peer((program,), run([program, "--version"]).out.partition("\n")[0]), ""


def _beside_crun(bench: _Bench, rounds: int) -> Row:
    """Shown for comparison: crun is written in C and does less."""
    try:
        crun = _find_crun()
        return (
            Row(_FRESH_ROW, "crun", None, note="crun is not installed")
            if crun is None
            else bench.fresh_beside(crun, rounds)
        )
    except DevproxyError as error:
        return Row(_FRESH_ROW, "crun", None, note=error.message)


def _find_crun() -> Peer | None:
    program = find_program("crun")
    if program is None:
        return None
    version = run([program, "--version"]).out.partition("\n")[0]
    if not os.path.ismount(_UNIFIED):
        return Peer((program,), version)
    hiding = _program([*_HIDE, "true"])
    apart = min(hiding() for _ in range(5))
    return Peer((*_HIDE, program), f"{version}, less {apart * 1e3:.1f} ms for hiding {_UNIFIED} from it", apart)


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
            theirs = self.runtime(self._peer, bundle)
            return time_row(what, self._peer.version, budget, side_by_side(ours(bundle), theirs, rounds))
        except DevproxyError as error:
            return Row(what, self._peer.version, budget, note=error.message)

    def fresh_beside(self, peer: Peer, rounds: int) -> Row:
        """The same as a fresh process beside another runtime."""
        bundle = self._bundle()
        return time_row(
            _FRESH_ROW, peer.version, None, side_by_side(self.fresh(bundle), self.runtime(peer, bundle), rounds)
        )

    def marginal(self, what: str, budget: Budget, few: dict[str, int], many: dict[str, int], rounds: int) -> Row:
        """What the many cost above the few, which cancels what a root costs anyway."""
        small, large = self._bundle(**few), self._bundle(**many)
        try:
            base = side_by_side(self.in_process(small), self.runtime(self._peer, small), rounds)
            pair = side_by_side(self.in_process(large), self.runtime(self._peer, large), rounds)
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
        """`devproxy run`, started as people do: by the script that was installed beside Python, if there is one."""
        home = os.path.dirname(os.path.dirname(os.path.abspath(devproxy.__file__)))
        script = os.path.join(os.path.dirname(sys.executable), "devproxy")
        start = [script] if os.access(script, os.X_OK) else [sys.executable, "-m", "devproxy"]
        environment = {**os.environ, "PYTHONPATH": home}
        # What is installed is compiled; without this the first run here does it.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return _program([*start, "run", bundle], environment)

    def runtime(self, peer: Peer, bundle: str) -> Run:
        """`RUNTIME run`; its state lies in the scratch directory."""
        state = os.path.join(self._scratch, "state")

        def once() -> float:
            name = f"devproxy-bench-{os.getpid()}-{next(self._names)}"
            return _program([*peer.command, "--root", state, "run", "--bundle", bundle, name])() - peer.apart

        return once


def _program(argv: list[str], environment: dict[str, str] | None = None) -> Run:
    def once() -> float:
        start = time.perf_counter()
        run(argv, env=environment)
        return time.perf_counter() - start

    return once
