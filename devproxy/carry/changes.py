"""What a save keeps of a root while it is built, and what a restore puts there: the mounts whose changes are nobody else's, overlays
and tmpfs, by their destinations.
"""

from __future__ import annotations

import errno
import os

from devproxy.errors import DevproxyError, InputError
from devproxy.layer.apply import apply
from devproxy.layer.entry import is_at_or_below
from devproxy.plan.steps import Bind, MountFilesystem, MountRoot
from devproxy.saves.restore import Restore, SavedMount
from devproxy.targets.target import MAXIMUM_LINKS, FileKind, KeptMount, OverRoot, behind_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.plan.plan import Plan
    from devproxy.targets.target import Detached, Target

MountStep = MountRoot | MountFilesystem | Bind


class Changes:
    """Goes along with the carrier of one plan. With `keep` the target holds on to what is written; `restore` is put into each mount
    before anything is attached in it, and so before it is sealed.
    """

    def __init__(self, plan: Plan, target: Target, restore: Restore | None, *, keep: bool) -> None:
        self._target = target
        self._restore = restore
        self.keep = keep
        self._left: dict[str, int] = {}
        for step in plan.steps:
            if isinstance(step, MountRoot | MountFilesystem | Bind):
                self._left[step.path] = self._left.get(step.path, 0) + 1
        self._kept: list[KeptMount] = []
        self._archive = -1

    def attaching(self, step: MountStep, mount: Detached, kind: str) -> None:
        """A step's mount is about to be attached. `kind` is what of it is saved: `overlay`, `tmpfs`, `file`, or nothing.

        Errors: InputError if something else was saved for this destination; DevproxyError for what cannot be made in it; OverRoot.
        """
        place = self._real_path(step.path)
        if not place and step.path != "/" and mount.is_directory:
            raise OverRoot(step.path)
        saved = self._saved(step)
        if saved is not None and not (saved.kind != kind and saved.is_empty):
            if saved.kind != kind:
                raise InputError(
                    _differs(saved, step, kind), hint="restore with the bundle and the overlay2 of the save"
                )
            self._fill(step, mount, saved)
        if not self.keep:
            return
        # What lies below is covered by now, and nobody changes it any more.
        self._kept = [each for each in self._kept if not is_at_or_below(each.path, place)]
        if kind:
            self._target.keep(mount)
            self._kept.append(KeptMount(step.path, place, kind, mount))

    def skipped(self, step: MountStep, why: str) -> None:
        """A step's mount is not there. Errors: InputError if something was saved for it."""
        saved = self._saved(step)
        if saved is not None and not saved.is_empty:
            raise InputError(
                f"{saved.describe()} has nowhere to go: {step.describe()} is left out here, {why}",
                hint="restore with the bundle and the root file system of the save",
            )

    def finish(self) -> None:
        """Every step was carried out."""
        if self.keep:
            self._target.kept(self._kept)

    def close(self) -> None:
        """Close the file that is restored."""
        if self._archive >= 0:
            os.close(self._archive)
            self._archive = -1

    def _saved(self, step: MountStep) -> SavedMount | None:
        """What was saved for a step. Of several at one destination the last shows, and is the one."""
        self._left[step.path] = self._left.get(step.path, 1) - 1
        if self._restore is None or self._left[step.path]:
            return None
        return self._restore.at(step.path)

    def _fill(self, step: MountStep, mount: Detached, saved: SavedMount) -> None:
        assert self._restore is not None
        if self._archive < 0:
            self._archive = self._restore.open()
        tree = self._target.tree(mount)
        try:
            apply(saved.entries, self._archive, tree, saved.path)
        except OSError as error:
            raise _cannot(step, saved, error) from None
        finally:
            tree.close()

    def _real_path(self, path: str) -> str:
        """Where a path leads inside the root, without its first slash."""
        waiting, done, links = path.split("/"), "", 0
        while waiting and path != "/":
            name = waiting.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                done = done.rpartition("/")[0]
                continue
            there = self._look(f"{done}/{name}")
            if there is None:
                done = f"{done}/{name}"
                continue
            links += 1
            if links > MAXIMUM_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            waiting, done = behind_link(done, there, waiting).split("/"), ""
        return done[1:]

    def _look(self, path: str) -> str | None:
        """Where the link at a path leads, if there is one."""
        try:
            there = self._target.look(path)
        except NotADirectoryError:
            return None  # attaching says so
        return there.link if there is not None and there.kind is FileKind.SYMLINK else None


def _differs(saved: SavedMount, step: MountStep, kind: str) -> str:
    found = {"overlay": "an overlay", "tmpfs": "a tmpfs", "file": "an overlay over a file"}.get(
        kind, "none that keeps changes apart"
    )
    return f"{saved.describe()} has nowhere to go: what is mounted at {step.path} here is {found} ({step.describe()})"


def _cannot(step: MountStep, saved: SavedMount, error: OSError) -> DevproxyError:
    text = f"{saved.describe()} cannot be restored: {error.filename}: {(error.strerror or '').lower()}"
    if error.errno == errno.ENOSPC:
        return DevproxyError(
            f"{text}; {saved.bytes} bytes of data were saved, and {step.describe()} is too small for them",
            hint="give it a larger size, in the mount's options or in overlay2",
        )
    return DevproxyError(text)
