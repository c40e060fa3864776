"""What outlives its processes, planted for real: shared memory, semaphores, System V IPC, lock files, MPS's and libtpu's directories."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devproxy.host.live.shared_memory import entries_of
from devproxy.host.probe import probe_reader
from devproxy.jobs.clean import tpu_lock
from devproxy.jobs.clean.asked import How
from devproxy.jobs.clean.cleaning import clean
from devproxy.jobs.clean.files import file_at, remove
from devproxy.linux.sysv import remove_memory, remove_queue, remove_semaphores
from tests.devproxy.jobs.clean.dirty import Job, job, kinds, tpu
from tests.hosts.machine import Machine
from tests.unprivileged import UID

libc = ctypes.CDLL(None, use_errno=True)
# A user who has no process at all, so that nobody but the lease can have made what is theirs.
LONELY = UID + 40
OTHER = UID + 41


@pytest.fixture
def lease() -> Iterator[Job]:
    with job() as made:
        yield made


@pytest.fixture
def lonely() -> Iterator[Job]:
    with job(uid=LONELY, devices=[tpu()]) as made:
        yield made


def plant(path: Path, uid: int | None = None, text: str = "x") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if uid is not None and os.geteuid() == 0:
        os.chown(path, uid, uid)
    return path


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


def sysv(made: Job, work: str, env: dict[str, str] | None = None) -> None:
    made.start("c = ctypes.CDLL(None, use_errno=True)\n" + work, env)


def rows(table: str, uid: int) -> list[int]:
    with open(f"/proc/sysvipc/{table}") as lines:
        header, *rest = (line.split() for line in lines)
    return [int(row[1]) for row in rest if int(row[header.index("uid")]) == uid]


_MADE: dict[str, tuple[str, str, Callable[[int], None]]] = {
    "sysv-shm": ("shm", "assert c.shmget(0, 4096, 0o1600) >= 0", remove_memory),
    "sysv-sem": ("sem", "i = c.semget(0, 2, 0o1600); assert c.semctl(i, 1, 16, 3) == 0", remove_semaphores),
    "sysv-msg": ("msg", "i = c.msgget(0, 0o1600); assert c.msgsnd(i, b'\\1' + b'\\0' * 15, 8, 0) == 0", remove_queue),
}


@pytest.fixture(params=_MADE)
def ipc(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A kind of it; what is left of two users' is removed at the end."""
    kind = request.param
    yield (kind, *_MADE[kind][:2])
    for uid in (LONELY, OTHER):
        for ident in rows(_MADE[kind][0], uid):
            _MADE[kind][2](ident)


@pytest.mark.root
class TestSystemV:
    def test_what_a_process_of_the_lease_made_is_removed(self, lonely: Job, ipc: Any) -> None:
        kind, table, work = ipc
        sysv(lonely, work)
        assert len(rows(table, LONELY)) == 1
        dry = lonely.clean(dry_run=True)
        assert len(rows(table, LONELY)) == 1
        wet = lonely.clean()
        assert kinds(dry) == kinds(wet) == ["process", kind]
        assert wet.removed[1].proof.endswith("it, which was the lease's")
        assert rows(table, LONELY) == []

    def test_what_is_anothers_or_in_use_stays(self, lonely: Job, ipc: Any) -> None:
        """Another user's; and of the same user's, that of a process which is not the lease's."""
        _, table, work = ipc
        lonely.start("c = ctypes.CDLL(None, use_errno=True)\n" + work, env={}, uid=OTHER)
        lonely.start("c = ctypes.CDLL(None, use_errno=True)\n" + work, env={})
        cleaned = lonely.clean()
        assert (cleaned.removed, cleaned.left) == ((), ())
        assert (len(rows(table, OTHER)), len(rows(table, LONELY))) == (1, 1)

    def test_what_was_there_before_stays(self, lonely: Job, ipc: Any) -> None:
        _, table, work = ipc
        sysv(lonely, work, {})
        lonely.end()
        lonely.scope = lonely.scope._replace(since=time.time() + 1)
        assert not lonely.clean().removed
        assert len(rows(table, LONELY)) == 1

    def test_what_a_dead_process_left_is_removed_where_nobody_else_can_have_made_it(
        self, lonely: Job, ipc: Any
    ) -> None:
        kind, table, work = ipc
        lonely.scope = lonely.scope._replace(since=time.time() - 2)  # the kernel tells whole seconds
        sysv(lonely, work, {})
        lonely.end()
        assert kinds(lonely.clean()) == [kind]
        assert rows(table, LONELY) == []

    def test_a_segment_that_is_attached_stays(self, lonely: Job) -> None:
        lonely.scope = lonely.scope._replace(since=time.time() - 2)
        try:
            sysv(lonely, "i = c.shmget(4711, 4096, 0o1666)", {})
            lonely.end()
            attach = "i = c.shmget(4711, 4096, 0); c.shmat.restype = ctypes.c_void_p; assert c.shmat(i, None, 0) > 0"
            lonely.start("c = ctypes.CDLL(None, use_errno=True)\n" + attach, env={}, uid=OTHER)
            assert not lonely.clean().removed
            assert len(rows("shm", LONELY)) == 1
        finally:
            for ident in rows("shm", LONELY):
                remove_memory(ident)


