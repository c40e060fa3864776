"""What one process of a pytest session knows: the host, probed once, and where its leases are kept."""

from __future__ import annotations

import os

import pytest

from devproxy.errors import InputError
from devproxy.host.probe import probe
from devproxy.jobs.devices import leasable, require_sight
from devproxy.jobs.state import PLACE, VARIABLE, State
from devproxy.pytest_plugin import options
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.jobs.devices import Device

_KEY: Final = pytest.StashKey["Session"]()
_OWN: Final = "devproxy-leases"


class Offer(Record):
    """What a test of this process may lease: every device of the host, those that are on offer, the directory of their leases."""

    every: tuple[Device, ...]
    devices: tuple[Device, ...]
    place: str


def session_of(config: pytest.Config) -> Session:
    """The session of this process, made when it is first asked for."""
    if _KEY not in config.stash:
        config.stash[_KEY] = Session(config)
    return config.stash[_KEY]


class Session:
    """The host as it was when first looked at, and the directories of this session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.source = options.host(config)
        # Of a worker of pytest-xdist, while it surely lives: later that may be init.
        self.controller = os.getppid() if hasattr(config, "workerinput") else None
        self.hangs = ""
        """Why this host cannot be recorded, once it was found that it cannot."""
        self._plain: Host | None = None
        self._deep: Host | None = None

    @property
    def simulated(self) -> bool:
        """Whether a recording stands for the host."""
        return self.source != "live"

    def host(self, *, deep: bool) -> Host:
        """The host; a deep probe does for a plain one too.

        Errors: InputError for a damaged recording.
        """
        if deep:
            self._deep = self._deep or probe(self.source, deep=True)
            return self._deep
        self._plain = self._plain or self._deep or probe(self.source)
        return self._plain

    def offer(self, *, deep: bool) -> Offer:
        """What can be leased, and where the leases are kept: below `devproxy lease N -- pytest` it is what that lease has.

        Errors: InputError where accelerators could not be looked for; DevproxyError for a state that is not as it should be.
        """
        host = self.host(deep=deep)
        every = leasable(host)
        require_sight(host, every)
        place = options.state(self.config)
        outer = self._outer(every)
        if outer is not None:
            return Offer(every, outer, self._own())
        return Offer(every, every, place or (self._own() if self.simulated else PLACE))

    def directory(self, name: str) -> str | None:
        """A directory that all workers of this session share, in pytest's own temporary one; None where pytest has none."""
        factory = getattr(self.config, "_tmp_path_factory", None)
        if factory is None:
            return None
        base = factory.getbasetemp()
        # Workers of pytest-xdist have theirs in that of the controller.
        return os.path.join(base.parent if hasattr(self.config, "workerinput") else base, name)

    def _own(self) -> str:
        """Where this session keeps leases of what is nobody else's: a recording's devices, those of the lease it runs under."""
        place = self.directory(_OWN)
        if place is None:
            raise InputError(
                "leases of this session have no place without pytest's tmpdir plugin", hint="add --devproxy-state DIR"
            )
        return place

    def _outer(self, every: tuple[Device, ...]) -> tuple[Device, ...] | None:
        """The devices of the lease that pytest itself runs under, where it does and they are this host's.

        Errors: InputError for a lease that has ended: its devices are somebody else's by now, perhaps.
        """
        names = os.environ.get("DEVPROXY_LEASE", "").split(",")
        ours = tuple(device for device in every if device.name in names)
        if not ours:
            return None
        from devproxy.jobs.claims import living

        ident = os.environ.get("DEVPROXY_LEASE_ID", "")
        with State(os.environ.get(VARIABLE, PLACE)) as state:
            if any(claim.words.get("id") == ident for claim in living(state.held)):
                return ours
        raise InputError(
            f"DEVPROXY_LEASE names {', '.join(device.name for device in ours)}, but the lease {ident or '(no number)'} is over",
            hint="unset DEVPROXY_LEASE and DEVPROXY_LEASE_ID, or start pytest below 'devproxy lease N --'",
        )
