"""New bundles are what `runc spec` writes, and devices."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.node import DeviceNumber, NodeKind
from devproxy.oci.load import load
from devproxy.oci.new_bundle import new_config, write_bundle
from devproxy.oci.spec import Device
from devproxy.process import find_program, run

GPU = Device("/dev/nvidia0", NodeKind.CHARACTER, DeviceNumber(195, 0), 0o666, 0, 0, "")


@pytest.mark.rows("H30", oracle="specification")
def test_h30_a_new_bundle_loads_with_its_devices(tmp_path: Path) -> None:
    spec = write_bundle(str(tmp_path / "a" / "b"), [GPU])
    assert spec == load(tmp_path / "a" / "b")
    assert spec.devices is not None
    assert [device._replace(where="") for device in spec.devices] == [GPU]
    assert os.listdir(tmp_path / "a" / "b" / "rootfs") == []


@pytest.mark.rows("H30", oracle="specification")
def test_h30_nothing_in_a_new_bundle_is_more_than_a_note(tmp_path: Path) -> None:
    spec = write_bundle(str(tmp_path), [GPU])
    assert [thing for thing in spec.unsupported if not thing.harmless] == []


@pytest.mark.rows("H30", oracle="specification")
def test_h30_the_cgroup_rules_allow_what_is_listed() -> None:
    rules = new_config([GPU])["linux"]["resources"]["devices"]
    assert rules == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 195, "minor": 0, "access": "rw"},
    ]


@pytest.mark.peer
@pytest.mark.skipif(find_program("runc") is None, reason="needs runc")
@pytest.mark.rows("H30", oracle="specification")
def test_h30_without_devices_it_is_what_runc_writes(tmp_path: Path) -> None:
    run(["runc", "spec", "--bundle", str(tmp_path)])
    theirs: dict[str, Any] = json.loads((tmp_path / "config.json").read_text())
    ours = new_config([])
    assert (ours["process"], ours["root"], ours["mounts"]) == (theirs["process"], theirs["root"], theirs["mounts"])
    assert ours["linux"]["resources"] == theirs["linux"]["resources"]
    # Later versions of runc know more of these.
    for key in ("namespaces", "maskedPaths", "readonlyPaths"):
        assert [entry for entry in ours["linux"][key] if entry not in theirs["linux"][key]] == []


@pytest.mark.parametrize("what", ["file", "link", "directory"])
def test_a_bundle_is_never_written_over(what: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    if what == "directory":
        config.mkdir()
    elif what == "link":
        config.symlink_to("nowhere")
    else:
        config.write_text("mine")
    with pytest.raises(InputError, match=r'config\.json" exists, expected none'):
        write_bundle(str(tmp_path), [])
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_rootfs_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rootfs" / "bin").mkdir(parents=True)
    write_bundle(str(tmp_path), [])
    assert os.listdir(tmp_path / "rootfs") == ["bin"]


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.*: (not a directory|file exists)"):
        write_bundle(str(tmp_path / "file" / "b"), [])