class TestTpuLock:
    @pytest.fixture
    def tpus(self) -> Iterator[Job]:
        with job(devices=[tpu()]) as made:
            yield made

    def lock(self, made: Job) -> Path:
        return plant(Path(made.places.temporary) / "libtpu_lockfile", made.scope.uid)

    def test_one_that_nobody_holds_is_removed(self, tpus: Job) -> None:
        path = self.lock(tpus)
        assert kinds(tpus.clean(dry_run=True)) == ["tpu-lock"]
        assert path.exists()
        assert kinds(tpus.clean()) == ["tpu-lock"]
        assert not path.exists()

    def test_one_that_a_process_of_the_lease_holds_goes_with_it(self, tpus: Job) -> None:
        path = self.lock(tpus)
        tpus.start(f"import fcntl; f = open({str(path)!r}); fcntl.flock(f, fcntl.LOCK_EX)")
        assert kinds(tpus.clean(dry_run=True)) == kinds(tpus.clean()) == ["process", "tpu-lock"]
        assert not path.exists()

    @pytest.mark.parametrize("how", ["fcntl.flock(f, fcntl.LOCK_EX)", "fcntl.lockf(f, fcntl.LOCK_EX)", "1"])
    def test_one_that_another_process_has_stays(self, tpus: Job, how: str) -> None:
        path = self.lock(tpus)
        tpus.start(f"import fcntl; f = open({str(path)!r}, 'r+'); {how}", env={})
        cleaned = tpus.clean()
        assert (cleaned.removed, cleaned.left) == ((), ())
        assert path.exists()

    @pytest.mark.parametrize("how", [fcntl.flock, fcntl.lockf])
    def test_one_that_is_taken_at_the_last_moment_stays(self, tpus: Job, how: Callable[[int, int], None]) -> None:
        path = self.lock(tpus)
        found = file_at(str(path))
        assert found is not None
        read, write = os.pipe()
        ready, done = os.pipe()
        pid = os.fork()
        if not pid:
            how(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
            os.write(done, b"x")
            os.read(read, 1)
            os._exit(0)
        os.read(ready, 1)
        try:
            assert tpu_lock.clear(found) == "somebody holds it by now"
        finally:
            os.write(write, b"x")
            os.waitpid(pid, 0)
            for each in (read, write, ready, done):
                os.close(each)
        assert path.exists()
        assert tpu_lock.clear(found) == ""

    @pytest.mark.parametrize("trap", ["link", "directory", "fifo", "socket", "dangling"])
    def test_what_is_no_file_there_is_told_and_neither_opened_nor_followed(
        self, tpus: Job, trap: str, tmp_path: Path
    ) -> None:
        victim = plant(tmp_path / "victim", text="precious")
        path = Path(tpus.places.temporary) / "libtpu_lockfile"
        makers: dict[str, Callable[[], object]] = {
            "link": lambda: path.symlink_to(victim),
            "dangling": lambda: path.symlink_to(tmp_path / "nothing"),
            "directory": path.mkdir,
            "fifo": lambda: os.mkfifo(path),
            "socket": lambda: self.bind(path),
        }
        makers[trap]()
        cleaned = tpus.clean()
        assert not cleaned.removed
        assert [dirt.hint for dirt in cleaned.left] == [f"look at it: ls -ld {path}"]
        assert os.path.lexists(path)
        assert victim.read_text() == "precious"
        assert not (tmp_path / "nothing").exists()

    def bind(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))

    def test_one_that_is_exchanged_while_it_is_looked_at_stays(self, tpus: Job, tmp_path: Path) -> None:
        """Found a file; by the time that it is removed it is a link, a directory, another file."""
        victim = plant(tmp_path / "victim")
        path = self.lock(tpus)
        found = file_at(str(path))
        assert found is not None
        keep = os.open(path, os.O_RDONLY)  # its inode is not given again meanwhile
        path.unlink()
        path.symlink_to(victim)
        assert tpu_lock.clear(found) == "it was replaced while it was looked at"
        path.unlink()
        path.mkdir()
        assert tpu_lock.clear(found) == "it was replaced while it was looked at"
        path.rmdir()
        plant(path)
        assert tpu_lock.clear(found) == "it was replaced while it was looked at"
        os.close(keep)
        assert victim.exists()
        assert path.exists()

    def test_a_race_of_links_reaches_nothing(self, tpus: Job, tmp_path: Path) -> None:
        victim = plant(tmp_path / "libtpu_lockfile")
        path = self.lock(tpus)
        aside = path.with_name("aside")
        aside.symlink_to(victim)
        stop = threading.Event()

        def exchange() -> None:
            while not stop.is_set():
                libc.renameat2(-100, os.fsencode(path), -100, os.fsencode(aside), 2)  # RENAME_EXCHANGE

        thread = threading.Thread(target=exchange)
        thread.start()
        try:
            for _ in range(300):
                found = file_at(str(path))
                if found is not None and found.is_regular:
                    tpu_lock.clear(found)
                if not os.path.lexists(aside) or not os.path.lexists(path):
                    plant(tmp_path / "new").rename(aside if os.path.lexists(path) else path)
        finally:
            stop.set()
            thread.join()
        assert victim.exists()

    @pytest.mark.root
    def test_another_users_stays(self, tpus: Job) -> None:
        path = plant(Path(tpus.places.temporary) / "libtpu_lockfile", OTHER)
        cleaned = tpus.clean()
        assert (cleaned.removed, cleaned.left) == ((), ())
        assert path.exists()

    def test_a_lease_of_gpus_has_none(self, lease: Job) -> None:
        path = self.lock(lease)
        assert not lease.clean().removed
        assert path.exists()


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
