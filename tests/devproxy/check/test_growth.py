"""What checking costs grows with what there is to check, however a bundle arranges it: counted in calls, not in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devproxy.build import build
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.oci.load import load
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like, write_bundle
from tests.counting import calls_of
from tests.hosts import host_with_gpus


def tmpfs(destination: str) -> dict[str, Any]:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs"}


def deep(config: dict[str, Any], number: int) -> None:
    config["mounts"].append(tmpfs("/a" * number))


def below_links(config: dict[str, Any], number: int) -> None:
    config["mounts"] += [tmpfs("/tmp"), tmpfs(f"/link{'/a' * number}")]


def binds_with_mounts_below(config: dict[str, Any], number: int) -> None:
    config["mounts"] += [
        {"destination": f"/m/{n}", "type": "bind", "source": "/dev", "options": ["rbind"]} for n in range(number)
    ]


def masks(config: dict[str, Any], number: int) -> None:
    config["linux"]["maskedPaths"] += [f"/proc/self/task/{n}" for n in range(number)]


def mounts_of_processes(config: dict[str, Any], number: int) -> None:
    config["mounts"] += [tmpfs(f"/proc/self/task/{n}") for n in range(number)]
    masks(config, number)


def hidden_nodes(config: dict[str, Any], number: int) -> None:
    config["mounts"] += [tmpfs("/v"), *(tmpfs(f"/v/{n}/x") for n in range(number))]
    config["linux"]["devices"] = [{"path": f"/dev/x/{n}", "type": "c", "major": 1, "minor": 3} for n in range(number)]
    config["linux"]["maskedPaths"] += [*(f"/v/{n}" for n in range(number)), "/dev/x"]


@pytest.mark.parametrize(
    ("arrange", "most"),
    [
        # A root in memory walks a path name by name, so that depth costs more than its share; the cube of it would be 64.
        (deep, 12),
        (below_links, 12),
        (binds_with_mounts_below, 5),
        (masks, 5),
        (mounts_of_processes, 5),
        (hidden_nodes, 5),
    ],
)
def test_what_four_times_as_much_costs(
    arrange: Callable[[dict[str, Any], int], None], most: int, tmp_path: Path
) -> None:
    def calls(number: int) -> tuple[int, int]:
        config = runc_spec_like()
        arrange(config, number)
        bundle = write_bundle(tmp_path / str(number), config)
        (tmp_path / str(number) / "rootfs" / "link").symlink_to("tmp")
        planned = plan(load(bundle), host_with_gpus())
        with build(planned, "memory") as root:
            assert verify(planned, root).findings == ()
            return calls_of(lambda: verify(planned, root)), calls_of(lambda: check_outcomes(root))

    calls(2)  # whatever is kept once and for all
    one, some, more = calls(1), calls(40), calls(160)
    for before, first, last in zip(one, some, more, strict=True):
        assert last - before < most * (first - before) + 1000
