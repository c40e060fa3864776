"""Mounts of type overlay, whose layers are directories of the host (S48): the same on both targets, written on the kernel alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root, build
from devproxy.check.left import left_on_host
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.errors import DevproxyError, InputError
from devproxy.host.probe import probe
from devproxy.launch import launch
from devproxy.oci.spec import Process
from devproxy.outcome import Outcome, Result
from devproxy.plan.plan import Plan
from devproxy.plan.steps import MountFilesystem
from tests.bundles import runc_spec_like, write_bundle
from tests.roots import build_on
from tests.unprivileged import GID, UID, as_user

TARGETS = [
    "memory",
    pytest.param("kernel", marks=pytest.mark.root),
    pytest.param("oldest kernel", marks=pytest.mark.root),
]
ON_THE_KERNEL = ["kernel", "oldest kernel"]
LAYERS = "lowerdir=TOP:LOW", "upperdir=UP", "workdir=WORK"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    return made(tmp_path)


def made(directory: Path) -> Path:
    """Layers with a file each, one that all have, and a directory in two of them."""
    for name in ("low", "top", "up"):
        (directory / name / "both").mkdir(parents=True)
        (directory / name / name).write_text(f"{name}\n")
        (directory / name / "both" / name).write_text(f"{name}\n")
        (directory / name / "all").write_text(f"{name}\n")
    (directory / "work").mkdir()
    return directory


def planned(host: Path, *options: str, mounts: tuple[dict[str, Any], ...] = ()) -> Plan:
    words = [option.replace("LOW", f"{host}/low").replace("TOP", f"{host}/top") for option in options]
    words = [option.replace("UP", f"{host}/up").replace("WORK", f"{host}/work") for option in words]
    config = runc_spec_like(root={"readonly": False})
    overlay = {"destination": "/data", "type": "overlay", "source": "overlay", "options": words}
    config["mounts"] += [overlay, *mounts]
    return devproxy.plan(devproxy.load(write_bundle(host / "bundle", config)), probe())


def outcome(root: Root) -> Outcome:
    (found,) = (o for o in root.outcomes if isinstance(o.step, MountFilesystem) and o.step.layers is not None)
    return found


def tree(directory: Path) -> dict[str, str]:
    return {str(p.relative_to(directory)): p.read_text() for p in sorted(directory.rglob("*")) if p.is_file()}


def script(root: Root, text: str) -> int:
    return launch(root, process=Process(("/bin/sh", "-c", text), ("PATH=/bin",)))


@pytest.mark.rows("S48", oracle="specification")
@pytest.mark.parametrize("target", TARGETS)
def test_shows_the_layers_one_over_the_other(host: Path, target: str) -> None:
    with build_on(planned(host, *LAYERS), target) as root:
        assert root.listdir("/data") == ["all", "both", "low", "top", "up"]
        assert root.listdir("/data/both") == ["low", "top", "up"]
        assert (root.read_bytes("/data/all"), root.read_bytes("/data/low")) == (b"up\n", b"low\n")
        assert check_outcomes(root).findings == ()
        assert [line.fstype for line in root.mountinfo() if line.mount_point == "/data"] == ["overlay"]


@pytest.mark.parametrize("target", TARGETS)
def test_whiteouts_and_opaque_directories_of_the_upper_layer_hide(host: Path, target: str) -> None:
    if os.geteuid():
        pytest.skip("trusted attributes need root")
    os.mknod(host / "up" / "low", 0o20000, 0)
    os.setxattr(host / "up" / "both", "trusted.overlay.opaque", b"y")
    with build_on(planned(host, *LAYERS), target) as root:
        assert root.listdir("/data") == ["all", "both", "top", "up"]
        assert root.listdir("/data/both") == ["up"]


@pytest.mark.parametrize("target", TARGETS)
def test_without_an_upper_layer_it_is_read_only(host: Path, target: str) -> None:
    with build_on(planned(host, "lowerdir=TOP:LOW"), target) as root:
        assert root.read_bytes("/data/all") == b"top\n"
        assert root.listdir("/data") == ["all", "both", "low", "top"]
        with pytest.raises(OSError, match="Read-only"):
            root.open("/data/all", "wb")
        assert outcome(root).aside == ""


@pytest.mark.root
@pytest.mark.parametrize("target", ON_THE_KERNEL)
def test_changes_reach_the_upper_layer_on_the_kernel(host: Path, target: str) -> None:
    with build_on(planned(host, *LAYERS), target) as root:
        assert script(root, "echo new > /data/all; echo x > /data/x; rm /data/low") == 0
        assert outcome(root).aside == ""
    assert tree(host / "up") == {"all": "new\n", "both/up": "up\n", "up": "up\n", "x": "x\n"}
    assert (host / "up" / "low").is_char_device()
    assert tree(host / "low")["all"] == "low\n"


def test_changes_in_memory_reach_nothing_of_the_host(host: Path) -> None:
    before = [tree(host / name) for name in ("low", "top", "up")]
    with build(planned(host, *LAYERS)) as root:
        with root.open("/data/all", "wb") as file:
            file.write(b"new\n")
        assert root.read_bytes("/data/all") == b"new\n"
        assert outcome(root).aside == "changes stay in memory here"
    assert [tree(host / name) for name in ("low", "top", "up")] == before
    assert list((host / "work").iterdir()) == []


@pytest.mark.root
@pytest.mark.parametrize("target", ON_THE_KERNEL)
@pytest.mark.parametrize(
    "options",
    [
        LAYERS,
        ("lowerdir=TOP:LOW", "noexec", "nosuid"),
        (*LAYERS, "ro", "noatime", "index=off", "xino=off"),
        (*LAYERS, "userxattr", "volatile"),
        (*LAYERS, "redirect_dir=on", "metacopy=off", "default_permissions", "sync"),
    ],
)
def test_verify_finds_no_difference(host: Path, target: str, options: tuple[str, ...]) -> None:
    plan = planned(host, *options)
    with build_on(plan, target) as root:
        assert verify(plan, root).findings == ()
        assert check_outcomes(root).findings == ()


@pytest.mark.root
def test_what_is_made_in_the_upper_layer_for_a_mount_is_told(host: Path) -> None:
    plan = planned(host, *LAYERS, mounts=({"destination": "/data/point", "type": "tmpfs", "source": "tmpfs"},))
    with build(plan, "kernel") as root:
        assert verify(plan, root).findings == (), "the second build finds what the first has made there"
        assert left_on_host(root) == (f"{host}/up/point",)
    assert (host / "up" / "point").is_dir()


@pytest.mark.parametrize("target", TARGETS)
def test_more_layers_than_one_string_can_name(host: Path, target: str) -> None:
    names = [f"layer{number}" for number in range(40)]
    for name in names:
        (host / name).mkdir()
        (host / name / name).touch()
    with build_on(planned(host, "lowerdir=" + ":".join(f"{host}/{name}" for name in names)), target) as root:
        assert root.listdir("/data") == sorted(names)


@pytest.mark.parametrize("target", TARGETS)
def test_relative_and_escaped_paths(host: Path, target: str) -> None:
    strange = host / "bundle" / "a:b,c\\d"
    strange.mkdir(parents=True)
    (strange / "odd").touch()
    (host / "bundle" / "plain").mkdir()
    with build_on(planned(host, r"lowerdir=a\:b\,c\\d:plain"), target) as root:
        assert root.listdir("/data") == ["odd"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("lowerdir=TOP:MISSING",), "lowerdir .*MISSING: no such file or directory"),
        ((*LAYERS[:2], "workdir=WORK/none"), "workdir .*none: no such file or directory"),
        (("lowerdir=TOP/top:LOW",), "lowerdir .*top/top: not a directory"),
        (("lowerdir=TOP:TOP",), "the lowerdir already"),
        (("lowerdir=TOP:TOP/both",), "inside the lowerdir"),
        (("lowerdir=LOW", "upperdir=UP", "workdir=UP/both"), "workdir .* inside the upperdir"),
        (("lowerdir=LOW", "upperdir=UP", "workdir=/dev/shm"), "workdir /dev/shm: not on the file system of"),
    ],
)
def test_layers_that_cannot_be_are_input_errors(host: Path, target: str, options: tuple[str, ...], words: str) -> None:
    plan = planned(host, *options)
    with pytest.raises(InputError, match=rf"the overlay at /data, .*{words}.*\(mounts\[\d+\]\)"):
        build_on(plan, target)


@pytest.mark.root
def test_the_kernel_takes_what_is_not_refused_as_overlapping(host: Path) -> None:
    """An upper directory inside a lower one is odd, and allowed."""
    (host / "low" / "u").mkdir()
    (host / "low" / "w").mkdir()
    plan = planned(host, "lowerdir=LOW", "upperdir=LOW/u", "workdir=LOW/w")
    for target in ("memory", *ON_THE_KERNEL):
        with build_on(plan, target) as root:
            assert root.read_bytes("/data/all") == b"low\n"


@pytest.mark.root
def test_what_the_kernel_alone_refuses_is_an_error_of_the_step(host: Path) -> None:
    plan = planned(host, "lowerdir=LOW", "upperdir=UP", "workdir=WORK", "nfs_export=on", "index=off")
    with pytest.raises(DevproxyError, match=r"^mount overlay at /data .*: invalid argument \(mounts") as caught:
        build(plan, "kernel")
    assert "dmesg" in caught.value.hint


def _without_root(directory: Path) -> list[Any]:
    plan = planned(made(directory), *LAYERS)
    with build(plan, "kernel") as root:
        found = outcome(root)
        findings = [f.describe() for f in (*verify(plan, root).findings, *check_outcomes(root).findings)]
        code = script(root, "echo new > /data/all; rm -r /data/both; mkdir /data/both")
    kept = tree(directory / "up"), os.getxattr(directory / "up" / "both", "user.overlay.opaque").decode()
    return [found.result.value, found.found, found.warning, found.rootless, findings, code, *kept]


def test_an_ordinary_user_has_it_with_userxattr() -> None:
    words = "made /data; with userxattr, its trusted attributes need root"
    told = [Result.CHOSEN.value, words, False, True, [], 0]
    assert as_user(_without_root) == [*told, {"all": "new\n", "up": "up\n"}, "y"]


def _lower_of_root(directory: Path) -> list[Any]:
    plan = planned(directory / "host", *LAYERS)
    with build(plan, "kernel") as root:
        return [f.describe() for f in (*verify(plan, root).findings, *check_outcomes(root).findings)]


@pytest.mark.root
def test_an_ordinary_user_over_layers_of_root() -> None:
    def prepared(directory: Path) -> None:
        made(directory / "host")
        for name in (".", "up", "up/both", "up/all", "work"):
            os.chown(directory / "host" / name, UID, GID)

    assert _as_user_in(prepared, _lower_of_root) == []


def _as_user_in(prepare: Callable[[Path], None], work: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # root's, for another to look into
        prepare(Path(directory))
        return as_user(lambda _: work(Path(directory)))
