"""CDI spec files, as they are: in the directories of the specification and in those that engines are configured with."""

from __future__ import annotations

import stat

from devproxy.host.system_facts import CdiFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot
    from devproxy.host.system_facts import Runtime

# Later ones win (the Container Device Interface's specification).
_DIRECTORIES: Final = ("/etc/cdi", "/var/run/cdi")
_SETTINGS: Final = ("cdi-spec-dirs", "cdi_spec_dirs", "nvidia-container-runtime.modes.cdi.spec-dirs")
_LIMIT: Final = 1 << 18
_MOST: Final = 64


def read_cdi_files(root: HostRoot, runtimes: tuple[Runtime, ...]) -> tuple[CdiFile, ...]:
    """Each file that an engine would load (*.json and *.yaml, no directory below). One that could not be read has no text, and
    `why`.
    """
    found: list[CdiFile] = []
    for priority, directory in enumerate(cdi_directories(runtimes)):
        for name in root.listdir(directory):
            if name.endswith((".json", ".yaml")) and len(found) < _MOST:
                file = _read(root, f"{directory}/{name}", priority)
                found += [file] if file is not None else []
    return tuple(found)


def _read(root: HostRoot, path: str, priority: int) -> CdiFile | None:
    """A link is followed once, as far as its words lead to a file."""
    real = root.follow(path)
    entry = root.lstat(real)
    text = root.read_text(real, _LIMIT) if entry is not None and stat.S_ISREG(entry.mode) else None
    why = next((unseen.why for unseen in root.unseen if unseen.path == real), "") if text is None else ""
    if entry is None:
        return CdiFile(path, "", 0, 0, 0, priority, why) if why else None
    if text is None:
        why = why or "no regular file"
    return CdiFile(path, text or "", stat.S_IMODE(entry.mode), entry.uid, entry.gid, priority, why)


def cdi_directories(runtimes: tuple[Runtime, ...]) -> list[str]:
    """Where specs are looked for, the last one winning: the specification's directories and those of the engines' settings."""
    configured = [
        directory.rstrip("/").replace("/run/cdi", "/var/run/cdi")
        if directory.startswith("/run/cdi")
        else directory.rstrip("/")
        for runtime in runtimes
        for key, value in runtime.settings
        if key in _SETTINGS
        for directory in value.split(",")
        if directory.startswith("/") and ".." not in directory.split("/")
    ]
    return list(dict.fromkeys([*_DIRECTORIES, *configured]))[:16]
