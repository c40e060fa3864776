"""Processes of a lease that is over are ended, whatever they do against it; nobody else's is touched, whatever it looks like."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devproxy.jobs.clean.asked import How
from devproxy.jobs.clean.cleaning import clean
from devproxy.jobs.clean.process import is_alive, send
from devproxy.jobs.scope import IDENT
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.process import run
from tests.devproxy.jobs.clean.dirty import Job, claim, holding, identity, job, kinds, until
from tests.devproxy.linux.forked import in_child
from tests.unprivileged import UID, as_user

OTHER = UID + 1


@pytest.fixture
def lease() -> Iterator[Job]:
    with job(state=True) as made:
        yield made


def pids(made: Job, cleaned: object = None) -> set[int]:
    return {dirt.key[0] for dirt in (cleaned or made.clean()).removed if dirt.kind.value != "claim"}  # type: ignore[attr-defined]


class TestProof:
    def test_a_process_with_the_number_is_ended(self, lease: Job) -> None:
        pid = lease.start()
        cleaned = lease.clean()
        assert kinds(cleaned) == ["process"]
        assert cleaned.removed[0].proof == f"was started with {IDENT}={lease.scope.ident}"
        assert lease.ended_by(pid) == signal.SIGTERM

    def test_a_process_with_the_lock_and_an_empty_environment_is_ended(self, lease: Job) -> None:
        own = claim(lease)
        pid = lease.start(env={}, keep=[own.descriptor])
        os.close(own.descriptor)
        cleaned = lease.clean()
        assert [dirt.proof for dirt in cleaned.removed] == [
            "has the lease's lock",
            "has the lease's number, and is its owner's",
        ]
        assert not lease.is_alive(pid)
        assert not os.listdir(lease.state.held)  # type: ignore[union-attr]

    def test_a_child_of_one_is_ended_though_it_has_neither(self, lease: Job) -> None:
        work = "import subprocess as s; s.Popen(['sleep', '600'], env={}, start_new_session=True)"
        pid = lease.start(work)
        child = identity(int(Path(f"/proc/{pid}/task/{pid}/children").read_text()))
        assert pids(lease) == {pid, child.pid}
        assert not is_alive(child)

    def test_somebody_who_knows_more_proves_it(self, lease: Job) -> None:
        pid = lease.start(env={})
        assert not lease.clean().removed
        cleaned = lease.clean(proofs=(lambda process: "is in its group" if process.seen.identity.pid == pid else "",))
        assert [dirt.proof for dirt in cleaned.removed] == ["is in its group"]
        assert not lease.is_alive(pid)

    def test_one_whose_first_thread_has_ended_is_found_by_the_others(self, lease: Job) -> None:
        ends = "import threading as t; t.Thread(target=time.sleep, args=(600,)).start(); os.write(1, b'ready'); ctypes.CDLL(None).pthread_exit(None)"
        pid = lease.start(ends)
        until(lambda: b"Z (zombie)" in Path(f"/proc/{pid}/status").read_bytes())
        assert pids(lease) == {pid}
        assert lease.ended_by(pid)


class TestInnocents:
    def test_the_same_name_user_and_command_line_prove_nothing(self, lease: Job) -> None:
        ours, other = lease.start("x=1"), lease.start("x=1", env={})
        cmdlines = {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (ours, other)}
        assert len(cmdlines) == 1
        assert pids(lease) == {ours}
        assert lease.is_alive(other)

    def test_another_leases_process_stays(self, lease: Job) -> None:
        other = lease.start(env={IDENT: "0" * 32})
        longer = lease.start(env={IDENT: lease.scope.ident + "0"})
        later = lease.start(env={"MY_" + IDENT: lease.scope.ident})
        assert not lease.clean().removed
        assert all(map(lease.is_alive, (other, longer, later)))

    def test_a_lease_within_the_lease_is_not_ended_for_the_lock_that_it_inherited(self, lease: Job) -> None:
        own = claim(lease)
        pid = lease.start(env={IDENT: "0" * 32}, keep=[own.descriptor])
        os.close(own.descriptor)
        cleaned = lease.clean()
        assert lease.is_alive(pid)
        assert [(dirt.kind.value, dirt.why) for dirt in cleaned.left] == [("claim", "a process still has it locked")]
        assert cleaned.exit_code == 3

    def test_who_cleans_and_what_started_it_stay(self, lease: Job) -> None:
        """A job that cleans after itself has the number and the lock too."""
        ours = lease.start()
        pid = os.fork()
        if not pid:
            cleaned = clean(
                lease.scope, how=How(proofs=(lambda _: "everybody",), spare=frozenset((ours,))), dry_run=True
            )
            spared = {os.getpid(), os.getppid(), ours}
            os._exit(3 if spared & {dirt.key[0] for dirt in cleaned.removed} else 7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert lease.is_alive(ours)

    @pytest.mark.root
    def test_the_number_in_another_users_process_proves_nothing(self, lease: Job) -> None:
        pid = lease.start(uid=OTHER)
        assert not lease.clean().removed
        assert lease.is_alive(pid)

    @pytest.mark.root
    def test_a_lock_that_was_sent_to_another_users_process_proves_nothing(self) -> None:
        """A descriptor can be sent to any program that takes one (unix(7)); that must not get it killed."""
        with job(uid=UID, state=True) as lease:
            own = claim(lease)
            here, there = socket.socketpair()
            victim = lease.start(
                f"import socket; s=socket.socket(fileno={there.fileno()}); socket.recv_fds(s, 1, 1)",
                env={}, uid=OTHER, keep=[there.fileno()], before=lambda: socket.send_fds(here, [b"x"], [own.descriptor]),
            )  # fmt: skip
            sender = lease.start(keep=[own.descriptor], env={})
            for each in (here, there):
                each.close()
            os.close(own.descriptor)
            has = [Path(f"/proc/{victim}/fdinfo/{number}").read_text() for number in os.listdir(f"/proc/{victim}/fd")]
            assert any("FLOCK" in text for text in has)  # it has it
            cleaned = lease.clean()
            assert pids(lease, cleaned) == {sender}
            assert lease.is_alive(victim)
            assert [dirt.why for dirt in cleaned.left] == ["a process still has it locked"]

    @pytest.mark.root
    def test_a_claim_that_another_user_made_with_the_number_proves_nothing(self, lease: Job) -> None:
        own = claim(lease, uid=OTHER)
        pid = lease.start(env={}, keep=[own.descriptor])
        os.close(own.descriptor)
        assert not lease.clean().removed
        assert lease.is_alive(pid)

    def test_a_number_that_was_given_again_is_not_signalled(self, lease: Job) -> None:
        pid = lease.start()
        known = identity(pid)
        assert not send(known._replace(started=known.started - 1), signal.SIGKILL)
        assert not send(known._replace(started=known.started + 1), signal.SIGKILL)
        assert lease.is_alive(pid)
        assert send(known, signal.SIGKILL)
        until(lambda: not lease.is_alive(pid))
        assert not send(known, signal.SIGKILL)

    @pytest.mark.root
    def test_the_same_of_a_number_that_the_kernel_gave_again(self) -> None:
        """For real, in a pid namespace of its own: the process ends, and the next one gets its number."""

        def work() -> list[object]:
            unshare(CLONE["mount"])
            unshare(CLONE["pid"])
            return in_child(recycled)  # type: ignore[no-any-return]

        same, reached, alive = in_child(work)
        assert same
        assert not reached
        assert alive


def recycled() -> list[object]:
    """The first process of a pid namespace: whether a number was given again, whether a signal for its first owner reached the second,
    and whether that one lives.
    """
    run(["mount", "--make-rprivate", "/"])
    run(["mount", "-t", "proc", "proc", "/proc"])
    first = stays()
    time.sleep(0.05)  # longer than a clock tick: their start times differ
    known = identity(first)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(first - 1))
    second = stays()
    reached = send(known, signal.SIGKILL)
    alive = os.waitpid(second, os.WNOHANG) == (0, 0)
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)
    return [first == second, reached, alive]


def stays() -> int:
    pid = os.fork()
    if not pid:
        time.sleep(600)
        os._exit(0)
    return pid


class TestEnding:
    def test_one_that_does_not_listen_is_killed(self, lease: Job) -> None:
        pid = lease.start("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        assert kinds(lease.clean(grace=0.2)) == ["process"]
        assert lease.ended_by(pid) == signal.SIGKILL

    def test_one_that_is_stopped_is_woken_to_end_well(self, lease: Job) -> None:
        pid = lease.start("signal.signal(signal.SIGTERM, lambda *_: os._exit(5))")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: b"T (stopped)" in Path(f"/proc/{pid}/status").read_bytes())
        assert kinds(lease.clean(grace=20)) == ["process"]
        assert not lease.ended_by(pid)
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == 5  # type: ignore[union-attr]

    def test_one_that_ends_well_is_given_the_time(self, lease: Job, tmp_path: object) -> None:
        done = lease.place / "done"
        done.touch()
        pid = lease.start(
            f"signal.signal(signal.SIGTERM, lambda *_: (time.sleep(.3), open({str(done)!r}, 'w').write('x'), os._exit(0)))"
        )
        lease.clean(grace=20)
        assert not lease.is_alive(pid)
        assert done.read_text() == "x"

    def test_one_that_makes_another_whenever_it_is_asked(self, lease: Job) -> None:
        """Each child asked makes one more, in a session of its own, with an empty environment; and so do those."""
        work = "def again(*_):\n    if not os.fork(): os.setsid()\nsignal.signal(signal.SIGTERM, again)\n"
        lease.start(work)
        cleaned = lease.clean(grace=0.3)
        assert len(cleaned.removed) >= 2
        assert not cleaned.left
        assert not lease.clean().removed

    def test_one_that_never_stops_forking(self, lease: Job) -> None:
        work = (
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "if not os.fork():\n"
            "    while True:\n"
            "        if os.fork(): os._exit(0)\n"
            "        time.sleep(.1)\n"
        )
        pid = lease.start(work)
        cleaned = lease.clean(grace=0.1)
        assert not cleaned.left
        assert not lease.living_in_group(pid)

    @pytest.mark.root
    def test_one_that_changed_its_user_is_ended_by_its_number_and_lock(self) -> None:
        with job(uid=UID, state=True) as lease:
            own = claim(lease)
            pid = lease.start(uid=OTHER, keep=[own.descriptor])
            only_number = lease.start(uid=OTHER)
            os.close(own.descriptor)
            cleaned = lease.clean()
            assert pids(lease, cleaned) == {pid}
            assert cleaned.removed[0].proof == "was started with the lease's number and has its lock"
            assert lease.is_alive(only_number)

    @pytest.mark.root
    def test_a_user_tells_of_what_only_root_may_end(self, lease: Job) -> None:
        pid = lease.start(env={})
        proof = (lambda process: "is the lease's" if process.seen.identity.pid == pid else "",)

        def work(_: object) -> object:
            cleaned = clean(lease.scope._replace(uid=UID), how=How(proofs=proof, grace=0.1))
            return [cleaned.exit_code, [(dirt.key[0], dirt.why) for dirt in cleaned.left]]

        assert as_user(work) == [3, [[pid, "it is uid 0's: only root may end it"]]]
        assert lease.is_alive(pid)


def test_a_dry_run_says_the_same_and_touches_nothing(lease: Job) -> None:
    started = [lease.start(), lease.start("signal.signal(signal.SIGTERM, signal.SIG_IGN)")]
    dry = lease.clean(dry_run=True)
    assert all(map(lease.is_alive, started))
    wet = lease.clean(grace=0.1)
    assert (dry.removed, dry.left) == (wet.removed, wet.left)
    assert not any(map(lease.is_alive, started))
    again = lease.clean()
    assert (again.removed, again.left) == ((), ())


@pytest.mark.root
class TestHolders:
    """Of a device with a number that only this test's node has: /dev/full's, which programs do not keep open."""

    @pytest.fixture
    def gpu(self, tmp_path: Path) -> Iterator[Job]:
        node = tmp_path / "nvidia0"
        os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
        with job(devices=[holding(node)], state=True) as made:
            yield made

    def work(self, made: Job) -> str:
        return f"f = open({made.scope.devices[0].nodes[0]!r})"

    def test_one_of_the_leases_is_ended(self, gpu: Job) -> None:
        pid = gpu.start(self.work(gpu))
        node = gpu.scope.devices[0].nodes[0]
        dry, wet = gpu.clean(dry_run=True), gpu.clean()
        assert dry.removed == wet.removed
        assert [(dirt.kind.value, dirt.what.partition(" with ")[2]) for dirt in wet.removed] == [
            ("holder", f"{node} open")
        ]
        assert not gpu.is_alive(pid)

    def test_one_that_is_not_proven_is_told_and_stays(self, gpu: Job) -> None:
        pid = gpu.start(self.work(gpu), env={})
        cleaned = gpu.clean()
        assert (cleaned.removed, cleaned.exit_code) == ((), 3)
        assert f"(pid {pid}) with " in cleaned.left[0].what
        assert cleaned.left[0].why == "uid 0's, and nothing proves that it is the lease's"
        assert gpu.is_alive(pid)

    def test_one_that_was_there_before_and_one_of_the_next_lease_are_no_dirt(self, gpu: Job) -> None:
        own = claim(gpu, id="f" * 32)
        following = gpu.start(self.work(gpu), env={IDENT: "f" * 32})
        assert not gpu.clean().left
        os.close(own.descriptor)
        assert [dirt.key for dirt in gpu.clean().left] == [()]  # that lease is over, and this one is not its cleaning
        gpu.scope = gpu.scope._replace(since=time.time() + 1)
        assert not gpu.clean().left
        assert gpu.is_alive(following)
