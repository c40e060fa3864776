"""/proc/driver/nvidia/params in memory: the host's, and for a container with GPUs the one that covers it (H13)."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import devproxy
from devproxy.build import Root
from devproxy.check.verify import verify
from devproxy.host.probe import probe
from devproxy.outcome import Outcome, Result
from devproxy.plan.steps import Cover
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.make import RECORDINGS

PARAMS = "/proc/driver/nvidia/params"
DRIVEN = [path for path in RECORDINGS if Path(path).stem in {"host-8gpu", "mig", "mixed", "before-550", "without-uvm"}]
UNDRIVEN = [path for path in RECORDINGS if path not in DRIVEN]


def built(tmp_path: Path, recording: object, *env: str, proc: tuple[str, ...] = ()) -> Root:
    config = runc_spec_like()
    config["process"]["env"] += env
    config["mounts"][0]["options"] = list(proc)
    plan = devproxy.plan(devproxy.load(write_bundle(tmp_path, config, rootfs="empty")), probe(str(recording)))
    return devproxy.build(plan)


def recorded(recording: object) -> bytes:
    """The file as it was on the machine."""
    with tarfile.open(str(recording)) as tar:
        file = tar.extractfile(f"root{PARAMS}")
        assert file is not None
        return file.read()


def cover(root: Root) -> Outcome:
    return next(outcome for outcome in root.outcomes if isinstance(outcome.step, Cover))


@pytest.mark.rows("H13", "H26", oracle="specification")
@pytest.mark.parametrize("recording", DRIVEN, ids=lambda path: Path(path).stem)
def test_it_says_what_the_host_says_and_in_a_container_with_gpus_what_the_kernel_target_shows(
    recording: object, tmp_path: Path
) -> None:
    with built(tmp_path / "without", recording) as root:
        assert root.read_bytes(PARAMS) == recorded(recording)
        assert not any(isinstance(outcome.step, Cover) for outcome in root.outcomes)
    with built(tmp_path / "with", recording, "NVIDIA_VISIBLE_DEVICES=all") as root:
        assert cover(root).result is Result.DONE
        wanted = recorded(recording).replace(b"ModifyDeviceFiles: 1\n", b"ModifyDeviceFiles: 0\n")
        assert root.read_bytes(PARAMS) == wanted != recorded(recording)
        line = next(line for line in root.mountinfo() if line.mount_point == PARAMS)
        assert "ro" in line.options
        assert verify(root.plan, root).findings == ()


@pytest.mark.parametrize("recording", UNDRIVEN, ids=lambda path: Path(path).stem)
def test_without_the_driver_there_is_none(recording: object, tmp_path: Path) -> None:
    with built(tmp_path, recording) as root:
        assert "driver" not in root.listdir("/proc")


def test_where_proc_shows_tasks_alone_nothing_is_covered(tmp_path: Path) -> None:
    with built(tmp_path, DRIVEN[0], "NVIDIA_VISIBLE_DEVICES=0", proc=("subset=pid",)) as root:
        assert (cover(root).result, cover(root).found) == (Result.SKIPPED, "not there")
        assert "driver" not in root.listdir("/proc")
