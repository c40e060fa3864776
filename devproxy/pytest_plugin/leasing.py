"""A lease for one test: what it asks for, waited for in turn, given back after it."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager

import pytest

from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.busy import Busy
from devproxy.jobs.devices import Device, Wanted, candidates, environment
from devproxy.jobs.job.kernel_log import KernelLog
from devproxy.jobs.lease import Asking, Lease, acquire
from devproxy.jobs.scope import Scope
from devproxy.jobs.state import State, elsewhere
from devproxy.pytest_plugin import options
from devproxy.pytest_plugin.session import Session, session_of
from devproxy.pytest_plugin.waiting import Progress, who_has
from devproxy.pytest_plugin.wish import NO_WISH, Wish, wish_of
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devproxy.pytest_plugin.session import Offer


class Accelerators(Record):
    """The accelerators that a test has leased. `environment` is what is set meanwhile, `host` is `live` or a recording's name."""

    scope: Scope
    environment: dict[str, str]
    host: str

    @property
    def devices(self) -> tuple[Device, ...]:
        """They themselves."""
        return self.scope.devices

    @property
    def names(self) -> tuple[str, ...]:
        """What they are known by for good: UUIDs of GPUs, PCI addresses of TPU chips."""
        return tuple(device.name for device in self.scope.devices)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Their device nodes."""
        return tuple(node for device in self.scope.devices for node in device.nodes)


class Given:
    """What a test was given, for as long as it has it; the evidence of a failure is made from it."""

    def __init__(self, session: Session, accelerators: Accelerators, log: KernelLog | None) -> None:
        self.session = session
        self.accelerators = accelerators
        self.log = log
        self.is_over = False
        self.is_told = False


@contextmanager
def leased(item: pytest.Item) -> Iterator[Given]:
    """Lease what a test asks for, and give it back.

    Skips the test on a host that has nothing of the kind. Fails it (pytest.fail) for what this host can never give, for a marker that
    cannot be meant, and when the time is over, with who has the devices.
    """
    session = session_of(item.config)
    with ExitStack() as held:
        try:
            wish = wish_of(item)
            offer = session.offer(deep=wish.wanted.memory is not None)
            _require_some(item.config, wish.wanted, offer)
            state = held.enter_context(State(offer.place))
            lease = _acquire(item, wish, offer, state)
        except DevproxyError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        held.callback(lease.release)
        # To stand at the log's end costs two system calls; it is read only where the test fails.
        log = None if session.simulated else held.enter_context(closing(KernelLog()))
        more = environment(lease.scope, offer.every) | elsewhere(offer.place)
        given = Given(session, Accelerators(lease.scope, more, session.host(deep=False).name), log)
        try:
            yield given
        finally:
            given.is_over = True


def _require_some(config: pytest.Config, wanted: Wanted, offer: Offer) -> None:
    """Skip, or fail, where there is nothing of what is asked for.

    Errors: InputError where it is not known, or not said, which accelerators are meant.
    """
    fitting = [device for device in offer.devices if wanted.admits(device)]
    if wanted.kind is None and len({device.kind for device in fitting}) > 1:
        raise InputError(
            "this host has GPUs and TPUs, and the marker does not say which", hint="add kind='gpu' or kind='tpu'"
        )
    if fitting:
        return
    unknown = [each for each in offer.devices if each.memory is None and wanted._replace(memory=None).admits(each)]
    if unknown:
        told = ", ".join(f"{device.kind.value} {device.rank}" for device in unknown)
        raise InputError(
            f"how much memory {told} has is not known", hint="'devproxy probe' says why NVML does not tell"
        )
    if not any(wanted.kind in (None, device.kind) for device in offer.devices):
        reason = f"this host has no {wanted.kind.value.upper() if wanted.kind else 'accelerator'}"
    else:
        reason = _why_none(wanted, offer)
    if options.requires_hardware(config):
        raise InputError(reason)
    pytest.skip(reason)


def _why_none(wanted: Wanted, offer: Offer) -> str:
    try:
        candidates(wanted, offer.devices)
    except InputError as error:
        return error.message
    raise AssertionError("none of them fits")


def _acquire(item: pytest.Item, wish: Wish, offer: Offer, state: State) -> Lease:
    """Errors: InputError for what this host can never give; DevproxyError when the time is over, with who has the devices."""
    session = session_of(item.config)
    # Made for each test, so that it looks anew; what the probe was told is too old.
    busy = Busy(session.host(deep=False)._replace(details=None), is_ours=_is_ours(session.controller))
    asking = Asking(offer.devices, wish.wanted, ("pytest", item.nodeid), busy.why)
    wait = options.wait(item.config) if wish.wait == NO_WISH else wish.wait
    assert not isinstance(wait, str)
    try:
        return acquire(state, asking, wait=wait, progress=Progress(item, state).tell)
    except InputError:
        raise
    except DevproxyError as error:
        told = "\n".join((error.message, *who_has(state)))
        raise DevproxyError(told, hint="wait='1h' in the marker, or --devproxy-wait 1h, waits longer") from None


def _is_ours(controller: int | None) -> Callable[[int], bool]:
    """Which processes that hold a device are no job's: this one, and the other workers of its session. A program that has used CUDA keeps
    the device open until its end, and what a worker keeps between two tests is leased to nobody.
    """
    own = os.getpid()

    def is_ours(pid: int) -> bool:
        return pid == own or (controller is not None and _parent(pid) == controller)

    return is_ours


def _parent(pid: int) -> int | None:
    """A process's parent (proc_pid_stat(5)), or None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
