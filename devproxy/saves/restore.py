"""A saved root, read from its file and held against the plan that it is to be restored with, before anything is built."""

from __future__ import annotations

import os
import stat

from devproxy.errors import InputError
from devproxy.layer.check import Part, RefusedError, divide
from devproxy.layer.entry import Entry, Kind, below
from devproxy.layer.pax import DamagedError
from devproxy.layer.reader import read_layer
from devproxy.node import Fixed, NodeKind
from devproxy.plan.steps import Bind, MakeNode, MountFilesystem, MountRoot, is_tmpfs
from devproxy.record import Record
from devproxy.saves.remap import Accelerators, accelerators_from_json, remapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from devproxy.plan.plan import Plan

FORMAT = 1
_KINDS = ("overlay", "tmpfs", "file")
_WHAT = {"overlay": "the changes to", "tmpfs": "the tmpfs", "file": "the file"}
_NODES = {Kind.CHARACTER: NodeKind.CHARACTER, Kind.BLOCK: NodeKind.BLOCK}


class SavedMount(Record):
    """One mount of a saved root: its `destination` in the spec, where that was in the root (`path`, no first slash), what it was,
    and what was in it.
    """

    destination: str
    path: str
    kind: str
    entries: tuple[Entry, ...]

    def describe(self) -> str:
        """`the tmpfs /tmp that was saved`."""
        return f"{_WHAT[self.kind]} {self.destination} that {'were' if self.kind == 'overlay' else 'was'} saved"

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost if it is not restored."""
        return (
            all(not below(entry.path, self.path) or entry.is_opaque for entry in self.entries) and self.kind != "file"
        )

    @property
    def bytes(self) -> int:
        """How much data its files have."""
        return sum(extent.length for entry in self.entries for extent in entry.extents)


class Restore(Record):
    """A saved root. `identity` tells whether the file is still the one that was read."""

    file: str
    identity: tuple[int, ...]
    mounts: tuple[SavedMount, ...]
    accelerators: Accelerators

    def at(self, destination: str) -> SavedMount | None:
        """What was saved for a destination."""
        return next((each for each in self.mounts if each.destination == destination), None)

    def open(self) -> int:
        """Open the file once more. Errors: InputError if it was changed since it was read."""
        descriptor = _open(self.file)
        if _identity(descriptor) != self.identity:
            os.close(descriptor)
            raise InputError(
                f"{self.file} was changed while it was being restored", hint="nothing was started; try again"
            )
        return descriptor


def read_restore(file: str) -> Restore:
    """Read a saved root. Raises InputError for a file that is none, is damaged, or holds what no save of devproxy's does."""
    path = os.path.abspath(file)
    descriptor = _open(path)
    try:
        layer = read_layer(descriptor)
        mounts = _mounts(layer.description)
        parts = {each.path: Part(each.path, each.kind) for each in mounts}
        divided = divide(layer.entries, parts)
        return Restore(
            path,
            _identity(descriptor),
            tuple(each._replace(entries=tuple(divided[each.path])) for each in mounts),
            accelerators_from_json(layer.description.get("accelerators")),
        )
    except DamagedError as error:
        raise InputError(f"{path} {error}", hint="save it again with 'devproxy run --save FILE'") from None
    except RefusedError as error:
        raise InputError(f"{path} is refused: {error}", hint="devproxy does not write such a file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        # A fifo would keep everybody waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {(error.strerror or '').lower()}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path} is no regular file, expected one that 'devproxy run --save' wrote")
    return descriptor


def _identity(descriptor: int) -> tuple[int, ...]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _mounts(description: dict[str, Any]) -> tuple[SavedMount, ...]:
    if description.get("format") != FORMAT:
        raise DamagedError(
            f"has the format {description.get('format')!r}, expected {FORMAT}: it is of another version of devproxy"
        )
    listed = description.get("mounts")
    if not isinstance(listed, list):
        raise DamagedError("has no list of mounts in its description")
    mounts = tuple(_mount(each) for each in listed)
    for values in ([each.path for each in mounts], [each.destination for each in mounts]):
        if len(set(values)) != len(values):
            raise DamagedError("has a mount twice in its description")
    return mounts


def _mount(found: object) -> SavedMount:
    if isinstance(found, dict):
        destination, path, kind = found.get("destination"), found.get("path"), found.get("kind")
        if isinstance(destination, str) and isinstance(path, str) and kind in _KINDS and destination.startswith("/"):
            return SavedMount(destination, path, str(kind), ())
    raise DamagedError("has a mount in its description that is none")


def fitted(plan: Plan, restore: Restore) -> Plan:
    """The plan that a saved root is restored with: its accelerators stand for those of the saved one.

    Raises InputError as `check_restore`, and where an accelerator cannot stand for another (devproxy.saves.remap).
    """
    check_restore(plan, restore)
    return remapped(plan, restore.accelerators, restore.file)


def check_restore(plan: Plan, restore: Restore) -> None:
    """Hold a saved root against the plan that it is restored with.

    Raises InputError for a mount that the plan does not have, or has as something else, and for a device that the plan does not give.
    """
    steps = {step.path: step for step in plan.steps if isinstance(step, MountRoot | MountFilesystem | Bind)}
    for saved in restore.mounts:
        if not saved.is_empty:
            _check_mount(saved, steps.get(saved.destination))
    given = {
        (step.kind, step.identity.number.major, step.identity.number.minor)
        for step in plan.steps
        if isinstance(step, MakeNode) and isinstance(step.identity, Fixed)
    }
    for saved in restore.mounts:
        for entry in saved.entries:
            kind = _NODES.get(entry.kind)
            if kind is not None and (kind, entry.major, entry.minor) not in given:
                raise InputError(
                    f"/{entry.path} was saved as the device {kind.value} {entry.major}:{entry.minor}, which this plan does not give",
                    hint="a file gives nobody a device: list it in linux.devices, or remove it before saving",
                )


def _check_mount(saved: SavedMount, step: MountRoot | MountFilesystem | Bind | None) -> None:
    if step is None:
        raise InputError(
            f"{saved.describe()} has nowhere to go: nothing is mounted at {saved.destination} in this bundle",
            hint="restore with the mounts of the save",
        )
    match step:
        case MountRoot() | Bind():
            fits = step.overlay is not None and saved.kind != "tmpfs"
        case MountFilesystem():
            fits = is_tmpfs(step) and saved.kind == "tmpfs"
    if not fits:
        raise InputError(
            f"{saved.describe()} has nowhere to go: this plan has '{step.describe()}' there ({step.reason})",
            hint="restore with the mounts and the overlay2 of the save",
        )
