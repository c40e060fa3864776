"""Overlays as typed values: which mounts get one, and where what is written to them goes (S39 to S42)."""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.record import Record

LAYERS = ".devproxy.overlay"
"""The directory of upper layers, in the overlaid directory itself or in that of `dir=`. Every overlay hides the name."""


class Medium(Choice):
    """What holds an upper layer: memory, the overlaid directory itself, or another directory of the host."""

    MEMORY = "memory"
    SELF = "self"
    DIRECTORY = "dir"


class Overlay(Record):
    """An overlay over one mount. `directory` is absolute and set for Medium.DIRECTORY alone; `size` is that of a tmpfs
    (`64m`), or empty.
    """

    medium: Medium = Medium.MEMORY
    directory: str = ""
    size: str = ""

    @property
    def on_host(self) -> bool:
        """Whether the layer asked for is a directory of the host (S39)."""
        return self.medium is not Medium.MEMORY

    def __str__(self) -> str:
        """As the configuration spells it: `memory`, `self`, `dir=/abs,size=1g`."""
        medium = self.medium.value + (f"={self.directory}" if self.directory else "")
        return f"{medium},size={self.size}" if self.size else medium

    def describe(self) -> str:
        """`overlay in memory, size 64m`."""
        where = {Medium.MEMORY: "memory", Medium.SELF: "the source itself", Medium.DIRECTORY: self.directory}
        return f"overlay in {where[self.medium]}" + (f", size {self.size}" if self.size else "")


class Overlaid(Choice):
    """Which mounts get an overlay (S41)."""

    NONE = "none"
    ROOT = "root"
    ALL = "all"


class Overlay2(Record):
    """The configuration's `overlay2`."""

    mounts: Overlaid = Overlaid.ROOT
    overlay: Overlay = Overlay()

    def __str__(self) -> str:
        """As it is set: `none`, `root:memory`, `all:dir=/abs`."""
        return "none" if self.mounts is Overlaid.NONE else f"{self.mounts.value}:{self.overlay}"


NO_OVERLAY = Overlay2(Overlaid.NONE)


class Layers(Record):
    """The layers of an overlay that a spec mounts: absolute paths of the host, the topmost lower one first. Without `upper`,
    and then without `work`, it is read-only.
    """

    lowers: tuple[str, ...]
    upper: str = ""
    work: str = ""

    @property
    def named(self) -> list[tuple[str, str]]:
        """Each path with the option that names it."""
        others = [("upperdir", self.upper), ("workdir", self.work)] if self.upper else []
        return [*(("lowerdir", path) for path in self.lowers), *others]

    def describe(self) -> str:
        """`over /a, /b with changes in /u`."""
        return f"over {', '.join(self.lowers)}" + (f" with changes in {self.upper}" if self.upper else "")


def layer_name(sandbox: str, index: int) -> str:
    """The name in LAYERS of the layer of a plan's step `index`."""
    return f"{sandbox}.{index}"
