"""A lease as those know it who check and clean after it: its number, whose it was, since when, which devices."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.jobs.devices import Device, Kind
from devproxy.json_text import dumps, loads
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

IDENT: Final = "DEVPROXY_LEASE_ID"
"""The variable that a lease's command, and what it starts, has its number in: proc_pid_environ(5) shows what it began with."""
_LONGEST: Final = 1 << 20


class Scope(Record):
    """`ident` is the lease's number, 32 hexadecimal digits that nobody else has; `uid` who has it; `since` when it began, in
    seconds since the epoch.
    """

    ident: str
    uid: int
    since: float
    devices: tuple[Device, ...]

    @property
    def names(self) -> frozenset[str]:
        """The devices' names."""
        return frozenset(device.name for device in self.devices)


def scope_document(scope: Scope) -> str:
    """The scope as JSON."""
    devices = [device._asdict() | {"kind": device.kind.value} for device in scope.devices]
    return dumps({**scope._asdict(), "devices": devices})


def read_scope(path: str) -> Scope:
    """The scope in a file that `devproxy lease --note` wrote.

    Errors: InputError if there is none.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = loads(file.read(_LONGEST))
    except (OSError, ValueError, RecursionError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else f"it is no JSON: {error}"
        raise InputError(
            f"cannot read the lease in {path!r}: {why}", hint="'devproxy lease --note FILE' writes it"
        ) from error
    match found:
        case {
            "ident": str() as ident,
            "uid": int() as uid,
            "since": int() | float() as since,
            "devices": list() as devices,
        }:
            return Scope(ident, uid, float(since), tuple(_device(each, path) for each in devices))
        case _:
            raise InputError(f"{path!r} tells of no lease", hint="'devproxy lease --note FILE' writes it")


def _device(found: object, path: str) -> Device:
    match found:
        case {
            "kind": "gpu" | "tpu" as kind,
            "name": str() as name,
            "rank": int() as rank,
            "address": str() as address,
            "model": str() as model,
            "numa": int() as numa,
            "memory": int() | None as memory,
            "nodes": list() as nodes,
        } if all(isinstance(node, str) for node in nodes):
            return Device(Kind(kind), name, rank, address, model, numa, memory, tuple(nodes))
        case _:
            raise InputError(f"{path!r} lists a device of another form: {found!r}")
