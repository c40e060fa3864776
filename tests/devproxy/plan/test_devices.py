"""The contents of /dev and the devices of the spec (S3 to S8, S66 to S72)."""

from __future__ import annotations

from typing import Any

import pytest

from devproxy.host.facts import Host, MajorLine
from devproxy.node import DeviceNumber, Fixed, NodeKind, OfDriver
from devproxy.oci.configuration import Configuration
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.steps import Level, MakeNode, RequireNode, Skip
from tests.devproxy.plan.planning import GPU_HOST, NVIDIA_MAJORS, PLAIN, bare, lines, machine, mount, steps_of


def device(path: str, kind: str = "c", number: tuple[int, int] = (1, 3), **more: Any) -> dict[str, Any]:
    return {"path": path, "type": kind, "major": number[0], "minor": number[1], **more}


def with_devices(*devices: dict[str, Any], host: Host = PLAIN, **changes: Any) -> Plan:
    return bare(host, linux={"devices": list(devices)}, **changes)


def made(plan: Plan) -> list[MakeNode | RequireNode]:
    return [
        step
        for step in plan.steps
        if isinstance(step, MakeNode | RequireNode) and step.reason.source.startswith("linux.devices")
    ]


# /dev


@pytest.mark.rows("S5", "S6", oracle="specification")
def test_s5_s6_what_every_dev_holds() -> None:
    assert lines(bare(), "symlink", "directory", "node") == [
        "symlink /dev/fd -> /proc/self/fd",
        "symlink /dev/stdin -> /proc/self/fd/0",
        "symlink /dev/stdout -> /proc/self/fd/1",
        "symlink /dev/stderr -> /proc/self/fd/2",
        "symlink /dev/ptmx -> pts/ptmx",
        "directory /dev/shm 0755",
        "directory /dev/pts 0755",
        "directory /dev/char 0755",
        "directory /dev/block 0755",
        "node /dev/null c 1:3 0666",
        "node /dev/zero c 1:5 0666",
        "node /dev/full c 1:7 0666",
        "node /dev/random c 1:8 0666",
        "node /dev/urandom c 1:9 0666",
        "node /dev/tty c 5:0 0666",
        "node /dev/net/tun c 10:200 0666",
        "node /dev/fuse c 10:229 0666",
    ]


@pytest.mark.parametrize(
    ("host", "tun", "why"),
    [(PLAIN, False, "tun is false"), (machine(misc=()), True, "the host has no tun driver")],
)
@pytest.mark.rows("S3", oracle="specification")
def test_s3_without_tun_its_node_is_left_out_with_a_note(host: Host, tun: bool, why: str) -> None:
    plan = bare(host, config=Configuration(tun=tun))
    assert "/dev/net/tun" not in [step.path for step in steps_of(plan, MakeNode)]
    assert [(s.path, s.level, s.reason.note) for s in steps_of(plan, Skip)] == [("/dev/net/tun", Level.NOTE, why)]


# linux.devices


@pytest.mark.rows("S66", oracle="specification")
def test_s66_each_type_of_device_becomes_a_node() -> None:
    plan = with_devices(device("/x/c"), device("/x/u", "u"), device("/x/b", "b"), device("/x/p", "p"))
    assert [(step.path, step.kind, step.identity) for step in made(plan)] == [
        ("/x/c", NodeKind.CHARACTER, Fixed(DeviceNumber(1, 3))),
        ("/x/u", NodeKind.CHARACTER, Fixed(DeviceNumber(1, 3))),
        ("/x/b", NodeKind.BLOCK, Fixed(DeviceNumber(1, 3))),
        ("/x/p", NodeKind.FIFO, None),
    ]


@pytest.mark.rows("S67", oracle="specification")
@pytest.mark.parametrize(("file_mode", "mode"), [(None, 0o666), (0, 0), (0o20640, 0o640)])
def test_s67_no_file_mode_means_0666(file_mode: int | None, mode: int) -> None:
    (step,) = made(with_devices(device("/x", fileMode=file_mode)))
    assert isinstance(step, MakeNode)
    assert step.mode == mode


@pytest.mark.rows("S70", oracle="specification")
def test_s70_an_owner_is_handed_on_as_given() -> None:
    (step,) = made(with_devices(device("/x", uid=5)))
    assert isinstance(step, MakeNode)
    assert (step.uid, step.gid) == (5, None)
    assert step.describe() == "node /x c 1:3 0666 5:0"


@pytest.mark.rows("S66", "S68", oracle="specification")
def test_s68_devices_are_made_in_the_specs_order_after_every_mount() -> None:
    plan = with_devices(device("/z"), device("/a"), mounts=[mount("/m")])
    assert [step.path for step in made(plan)] == ["/z", "/a"]
    assert plan.steps.index(made(plan)[0]) > max(plan.steps.index(s) for s in plan.steps if "mount" in s.describe())


@pytest.mark.rows("S69", oracle="specification")
def test_s69_a_device_that_dev_has_already_is_asked_for_again() -> None:
    """Whether the two agree is for build to see: the second step finds the first one's node."""
    plan = with_devices(device("/dev/null", uid=3))
    assert [s.describe() for s in steps_of(plan, MakeNode) if s.path == "/dev/null"] == [
        "node /dev/null c 1:3 0666",
        "node /dev/null c 1:3 0666 3:0",
    ]


@pytest.mark.rows("S66", oracle="specification")
def test_s66_a_spec_without_linux_has_no_devices() -> None:
    assert made(bare(hostname=None, linux={"devices": None})) == []


