"""MPS's and libtpu's directories, planted for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.devproxy.jobs.clean.dirty import Job, kinds
from tests.devproxy.jobs.clean.planted import LONELY, OTHER, plant


class TestDirectories:
    def mps(self, made: Job, place: Path) -> list[Path]:
        found = [plant(place / name, made.scope.uid) for name in ("control_lock", "nvidia-cuda-mps-control.pid")]
        for name in ("log", "control"):
            os.mkfifo(place / name)
            found.append(place / name)
        if os.geteuid() == 0:
            for path in (place, *found):
                os.chown(path, made.scope.uid, -1)
        return found

    def test_mps_with_its_pipes_and_logs(self, lease: Job) -> None:
        """The daemon, which is told by its name alone; the directories are those that its environment names."""
        pipes, logs = lease.place / "pipes", lease.place / "logs"
        self.mps(lease, pipes)
        plant(logs / "control.log", lease.scope.uid)
        if os.geteuid() == 0:
            os.chown(logs, lease.scope.uid, -1)
        named = {"CUDA_MPS_PIPE_DIRECTORY": str(pipes), "CUDA_MPS_LOG_DIRECTORY": str(logs)}
        rename = "open('/proc/self/comm', 'w').write('nvidia-cuda-mps-control')"
        lease.start(f"{rename}; f = os.open({str(pipes / 'log')!r}, os.O_RDWR)", lease.mark | named)
        dry = lease.clean(dry_run=True)
        assert pipes.exists()
        wet = lease.clean()
        assert kinds(dry) == kinds(wet) == ["mps-process"] + ["mps-files"] * 7
        assert not pipes.exists()
        assert not logs.exists()

    def test_the_usual_directories(self, lease: Job) -> None:
        self.mps(lease, Path(lease.places.temporary) / "nvidia-mps")
        plant(
            Path(lease.places.temporary) / "tpu_logs" / "tpu_driver.host.user.log.INFO.20260101-000000.7",
            lease.scope.uid,
        )
        (Path(lease.places.temporary) / "tpu_logs" / "tpu_driver.INFO").symlink_to("nowhere")
        if os.geteuid() == 0:
            os.lchown(Path(lease.places.temporary) / "tpu_logs" / "tpu_driver.INFO", lease.scope.uid, -1)
        assert kinds(lease.clean()) == ["mps-files"] * 5 + ["tpu-logs"] * 3
        assert os.listdir(lease.places.temporary) == []

    def test_another_daemons_stay(self, lease: Job) -> None:
        """One pipe is held, one socket bound by a process that is not the lease's: the directory is in use."""
        place = Path(lease.places.temporary) / "nvidia-mps"
        self.mps(lease, place)
        held, bound = place / "log", place / "control"
        bound.unlink()
        lease.start(
            f"import socket; f = os.open({str(held)!r}, os.O_RDWR); s = socket.socket(1); s.bind({str(bound)!r})",
            env={},
        )
        lease.clean()
        assert held.exists()
        assert bound.exists()

    def test_what_is_not_mps_s_stays(self, lease: Job) -> None:
        """The job's environment is the job's word: a directory that it names is no permission to empty it."""
        place = lease.place / "home"
        mine = plant(place / "thesis.tex", lease.scope.uid)
        lease.start(env=lease.mark | {"CUDA_MPS_PIPE_DIRECTORY": str(place), "CUDA_MPS_LOG_DIRECTORY": "relative"})
        assert kinds(lease.clean()) == ["process"]
        assert mine.exists()

    @pytest.mark.root
    def test_a_directory_of_anothers_that_the_job_names_stays(self, lonely: Job, tmp_path: Path) -> None:
        mine, theirs = plant(tmp_path / "log", LONELY), plant(tmp_path / "control", OTHER)
        lonely.start(env=lonely.mark | {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)})
        cleaned = lonely.clean()
        assert theirs.exists()
        assert mine.exists()  # its owner may not remove it there
        assert [(dirt.what, dirt.why) for dirt in cleaned.left] == [(str(mine), "cannot be removed: permission denied")]
