"""libtpu's lock file, planted for real, with those who hold it, exchange it and race for it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devproxy.jobs.clean import tpu_lock
from devproxy.jobs.clean.files import file_at
from tests.devproxy.jobs.clean.dirty import Job, job, kinds, tpu
from tests.devproxy.jobs.clean.planted import OTHER, plant

libc = ctypes.CDLL(None, use_errno=True)


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
