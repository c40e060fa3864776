"""A recording, edited: what a mutation does to it. Each method gives a new recording; the old one stays."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from typing import Any, Final

from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Kept, RecordedReader, Recording
from devproxy.host.recording_file import load_recording
from devproxy.host.root import Entry

_FILE: Final = Entry(stat.S_IFREG | 0o644, 0, 0, 0)


class Edited:
    """A recording that can be changed path by path and fact by fact."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    @classmethod
    def of(cls, path: str) -> Edited:
        return cls(load_recording(path))

    def host(self) -> Host:
        return probe_reader(RecordedReader(self.recording), name="edited", simulated=True, deep=True)

    def paths(self, prefix: str) -> list[str]:
        return sorted(path for path in self.recording.files if path.startswith(prefix))

    def remove(self, *paths: str) -> Edited:
        """Take paths away, and all below them: they are known to be absent then."""
        gone = {p for p in self.recording.files for path in paths if p == path or p.startswith(f"{path}/")}
        assert gone, paths
        files = {path: kept for path, kept in self.recording.files.items() if path not in gone}
        return self._with(files=files, absent=self.recording.absent | frozenset(paths))

    def put(self, path: str, kept: Kept) -> Edited:
        return self._with(files={**self.recording.files, path: kept}, absent=self.recording.absent - {path})

    def text(self, path: str, change: Callable[[str], str]) -> Edited:
        """Change a file that is there; a change that changes nothing is a mistake of the test's."""
        kept = self.recording.files[path]
        changed = change(kept.data.decode())
        assert changed != kept.data.decode(), path
        return self.put(path, kept._replace(data=changed.encode()))

    def file(self, path: str, text: str) -> Edited:
        return self.put(path, Kept(_FILE, text.encode()))

    def node(
        self,
        path: str,
        *,
        major: int | None = None,
        minor: int | None = None,
        mode: int | None = None,
        gid: int | None = None,
    ) -> Edited:
        """A node otherwise than it was."""
        entry = self.recording.files[path].entry
        old = os.major(entry.rdev), os.minor(entry.rdev)
        rdev = os.makedev(old[0] if major is None else major, old[1] if minor is None else minor)
        bits = entry.mode if mode is None else stat.S_IFMT(entry.mode) | mode
        changed = Entry(bits, entry.uid, entry.gid if gid is None else gid, rdev)
        assert changed != entry, path
        return self.put(path, Kept(changed))

    def fact(self, name: str, change: Callable[[dict[str, Any]], object]) -> Edited:
        """Change a fact's document in place, or make one of `{}`."""
        document = json.loads(self.recording.facts.get(name, b"{}"))
        change(document)
        facts = {**self.recording.facts, name: json.dumps(document).encode()}
        return self._with(facts=facts, absent=self.recording.absent - {f"facts/{name}.json"})

    def listed(self, directory: str, names: list[str]) -> Edited:
        """A directory whose names were listed and not looked at."""
        return self._with(others={**self.recording.others, directory: sorted(names)})

    def _with(self, **changes: Any) -> Edited:
        return Edited(self.recording._replace(**changes))
