"""Overlays of whole bundles: nothing reaches the host, nothing stays there, nobody sees another's layers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root, build
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.errors import DevproxyError, InputError
from devproxy.launch import launch
from devproxy.oci.configuration import parse_configuration
from devproxy.oci.spec import Process
from devproxy.overlay import LAYERS
from devproxy.plan.plan import Plan
from devproxy.targets.kernel.paths import KernelPaths
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.unprivileged import as_user

MEDIUMS = ["memory", "self", "dir=LAYERS", "memory,size=1m"]
OLDEST = KernelPaths(detached=False, openat2=False, layers_by_fd=False)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A directory of the host with a file, a directory and a link in it."""
    volume = tmp_path / "volume"
    (volume / "sub/deep").mkdir(parents=True)
    (volume / "file").write_text("of the host\n")
    (volume / "link").symlink_to("file")
    return volume


@pytest.fixture(autouse=True)
def layers(tmp_path: Path) -> Path:
    """Where `dir=` puts them."""
    directory = tmp_path / "layers"
    directory.mkdir()
    return directory


def bundle(tmp_path: Path, *mounts: tuple[str, Path, str], **changes: Any) -> str:
    config = runc_spec_like(root={"readonly": False}, **changes)
    config["mounts"] += [
        {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options.split()]}
        for destination, source, options in mounts
    ]
    return write_bundle(tmp_path / "bundle", config)


def planned(tmp_path: Path, overlay2: str, *mounts: tuple[str, Path, str], **changes: Any) -> Plan:
    setting = "overlay2=" + overlay2.replace("LAYERS", str(tmp_path / "layers"))
    configuration = parse_configuration(None, [setting]).configuration
    spec = devproxy.load(bundle(tmp_path, *mounts, **changes))
    return devproxy.plan(spec, host_with_gpus(0), config=configuration)


def seen(*directories: Path) -> list[tuple[str, int, int, str]]:
    """Everything in directories of the host, but for the times."""
    found = []
    for directory in directories:
        for path in sorted([directory, *directory.rglob("*")]):
            status = path.lstat()
            content = path.read_text(errors="replace") if path.is_file() and status.st_size < 100 else ""
            found.append((str(path), status.st_mode, status.st_nlink, content))
    return found


