"""How nodes, and the links beside them, are carried out, whatever the target."""

from __future__ import annotations

import errno
import posixpath

from devproxy.carry.words import describe, expected, explain_number, failure, require_same
from devproxy.errors import DevproxyError, InputError
from devproxy.node import FORMATS, DeviceNumber, Fixed, Identity, LikeHost, NodeKind
from devproxy.outcome import Outcome, Result
from devproxy.plan.steps import MakeNode, MakeSymlink, Reason, RequireNode, Step
from devproxy.targets.target import Look, NewNode, NumberFound, Target
from devproxy.without_root import bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PTMX = "/dev/ptmx"
OWN_PTMX = "it is the link to pts/ptmx, that device of the container's own terminals"
_NODE_DIRECTORY = {NodeKind.CHARACTER: "/dev/char", NodeKind.BLOCK: "/dev/block"}


class Nodes:
    """The nodes and links of one plan on one target. It remembers the numbers that were found, who made what, and which numbers
    have their link.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._like_host: dict[LikeHost, NumberFound] = {}
        self._makers: dict[str, Reason] = {}
        self._numbers: dict[Identity, NumberFound] = {}
        self._linked: set[tuple[NodeKind, DeviceNumber]] = set()

    def look_at_host(self, step: MakeNode | RequireNode, identity: LikeHost) -> None:
        """Find the number of the host's node, before anything is mounted. Errors: InputError if the host has none."""
        try:
            self._like_host[identity] = self._target.number_of(identity)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise failure(step, error, rootless=self._target.rootless is not None) from error
            raise InputError(
                f"{step.path} is to be like the host's {identity.path}, which is missing or no character device "
                f"({step.reason})",
                hint="load its driver, or drop the device; 'devproxy probe' shows what the host has",
            ) from error

    def _number_of(self, identity: Identity) -> NumberFound:
        found = self._numbers.get(identity)
        if found is None:
            found = self._like_host[identity] if isinstance(identity, LikeHost) else self._target.number_of(identity)
            self._numbers[identity] = found
        return found

    def make(self, step: MakeNode) -> Outcome:
        """Make a node, or accept the same one that is there."""
        path, kind, identity, mode, uid, gid, asked, _ = step  # there are thousands: one look at each
        number, found, reserved = None, "", False
        if identity is not None:
            number, reserved = answer = self._number_of(identity)
            if asked or type(identity) is not Fixed:
                found = explain_number(step, answer)
        try:
            hosts = self._target.make_node(path, kind, number, mode, uid or 0, gid or 0)
        except FileExistsError:
            return self._keep_node(step, number, found, warning=reserved)
        except OSError as error:
            # Whose number no driver decides is no accelerator: what /dev usually holds, and what a spec adds to it.
            if error.errno != errno.ENXIO or not isinstance(identity, Fixed):
                raise
            return Outcome(step, Result.SKIPPED, str(error.strerror), warning=True, rootless=True)
        self._note_node(step, number)
        if hosts is None:
            return Outcome(step, Result.CHOSEN if found else Result.DONE, found, reserved)
        found = f"{found}; {bound(hosts)}" if found else bound(hosts)
        return Outcome(step, Result.CHOSEN, found, warning=reserved, kept=True, rootless=True)

    def make_run(self, steps: Sequence[Step], first: int) -> int:
        """Make the nodes of the steps from `first` on that are made as they stand, however many there are, and nothing is to be said of.
        Returns how many; `make` takes the next one. Raises DevproxyError as `Carrier.carry` does.
        """
        return self._target.make_nodes(self._plain(steps, first))

    def _plain(self, steps: Sequence[Step], first: int) -> Iterator[NewNode]:
        """The nodes of such steps. Each is noted when it has been made: its link comes before the next node."""
        known, rdev = None, 0
        for place in range(first, len(steps)):
            step = steps[place]
            if type(step) is not MakeNode:
                return
            path, kind, identity, mode, uid, gid, asked, _ = step
            if asked or uid or gid or type(identity) is not Fixed:
                return
            if identity is not known:
                if identity not in self._numbers:
                    return  # the first of a number is made by `make`, which may have to refuse it
                known, rdev = identity, identity.number.rdev
            yield path, FORMATS[kind] | mode, rdev
            try:
                self._note_node(step, identity.number)
            except OSError as error:
                raise failure(step, error, rootless=False) from error

    def _keep_node(self, step: MakeNode, number: DeviceNumber | None, found: str, *, warning: bool) -> Outcome:
        """What is in a node's place already, if it is the same."""
        existing = self._target.look(step.path)
        if self._is_own_ptmx(step, existing, number):
            return Outcome(step, Result.SKIPPED, OWN_PTMX)
        there = require_same(step, existing, number, self._makers.get(step.path))
        self._note_node(step, number)
        words = f"exists, keeps mode {there.mode:04o} and owner {there.uid}:{there.gid}"
        return Outcome(step, Result.CHOSEN, f"{found}; {words}" if found else words, warning=warning, kept=True)

    def _note_node(self, step: MakeNode, number: DeviceNumber | None) -> None:
        path = step.path
        if number is not None and path.startswith("/dev/"):
            same = step.kind, number
            if same not in self._linked:  # of two names of one number the first has the link, as with udev
                self._linked.add(same)
                self._link_number(path, *same)
        self._makers.setdefault(path, step.reason)

    def _is_own_ptmx(self, step: MakeNode | RequireNode, there: Look | None, number: DeviceNumber | None) -> bool:
        """Whether /dev/ptmx is asked for, and is what a container has there: the link to the device of its own devpts
        (config-linux.md, "Default Devices"). A node would open terminals of the host (devpts.rst).
        """
        if step.path != PTMX or there is None or there.link not in ("pts/ptmx", "/dev/pts/ptmx"):
            return False
        own = self._target.look("/dev/pts/ptmx")
        return own is not None and own.kind.value == step.kind.value and own.number == number

    def _link_number(self, path: str, kind: NodeKind, number: DeviceNumber) -> None:
        """/dev/char/MAJ:MIN, which udev makes on a host and systemd's device policies look up (H1)."""
        directory = _NODE_DIRECTORY[kind]
        try:
            self._target.make_symlink(f"{directory}/{number}", posixpath.relpath(path, directory))
        except FileExistsError:
            return  # the image or another step has made it

    def require(self, step: RequireNode) -> Outcome:
        """Check a node of the user's own. Errors: DevproxyError if it is missing, or another one."""
        number, found = None, ""
        if step.identity is not None:
            answer = self._number_of(step.identity)
            number, found = answer.number, explain_number(step, answer)
        there = self._target.look(step.path)
        if there is None:
            raise DevproxyError(
                f"{step.path} is missing, expected {expected(step.kind, number)} ({step.reason})",
                hint="the bind is the user's own, in which devproxy makes nothing: make it there, or give the bind an overlay "
                "(overlay2=all:memory)",
            )
        if self._is_own_ptmx(step, there, number):
            return Outcome(step, Result.SKIPPED, OWN_PTMX)
        require_same(step, there, number, self._makers.get(step.path))
        return Outcome(step, Result.CHOSEN if found else Result.DONE, found)

    def make_symlink(self, step: MakeSymlink) -> Outcome:
        """Make a link, or accept one that leads to the same place."""
        try:
            self._target.make_symlink(step.path, step.target)
        except FileExistsError:
            there = self._target.look(step.path)
            if there is None or there.link != step.target:
                raise DevproxyError(
                    f"{step.path} is {describe(there)}, expected a symbolic link to {step.target} ({step.reason})"
                ) from None
            return Outcome(step, Result.DONE, "exists", kept=True)
        self._makers[step.path] = step.reason
        return Outcome(step, Result.DONE)
