"""The rootfs hint of whole bundles (H19): where the root comes from, and where what is written to it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import devproxy
from devproxy.cli.main import main
from devproxy.errors import InputError
from devproxy.oci.configuration import parse_configuration
from devproxy.overlay import LAYERS
from tests.bundles import fill_with_busybox, runc_spec_like, write_bundle
from tests.hosts import host_with_gpus

PREFIX = "dev.gvisor.spec.rootfs"
TARGETS = ["memory", pytest.param("kernel", marks=pytest.mark.root)]


def hint(source: Path, **more: str) -> dict[str, str]:
    return {f"{PREFIX}.{key}": value for key, value in {"source": str(source), "type": "bind", **more}.items()}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root beside the bundle, whose own has nothing in it."""
    image = tmp_path / "image"
    image.mkdir()
    fill_with_busybox(str(image))
    (image / "etc/here").write_text("of the image\n")
    return image


def bundle(tmp_path: Path, annotations: dict[str, str], *args: str, readonly: bool = False) -> str:
    config = runc_spec_like(
        annotations=annotations, root={"readonly": readonly}, process={"args": list(args) or ["sh"]}
    )
    return write_bundle(tmp_path / "bundle", config, rootfs="empty")


@pytest.mark.rows("H19", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("overlay", ["none", "memory", "self", None])
def test_the_root_is_what_the_hint_names(tmp_path: Path, image: Path, target: str, overlay: str | None) -> None:
    said = hint(image, **({} if overlay is None else {"overlay": overlay}))
    spec = devproxy.load(bundle(tmp_path, said))
    with devproxy.build(devproxy.plan(spec, host_with_gpus(0)), target) as root:
        assert root.read_bytes("/etc/here") == b"of the image\n"
        assert (root.mountinfo()[0].fstype == "overlay") == (overlay != "none")
        assert os.path.exists(image / LAYERS) == (overlay == "self" and target == "kernel")
        assert LAYERS not in root.listdir("/")
    assert not os.path.exists(image / LAYERS)
    assert os.listdir(tmp_path / "bundle/rootfs") == []


@pytest.mark.root
@pytest.mark.programs
@pytest.mark.rows("H19", oracle="kernel")
@pytest.mark.parametrize("overlay", ["none", "memory", "self", "dir"])
def test_what_is_written_goes_where_the_hint_says(tmp_path: Path, image: Path, overlay: str) -> None:
    (tmp_path / "layers").mkdir()
    medium = f"dir={tmp_path}/layers" if overlay == "dir" else overlay
    said = bundle(tmp_path, hint(image, overlay=medium), "/bin/sh", "-c", "echo changed > /etc/here; cat /etc/here")
    argv = [sys.executable, "-m", "devproxy", "run", said, "--set", "overlay2=all:memory"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "changed\n"), done.stderr
    assert (image / "etc/here").read_text() == ("changed\n" if overlay == "none" else "of the image\n")
    assert os.listdir(tmp_path / "layers") == []


@pytest.mark.rows("H19", oracle="specification")
@pytest.mark.parametrize("target", TARGETS)
def test_a_source_that_cannot_be_the_root_is_named(tmp_path: Path, image: Path, target: str) -> None:
    for source, words in (
        (tmp_path / "missing", "missing: no such file or directory"),
        (image / "etc/here", "is not a directory"),
    ):
        plan = devproxy.plan(devproxy.load(bundle(tmp_path, hint(source))), host_with_gpus(0))
        with pytest.raises(InputError, match=words) as raised:
            devproxy.build(plan, target)
        assert raised.value.message.startswith("the rootfs hint in annotations")


@pytest.mark.rows("H19", "H21", oracle="specification")
def test_a_size_is_of_a_layer_in_memory(tmp_path: Path, image: Path) -> None:
    config = parse_configuration(None, ["overlay2=none"]).configuration
    spec = devproxy.load(bundle(tmp_path, hint(image, overlay="self", options="size=1m")))
    with pytest.raises(InputError, match="nothing holds a directory of the host to a size"):
        devproxy.build(devproxy.plan(spec, host_with_gpus(0), config=config))


@pytest.mark.rows("H19", oracle="specification")
def test_a_bad_hint_ends_a_run_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", bundle(tmp_path, {f"{PREFIX}.type": "tape"}, "true")]) == 2
    told = capsys.readouterr().err
    assert f'annotations["{PREFIX}.type"] is "tape"' in told
    assert "Traceback" not in told
