"""Device nodes of a root without privileges: the host's, bound."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from devproxy.errors import DevproxyError
from devproxy.host.probe import probe
from devproxy.oci.load import load
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.targets_kernel.rootless import EXAMPLE, built, found, planned


def devices(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"linux": {"devices": list(entries)}}


def test_a_device_of_the_spec_is_the_hosts() -> None:
    entry = {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600, "uid": 7, "gid": 8}
    mode = stat.S_IMODE(os.stat("/dev/kmsg").st_mode)
    result = built(lambda directory: planned(directory, **devices(entry)))
    assert result["findings"] == []
    assert found(result, "node /dev/kmsg")[1] == f"bound from the host, keeps mode {mode:04o} and owner 65534:65534"


def test_one_that_the_host_lacks_is_left_out() -> None:
    entry = {"path": "/dev/nobody", "type": "c", "major": 60, "minor": 7}
    result = built(lambda directory: planned(directory, **devices(entry)))
    assert result["findings"] == []
    words = "the host has no /dev/nobody with number 60:7, without root only the host's can be shown"
    assert found(result, "node /dev/nobody") == ["skipped", words, True, True]


def test_one_that_is_another_device_on_the_host_is_an_error() -> None:
    entry = {"path": "/dev/kmsg", "type": "c", "major": 60, "minor": 7}
    with pytest.raises(DevproxyError, match="the host's is device 1:11"):
        built(lambda directory: planned(directory, **devices(entry)))


def test_one_that_exists_already_must_be_the_one() -> None:
    """/dev/null is there by the time it is asked for again."""
    again = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3}
    result = built(lambda directory: planned(directory, **devices(again)))
    assert result["findings"] == []
    with pytest.raises(DevproxyError, match="is character device 1:3, expected character device 1:5"):
        built(lambda directory: planned(directory, **devices({**again, "minor": 5})))


def test_a_fifo_is_made_and_belongs_to_the_caller() -> None:
    entry = {"path": "/dev/pipe", "type": "p", "fileMode": 0o640, "uid": 7, "gid": 8}
    result = built(lambda directory: planned(directory, **devices(entry)))
    assert result["findings"] == []
    assert found(result, "node /dev/pipe") == ["chosen", "belongs to 0:0, 7:8 cannot be had without root", True, True]


def test_the_accelerators_of_a_recorded_host_cannot_be_shown() -> None:
    def work(directory: Path) -> Plan:
        process = {"env": ["NVIDIA_VISIBLE_DEVICES=0"]}
        return plan(load(write_bundle(directory / "b", runc_spec_like(process=process))), probe(EXAMPLE))

    with pytest.raises(DevproxyError, match="/dev/nvidiactl is a device of the recorded host") as caught:
        built(work)
    assert "devproxy inspect" in caught.value.hint


def test_an_accelerator_whose_node_the_host_lacks_is_an_error() -> None:
    """A container that was to have a GPU does not start without it."""

    def work(directory: Path) -> Plan:
        process = {"env": ["NVIDIA_VISIBLE_DEVICES=0"]}
        live = probe(EXAMPLE)._replace(simulated=False)
        return plan(load(write_bundle(directory / "b", runc_spec_like(process=process))), live)

    with pytest.raises(DevproxyError, match="without root only the host's can be shown"):
        built(work)


def test_without_accelerators_a_recorded_host_can_be_shown() -> None:
    assert built(lambda d: plan(load(write_bundle(d / "b", runc_spec_like())), probe(EXAMPLE)))["findings"] == []