@pytest.mark.parametrize(
    ("mounts", "path", "required"),
    [
        ([mount("/dev", "bind")], "/dev/x", True),
        ([mount("/dev", "bind"), mount("/dev/sub")], "/dev/sub/x", False),
        ([mount("/dev/snd", "bind")], "/dev/snd/seq", True),
        ([mount("/dev/snd", "bind")], "/dev/sndx", False),
        ([mount("/dev/x", "bind")], "/dev/x", True),
        ([mount("/data", "none", "rbind", "ro")], "/data/a/x", True),
        ([mount("/data", "bind"), mount("/data")], "/data/x", False),
        ([mount("/data"), mount("/data", "bind")], "/data/x", True),
    ],
)
@pytest.mark.rows("S17", "S69", "S71", oracle="specification")
def test_s17_s69_s71_nothing_is_made_in_a_bind(mounts: list[dict[str, Any]], path: str, required: bool) -> None:
    (step,) = made(with_devices(device(path), mounts=mounts))
    assert isinstance(step, RequireNode if required else MakeNode)
    assert step.identity == Fixed(DeviceNumber(1, 3))


# whose number it is


@pytest.mark.rows("S72", "H11", oracle="specification")
@pytest.mark.parametrize(
    ("path", "number", "identity"),
    [
        ("/dev/nvidia-uvm", (5, 0), OfDriver("nvidia-uvm", 0)),
        ("/dev/nvidia-uvm-tools", (5, 1), OfDriver("nvidia-uvm", 1)),
        ("/dev/nvidia0", (195, 0), OfDriver("nvidia", 0)),
        ("/dev/nvidia0", (195, 3), OfDriver("nvidia", 3)),
        ("/dev/nvidiactl", (195, 255), OfDriver("nvidia", 255)),
        ("/dev/nvidia-modeset", (195, 254), OfDriver("nvidia", 254)),
        ("/dev/nvidia-caps/nvidia-cap21", (235, 21), OfDriver("nvidia-caps", 21)),
        ("/dev/nvidia-caps-imex-channels/channel7", (234, 7), OfDriver("nvidia-caps-imex-channels", 7)),
        ("/dev/nvidia-nvswitchctl", (9, 255), OfDriver("nvidia-nvswitch", 255)),
        ("/dev/nvidia-nvswitch2", (9, 2), OfDriver("nvidia-nvswitch", 2)),
        ("/dev/nvidia-nvlink", (9, 0), OfDriver("nvidia-nvlink", 0)),
        ("/dev/gdrdrv", (497, 0), OfDriver("gdrdrv", 0)),
        ("/gpus/renamed", (510, 1), OfDriver("nvidia-uvm", 1)),
        ("/gpus/renamed", (195, 4), OfDriver("nvidia", 4)),
        ("/dev/nvidia", (5, 1), Fixed(DeviceNumber(5, 1))),
        ("/dev/nvidiafoo", (5, 1), Fixed(DeviceNumber(5, 1))),
        ("/dev/nvidia-caps/nvidia-cap", (5, 1), Fixed(DeviceNumber(5, 1))),
        ("/dev/x/nvidia0", (5, 1), Fixed(DeviceNumber(5, 1))),
        ("/dev/null", (1, 3), Fixed(DeviceNumber(1, 3))),
    ],
)
def test_s72_nvidia_devices_are_known_by_path_then_by_number(
    path: str, number: tuple[int, int], identity: OfDriver | Fixed
) -> None:
    (step,) = made(with_devices(device(path, "c", number), host=GPU_HOST))
    assert step.identity == identity
    assert step.asked == (f"{number[0]}:{number[1]}" if isinstance(identity, OfDriver) else "")


@pytest.mark.rows("S72", "S78", oracle="specification")
def test_s72_the_old_name_of_the_driver_is_known() -> None:
    host = machine((), (MajorLine(195, "nvidia-frontend"),))
    (step,) = made(with_devices(device("/x", "c", (195, 2)), host=host))
    assert step.identity == OfDriver("nvidia", 2)


@pytest.mark.parametrize("kind", ["b", "p"])
def test_only_character_devices_are_nvidias(kind: str) -> None:
    (step,) = made(with_devices(device("/dev/nvidia0", kind, (195, 0)), host=GPU_HOST))
    assert not isinstance(step.identity, OfDriver)


@pytest.mark.rows("S72", oracle="specification")
def test_a_driver_that_the_host_lacks_is_the_targets_to_number() -> None:
    """195 is nobody else's; nvidia-uvm's major is dynamic, so one is set aside for it (test_numbers)."""
    plan = with_devices(device("/dev/nvidia0", "c", (195, 0)), device("/dev/nvidia-uvm", "c", (510, 0)))
    assert [step.identity for step in made(plan)] == [OfDriver("nvidia", 0), OfDriver("nvidia-uvm", 0)]


def test_without_nvproxy_the_specs_numbers_stand() -> None:
    plan = with_devices(device("/dev/nvidia-uvm", "c", (5, 0)), host=GPU_HOST, config=Configuration(nvproxy=False))
    assert [step.identity for step in made(plan)] == [Fixed(DeviceNumber(5, 0))]
    assert plan.mode is Mode.NONE


def test_of_two_names_of_a_major_the_first_counts() -> None:
    host = machine((), (MajorLine(240, "other"), MajorLine(240, "nvidia-uvm"), *NVIDIA_MAJORS))
    (step,) = made(with_devices(device("/x", "c", (240, 0)), host=host))
    assert step.identity == Fixed(DeviceNumber(240, 0))
