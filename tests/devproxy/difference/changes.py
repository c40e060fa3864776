"""Recordings with one thing changed in them, by hand: what `diff` has to name."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from typing import Any

from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Kept, RecordedReader, Recording, parents
from devproxy.host.root import Entry

Change = Callable[[Recording], Recording]


def probed(recording: Recording) -> Host:
    return probe_reader(RecordedReader(recording), name="x", simulated=True, deep=True)


def text(path: str, old: str, new: str) -> Change:
    """A file that says `new` where it said `old`."""

    def change(recording: Recording) -> Recording:
        kept = recording.files[path]
        assert old.encode() in kept.data, kept.data
        return _with(recording, path, kept._replace(data=kept.data.replace(old.encode(), new.encode())))

    return change


def node(path: str, number: tuple[int, int] | None = None, mode: int | None = None, gid: int | None = None) -> Change:
    """A node with another number, mode or group; one that is new has a number."""

    def change(recording: Recording) -> Recording:
        kept = recording.files.get(path) or Kept(Entry(stat.S_IFCHR | 0o666, 0, 0, 0))
        entry = kept.entry
        if number is not None:
            entry = entry._replace(rdev=os.makedev(*number))
        if mode is not None:
            entry = entry._replace(mode=stat.S_IFCHR | mode)
        if gid is not None:
            entry = entry._replace(gid=gid)
        return _with(recording, path, Kept(entry))

    return change


def put(path: str, data: str, mode: int = 0o644) -> Change:
    """A file that is new, in directories that are listed."""

    def change(recording: Recording) -> Recording:
        made = _with(recording, path, Kept(Entry(stat.S_IFREG | mode, 0, 0, 0), data.encode()))
        for parent in parents(path):
            if parent not in made.files and parent not in made.looked:
                made = _with(made, parent, Kept(Entry(stat.S_IFDIR | 0o755, 0, 0, 0)))
        return made

    return change


def link(path: str, target: str) -> Change:
    return lambda recording: _with(recording, path, Kept(Entry(stat.S_IFLNK | 0o777, 0, 0, 0), link=target))


def drop(*paths: str) -> Change:
    """What is not there any more."""

    def change(recording: Recording) -> Recording:
        gone = {path for path in recording.files if any(f"{path}/".startswith(f"{each}/") for each in paths)}
        assert gone or any(each in recording.looked for each in paths), paths
        files = {path: kept for path, kept in recording.files.items() if path not in gone}
        looked = {path: entry for path, entry in recording.looked.items() if path not in paths}
        return recording._replace(files=files, looked=looked, absent=recording.absent | {*paths})

    return change


def fact(name: str, edit: Callable[[Any], object]) -> Change:
    """A fact whose document was edited in place."""

    def change(recording: Recording) -> Recording:
        document = json.loads(recording.facts[name])
        edit(document)
        return recording._replace(facts={**recording.facts, name: json.dumps(document).encode()})

    return change


def listed(directory: str, old: str, new: str = "") -> Change:
    """Another name, or none, in a directory that was listed, of something that nobody looked at."""

    def change(recording: Recording) -> Recording:
        names = recording.others[directory]
        assert old in names, names
        return recording._replace(
            others={
                **recording.others,
                directory: [new if name == old else name for name in names if new or name != old],
            }
        )

    return change


def both(*changes: Change) -> Change:
    def change(recording: Recording) -> Recording:
        for each in changes:
            recording = each(recording)
        return recording

    return change


def _with(recording: Recording, path: str, kept: Kept) -> Recording:
    absent = recording.absent - {path, *parents(path)}
    return recording._replace(files={**recording.files, path: kept}, absent=absent)
