"""What killed runs left on the host is told without building anything."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.finding import Finding, Severity
from devproxy.cli.main import main
from devproxy.oci.configuration import parse_configuration
from devproxy.oci.load import load
from devproxy.overlay import LAYERS
from devproxy.targets.kernel.layers import HostLayers
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus

CODE = "layers-left-behind"
ONE, TWO, THREE = "0123456789ab.0", "0123456789ab.7", "ba9876543210.12"


def bundle(directory: Path, **more: Any) -> str:
    (directory / "volume").mkdir()
    (directory / "file").touch()
    config = runc_spec_like(root={"readonly": False}, **more)
    for name in ("volume", "file", "missing"):
        config["mounts"].append({"destination": f"/{name}", "type": "bind", "source": f"{directory}/{name}"})
    return write_bundle(directory / "bundle", config, rootfs="empty")


def kill_one_that_has(*layers: tuple[str, str]) -> None:
    """A process that makes layers, each in a volume, and is killed before it can remove them."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        held = HostLayers()
        for volume, name in layers:
            held.add(volume, name)
        os.write(writer, b"!")
        signal.pause()
    os.close(writer)
    assert os.read(reader, 1) == b"!"
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def findings(bundle: str, layers_in: str = "") -> list[Finding]:
    return list(examine(Case(host_with_gpus(), load(bundle), layers_in=layers_in), only=[CODE]).findings)


def test_layers_of_killed_runs_are_told_with_what_to_type(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    rootfs, volume = f"{path}/rootfs", f"{tmp_path}/volume"
    assert findings(path) == []
    kill_one_that_has((rootfs, ONE), (volume, TWO), (volume, THREE))
    found = findings(path)
    assert [(one.code, one.severity, one.path, one.found) for one in found] == [
        (CODE, Severity.WARNING, f"{rootfs}/{LAYERS}", "1 of killed runs"),
        (CODE, Severity.WARNING, f"{volume}/{LAYERS}", "2 of killed runs"),
    ]
    for one in found:
        remove, _, _ = one.hint.partition(" (")
        for each in shlex.split(remove)[2:]:
            shutil.rmtree(each)
    assert findings(path) == []


def test_a_living_run_is_left_in_peace(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    kill_one_that_has((f"{tmp_path}/volume", ONE))
    living = HostLayers()
    living.add(f"{path}/rootfs", TWO)
    assert [one.path for one in findings(path)] == [f"{tmp_path}/volume/{LAYERS}"]
    # The next one removes what is left, and says so, also while somebody has just looked.
    assert living.add(f"{tmp_path}/volume", THREE) == "removed 1 layers that killed runs left"
    assert findings(path) == []
    living.close()
    assert sorted(os.listdir(tmp_path / "volume")) == []


def test_the_places_are_those_of_the_configuration_and_of_hints(tmp_path: Path) -> None:
    for name in ("layers", "hinted", "root"):
        (tmp_path / name).mkdir()
    hint = {"source": f"{tmp_path}/root", "type": "bind", "overlay": f"dir={tmp_path}/hinted"}
    path = bundle(tmp_path, annotations={f"dev.gvisor.spec.rootfs.{key}": value for key, value in hint.items()})
    kill_one_that_has(*((f"{tmp_path}/{name}", ONE) for name in ("layers", "hinted", "root")))
    assert [Path(one.path).parent.name for one in findings(path)] == ["root", "hinted"]
    assert [Path(one.path).parent.name for one in findings(path, f"{tmp_path}/layers")] == ["layers", "root", "hinted"]


def test_what_is_not_devproxys_is_not_told(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    kill_one_that_has((f"{tmp_path}/volume", ONE))
    layers = tmp_path / "volume" / LAYERS
    layers.chmod(0o755)  # anybody may have put it there: a build refuses it
    assert findings(path) == []
    layers.chmod(0o700)
    (layers / ONE).rename(layers / "something-else")
    assert findings(path) == []


@pytest.mark.root
def test_the_command_line_tells_and_the_next_run_removes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "layers").mkdir()
    path, setting = bundle(tmp_path), f"overlay2=root:dir={tmp_path}/layers"
    kill_one_that_has((f"{tmp_path}/layers", ONE))
    doctor = ["--set", setting, "doctor", path, "--only", CODE]
    assert main(doctor) == 0
    told = capfd.readouterr().out
    assert f"rm -r {tmp_path}/layers/{LAYERS}/{ONE}" in told
    config = load(path)
    mounts = tuple(mount for mount in config.mounts if not mount.source.startswith(str(tmp_path)))
    settings = parse_configuration(None, [setting]).configuration
    plan = devproxy.plan(config._replace(mounts=mounts), host_with_gpus(), config=settings)
    with devproxy.build(plan, "kernel") as root:
        assert root.removed == (f"{tmp_path}/layers/{LAYERS}: removed 1 layers that killed runs left",)
        assert main(doctor) == 0
        assert "rm -r" not in capfd.readouterr().out
