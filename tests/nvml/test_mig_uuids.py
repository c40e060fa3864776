"""A bundle that names a MIG device by its UUID, on a live machine: NVML is asked for it, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

import devproxy
from devproxy.cli.main import main
from devproxy.errors import NvmlUnasked
from devproxy.host import probe as probing
from devproxy.host.live import nvml as live
from devproxy.host.live_facts import read_live_fact
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.machine import Machine
from tests.hosts.make import partitioned
from tests.nvml.fake import IMPATIENCE, PATIENCE, FakeNvml, World, world_of

pytestmark = pytest.mark.programs

FIRST: Final = "MIG-00000000-d5f3-17b6-20ce-7f9183b4e65a"
SECOND: Final = "MIG-00000001-d5f3-17b6-20ce-7f9183b4e65a"


class Here:
    """The files of the partitioned machine, in the place of this one's; what NVML says is the fake's."""

    def __init__(self, machine: Machine, *, opens: bool = False) -> None:
        del opens
        self._machine = machine
        self.read_bytes, self.listdir = machine.read_bytes, machine.listdir
        self.lstat, self.readlink = machine.lstat, machine.readlink

    def read_fact(self, name: str) -> bytes:
        return read_live_fact(name) if name == "nvml" else self._machine.read_fact(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del kind, error, traceback


def world() -> World:
    """What the fake says as the machine's own NVML does."""
    told = world_of(json.loads(partitioned().read_fact("nvml")))
    for section in told.values():
        section["mig_pending"] = section.get("mig", "none")  # which the recording is too old to have
    return told


