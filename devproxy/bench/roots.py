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


class Size(Record):
    """How many there are of what there are many of, and how many rounds are run."""

    binds: int
    nodes: int
    rounds: int
    rounds_of_many: int


_QUICK, _WHOLE = Size(200, 512, 5, 3), Size(1000, 4096, 15, 5)


class Peer(Record):
    """A runtime: how it is started, what it says it is, and the seconds that are not its own."""

    command: tuple[str, ...]
    version: str
    apart: float = 0.0


def rows(*, quick: bool) -> Iterator[Row]:
    """The figures, each as soon as it is there, beside runc, whose the budgets are, and beside crun, which is written in C and
    does less; rows that say why when they cannot be had.
    """
    size = _QUICK if quick else _WHOLE
    figures = (
        ("root and true, in this process", _IN_PROCESS),
        ("root and true, devproxy run as a fresh process", _FRESH),
        (f"{size.binds} binds, above {_FEW}", _MANY),
        (f"{size.nodes} device nodes, above {_FEW}", _MANY),
    )
    peers = [_found(_find_runc, "runc"), _found(_find_crun, "crun")]
    program = do_nothing()
    with tempfile.TemporaryDirectory() as scratch:
        bench = None if program is None else _Bench(scratch, program, size)
        for number, (what, budget) in enumerate(figures):
            for peer, why in peers:
                of_peer = budget if peer.command[0].endswith("runc") else None
                if bench is None or why:
                    yield Row(what, peer.version, of_peer, note=why or "no program for this machine")
                else:
                    yield bench.row(what, of_peer, peer, (bench.inside, bench.fresh, bench.binds, bench.nodes)[number])


def _found(find: Callable[[], Peer | None], name: str) -> tuple[Peer, str]:
    """A peer, or its name and why it cannot be measured with."""
    absent = Peer((name,), name)
    if os.geteuid() != 0:
        return absent, "building on the kernel needs root"
    try:
        peer = find()
    except DevproxyError as error:
        return absent, error.message
    return (absent, f"{name} is not installed") if peer is None else (peer, "")


def _find_runc() -> Peer | None:
    program = find_program("runc")
    return None if program is None else Peer((program,), run([program, "--version"]).out.partition("\n")[0])


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

    def __init__(self, scratch: str, program: bytes, size: Size) -> None:
        self._scratch = scratch
        self._program = program
        self._size = size
        self._names = itertools.count()
        self._host = devproxy.probe()

    def row(self, what: str, budget: Budget | None, peer: Peer, measure: Callable[[Peer], Pair]) -> Row:
        """One figure beside one peer."""
        try:
            return time_row(what, peer.version, budget, measure(peer))
        except DevproxyError as error:
            return Row(what, peer.version, budget, note=error.message)

    # the figures

    def inside(self, peer: Peer) -> Pair:
        """One bundle from its config.json to the end of its process, in this process and by the peer."""
        bundle = self._bundle()
        return side_by_side(self._in_process(bundle), self._runtime(peer, bundle), self._size.rounds)

    def fresh(self, peer: Peer) -> Pair:
        """The same with `devproxy run`."""
        bundle = self._bundle()
        return side_by_side(self._run(bundle), self._runtime(peer, bundle), self._size.rounds)

    def binds(self, peer: Peer) -> Pair:
        """What many binds cost above a few."""
        return self._marginal(peer, self._bundle(binds=_FEW), self._bundle(binds=self._size.binds))

    def nodes(self, peer: Peer) -> Pair:
        """What many device nodes cost above a few."""
        return self._marginal(peer, self._bundle(nodes=_FEW), self._bundle(nodes=self._size.nodes))

    def _marginal(self, peer: Peer, small: str, large: str) -> Pair:
        """What the large one costs above the small one, which cancels what a root costs anyway."""
        base = side_by_side(self._in_process(small), self._runtime(peer, small), self._size.rounds_of_many)
        pair = side_by_side(self._in_process(large), self._runtime(peer, large), self._size.rounds_of_many)
        ours, theirs = pair.ours - base.ours, pair.theirs - base.theirs
        if theirs <= 0:
            raise DevproxyError("the peer's cost is lost in the noise: run it again")
        return Pair(ours, theirs, ours / theirs)

    def _bundle(self, **counts: int) -> str:
        directory = os.path.join(self._scratch, str(next(self._names)))
        os.mkdir(directory)
        return write_bundle(directory, self._program, **counts)

    # the ways

    def _in_process(self, bundle: str) -> Run:
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

    def _run(self, bundle: str) -> Run:
        """`devproxy run`, started as people do: by the script that was installed beside Python, if there is one."""
        home = os.path.dirname(os.path.dirname(os.path.abspath(devproxy.__file__)))
        script = os.path.join(os.path.dirname(sys.executable), "devproxy")
        start = [script] if os.access(script, os.X_OK) else [sys.executable, "-m", "devproxy"]
        environment = {**os.environ, "PYTHONPATH": home}
        # What is installed is compiled; without this the first run here does it.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return _program([*start, "run", bundle], environment)

    def _runtime(self, peer: Peer, bundle: str) -> Run:
        """`RUNTIME run`; its state lies in the scratch directory."""
        state = os.path.join(self._scratch, "state")

        def once() -> float:
            name = f"devproxy-bench-{os.getpid()}-{next(self._names)}"
            start = time.perf_counter()
            done = run([*peer.command, "--root", state, "run", "--bundle", bundle, name])
            taken = time.perf_counter() - start
            if done.code:
                raise DevproxyError(f"it fails: {(done.err.strip() or f'code {done.code}').splitlines()[-1]}")
            return taken - peer.apart

        return once


def _program(argv: list[str], environment: dict[str, str] | None = None) -> Run:
    def once() -> float:
        start = time.perf_counter()
        run(argv, env=environment)
        return time.perf_counter() - start

    return once
