"""`python -m hwtests.lab [-- PYTEST-ARGUMENTS]`: prepare, boot, run the guest's tests, say what came of it."""

from __future__ import annotations

import argparse
import compileall
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from devproxy.errors import DevproxyError
from hwtests.lab import boot, kernel, stubs
from hwtests.lab.python_files import TREE


def main() -> int:
    """0 if every test of the guest passed."""
    parser = argparse.ArgumentParser(prog="python -m hwtests.lab", description=__doc__)
    parser.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="of the boot (default: 900)")
    parser.add_argument(
        "--kernel",
        choices=kernel.SERIES,
        default=kernel.LAB,
        help=f"another than {kernel.LAB} has no stub drivers, and runs tests of the kernel target",
    )
    parser.add_argument("--results", metavar="DIR", help="keep what the guest sends, and its console")
    parser.add_argument("--export", metavar="FILE.tar", help="keep the recording of the guest, as tests/hosts/lab.tar")
    parser.add_argument("--prepare", action="store_true", help="download and compile, boot nothing")
    parser.add_argument("arguments", nargs="*", help="more arguments for the guest's pytest, behind --")
    args = parser.parse_args()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    started = time.monotonic()
    cache = Path(os.environ.get("DEVPROXY_LAB", TREE / "build" / "lab"))
    linux = kernel.prepare(cache, args.kernel)
    made = stubs.build(linux) if args.kernel == kernel.LAB else None
    _compile_python()
    print(f"lab: Linux {linux.release}, prepared in {time.monotonic() - started:.0f} s", flush=True)
    if args.prepare:
        return 0
    started = time.monotonic()
    outcome = boot.boot(linux, made, timeout=args.timeout, arguments=" ".join(args.arguments))
    print(outcome.console)
    if args.results:
        _keep(outcome, Path(args.results))
    if args.export and outcome.ok:
        Path(args.export).write_bytes(outcome.results["lab.tar"])
    said = f"{outcome.passed} of {outcome.total} tests passed in the guest, {time.monotonic() - started:.0f} s"
    print(f"lab: {said}" if outcome.ok else f"lab: FAILED: {said}")
    return 0 if outcome.ok else 1


def _end(number: int, _frame: FrameType | None) -> None:
    """An exception like any other, so that the guest ends and its directory is removed."""
    sys.exit(128 + number)


def _compile_python() -> None:
    """What the guest imports: it cannot write, and would compile everything anew each time, slowly."""
    for name in ("devproxy", "vfs", "hwtests", "tests"):
        compileall.compile_dir(TREE / name, quiet=2)
    compileall.compile_dir(sys.prefix, quiet=2)


def _keep(outcome: boot.Outcome, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "console.txt").write_text(outcome.console, encoding="utf-8")
    for name, content in outcome.results.items():
        (directory / name.replace("/", "_")).write_bytes(content)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DevproxyError as error:
        print(f"lab: FAILED: {error}", file=sys.stderr)
        sys.exit(1)
