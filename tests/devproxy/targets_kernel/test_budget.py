"""System calls that one more bind or node costs, from config.json to the end of the process and in every process that takes
part: a figure without noise (docs/architecture.md, "Budgets").
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devproxy.bench.bundle import do_nothing, write_bundle
from devproxy.process import find_program, run

pytestmark = [pytest.mark.root, pytest.mark.newest]

FEW, MANY = 10, 210
A_BIND, A_NODE = 7, 4
Config = dict[str, Any]
Item = Callable[[Path, int], tuple[str, Config]]


def bind(source: str, place: str) -> Item:
    def item(bundle: Path, number: int) -> tuple[str, Config]:
        options = ["bind", "ro"]
        mount = {"destination": f"/{place}/{number}", "type": "bind", "source": source, "options": options}
        path = bundle / "rootfs/there" / str(number)
        if place == "there":
            path.parent.mkdir(exist_ok=True)
        if place == "there" and source == "directory":
            path.mkdir()
        elif place == "there":
            path.touch()
        return "mounts", mount

    return item


def node(**more: int) -> Item:
    """A node; each is a device of its own, so that each has its link in /dev/char."""
    return lambda _, number: (
        "devices",
        {"path": f"/dev/bench/{number}", "type": "c", "major": 240, "minor": number, **more},
    )


def node_in_the_image(_: Path, number: int) -> tuple[str, Config]:
    return "devices", {"path": f"/node/{number}", "type": "c", "major": 240, "minor": number}


def calls(item: Item, count: int, directory: Path) -> int:
    """What strace counts for a bundle with so many items."""
    strace, program = find_program("strace"), do_nothing()
    if strace is None or program is None:
        pytest.skip("needs strace, and a program for this machine")
    bundle = directory / str(count)
    bundle.mkdir()
    write_bundle(str(bundle), program)
    (bundle / "file").touch()
    (bundle / "directory").mkdir()
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    for number in range(count):
        kind, entry = item(bundle, number)
        (config if kind == "mounts" else config["linux"])[kind].append(entry)
    path.write_text(json.dumps(config))
    report = directory / f"report-{count}"
    module = "tests.devproxy.targets_kernel.many"
    # Not -c: its table leaves out what is newer than this strace.
    done = run([strace, "-f", "-qq", "--signal=none", "-o", str(report), sys.executable, "-m", module, str(bundle)])
    assert done.code == 0, done
    return sum(" resumed>" not in line for line in report.read_text().splitlines())


@pytest.mark.parametrize(
    ("item", "budget"),
    [
        pytest.param(bind("directory", "there"), A_BIND, id="directory"),
        pytest.param(bind("file", "there"), A_BIND, id="file"),
        pytest.param(bind("directory", "missing"), A_BIND, id="directory, its place is missing"),
        pytest.param(bind("file", "missing"), A_BIND, id="file, its place is missing"),
        pytest.param(node(), A_NODE, id="node"),
        pytest.param(node(uid=3, gid=5), A_NODE, id="node with an owner"),
        pytest.param(node_in_the_image, A_NODE, id="node in the image"),
    ],
)
def test_one_more_costs_a_few_system_calls(
    item: Item, budget: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    each = (calls(item, MANY, tmp_path) - calls(item, FEW, tmp_path)) / (MANY - FEW)
    assert 2 < round(each, 1) <= budget, f"{each:.2f} calls"
