"""Leases: a device is one command's, freed by its death, however it dies; whoever came first is served first."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.devices import Device, Wanted
from devproxy.jobs.lease import Asking, Waiting, acquire
from devproxy.jobs.listing import held, waiters
from devproxy.jobs.state import State
from devproxy.linux.namespaces import CLONE, unshare
from tests.devproxy.jobs.workers import EIGHT, Rig, child, worker
from tests.unprivileged import UID

LEASES = int(os.environ.get("DEVPROXY_LEASES", "1500"))
WORKERS = 32


def asking(number: int = 1, **wanted: object) -> Asking:
    return Asking(EIGHT, Wanted(number, **wanted), ("job", "--now"), lambda _: "")  # type: ignore[arg-type]


def silent(_: Waiting) -> None:
    pass


def until(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.002)


@pytest.fixture
def rig() -> Iterator[Rig]:
    # Other users get nowhere below pytest's own directory.
    with tempfile.TemporaryDirectory(prefix="leases-") as place:
        os.chmod(place, 0o755)
        yield Rig(Path(place))


@pytest.mark.root
def test_leases_of_two_users_some_of_them_killed(rig: Rig) -> None:
    each = LEASES // WORKERS + 1
    pids = [worker(rig, each, seed, UID if seed % 2 else 0) for seed in range(WORKERS)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * WORKERS
    lines = rig.lines()
    assert not [line for line in lines if line[0] == "TWICE"]
    ended = Counter(line[2] for line in lines if line[0] == "ended")
    assert ended.keys() == {"0", "killed"}, "a lease failed"
    assert ended["0"] + ended["killed"] == each * WORKERS
    assert ended["killed"] > each * WORKERS // 20
    used = {name for line in lines if line[0] == "leased" for name in line[2:]}
    assert len(used) > 1  # how many are had at once is the machine's load's business
    with State(rig.state) as state:  # nothing is lost: all eight can be had at once
        acquire(state, asking(8), wait=0, progress=silent).release()
        assert not held(state)
        assert not waiters(state)


@pytest.mark.root
def test_waiters_are_served_in_the_order_in_which_they_came(rig: Rig) -> None:
    with State(rig.state) as state:
        lease = acquire(state, asking(8), wait=0, progress=silent)
        pids = []
        for number in range(12):
            pids.append(child(lambda: rig.lease_once(8, 0), UID if number % 2 else 0))
            until(lambda n=number: len(waiters(state)) == n + 1)
        doomed = {pids[0], pids[5]}
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert [waiter.pid for waiter in waiters(state)] == [pid for pid in pids if pid not in doomed]
        lease.release()
        for pid in pids:
            if pid not in doomed:
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [int(line[1]) for line in rig.lines() if line[0] == "leased"] == [pid for pid in pids if pid not in doomed]


def test_a_small_wish_does_not_overtake_a_large_one_that_came_before(rig: Rig) -> None:
    with State(rig.state) as state:
        first = acquire(state, asking(1), wait=0, progress=silent)
        large = child(lambda: rig.lease_once(8, 0))
        until(lambda: len(waiters(state)) == 1)
        with pytest.raises(DevproxyError, match="1 came before"):
            acquire(state, asking(1), wait=0, progress=silent)
        first.release()
        assert os.waitstatus_to_exitcode(os.waitpid(large, 0)[1]) == 0
        acquire(state, asking(1), wait=0, progress=silent).release()


def test_who_does_not_wait_lets_those_before_look_for_theirs(rig: Rig) -> None:
    """One of eight is asked for while somebody looks whether one of eight is in use, as NVML is asked: there is one for both."""
    asked, answer = rig.place / "asked", rig.place / "answer"

    def look(_: object) -> str:
        asked.touch()
        until(answer.exists)
        return ""

    def ask(busy: Callable[[Device], str]) -> None:
        with State(rig.state) as state:
            wish = Asking(EIGHT, Wanted(1), (), busy)
            acquire(state, wish, wait=0, progress=silent).release()

    first = child(lambda: ask(look))
    until(asked.exists)
    others = [child(lambda: ask(lambda _: "")) for _ in range(3)]
    with State(rig.state) as state:
        until(lambda: len(waiters(state)) == 4)
    answer.touch()
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (first, *others)] == [0] * 4


def test_eight_who_do_not_wait_get_eight(rig: Rig) -> None:
    over = rig.place / "over"

    def have_one() -> None:
        with State(rig.state) as state:
            lease = acquire(state, asking(), wait=0, progress=silent)
            until(over.exists)
            lease.release()

    for _ in range(10):
        pids = [child(have_one) for _ in range(8)]
        with State(rig.state) as state:
            until(lambda pids=pids: not waiters(state) and (len(held(state)) == 8 or not all(map(is_running, pids))))
        over.touch()
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 8
        over.unlink()


def is_running(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def test_a_wish_for_other_devices_does_not_wait(rig: Rig) -> None:
    with State(rig.state) as state:
        first = acquire(state, asking(4, numa=0), wait=0, progress=silent)
        other = child(lambda: rig.lease_once(8, 0))
        until(lambda: len(waiters(state)) == 1)
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        second = acquire(state, asking(4, numa=1), wait=0, progress=silent)
        assert {device.numa for device in second.devices} == {1}
        first.release()
        second.release()


def test_the_death_of_the_holder_frees_its_devices(rig: Rig) -> None:
    with State(rig.state) as state:
        holder = child(lambda: rig.lease_once(8, 60))
        until(lambda: len(held(state)) == 8)
        assert {each.pid for each in held(state)} == {holder}
        with pytest.raises(DevproxyError, match="gpu 0, 1, 2, 3, 4, 5, 6, 7 leased"):
            acquire(state, asking(1), wait=0.1, progress=silent)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        acquire(state, asking(8), wait=0, progress=silent).release()  # at once: the kernel let the locks go


def test_a_device_that_is_held_though_not_leased_is_passed_over(rig: Rig) -> None:
    busy = {"GPU-0": "held by python3 (pid 7)"}
    with State(rig.state) as state:
        wish = Asking(EIGHT, Wanted(1), (), lambda device: busy.get(device.name, ""))
        lease = acquire(state, wish, wait=0, progress=silent)
        assert [device.name for device in lease.devices] == ["GPU-1"]
        lease.release()
        with pytest.raises(DevproxyError, match=r"gpu 0 held by python3 \(pid 7\)"):
            acquire(state, wish._replace(wanted=Wanted(8)), wait=0, progress=silent)


def test_what_the_host_can_never_give_is_refused_at_once(rig: Rig) -> None:
    with State(rig.state) as state:
        for wanted in (Wanted(9), Wanted(1, model="B200"), Wanted(5, numa=0), Wanted(1, memory=81 << 30)):
            with pytest.raises(InputError, match="of which this host has"):
                acquire(state, asking()._replace(wanted=wanted), wait=None, progress=silent)


@pytest.mark.root
class TestSeveralUsers:
    def test_nobody_can_put_a_file_in_the_place_of_a_device_or_remove_anothers_claim(self, rig: Rig) -> None:
        with State(rig.state) as state:
            lease = acquire(state, asking(1), wait=0, progress=silent)

            def attack() -> None:
                for name in ("devices/GPU-0", f"held/{os.listdir(f'{rig.state}/held')[0]}"):
                    for attempt in (os.unlink, lambda path: os.rename(path, path + "x")):
                        with pytest.raises(PermissionError):
                            attempt(f"{rig.state}/{name}")
                with pytest.raises(PermissionError):
                    os.open(f"{rig.state}/devices/GPU-9", os.O_CREAT | os.O_WRONLY)
                with pytest.raises(PermissionError):
                    os.open(f"{rig.state}/devices/GPU-0", os.O_WRONLY)

            pid = child(attack, UID)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            lease.release()

    def test_a_claim_to_what_another_has_is_not_believed(self, rig: Rig) -> None:
        from devproxy.jobs.claims import Own

        with State(rig.state) as state:
            lease = acquire(state, asking(1), wait=0, progress=silent)

            def fake() -> None:
                words = {"pid": os.getpid(), "devices": ["GPU-0", "GPU-1"], "command": ["mine"], "since": 0}
                with State(rig.state) as mine:
                    Own(mine.held, words)
                    time.sleep(60)

            pid = child(fake, UID)
            until(lambda: len(os.listdir(state.held)) == 2)
            assert [(each.device, each.uid, each.command) for each in held(state)] == [("GPU-0", 0, ("job", "--now"))]
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            lease.release()

    @pytest.mark.parametrize("mode", [0o777, 0o775])
    def test_a_directory_in_which_others_could_write_is_refused(self, rig: Rig, mode: int) -> None:
        os.chmod(f"{rig.state}/devices", mode)
        with pytest.raises(DevproxyError, match="expected a directory of root's"), State(rig.state):
            pass

    def test_a_user_cannot_begin_it_where_root_has_not(self, tmp_path: Path) -> None:
        def work() -> None:
            with pytest.raises(DevproxyError, match="no directory") as refused, State("/run/devproxy-none/leases"):
                pass
            assert "sudo devproxy setup" in refused.value.hint

        assert os.waitstatus_to_exitcode(os.waitpid(child(work, UID), 0)[1]) == 0

    def test_a_user_is_told_who_makes_the_file_of_a_device(self, rig: Rig) -> None:
        def work() -> None:
            with State(rig.state) as state, pytest.raises(DevproxyError, match="GPU-9, which is new here") as refused:
                state.device("GPU-9")
            assert "sudo devproxy setup" in refused.value.hint
            assert "--state DIR" in refused.value.hint

        with State(rig.state):
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(child(work, UID), 0)[1]) == 0


def test_a_directory_named_by_one_word_is_made_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with State("leases") as state:
        acquire(state, asking(), wait=0.0, progress=silent).release()
    assert sorted(os.listdir("leases")) == ["devices", "held", "queue"]


def test_what_is_no_directory_is_named_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DevproxyError, match=f"^{tmp_path}/file is no directory, expected one that"),
        State(str(tmp_path / "file")),
    ):
        pass
    (tmp_path / "held").touch()
    (tmp_path / "devices").mkdir(mode=0o755)
    with (
        pytest.raises(DevproxyError, match=f"^{tmp_path}/held is no directory, expected one that"),
        State(str(tmp_path)),
    ):
        pass


@pytest.mark.root
@pytest.mark.programs
def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    def work() -> None:
        unshare(CLONE["mount"])
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", tmp_path], check=True)
        with State(str(tmp_path / "leases")) as state:
            with suppress(OSError):
                (tmp_path / "fill").write_bytes(bytes(1 << 16))
            with pytest.raises(DevproxyError, match="cannot be written down where leases are kept: no space left"):
                acquire(state, asking(), wait=0.0, progress=silent)

    assert os.waitstatus_to_exitcode(os.waitpid(child(work, 0), 0)[1]) == 0
