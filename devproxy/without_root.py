"""As much of a step as can be carried out without privileges, and in words what it lacks then."""

from __future__ import annotations

from devproxy.errors import DevproxyError
from devproxy.node import Fixed
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Bind, MakeNode, MountFilesystem, Step
from devproxy.targets.rootless import Rootless, allowed_below, allowed_change, has_mounts_below, without_owners
from devproxy.targets.target import Look, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# The same devices on every machine (Documentation/admin-guide/devices.txt): memory, terminals, misc.
_EVERYWHERE: Final = (1, 5, 10)


class Fitted:
    """A step as it is carried out, what it lacks, and whether somebody has asked for that by name."""

    def __init__(self, step: Step, lacks: str = "", *, asked: bool = False) -> None:
        self.step = step
        self.lacks = lacks
        self.warning = bool(lacks) and asked


def fit(step: Step, plan: Plan, source: Source | None) -> Fitted:
    """What a rootless target is given instead of `step`. `source` is what a bind has opened.

    Raises DevproxyError for an accelerator of a recorded host: there is nothing to bind.
    """
    match step:
        case MountFilesystem() if step.layers is not None:
            return _fit_overlay(step)
        case MountFilesystem():
            data, lacks = without_owners(step.options.data)
            # gid=5 of a devpts is what every bundle has, and nobody misses it.
            options = step.options._replace(data=data)
            return Fitted(step._replace(options=options), lacks, asked=step.fstype != "devpts")
        case Bind() if source is not None and step.overlay is None:
            return _fit_bind(step, source)
        case MakeNode():
            return _fit_node(step, plan)
        case _:
            return Fitted(step)


def _fit_overlay(step: MountFilesystem) -> Fitted:
    """An overlay that keeps its notes in user attributes, as trusted ones need root; they cannot hold redirects."""
    data = step.options.data
    if "userxattr" in data:
        return Fitted(step)
    out = [word for word in data if word.startswith("redirect_dir=") and word != "redirect_dir=nofollow"]
    kept = (*(word for word in data if word not in out), "userxattr")
    lacks = f"with userxattr{' instead of ' if out else ''}{', '.join(out)}, its trusted attributes need root"
    return Fitted(step._replace(options=step.options._replace(data=kept)), lacks, asked=bool(out))


def _fit_bind(step: Bind, source: Source) -> Fitted:
    options = step.options
    change, keeps = allowed_change(options.change, source.attributes)
    recursive, keeps_below = allowed_below(options.recursive)
    lacks = [words for words in (keeps, keeps_below) if words]
    options = options._replace(change=change, recursive=recursive)
    if step.overlay is None and not options.recursive_bind and source.is_directory and has_mounts_below(step.source):
        lacks.append("with what the host has mounted below, which cannot be left out without root")
        options = options._replace(recursive_bind=True)
    return Fitted(step._replace(options=options), ", ".join(lacks), asked=True)


def _fit_node(step: MakeNode, plan: Plan) -> Fitted:
    identity = step.identity
    if identity is None:
        if not (step.uid or step.gid):
            return Fitted(step)
        lacks = f"belongs to 0:0, {step.uid or 0}:{step.gid or 0} cannot be had without root"
        return Fitted(step._replace(uid=None, gid=None), lacks, asked=True)
    if plan.host.simulated and not (isinstance(identity, Fixed) and identity.number.major in _EVERYWHERE):
        raise DevproxyError(
            f"{step.path} is a device of the recorded host {plan.host.name}: without root no node can be made, and there is "
            f"none here to bind ({step.reason})",
            hint="look at it in memory with 'devproxy inspect BUNDLE --host HOST ls /dev', leave it out with --mode none, "
            "or run it as root",
        )
    return Fitted(step)


def other_owner(path: str, own: Look, uid: int, gid: int) -> str:
    """What is lacking where something is shown at `path` that belongs to somebody else on the host."""
    if (own.uid, own.gid) == (uid, gid):
        return ""
    return f"{path} belongs to {uid}:{gid}, its own owner cannot be had without root"


def bound(look: Look) -> str:
    """What a node is that was bound instead of made."""
    return f"bound from the host, keeps mode {look.mode:04o} and owner {look.uid}:{look.gid}"


def remarks(plan: Plan, rootless: Rootless) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the plan's process gets otherwise than it asks for, and what it does not get at all, in sentences."""
    if plan.process is None:
        return (), ()
    user, notes, lacks = plan.process.user, [], []
    if (user.uid, user.gid) != (0, 0):
        notes.append(
            f"process.user: {user.uid}:{user.gid} is {rootless.uid}:{rootless.gid} on the host, as everything is that is "
            "made in the root; its capabilities reach nothing outside of its user namespace"
        )
    if user.groups:
        groups = ",".join(map(str, user.groups))
        lacks.append(
            f"process.user.additionalGids {groups}: without root no groups can be set, the process keeps its caller's"
        )
    return tuple(notes), tuple(lacks)
