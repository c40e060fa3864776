"""The CDI specs of a machine, as watching needs them (CDI specification, "CDI spec directories")."""

from __future__ import annotations

import stat

from devproxy.host.system_facts import CdiFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot

# By priority: the last wins.
CDI_DIRECTORIES: Final = ("/etc/cdi", "/var/run/cdi")
_SUFFIXES: Final = (".json", ".yaml")


def read_cdi_files(root: HostRoot) -> tuple[CdiFile, ...]:
    """Every spec, by directory and name."""
    found = []
    for priority, directory in enumerate(CDI_DIRECTORIES):
        for name in root.listdir(directory):
            entry = root.lstat(f"{directory}/{name}") if name.endswith(_SUFFIXES) else None
            if entry is not None:
                text = root.read_text(f"{directory}/{name}")
                why = "" if text is not None else "not readable"
                mode = stat.S_IMODE(entry.mode)
                found.append(CdiFile(f"{directory}/{name}", text or "", mode, entry.uid, entry.gid, priority, why))
    return tuple(found)
