"""Who the process is: its user, its groups and its capabilities (credentials(7), capabilities(7))."""

from __future__ import annotations

import os

from devproxy.errors import DevproxyError, InputError
from devproxy.linux import capabilities
from devproxy.linux.capabilities import NAMES, NUMBERS, Sets, mask
from devproxy.linux.process import keep_capabilities
from devproxy.oci.spec import Capabilities, User
from devproxy.record import Record

_DAC_READ_SEARCH = 1 << NUMBERS["CAP_DAC_READ_SEARCH"]


class Wanted(Record):
    """The five sets, by number."""

    bounding: frozenset[int]
    effective: frozenset[int]
    inheritable: frozenset[int]
    permitted: frozenset[int]
    ambient: frozenset[int]

    @property
    def sets(self) -> Sets:
        """What capset(2) is given."""
        return Sets(mask(self.effective), mask(self.permitted), mask(self.inheritable))


def wanted_capabilities(asked: Capabilities | None) -> Wanted:
    """The sets by number; none at all when the spec has none.

    Raises InputError for a name that is unknown, and for sets that the kernel would refuse for what they are;
    DevproxyError for one that this process does not hold.
    """
    wanted = Wanted(*(_numbers(names, kind) for kind, names in (asked or Capabilities())._asdict().items()))
    _require_subset(wanted.effective, wanted.permitted, "effective", "permitted")
    # The kernel raises no other: `runc spec` writes ambient ones without inheritable, and runc leaves them out.
    wanted = wanted._replace(ambient=wanted.ambient & wanted.permitted & wanted.inheritable)
    held = capabilities.capget().permitted
    for kind, numbers in wanted._asdict().items():
        missing = sorted(NAMES[number] for number in numbers if not held >> number & 1)
        if missing:
            raise DevproxyError(
                f"process.capabilities.{kind} asks for {', '.join(missing)}, which devproxy itself does not hold",
                hint="remove it from the spec, or run devproxy with it",
            )
    return wanted


def _numbers(names: tuple[str, ...], kind: str) -> frozenset[int]:
    unknown = next((name for name in names if name not in NUMBERS), None)
    if unknown is not None:
        raise InputError(f"process.capabilities.{kind}: {unknown} is no capability", hint="see capabilities(7)")
    return frozenset(NUMBERS[name] for name in names)


def _require_subset(of: frozenset[int], all_of: frozenset[int], name: str, whole: str) -> None:
    missing = sorted(NAMES[number] for number in of - all_of)
    if missing:
        raise InputError(f"process.capabilities.{name} has {', '.join(missing)}, which {whole} lacks")


def become_user(user: User, wanted: Wanted, *, groups: bool = True) -> None:
    """Change groups (unless there is no right to) and user, and have exactly the effective capabilities of the process.
    What is permitted stays, until `drop_the_rest`.
    """
    capabilities.limit_bounding(wanted.bounding)
    keep_capabilities()
    if groups:
        os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    _set_effective(wanted.sets.effective)


class AbleToRead:
    """A context in which any file can be read, whoever the user is."""

    def __enter__(self) -> None:
        self._effective = capabilities.capget().effective
        _set_effective(self._effective | _DAC_READ_SEARCH & capabilities.capget().permitted)

    def __exit__(self, *_: object) -> None:
        _set_effective(self._effective)


def _set_effective(effective: int) -> None:
    capabilities.capset(capabilities.capget()._replace(effective=effective))


def drop_the_rest(wanted: Wanted) -> None:
    """Have exactly the capabilities of the process."""
    capabilities.capset(wanted.sets)
    capabilities.set_ambient(sorted(wanted.ambient))