@pytest.fixture
def asked(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """This machine is the partitioned one; the times that NVML was given, one for each time that it was asked."""
    nvml.world(world())
    times: list[float] = []
    ask = live.ask

    def counted(seconds: float) -> dict[str, object]:
        times.append(seconds)
        return ask(seconds)

    machine = partitioned()
    monkeypatch.setattr(live, "ask", counted)
    monkeypatch.setattr(probing, "LiveReader", lambda **words: Here(machine, **words))
    monkeypatch.setenv("DEVPROXY_NVML_SECONDS", str(PATIENCE))
    return times


def bundle(directory: Path, value: str, **changes: Any) -> str:
    document = runc_spec_like(**changes)
    document["process"]["env"].append(f"NVIDIA_VISIBLE_DEVICES={value}")
    return write_bundle(directory, document, rootfs="empty")


def nodes(capsys: pytest.CaptureFixture[str], path: str, *words: str) -> list[str]:
    capsys.readouterr()
    assert main(["plan", path, "--json", *words]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    return [step["text"] for step in steps if step["path"].startswith("/dev/nvidia")]


def refused(capsys: pytest.CaptureFixture[str], path: str) -> str:
    capsys.readouterr()
    assert main(["plan", path]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_nvml_is_asked_once_and_the_uuid_is_what_the_indices_are(
    asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_index = nodes(capsys, bundle(tmp_path / "index", "3:1"))
    assert asked == []
    assert "node /dev/nvidia-caps/nvidia-cap291 c nvidia-caps:291 0444" in by_index
    for number, value in enumerate((SECOND, SECOND.lower(), f"{SECOND},3:1,{SECOND}")):
        assert nodes(capsys, bundle(tmp_path / str(number), value)) == by_index
        assert len(asked) == number + 1


@pytest.mark.parametrize(
    ("value", "words"),
    [("3:1", ()), ("all", ()), ("3", ()), ("none", ()), (FIRST, ("--mode", "none")), (FIRST, ("--set", "nvproxy=false"))],
)  # fmt: skip
def test_nvml_is_not_asked_for_anything_else(
    value: str, words: tuple[str, ...], asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes(capsys, bundle(tmp_path / "b", value), *words)
    assert asked == []


def test_nor_is_it_where_linux_devices_says_which_accelerators(
    asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linux = {**runc_spec_like()["linux"], "devices": [{"path": "/dev/nvidia0", "type": "c", "major": 195, "minor": 0}]}
    assert nodes(capsys, bundle(tmp_path / "b", FIRST, linux=linux)) == ["node /dev/nvidia0 c nvidia:0 0666"]
    assert asked == []


def test_every_verb_that_takes_a_bundle_asks(
    asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle(tmp_path / "b", FIRST)
    assert main(["inspect", path, "--text", "ls", "/dev/nvidia-caps"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["nvidia-cap282", "nvidia-cap283"]
    assert main(["spec", str(tmp_path / "new"), "--gpus", FIRST]) == 0
    listed = json.loads((tmp_path / "new" / "config.json").read_text())["linux"]["devices"]
    assert [device["minor"] for device in listed if "nvidia-cap" in device["path"]] == [282, 283]
    assert len(asked) == 2


def test_what_asking_cost_is_a_phase_of_its_own(
    asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle(tmp_path / "b", FIRST)
    assert main(["--log-format", "json", "plan", path]) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    phases = [event["phase"] for event in events if event["event"] == "phase"]
    assert phases[: phases.index("plan") + 1] == ["start-up", "load", "probe", "nvml", "plan"]
    assert asked


def test_in_python_the_plan_asks_nobody(asked: list[float], tmp_path: Path) -> None:
    spec = devproxy.load(bundle(tmp_path / "b", FIRST))
    plain = devproxy.probe()
    with pytest.raises(NvmlUnasked, match="it was not asked"):
        devproxy.plan(spec, plain)
    assert asked == []
    host = devproxy.probe(deep=True)
    assert [step.path for step in devproxy.plan(spec, host).steps if "nvidia-cap2" in step.path] == [
        "/dev/nvidia-caps/nvidia-cap282",
        "/dev/nvidia-caps/nvidia-cap283",
    ]


# what goes wrong


def test_a_uuid_of_an_earlier_partitioning_is_refused_with_those_of_now(
    nvml: FakeNvml, asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = world()
    now["mig 3.0"]["uuid"] = "MIG-feedbeef-d5f3-17b6-20ce-7f9183b4e65a"
    nvml.world(now)
    told = refused(capsys, bundle(tmp_path / "b", FIRST))
    here = f"3:0 (MIG-feedbeef-d5f3-17b6-20ce-7f9183b4e65a), 3:1 ({SECOND})"
    assert f'names "{FIRST}" at position 1, expected a MIG device of this host: {here}\n' in told
    assert asked


def test_a_driver_that_hangs_is_left_behind_and_said(
    nvml: FakeNvml,
    asked: list[float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEVPROXY_NVML_SECONDS", "0.5")
    nvml.world(world() | {"system": {"hang.nvmlInitWithFlags": 1}})
    told = refused(capsys, bundle(tmp_path / "b", FIRST))
    assert "3:0, 3:1; only NVML knows which of them has this UUID, and it did not answer: " in told
    assert (
        "hint: name it by its indices, as 3:0: 'nvidia-smi -L' shows them with the UUIDs; DEVPROXY_NVML_SECONDS=60"
        in told
    )
    assert asked == [0.5]


def test_what_it_told_before_it_hung_will_do(
    nvml: FakeNvml,
    asked: list[float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = world()
    stuck["gpu 0"]["hang.nvmlDeviceGetTemperature"] = 1
    nvml.world(stuck)
    path = bundle(tmp_path / "b", FIRST)
    for seconds in IMPATIENCE:
        monkeypatch.setenv("DEVPROXY_NVML_SECONDS", str(seconds))
        code = main(["inspect", path, "--text", "ls", "/dev/nvidia-caps"])
        told = capsys.readouterr()
        if code == 0:
            break
        assert "did not answer" in told.err
    assert [line.split()[-1] for line in told.out.splitlines()] == ["nvidia-cap282", "nvidia-cap283"]
    assert asked


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"system": {"error.nvmlInitWithFlags": 9}}, "and it failed: "),
        ({"system": {"crash.nvmlDeviceGetCount": 1}}, "and it failed: the process that asked ended with "),
        ({"mig 3.0": {"error.nvmlDeviceGetUUID": 4}}, "and it did not tell it of all of them: nvmlDeviceGetUUID says NO_PERMISSION (4)"),
        ({"gpu 3": {"error.nvmlDeviceGetMigMode": 999}}, "and it did not tell it of all of them: nvmlDeviceGetMigMode says UNKNOWN (999)"),
    ],
)  # fmt: skip
def test_a_library_that_fails_is_said(
    changes: World, why: str, nvml: FakeNvml, asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = world()
    for section, values in changes.items():
        failing[section] = failing[section] | values
    nvml.world(failing)
    told = refused(capsys, bundle(tmp_path / "b", FIRST))
    assert f"only NVML knows which of them has this UUID, {why}" in told
    assert "'devproxy doctor' says more" in told
    assert len(asked) == 1


def test_where_the_library_is_missing_it_says_where_it_was_looked_for(
    asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "find_library", lambda: "")
    monkeypatch.setattr(live, "_DRIVER", ())
    told = refused(capsys, bundle(tmp_path / "b", FIRST))
    assert "and it has no library here: no driver, and no libnvidia-ml.so.1 where the loader looks" in told
    assert "LD_LIBRARY_PATH" in told
    assert asked


def test_without_the_binding_it_says_how_to_get_it(
    asked: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "find_binding", lambda: None)
    assert "and it failed: nvidia-ml-py, which asks NVML, is not installed: pip install nvidia-ml-py" in refused(
        capsys, bundle(tmp_path / "b", FIRST)
    )
    assert asked
