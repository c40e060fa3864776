"""Processes that a job left: those that hold its devices, MPS's, and any other. And who else holds them."""

from __future__ import annotations

import os
import stat

from devproxy.host.live.holders import holders_of
from devproxy.jobs.claims import look
from devproxy.jobs.clean.dirt import Dirt, DirtKind
from devproxy.jobs.clean.process import Hidden, Identity, Process
from devproxy.jobs.clean.proof import claims_it
from devproxy.jobs.clean.survey import started
from devproxy.jobs.scope import IDENT
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.clean.asked import Asked
    from devproxy.jobs.clean.proof import Proven
    from devproxy.jobs.clean.survey import Survey

# The daemon and its servers, as far as a process's name goes (TASK_COMM_LEN, 16 with the NUL).
_MPS: Final = "nvidia-cuda-mps"


class Held(Record):
    """Who holds the lease's devices: the nodes by process, its name and user; why there may be others."""

    nodes: dict[Identity, tuple[str, ...]]
    names: dict[Identity, tuple[str, int]]
    unseen: str


def held(asked: Asked) -> Held:
    """Look for the devices' numbers in all processes; a node that is not there is held by nobody."""
    paths = {}
    for device in asked.scope.devices:
        for node in device.nodes:
            try:
                found = os.lstat(node)
            except OSError:
                continue
            if stat.S_ISCHR(found.st_mode):
                paths[found.st_rdev] = node
    if not paths:
        return Held({}, {}, "")
    document = holders_of(paths, frozenset())
    nodes, names = {}, {}
    for each in document["holders"] if isinstance(document["holders"], list) else []:
        identity = Identity(each["pid"], each["started"])
        nodes[identity] = tuple(each["paths"])
        names[identity] = each["name"], each["uid"]
    return Held(nodes, names, "" if document["complete"] else f"who holds the devices: {document['why']}")


def dirt_of(found: Proven, holding: Held) -> Dirt:
    """A process of the lease's as dirt."""
    identity = found.seen.identity
    nodes = holding.nodes.get(identity, ())
    kind = DirtKind.MPS if found.seen.name.startswith(_MPS) else DirtKind.HOLDER if nodes else DirtKind.PROCESS
    what = found.seen.describe() + (f" with {', '.join(nodes)} open" if nodes else "")
    return Dirt(kind, what, found.proof, key=tuple(identity))


def strangers(survey: Survey, holding: Held) -> list[Dirt]:
    """Processes that hold the lease's devices and are not proven to be the lease's. Those that were there before it began, and
    those of a lease that has the devices now, are nobody's dirt.
    """
    ours = {found.seen.identity for found in survey.people.proven}
    others = _other_leases(survey.asked)
    found = []
    for identity, nodes in holding.nodes.items():
        if identity in ours or identity.pid in survey.spared or started(identity) < survey.asked.scope.since:
            continue
        if _number(identity) & others:
            continue
        name, uid = holding.names[identity]
        why = f"uid {uid}'s, and nothing proves that it is the lease's"
        hint = f"look at it: ps -fp {identity.pid}; tr '\\0' '\\n' < /proc/{identity.pid}/environ"
        found.append(Dirt(DirtKind.HOLDER, f"{name} (pid {identity.pid}) with {', '.join(nodes)} open", "", why, hint))
    return found


def _other_leases(asked: Asked) -> frozenset[str]:
    """The numbers of leases that live and are not this one."""
    if asked.how.state is None:
        return frozenset()
    living = [claim for claim in look(asked.how.state.held) if claim.alive and not claims_it(claim, asked)]
    return frozenset(number for claim in living if isinstance(number := claim.words.get("id"), str))


def _number(identity: Identity) -> frozenset[str]:
    try:
        with Process(identity.pid) as process:
            return process.variables(IDENT)
    except (ProcessLookupError, Hidden):
        return frozenset()
