"""What was seen at one time: the lease's processes, everybody else, and who uses which file.

A file or a segment is the lease's when its owner is the lease's, it was made since the lease began, nobody else uses it, and one of
these holds:

- a process of the lease has it, or had it when it was ended;
- its name, or the kernel, says which process made it, and that one is the lease's;
- its name is that of a library whose users keep it mapped as long as they want it, and nobody has it;
- nobody else could have made it: its owner has no other process that was there by then. Who cleans, and the shell or the CI agent that
  it was started by, do not count: they ask for it.
"""

from __future__ import annotations

import os
import time

from devproxy.jobs.clean.process import Identity, Process, Seen
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from devproxy.jobs.clean.asked import Asked
    from devproxy.jobs.clean.files import File
    from devproxy.jobs.clean.proof import Census, People

    Inode = tuple[int, int]

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Verdict(Record):
    """Whether something is the lease's: the proof, or why there is none. Neither: it is somebody else's, and no dirt."""

    proof: str = ""
    why: str = ""


class Memory:
    """What stays known when the lease's processes have been ended: who they were, and which files they had."""

    def __init__(self) -> None:
        self.pids: dict[int, Identity] = {}
        self.had: dict[Inode, str] = {}


class Survey(Record):
    """See above. `used` says by whom a file is used who is not the lease's; `spared` are the numbers of those who clean."""

    asked: Asked
    people: People
    memory: Memory
    used: dict[Inode, Seen]
    spared: frozenset[int]
    sockets: frozenset[str]
    new_files: tuple[File, ...]
    """Those of the lease's owner that were made since the lease began."""

    def judge_file(self, file: File, maker: int | None, library: str) -> Verdict:
        """Whose a file is. `maker` is the process that its name speaks of, `library` who names files so; None and empty without."""
        inode = file.device, file.inode
        if file not in self.new_files or inode in self.used:
            return Verdict()
        if inode in self.memory.had:
            return Verdict(f"{self.memory.had[inode]} of the lease had it")
        assert file.born is not None
        return self.judge(file.born, maker, library)

    def judge(self, born: float, maker: int | None, library: str = "") -> Verdict:
        """Whose something of the lease's owner is that was made then and that nobody uses."""
        if maker is not None and maker in self.memory.pids:
            return Verdict(f"pid {maker} made it, which was the lease's")
        able = self.able(born)
        if maker is not None:
            living = next((seen for seen in able if seen.identity.pid == maker), None)
            if living is not None:
                return Verdict()
        if library:
            return Verdict(f"made since the lease began; {library} keeps what it uses mapped, and nobody has it")
        if not able:
            return Verdict("made since the lease began, when its owner had no other process that could have")
        others = f"{len(able)} other processes of uid {self.asked.scope.uid}" if len(able) > 1 else able[0].describe()
        return Verdict(why=f"made since the lease began, but perhaps by {others}")

    def able(self, born: float) -> list[Seen]:
        """The owner's other processes that were there at a time, in seconds since the epoch."""
        uid = self.asked.scope.uid
        return [
            seen
            for seen in (*self.people.others, *self.people.hidden)
            if uid in seen.uids and seen.identity.pid not in self.spared and started(seen.identity) <= born
        ]


def started(identity: Identity) -> float:
    """When a process began, in seconds since the epoch, to the hundredth or so."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + identity.started / _TICKS


def survey(asked: Asked, census: Census, memory: Memory, files: Sequence[File], spared: frozenset[int]) -> Survey:
    """Look at all processes, and who of them uses these files."""
    use = _Use(files)
    people = census.take(use.look_into)
    proven = {found.seen.identity: found.seen for found in people.proven}
    scope = asked.scope
    old = _there_before(asked)
    new = (
        file
        for file in files
        if file.uid == scope.uid
        and file.born is not None
        and file.born > scope.since
        and (file.device, file.inode, file.born) not in old
    )
    memory.pids |= {identity.pid: identity for identity in proven}
    used = {}
    for inode, users in use.found.items():
        foreign = [seen for seen in users if seen.identity not in proven]
        if foreign:
            used[inode] = foreign[0]
        else:
            memory.had[inode] = users[0].describe()
    return Survey(asked, people, memory, used, spared, _sockets(), tuple(new))


def _there_before(asked: Asked) -> frozenset[tuple[int, int, float | None]]:
    """What was there when the host was recorded before the job, which may have been after the lease began."""
    details = None if asked.before is None else asked.before.details
    shared = None if details is None else details.system.shared_memory
    return frozenset((each.device, each.inode, each.born) for each in (shared.entries if shared is not None else ()))


class _Use:
    """Who has which of some files open or mapped."""

    def __init__(self, files: Sequence[File]) -> None:
        self._inodes = {(file.device, file.inode) for file in files}
        self._numbers = {inode for _, inode in self._inodes}
        self.found: dict[Inode, list[Seen]] = {}

    def look_into(self, process: Process) -> None:
        """Errors: Hidden."""
        if not self._inodes:
            return
        for inode in {*self._mapped(process), *self._open(process)} & self._inodes:
            self.found.setdefault(inode, []).append(process.seen)

    def _mapped(self, process: Process) -> set[Inode]:
        found = set()
        for line in process.read("maps").split(b"\n"):
            words = line.split(None, 5)
            if len(words) > 4 and words[4] != b"0" and int(words[4]) in self._numbers:
                major, minor = words[3].split(b":")
                found.add((os.makedev(int(major, 16), int(minor, 16)), int(words[4])))
        return found

    def _open(self, process: Process) -> set[Inode]:
        found = set()
        for number, link, text in process.descriptors():
            if link.startswith("/") and self._may_be(text):
                inode = process.inode(number)
                if inode is not None:
                    found.add(inode)
        return found

    def _may_be(self, text: bytes) -> bool:
        """Whether the inode's number is one of ours; before Linux 5.14 the kernel does not tell it here, and each is looked at."""
        _, told, rest = text.partition(b"ino:")
        return not told or int(rest.split(None, 1)[0]) in self._numbers


def _sockets() -> frozenset[str]:
    """The paths that sockets are bound to (proc_net(5), `unix`)."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as lines:
            return frozenset(words[7].rstrip("\n") for line in lines if len(words := line.split(" ", 7)) == 8)
    except OSError:
        return frozenset()
