"""Shared memory that outlives its processes, planted for real."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from devproxy.host.live.shared_memory import entries_of
from devproxy.host.probe import probe_reader
from devproxy.jobs.clean.asked import How
from devproxy.jobs.clean.cleaning import clean
from devproxy.jobs.clean.files import file_at, remove
from tests.devproxy.jobs.clean.dirty import Job, kinds
from tests.devproxy.jobs.clean.planted import LONELY, OTHER, plant
from tests.hosts.machine import Machine


def shm(made: Job, name: str) -> Path:
    return plant(Path(made.places.shm) / name, made.scope.uid)


class TestShm:
    @pytest.mark.parametrize("name", ["torch_999999999_17_0", "nccl-Ab3xYz", "cuda.shm.3e8.3b9ac9ff.1", "psm_0a1b2c3d"])
    def test_what_a_librarys_process_left_is_removed(self, lease: Job, name: str) -> None:
        path = shm(lease, name)
        assert kinds(lease.clean(dry_run=True)) == ["shm"]
        assert path.exists()
        assert kinds(lease.clean()) == ["shm"]
        assert not path.exists()
        assert not lease.clean().removed

    def test_what_a_process_of_the_lease_has_mapped_goes_with_it(self, lease: Job) -> None:
        path = Path(lease.places.shm) / "any name"
        lease.start(f"f = open({str(path)!r}, 'w+b'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.close()")
        dry = lease.clean(dry_run=True)
        wet = lease.clean()
        assert kinds(dry) == kinds(wet) == ["process", "shm"]
        assert wet.removed[1].proof.endswith("of the lease had it")
        assert not path.exists()

    def test_what_names_a_process_of_the_lease_is_removed(self, lease: Job) -> None:
        pid = lease.start()
        path = shm(lease, f"sem.loky-{pid}-abc")
        cleaned = lease.clean()
        assert kinds(cleaned) == ["process", "semaphore"]
        assert cleaned.removed[1].proof == f"pid {pid} made it, which was the lease's"
        assert not path.exists()

    def test_what_another_process_has_stays(self, lease: Job) -> None:
        opened, mapped = shm(lease, "nccl-opened"), shm(lease, "nccl-mapped")
        lease.start(f"f = open({str(opened)!r})", env={})
        lease.start(f"f = open({str(mapped)!r}, 'r+b'); m = mmap.mmap(f.fileno(), 1); f.close()", env={})
        cleaned = lease.clean()
        assert not cleaned.removed
        assert not cleaned.left
        assert opened.exists()
        assert mapped.exists()

    def test_what_another_process_made_by_its_name_stays(self, lease: Job) -> None:
        pid = lease.start(env={})
        path = shm(lease, f"torch_{pid}_1_0")
        assert not lease.clean().removed
        assert path.exists()

    def test_what_may_be_another_processes_is_told_and_stays(self, lease: Job) -> None:
        lease.start(env={})
        path = shm(lease, "table")
        cleaned = lease.clean()
        assert (kinds(cleaned), cleaned.exit_code) == ([], 3)
        assert [dirt.hint for dirt in cleaned.left] == [f"rm {path}"]
        assert cleaned.left[0].why.startswith("made since the lease began, but perhaps by ")
        assert path.exists()

    def test_what_was_there_before_stays(self, lease: Job) -> None:
        path = shm(lease, "nccl-before")
        lease.scope = lease.scope._replace(since=time.time())
        cleaned = lease.clean()
        assert (cleaned.removed, cleaned.left) == ((), ())
        assert path.exists()

    def test_what_the_recording_of_before_has_stays(self, lease: Job) -> None:
        """A recording that was made between the lease's beginning and the job's."""
        path = shm(lease, "nccl-befor1")
        entries, left_out = entries_of(lease.places.shm)
        fact = {"entries": entries, "left_out": left_out, "mps": [], "segments": [], "segments_left_out": 0}
        machine = Machine().file("/proc/devices", "Character devices:\n  1 mem\n").fact("shared_memory", fact)
        before = probe_reader(machine, name="live", simulated=True, deep=True)
        later = shm(lease, "nccl-later1")
        cleaned = clean(lease.scope, before=before, how=How(places=lease.places))
        assert [dirt.what for dirt in cleaned.removed] == [str(later)]
        assert path.exists()

    @pytest.mark.root
    def test_what_nobody_else_can_have_made_is_removed(self, lonely: Job) -> None:
        path, semaphore = shm(lonely, "table"), shm(lonely, "sem.gate")
        foreign = plant(Path(lonely.places.shm) / "nccl-others", OTHER)
        assert kinds(lonely.clean()) == ["semaphore", "shm"]
        assert not path.exists()
        assert not semaphore.exists()
        assert foreign.exists()

    def test_a_link_and_what_it_leads_to_stay(self, lease: Job, tmp_path: Path) -> None:
        victim = plant(tmp_path / "victim")
        (Path(lease.places.shm) / "nccl-linked").symlink_to(victim)
        assert not lease.clean().removed
        assert victim.exists()

    @pytest.mark.root
    def test_a_place_that_was_exchanged_for_a_link_is_no_place(self, lonely: Job, tmp_path: Path) -> None:
        """Root must not remove in a directory that somebody else leads it to."""
        victim = plant(tmp_path / "nccl-000000", LONELY)
        shm_place = Path(lonely.places.shm)
        shm_place.rmdir()
        shm_place.symlink_to(tmp_path)
        assert not lonely.clean().removed
        assert victim.exists()


@pytest.mark.root
def test_root_removes_with_no_more_rights_than_the_owner(tmp_path: Path) -> None:
    """A directory that is root's: the owner of the file may not remove it there, and so root does not for them."""
    path = plant(tmp_path / "closed" / "file", LONELY)
    found = file_at(str(path))
    assert found is not None
    assert remove(found) == "cannot be removed: permission denied"
    assert path.exists()
    os.chown(path.parent, LONELY, -1)
    os.chmod(tmp_path, 0o711)
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest"):
            os.chmod(parent, 0o711)
    assert remove(found) == ""
    assert os.geteuid() == 0
    assert plant(tmp_path / "after").stat().st_uid == 0
