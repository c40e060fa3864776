"""What setup does, as values. An action is a change from what stands at a place to what should: None is nothing.

Each says why and where that was read, what to type for the same (`command`), and turns round (`inverse`): the undoing of an action
is an action too, and is carried out by the same code, under the same condition that what it changes is still there.
"""

from __future__ import annotations

import shlex
import stat

from devproxy.node import DeviceNumber, OfDriver
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Standing(Record):
    """A device node or directory as it stands, or should: `kind` is `c`, `b` or `d`; a directory has no number. That of a
    driver that is yet to be loaded is not known: `OfDriver`.
    """

    kind: str
    number: DeviceNumber | OfDriver | None
    mode: int
    uid: int = 0
    gid: int = 0

    def __str__(self) -> str:
        number = "" if self.number is None else f" {self.number}"
        return f"{self.kind}{number} {self.mode:04o} {self.uid}:{self.gid}"

    def same_device(self, other: Standing | None) -> bool:
        """Whether both are of one kind and number: then only the mode or owner differs, if anything."""
        return other is not None and (self.kind, self.number) == (other.kind, other.number)


class ModuleChange(Record):
    """A kernel module to load, or (not `load`) to unload. `driver` is the name that it registers in /proc/devices."""

    path: str
    driver: str
    load: bool
    reason: str
    source: str

    @property
    def command(self) -> str:
        """What to type for the same."""
        return f"modprobe {self.path}" if self.load else f"modprobe -r {self.path}"

    def describe(self) -> str:
        """`load nvidia-uvm`."""
        return f"{'load' if self.load else 'unload'} {self.path}"

    @property
    def inverse(self) -> ModuleChange:
        """The undoing."""
        return self._replace(load=not self.load)


class NodeChange(Record):
    """A device node or a directory of nodes to make, replace, remove, or give another mode or owner."""

    path: str
    before: Standing | None
    after: Standing | None
    reason: str
    source: str

    @property
    def command(self) -> str:
        """What to type for the same."""
        path, after = shlex.quote(self.path), self.after
        if after is None:
            return f"rmdir {path}" if self.before is not None and self.before.kind == "d" else f"rm {path}"
        if after.same_device(self.before) and self.before is not None:
            return " && ".join(_permit(path, self.before, after))
        made = _make(path, after)
        return f"rm {path} && {made}" if self.before is not None else made

    def describe(self) -> str:
        """`make /dev/nvidia-uvm: c 511:0 0666 0:0`."""
        if self.after is None:
            return f"remove {self.path}: {self.before}"
        if self.before is None:
            return f"make {self.path}: {self.after}"
        if self.after.same_device(self.before):
            return f"change {self.path}: {self.before} -> {self.after}"
        return f"replace {self.path}: {self.before} -> {self.after}"

    @property
    def inverse(self) -> NodeChange:
        """The undoing."""
        return self._replace(before=self.after, after=self.before)


class LinkChange(Record):
    """A symbolic link to make, turn elsewhere or remove: `before` and `after` are its target's text."""

    path: str
    before: str | None
    after: str | None
    reason: str
    source: str

    @property
    def command(self) -> str:
        """What to type for the same."""
        path = shlex.quote(self.path)
        if self.after is None:
            return f"rm {path}"
        return f"ln -s{'' if self.before is None else 'fn'} {shlex.quote(self.after)} {path}"

    def describe(self) -> str:
        """`link /dev/char/195:0 -> ../nvidia0`."""
        if self.after is None:
            return f"remove the link {self.path} -> {self.before}"
        return f"link {self.path} -> {self.after}" + ("" if self.before is None else f" (was {self.before})")

    @property
    def inverse(self) -> LinkChange:
        """The undoing."""
        return self._replace(before=self.after, after=self.before)


class FileChange(Record):
    """A file of settings to write, write anew or remove: `before` and `after` are its text."""

    path: str
    before: str | None
    after: str | None
    reason: str
    source: str

    @property
    def command(self) -> str:
        """What to type for the same."""
        path = shlex.quote(self.path)
        if self.after is None:
            return f"rm {path}"
        return f"cat > {path} <<'END'\n{self.after}END"

    def describe(self) -> str:
        """`write /etc/modules-load.d/devproxy.conf`."""
        if self.after is None:
            return f"remove {self.path}"
        return f"write {self.path}" + ("" if self.before is None else " anew")

    @property
    def inverse(self) -> FileChange:
        """The undoing."""
        return self._replace(before=self.after, after=self.before)


Action = ModuleChange | NodeChange | LinkChange | FileChange


class Obstacle(Record):
    """Something that keeps `path` (a node, a module, a PCI address) from being ready and that setup does not touch: why, and
    what to type. `unseen` where it is only not known, because it could not be looked at.
    """

    path: str
    why: str
    hint: str = ""
    unseen: bool = False

    def describe(self) -> str:
        """One line."""
        return f"{self.path}: {self.why}"


_TYPES: Final = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "d": stat.S_IFDIR}
_KINDS: Final = {kind: letter for letter, kind in _TYPES.items()}


def kind_of(mode: int) -> str | None:
    """The letter for the type in a stat's st_mode; None for what is neither a node nor a directory."""
    return _KINDS.get(stat.S_IFMT(mode))


def type_bits(standing: Standing) -> int:
    """Its type as mknod(2) takes it."""
    return _TYPES[standing.kind]


def _permit(path: str, before: Standing, after: Standing) -> list[str]:
    words = []
    if (before.uid, before.gid) != (after.uid, after.gid):
        words.append(f"chown {after.uid}:{after.gid} {path}")
    if before.mode != after.mode or words:
        words.append(f"chmod {after.mode:04o} {path}")
    return words


def _make(path: str, after: Standing) -> str:
    if after.kind == "d":
        return f"install -d -m {after.mode:04o} {path}"
    match after.number:
        case OfDriver(driver=driver, minor=minor):
            major = f"$(awk '$2==\"{driver}\"{{print $1; exit}}' /proc/devices)"
        case DeviceNumber(major=number, minor=minor):
            major = str(number)
        case _:
            raise AssertionError("a node without a number")
    owner = f" && chown {after.uid}:{after.gid} {path}" if after.uid or after.gid else ""
    return f"mknod -m {after.mode:04o} {path} {after.kind} {major} {minor}{owner}"
