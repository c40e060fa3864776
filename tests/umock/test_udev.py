"""The fact `udev`, by real pyudev and libudev on a made-up machine: what is found, and what must not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devproxy.host.probe import probe_reader
from tests.hosts.machine import Machine
from tests.umock.beds import GPU, MACHINE, NPU, TPU, in_bed, pci

pytestmark = pytest.mark.programs

READ = "import json; from devproxy.host.live.udev import read; print(json.dumps(read()))"


def devices(directory: Path, record: str = MACHINE) -> dict[str, Any]:
    return {device["path"]: device for device in in_bed(record, READ, directory)["devices"]}


def test_accelerators_and_nothing_else(tmp_path: Path) -> None:
    below = "/devices/pci0000:00"
    assert set(devices(tmp_path)) == {
        f"{below}/{TPU}", f"{below}/{TPU}/accel/accel0", f"{below}/{NPU}", f"{below}/{NPU}/accel/accel1",
        f"{below}/{GPU}", f"{below}/{GPU}/drm/renderD128", "/devices/virtual/misc/vfio",
    }  # fmt: skip


def test_what_is_told_of_each(tmp_path: Path) -> None:
    found = devices(tmp_path)
    tpu, node = found[f"/devices/pci0000:00/{TPU}"], found[f"/devices/pci0000:00/{TPU}/accel/accel0"]
    assert (tpu["driver"], tpu["node"], tpu["subsystem"]) == ("tpu_common", "", "pci")
    assert tpu["properties"] == {"PCI_CLASS": "FF0000", "PCI_ID": "1AE0:005E", "PCI_SLOT_NAME": TPU}
    assert (node["node"], node["properties"]) == ("/dev/accel0", {"MAJOR": "121", "MINOR": "0"})


def test_devices_that_udevd_never_saw_are_told_all_the_same(tmp_path: Path) -> None:
    """In a bed, as in a container, nobody initialized them."""
    found = devices(tmp_path)
    assert found
    assert not any(device["initialized"] for device in found.values())


def test_an_empty_machine(tmp_path: Path) -> None:
    assert devices(tmp_path, pci("0000:00:02.0", "1AF4:1041", "20000", "virtio-pci")) == {}


def test_the_fact_becomes_records(tmp_path: Path) -> None:
    machine = Machine().fact("udev", in_bed(MACHINE, READ, tmp_path))
    details = probe_reader(machine, name="bed", simulated=True, deep=True).details
    assert details is not None
    assert details.devices.udev is not None
    by_node = {device.node: device for device in details.devices.udev if device.node}
    assert set(by_node) == {"/dev/accel0", "/dev/accel/accel1", "/dev/dri/renderD128", "/dev/vfio/vfio"}
