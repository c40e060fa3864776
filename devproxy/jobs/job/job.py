"""The phases of a job, one after the other. Whatever becomes of one, those after it that clean and give devices back are done."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

from devproxy.difference.comparison import Comparison
from devproxy.difference.hosts import compare_hosts
from devproxy.errors import DevproxyError
from devproxy.jobs.busy import Busy
from devproxy.jobs.devices import environment, leasable, require_sight
from devproxy.jobs.health import check
from devproxy.jobs.health.catalogue import JOB_CHECKS
from devproxy.jobs.health.expectations import load_expectations
from devproxy.jobs.job import result as phases
from devproxy.jobs.job.after import clean, keep_out
from devproxy.jobs.job.artifacts import Artifacts
from devproxy.jobs.job.asked import Asked
from devproxy.jobs.job.bounded import Hung
from devproxy.jobs.job.command import Ended, Limits, Running
from devproxy.jobs.job.examine import said, unseen
from devproxy.jobs.job.folder import Folder
from devproxy.jobs.job.interrupts import Interrupts
from devproxy.jobs.job.kernel_log import KernelLog, lines_since
from devproxy.jobs.job.listener import Listener
from devproxy.jobs.job.look import take
from devproxy.jobs.job.result import Left, Look, Phase, Refused, Result, State
from devproxy.jobs.job.standard import Standard, require_process, words_of
from devproxy.jobs.job.verdict import Known, errors_of, judge
from devproxy.jobs.lease import Asking, Lease, Waiting, acquire
from devproxy.jobs.quarantine import Entry
from devproxy.jobs.state import State as Leases
from devproxy.jobs.state import elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from devproxy.jobs.devices import Device
    from devproxy.jobs.scope import Scope

# What its guard kills after the job's own cleaning dies at once, or waits in the kernel.
_GUARD_ENDS: Final = 10.0
# How many leases whose devices are bad are given back for others.
_TRIES: Final = 64


def run_job(asked: Asked, listener: Listener | None = None, onward: tuple[int | None, int | None] = (1, 2)) -> Result:
    """Carry a job out. What its command writes is passed on to the descriptors `onward` (None: to nobody), its standard input is this
    process's, or empty where that is a terminal. Signals are the command's meanwhile, where this is the main thread.

    Errors: InputError, before anything is started, for what cannot be; DevproxyError when no device could be had in time; Interrupted
    when a signal came before one was had.
    """
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        leases = stack.enter_context(Leases(asked.state))
        artifacts = Artifacts(asked.artifacts) if asked.artifacts else None
        if artifacts is not None:
            stack.callback(artifacts.close)
        folder = Folder(artifacts, asked)
        try:
            return _Job(asked, listener or Listener(), folder, interrupts, leases).run(onward)
        except BaseException as error:
            folder.broken_off(error)
            raise


class _Note:
    """What a phase says of itself while it goes on."""

    state = State.DONE
    words = ""


class _Job:
    """A job that goes on: what is known so far."""

    def __init__(
        self, asked: Asked, listener: Listener, folder: Folder, interrupts: Interrupts, leases: Leases
    ) -> None:
        self._asked = asked
        self._listener = listener
        self._heard = True
        self._folder = folder
        self._interrupts = interrupts
        self._leases = leases
        self._began = time.time()
        if asked.bundle:
            require_process(asked)
        self._expected = load_expectations(asked.expect, (each.code for each in JOB_CHECKS)) if asked.expect else None
        self._phases: list[Phase] = []
        self._problems: list[str] = []
        self._every: tuple[Device, ...] = ()
        self._scope: Scope | None = None
        self._lease: Lease | None = None
        self._running: Running | None = None
        self._before: Look | None = None
        self._ended: Ended | None = None
        self._after: Look | None = None
        self._difference: Comparison | None = None
        self._left: tuple[Left, ...] = ()
        self._cleaned: Look | None = None
        self._refused: list[Refused] = []
        self._quarantined: list[Entry] = []
        self._kernel: tuple[str, ...] = ()

    def run(self, onward: tuple[int | None, int | None]) -> Result:
        """All phases."""
        log = KernelLog() if self._asked.host == "live" else None
        try:
            if self._have_devices() and not self._interrupts.ending:
                with self._phase(phases.COMMAND) as note:
                    self._command(onward, note)
                self._look_after()
                self._clean()
            self._hear_kernel(log)
        finally:
            if log is not None:
                log.close()
            self._release()
        result = self._result()
        self._folder.result(result)
        if self._folder.problems:
            result = self._result()
        self._tell(lambda: self._listener.over(result))
        return result

    def _tell(self, say: Callable[[], None]) -> None:
        """Tell the listener. When nobody reads any more what it writes, the job goes on all the same."""
        try:
            if self._heard:
                say()
        except OSError:
            self._heard = False

    @contextmanager
    def _phase(self, name: str) -> Iterator[_Note]:
        """A phase: told, timed, written down. What goes wrong in it is a problem, and no reason to leave out what follows."""
        self._tell(lambda: self._listener.begins(name))
        self._folder.phase(name, self._phases)
        began, since, note, fatal = time.time(), time.monotonic(), _Note(), False
        try:
            yield note
        except Hung as hung:
            note.state, note.words = State.INCONCLUSIVE, hung.message
        except Exception as error:
            known = isinstance(error, DevproxyError | OSError)
            words = str(error).partition("\n")[0]
            note.state = State.FAILED
            note.words = words if known else f"a defect of devproxy: {type(error).__name__}: {words}"
            if self._lease is None:
                fatal = not self._refused
                raise
            self._problems.append(f"{name}: {note.words}")
        finally:
            phase = Phase(name, began, time.monotonic() - since, note.state, note.words)
            self._phases.append(phase)
            self._tell(lambda: self._listener.ends(phase, fatal=fatal))

    # before the command

    def _have_devices(self) -> bool:
        """Lease devices that are as they should be; those that are not, and can be kept out, are given back for others."""
        for _ in range(_TRIES):
            try:
                with self._phase(phases.LEASE) as note:
                    self._acquire(note)
            except DevproxyError:
                if not self._refused:
                    raise
                return False  # there are no others: those that were had say why
            with self._phase(phases.BEFORE) as note:
                self._before = self._look("before", self._asked.host, note)
            if not errors_of(self._before) or self._asked.anyway:
                return True
            entries = self._keep_out(self._before)
            if not entries or self._interrupts.ending:
                return False
            assert self._scope is not None
            assert self._before is not None
            self._refused.append(Refused(self._scope, self._before.report))
            self._release_lease()
        return False

    def _acquire(self, note: _Note) -> None:
        host = take(self._asked.host, self._interrupts).host
        self._every = leasable(host)
        require_sight(host, self._every)
        busy = Busy(host, self._asked.quarantine)
        asking = Asking(self._every, self._asked.wanted, words_of(self._asked), busy.why)
        self._lease = lease = acquire(self._leases, asking, wait=self._asked.wait, progress=self._waits)
        self._interrupts.keep()
        self._scope = self._lease.scope
        note.words = ", ".join(f"{each.kind.value} {each.rank} ({each.name})" for each in self._scope.devices)
        self._folder.lease(self._scope)
        self._tell(lambda: self._say_leased(lease.scope, busy))

    def _waits(self, waiting: Waiting) -> None:
        self._tell(lambda: self._listener.waits(waiting))

    def _say_leased(self, scope: Scope, busy: Busy) -> None:
        self._listener.leased(scope)
        for device in scope.devices:
            if why := busy.unseen(device):
                self._listener.doubts(f"whether {device.kind.value} {device.rank} is in use was not seen: {why}")

    def _look(self, name: str, source: str, note: _Note) -> Look:
        """The host now, recorded and judged."""
        assert self._scope is not None
        try:
            taken = take(source, self._interrupts)
        except Hung as hung:
            note.state, note.words = State.INCONCLUSIVE, hung.message
            look = Look(None, unseen(hung.message))
        else:
            self._folder.recording(name, taken.archive)
            before = self._before if name != "before" else None
            then = before.host if before else None
            report = check(taken.host, before=then, expect=self._expected, devices=self._scope)
            look = Look(taken.host, report)
            note.words = said(report)
        self._folder.report(name, look.report)
        return look

    # the command

    def _command(self, onward: tuple[int | None, int | None], note: _Note) -> None:
        assert self._lease is not None
        with Standard(onward, self._folder) as standard:
            more = environment(self._lease.scope, self._every) | elsewhere(self._asked.state) | self._folder.variables()
            start = standard.start(self._asked, more, self._lease.descriptors)
            limits = Limits(self._asked.timeout, self._asked.grace)
            self._tell(self._listener.command_writes)
            try:
                self._running = Running(start, standard.streams, limits, self._interrupts)
                standard.started()
                ended = self._running.wait()
            finally:
                self._tell(lambda: self._listener.command_wrote(line_ended=standard.line_ended))
            out, err = standard.written()
        self._problems += standard.problems
        self._ended = ended._replace(out=out, err=err)
        note.words = ended.describe()

    # after it

    def _look_after(self) -> None:
        with self._phase(phases.AFTER) as note:
            self._after = self._look("after", self._asked.after or self._asked.host, note)
        with self._phase(phases.DIFFERENCE) as note:
            before, after = (look.host if look else None for look in (self._before, self._after))
            if before is None or after is None:
                note.state, note.words = State.INCONCLUSIVE, "the host was not seen both before and after"
            else:
                self._difference = compare_hosts(before, after)
                self._folder.difference(self._difference)
        self._keep_out(self._after)

    def _hear_kernel(self, log: KernelLog | None) -> None:
        """The kernel's log since the beginning; of a recorded machine, or without the right to read it, what the recordings have."""
        seen = log is not None and not log.why
        self._kernel = tuple(log.lines() if log is not None and seen else lines_since(self._before, self._after))
        self._folder.kernel(self._kernel, log.why if log is not None else "")

    def _keep_out(self, look: Look | None) -> tuple[Entry, ...]:
        """Quarantine, by rule, what is bad. A rehearsal's devices are put into no quarantine but one that was named for it."""
        assert self._scope is not None
        entries, problem = keep_out(look, self._before, self._scope, self._asked)
        self._quarantined += entries
        if problem:
            self._problems.append(problem)
        return entries

    def _clean(self) -> None:
        """Remove what was left behind, and look once more where something was."""
        assert self._scope is not None
        guard = self._running.guard.pid if self._running else 0
        with self._phase(phases.CLEAN) as note:
            self._left, document = clean(self._scope, self._before, self._asked, guard, self._interrupts)
            self._folder.cleaned(document)
            gone = sum(each.gone for each in self._left)
            note.words = f"{gone} removed, {len(self._left) - gone} left" if self._left else "nothing was left behind"
        if any(each.gone for each in self._left):
            with self._phase(phases.CLEANED) as note:
                self._cleaned = self._look("cleaned", self._asked.after or self._asked.host, note)

    def _release(self) -> None:
        """Give the devices back. What is left of the command ends with its guard, which has the lease as long."""
        if self._lease is None:
            return
        with self._phase(phases.RELEASE) as note:
            if self._running is not None and not self._running.guard.finish(_GUARD_ENDS):
                note.state = State.INCONCLUSIVE
                note.words = "a process cannot be killed: the devices are leased until it ends"
                self._left += (Left("a process of the command", note.words, gone=False, ours=True),)
            self._release_lease()

    def _release_lease(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def _result(self) -> Result:
        problems = (*self._problems, *self._folder.problems)
        devices = self._scope.devices if self._scope else ()
        known = Known(
            devices, self._before, self._ended, self._after, self._cleaned, self._left, self._interrupts.first, problems,
            self._asked.decides,
        )  # fmt: skip
        return Result(
            self._asked, self._began, self._scope, self._before, self._ended, self._after, self._difference, self._left,
            self._cleaned, tuple(self._refused), tuple(self._quarantined), self._kernel, tuple(self._phases), problems,
            judge(known),
        )  # fmt: skip
