"""/proc/devices and /proc/misc: which driver has which major or minor (proc(5))."""

from __future__ import annotations

from devproxy.host.facts import MajorLine, MiscLine
from devproxy.host.root import HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PROC_DEVICES: Final = "/proc/devices"
PROC_MISC: Final = "/proc/misc"

_SECTIONS: Final = ("Character devices:", "Block devices:")
# The widths of a device number (MINORBITS, include/linux/kdev_t.h); what lies outside is no major or minor.
_MAJORS: Final = 1 << 12
_MINORS: Final = 1 << 20


def read_majors(root: HostRoot) -> tuple[tuple[MajorLine, ...], tuple[MajorLine, ...]]:
    """The character and the block section. A line that cannot be understood is noted and passed over.

    Names are kept whole: `nvidia-caps` is also how `nvidia-caps-imex-channels` starts.
    """
    text = root.read_text(PROC_DEVICES)
    if text is None:
        return (), ()
    sections, bad = parse_majors(text)
    for line in bad[:1]:
        root.note(PROC_DEVICES, f"{len(bad)} lines that are no `major name`, the first: {line!r}")
    return sections["Character devices:"], sections["Block devices:"]


def parse_majors(text: str) -> tuple[dict[str, tuple[MajorLine, ...]], list[str]]:
    """The lines by section heading, and the lines that belong to none or are no `major name`. A blank line ends a
    section.
    """
    found: dict[str, list[MajorLine]] = {heading: [] for heading in _SECTIONS}
    bad = []
    section = None
    for line in text.split("\n"):
        if not line:
            section = None
        elif line in found:
            section = found[line]
        elif section is None or (entry := _numbered(line, _MAJORS)) is None or not entry[1]:
            bad.append(line)
        else:
            section.append(MajorLine(*entry, PROC_DEVICES))
    return {heading: tuple(lines) for heading, lines in found.items()}, bad


def read_misc(root: HostRoot) -> tuple[MiscLine, ...]:
    """The drivers behind major 10. A driver may have no name."""
    text = root.read_text(PROC_MISC)
    lines = [line for line in (text or "").split("\n") if line]
    entries = [_numbered(line, _MINORS) for line in lines]
    bad = [line for line, entry in zip(lines, entries, strict=True) if entry is None]
    for line in bad[:1]:
        root.note(PROC_MISC, f"{len(bad)} lines that are no `minor name`, the first: {line!r}")
    return tuple(MiscLine(*entry, PROC_MISC) for entry in entries if entry is not None)


def _numbered(line: str, limit: int) -> tuple[int, str] | None:
    """`195 nvidia` as a number and a name, which may hold blanks; the kernel pads the number to three places."""
    digits, blank, name = line.lstrip(" ").partition(" ")
    # Nine digits are far beyond the limit, and short enough for int().
    if not (blank and digits.isascii() and digits.isdigit() and len(digits) <= 9) or int(digits) >= limit:
        return None
    return int(digits), name
