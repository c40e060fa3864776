"""Planning is linear: counted in calls, which no noise disturbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devproxy.oci.configuration import Configuration
from devproxy.oci.load import parse_spec
from devproxy.plan.planner import plan
from devproxy.plan.text import to_text
from tests.bundles import runc_spec_like
from tests.counting import calls_of
from tests.hosts import host_with_gpus

pytestmark = pytest.mark.property

HOST = host_with_gpus(2)


def siblings(n: int) -> list[dict[str, Any]]:
    return [{"destination": f"/m{i}", "type": "tmpfs", "options": ["ro", "size=1m"]} for i in range(n)]


def nested(n: int) -> list[dict[str, Any]]:
    return [{"destination": f"/m{i % 10}/x{i}/y", "type": "bind", "source": "s"} for i in reversed(range(n))]


def stacked(n: int) -> list[dict[str, Any]]:
    return [{"destination": "/dev", "type": "tmpfs", "options": ["ro"]} for _ in range(n)]


def covered(n: int) -> list[dict[str, Any]]:
    half = [{"destination": f"/a/m{i}", "type": "tmpfs", "options": ["ro"]} for i in range(n // 2)]
    return half + [{"destination": "/a", "type": "tmpfs"}] * (n - n // 2)


@pytest.mark.parametrize("order", ["depth", "listed"])
@pytest.mark.parametrize("mounts", [siblings, nested, stacked, covered])
def test_ten_times_the_mounts_take_ten_times_the_calls(
    mounts: Callable[[int], list[dict[str, Any]]], order: str
) -> None:
    def work(n: int) -> int:
        document = runc_spec_like(mounts=mounts(n))
        config = Configuration(mount_order=order)
        return calls_of(lambda: to_text(plan(parse_spec(document, "/b"), HOST, config=config)))

    few, many = work(300), work(3000)
    assert many < 10.5 * few


def test_ten_times_the_devices_take_ten_times_the_calls() -> None:
    def work(n: int) -> int:
        devices = [{"path": f"/dev/x/d{i}", "type": "c", "major": 195, "minor": i} for i in range(n)]
        document = runc_spec_like(linux={"devices": devices})
        return calls_of(lambda: to_text(plan(parse_spec(document, "/b"), HOST)))

    few, many = work(300), work(3000)
    assert many < 10.5 * few