def shell(root: Root, script: str, directory: Path) -> str:
    """What a script prints in a root."""
    output = os.open(directory / "output", os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
    saved = os.dup(1)
    try:
        os.dup2(output, 1)
        launch(root, process=Process(("/bin/sh", "-c", script), ("PATH=/bin",)))
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(output)
    return (directory / "output").read_text()


WRITES = """
echo changed > /data/file; echo new > /data/new; rm -r /data/sub; mkdir /data/sub; ln /data/new /data/hard
mv /data/link /data/moved; chmod 700 /data; busybox mkfifo /data/null; echo changed > /one; echo x > /root/x; rm /bin/cat
busybox cat /data/file /data/moved /one; ls -A /data
"""
WRITTEN = "changed\nchanged\nchanged\nfile\nhard\nmoved\nnew\nnull\nsub\n"


@pytest.mark.rows("S39", "S41", "S44", "S46", oracle="kernel")
@pytest.mark.root
@pytest.mark.parametrize("medium", MEDIUMS)
@pytest.mark.parametrize("paths", [None, OLDEST])
def test_s41_s44_writes_do_not_reach_the_host(
    tmp_path: Path, volume: Path, layers: Path, medium: str, paths: KernelPaths | None
) -> None:
    (tmp_path / "one").write_text("of the host\n")
    plan = planned(tmp_path, f"all:{medium}", ("/data", volume, ""), ("/one", tmp_path / "one", ""))
    before = seen(tmp_path / "bundle", volume, layers, tmp_path / "one")
    with build(plan, "kernel", paths=paths) as root:
        assert check_outcomes(root).findings == ()
        report = verify(plan, root)
        assert report.findings == ()
        assert shell(root, WRITES, tmp_path) == WRITTEN
    assert seen(tmp_path / "bundle", volume, layers, tmp_path / "one") == before


@pytest.mark.rows("S46", "H18", oracle="specification")
@pytest.mark.parametrize("medium", MEDIUMS)
def test_in_memory_nothing_is_written_on_the_host(tmp_path: Path, volume: Path, layers: Path, medium: str) -> None:
    (volume / LAYERS).mkdir()  # not even looked at
    plan = planned(tmp_path, f"all:{medium}", ("/data", volume, ""), ("/data/made/here", layers, ""))
    before = seen(tmp_path)
    with build(plan) as root:
        assert root.listdir("/data") == ["file", "link", "made", "sub"]
        told = {outcome.step.path: outcome.aside for outcome in root.outcomes if outcome.aside}
    here = "the layer is in memory here"
    assert told == ({} if "memory" in medium else {"/": here, "/data": here, "/data/made/here": here})
    assert seen(tmp_path) == before


@pytest.mark.rows("S42", oracle="kernel")
@pytest.mark.root
def test_s42_the_outcome_says_where_the_layer_is(tmp_path: Path, volume: Path) -> None:
    with build(planned(tmp_path, "all:self", ("/data", volume, "")), "kernel") as root:
        (aside,) = [outcome.aside for outcome in root.outcomes if outcome.step.path == "/data"]
        layer = Path(aside.removeprefix("the layer is "))
        assert layer.parent == volume / LAYERS
        assert sorted(os.listdir(layer)) == ["upper", "work"]
    assert not layer.parent.exists()


@pytest.mark.rows("S43", "S45", oracle="kernel")
@pytest.mark.root
def test_a_failed_build_leaves_nothing(tmp_path: Path, volume: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    plan = planned(tmp_path, "all:self", ("/data", volume, ""), ("/fifo", fifo, ""))
    before = seen(volume, tmp_path / "bundle")
    with pytest.raises(DevproxyError, match="neither a directory nor a regular file"):
        build(plan, "kernel")
    assert seen(volume, tmp_path / "bundle") == before


@pytest.mark.rows("S42", oracle="kernel")
@pytest.mark.root
def test_s42_one_volume_in_several_places_at_once(tmp_path: Path, volume: Path) -> None:
    """Each mount and each sandbox has a layer of its own (the seed refuses the second mount)."""
    plan = planned(tmp_path, "all:self", ("/data", volume, ""), ("/again", volume, ""))
    with build(plan, "kernel") as one, build(plan, "kernel") as two:
        assert len(os.listdir(volume / LAYERS)) == 4
        assert shell(
            one, "echo one > /data/file; echo mine > /again/new; cat /again/file; ls -A /data /again", tmp_path
        ) == ("of the host\n/again:\nfile\nlink\nnew\nsub\n\n/data:\nfile\nlink\nsub\n")
        assert (
            shell(two, "cat /data/file; ls -A /again; ls -d /data/.dev*", tmp_path) == "of the host\nfile\nlink\nsub\n"
        )
    assert not (volume / LAYERS).exists()
    assert (volume / "file").read_text() == "of the host\n"


def devproxy_run(directory: str, *options: str, command: str) -> subprocess.Popen[str]:
    """A `devproxy run` whose process waits for a line, or for its end, where the command says `read`."""
    argv = [sys.executable, "-m", "devproxy", "run", directory, *options, "--", "sh", "-c", command]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.rows("S42", oracle="kernel")
@pytest.mark.root
@pytest.mark.parametrize("medium", ["self", "dir"])
def test_s42_what_a_killed_devproxy_left_is_found_and_removed(
    tmp_path: Path, volume: Path, layers: Path, medium: str
) -> None:
    """The layers of one that still runs stay, and stay its own."""
    where, setting = (volume, "all:self") if medium == "self" else (layers, f"all:dir={layers}")
    options = (f"--set=overlay2={setting}", "-v")
    directory = bundle(tmp_path, ("/data", volume, ""))
    before = seen(volume, layers)
    waiting = "echo mine > /data/file; echo ready; read line; cat /data/file"
    living = devproxy_run(directory, *options, command=waiting)
    ready(living)
    own = set(os.listdir(where / LAYERS))
    killed = devproxy_run(directory, *options, command=waiting)
    ready(killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert set(os.listdir(where / LAYERS)) > own
    out, told = devproxy_run(directory, *options, command="cat /data/file").communicate()
    assert out == "of the host\n"
    assert "layers that killed runs left" in told
    assert set(os.listdir(where / LAYERS)) == own
    assert living.communicate("go on\n")[0] == "mine\n"
    assert seen(volume, layers) == before


@pytest.mark.root
def test_a_build_does_not_take_a_living_ones_layers_away(tmp_path: Path, volume: Path) -> None:
    plan = planned(tmp_path, "all:self", ("/data", volume, ""))
    with build(plan, "kernel") as living:
        with build(plan, "kernel") as other:
            assert not any("killed" in outcome.aside for outcome in other.outcomes)
        assert shell(living, "echo mine > /data/file; cat /data/file", tmp_path) == "mine\n"


@pytest.mark.rows("S42", oracle="kernel")
@pytest.mark.root
@pytest.mark.parametrize("target", ["", "/"])
def test_a_volume_whose_layers_are_a_link_is_refused(tmp_path: Path, volume: Path, target: str) -> None:
    canary = tmp_path / "canary"
    canary.mkdir(mode=0o700)
    (volume / LAYERS).symlink_to(target or canary)
    plan = planned(tmp_path, "all:self", ("/data", volume, ""))
    with pytest.raises(DevproxyError, match=r"volume/\.devproxy\.overlay is no directory"):
        build(plan, "kernel")
    assert os.listdir(canary) == []
    assert not os.path.lexists("/" + LAYERS)
    with build(planned(tmp_path, "all:memory", ("/data", volume, "")), "kernel") as root:
        assert LAYERS not in root.listdir("/data")


# what is asked for, and cannot be had: the same answer on both targets

TARGETS = ["memory", pytest.param("kernel", marks=pytest.mark.root)]


@pytest.mark.rows("S42", "H18", "H21", oracle="specification")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("overlay2", "message"),
    [
        ("root:self,size=1m", "nothing holds a directory of the host to a size"),
        ("all:dir=LAYERS,size=1m", "nothing holds a directory of the host to a size"),
        ("all:dir=LAYERS/missing", "layers/missing: no such file or directory"),
        ("root:dir=LAYERS/../volume/file", "volume/file: not a directory"),
        ("all:dir=LAYERS/../volume/sub", "lies inside"),
    ],
)
def test_s42_what_cannot_be_is_refused(
    tmp_path: Path, volume: Path, layers: Path, overlay2: str, message: str, target: str
) -> None:
    plan = planned(tmp_path, overlay2, ("/data", volume, ""))
    before = seen(volume, layers)
    with pytest.raises(InputError, match=message):
        build(plan, target)
    assert seen(volume, layers) == before


@pytest.mark.rows("S43", oracle="specification")
@pytest.mark.parametrize("target", TARGETS)
def test_s43_a_socket_gets_no_overlay(tmp_path: Path, target: str) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        plan = planned(tmp_path, "all:memory", ("/socket", path, ""))
        with pytest.raises(DevproxyError, match="neither a directory nor a regular file"):
            build(plan, target)


@pytest.mark.rows("S42", "S44", oracle="specification")
@pytest.mark.parametrize("target", TARGETS)
def test_s42_a_file_gets_memory_with_a_warning(tmp_path: Path, target: str) -> None:
    (tmp_path / "one").write_text("of the host\n")
    with build(planned(tmp_path, "all:self", ("/one", tmp_path / "one", "")), target) as root:
        (outcome,) = [outcome for outcome in root.outcomes if outcome.step.path == "/one"]
        assert (outcome.found, outcome.warning) == ("a file, its copy is in memory, made /one", True)
        assert root.read_bytes("/one") == b"of the host\n"


@pytest.mark.rows("S41", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_s41_s62_a_hint_keeps_a_volume_to_its_container(tmp_path: Path, volume: Path, target: str) -> None:
    prefix = "dev.gvisor.spec.mount.vol"
    hint = {f"{prefix}.source": str(volume), f"{prefix}.type": "bind", f"{prefix}.share": "container"}
    mounts = ("/data", volume, ""), ("/plain", tmp_path / "layers", "")
    with build(planned(tmp_path, "none", *mounts, annotations=hint), target) as root:
        types = {line.mount_point: line.fstype for line in root.mountinfo()}
    assert types["/data"] == "overlay"
    assert types["/plain"] != "overlay"


@pytest.mark.rows("S46", "H24", oracle="kernel")
@pytest.mark.root
@pytest.mark.parametrize("target", ["memory", "kernel"])
def test_an_overlay_of_a_bind_has_the_flags_that_the_bind_would_have(tmp_path: Path, target: str) -> None:
    volume = tmp_path / "mounted"
    volume.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "tmpfs", str(volume)], check=True)
    mounts = ("/data", volume, ""), ("/exec", volume, "exec suid")
    try:
        flags = []
        for overlay2 in ("none", "all:memory"):
            with build(planned(tmp_path, overlay2, *mounts), target) as root:
                flags.append({line.mount_point: line.options for line in root.mountinfo()})
    finally:
        subprocess.run(["umount", str(volume)], check=True)
    assert flags[1]["/data"] == ("rw", "nosuid", "nodev", "noexec", "relatime")
    assert flags[1]["/exec"] == ("rw", "nodev", "relatime")
    assert [flags[0][place] for place in ("/data", "/exec")] == [flags[1][place] for place in ("/data", "/exec")]


# without privileges


def _as_user(directory: Path) -> list[Any]:
    volume = directory / "volume"
    (volume / "sub").mkdir(parents=True)
    (volume / "file").write_text("of the host\n")
    (directory / "layers").mkdir()
    (directory / "one").write_text("one\n")
    told: list[Any] = []
    for medium in ("memory,size=1m", "self", "dir=LAYERS"):
        mounts = ("/data", volume, ""), ("/one", directory / "one", "")
        plan = planned(directory, f"all:{medium}", *mounts)
        before = seen(volume, directory / "layers", directory / "one")
        with build(plan, "kernel") as root:
            told.append(len(check_outcomes(root).findings) + len(verify(plan, root).findings))
            script = "echo changed > /data/file; echo x > /one; rm -r /data/sub; cat /data/file /one; ls -A /data"
            told.append(shell(root, script, directory))
        told.append(seen(volume, directory / "layers", directory / "one") == before)
    return told


@pytest.mark.programs
def test_an_ordinary_user_has_them_too() -> None:
    assert as_user(_as_user) == [0, "changed\nx\nfile\n", True] * 3
