"""The lease's claim, which is dead when its last process has ended: `devproxy lease` removes it with its next use, as root or its owner."""

from __future__ import annotations

from devproxy.jobs.claims import look
from devproxy.jobs.claims import remove as remove_claim
from devproxy.jobs.clean.dirt import Dirt, DirtKind
from devproxy.jobs.clean.proof import claims_it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.jobs.clean.asked import Asked


def find(asked: Asked) -> list[Dirt]:
    """The claim: dead, or alive by processes that are ended before it is removed. It stays when who cleans has the lease itself."""
    if asked.how.state is None or asked.how.held:
        return []
    proof = "has the lease's number, and is its owner's"
    return [
        Dirt(DirtKind.CLAIM, claim.name, proof, key=(claim.name,))
        for claim in look(asked.how.state.held)
        if claims_it(claim, asked)
    ]


def remove(asked: Asked, dirt: Dirt) -> str:
    """Remove it, if it is dead. Returns why it could not be done."""
    assert asked.how.state is not None
    claim = next((claim for claim in look(asked.how.state.held) if claim.name == dirt.key[0]), None)
    if claim is None:
        return ""
    if claim.alive:
        return "a process still has it locked"
    return "" if remove_claim(asked.how.state.held, claim) else "only root and its owner may remove it"
