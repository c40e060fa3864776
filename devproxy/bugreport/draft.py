"""The machine that a report tells of, as far as it was read: what recognisers put their findings into."""

from __future__ import annotations

from devproxy.host.nvml_facts import NvmlError, NvmlGpu, NvmlMig
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.command import Command
    from devproxy.host.system_facts import LogEvent

# What one report can sensibly hold; a report that says more says it to do harm.
MOST: Final = 20_000


class SeenNode(Record):
    """A node, directory or other file under /dev as a listing showed it. `kind` is the letter that ls writes; the
    number is None when it was not shown. `inside` says whether a container was looked at.
    """

    path: str
    kind: str
    major: int | None
    minor: int | None
    mode: int
    owner: str
    group: str
    line: int
    inside: bool = False


class SeenPci(Record):
    """A PCI function of a listing. `driver` is None where the listing does not show drivers."""

    address: str
    vendor: int
    device: int
    class_code: int
    driver: str | None
    line: int
    group: int | None = None


class Use(Record):
    """Lines that were understood: from, to, what they are, and how much was in them."""

    first: int
    last: int
    what: str
    amount: int = 0
    noun: str = ""


class Smi(Record):
    """What one run of nvidia-smi said: that it failed, and how, or versions and GPUs. GPUs by index. `windows` says that it
    ran on Windows, outside of the Linux that WSL runs there.
    """

    line: int
    inside: bool
    driver: str = ""
    cuda: str = ""
    error: NvmlError | None = None
    gpus: tuple[NvmlGpu, ...] = ()
    none: bool = False
    listed: bool = False
    library: str = ""
    windows: bool = False

    def gpu(self, rank: int) -> NvmlGpu | None:
        """The GPU with that index, or None."""
        return next((gpu for gpu in self.gpus if gpu.rank == rank), None)

    def with_gpu(self, gpu: NvmlGpu) -> Smi:
        """The same run, which shows that GPU."""
        others = tuple(each for each in self.gpus if each.rank != gpu.rank)
        return self._replace(gpus=(*others, gpu) if len(others) < 256 else others)


class Draft:
    """Everything read so far. Of two statements the later one counts, and that is told (`notes`)."""

    def __init__(self) -> None:
        # where reading is
        self.command: Command | None = None
        self.command_line = 0
        self.directory = ""
        self.heading = ""
        self.label = ""
        self.inside = False
        self.expected = False
        # files and nodes
        self.nodes: dict[str, SeenNode] = {}
        self.present: dict[str, int] = {}
        self.absent: dict[str, int] = {}
        self.files: dict[str, str] = {}
        self.majors: dict[tuple[str, str], dict[int, int]] = {}
        self.modules: dict[str, tuple[str, str]] = {}
        self.pci: dict[str, SeenPci] = {}
        self.coverage: dict[str, int] = {}
        self.labels: dict[str, str] = {}
        # what is no file
        self.smi: list[Smi] = []
        self.log: dict[LogEvent, None] = {}
        self.messages: list[tuple[str, str, int]] = []
        self.requests: dict[tuple[str, str], int] = {}
        self.environment: dict[str, str] = {}
        self.caller: dict[str, object] = {}
        self.groups: dict[str, int] = {}
        self.rules: dict[str, list[tuple[str, str, str, str]]] = {}
        self.runtimes: dict[str, dict[str, str]] = {}
        self.cdi: dict[str, str] = {}
        self.facts: dict[str, object] = {}
        self.containers: dict[str, int] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        # what is told of reading
        self.uses: list[Use] = []
        self.notes: list[str] = []
        self.fresh = True

    @property
    def within(self) -> bool:
        """Whether what is read now was seen inside a container."""
        return self.inside or (self.command is not None and self.command.inside)

    def use(self, first: int, last: int, what: str, amount: int = 0, noun: str = "") -> None:
        """Say that lines were understood."""
        if len(self.uses) < MOST:
            self.uses.append(Use(first, last, what, amount, noun))

    def note(self, text: str) -> None:
        """Say something about the report that is no fact of the machine."""
        if len(self.notes) < 100 and text not in self.notes:
            self.notes.append(text)

    def cover(self, pattern: str, line: int) -> None:
        """What is not listed below `pattern` is not there. What a container shows of /dev says nothing of the host's."""
        if not (self.within and pattern.startswith("/dev")) and len(self.coverage) < MOST:
            self.coverage.setdefault(pattern, line)

    def put_node(self, node: SeenNode) -> None:
        """A node as a listing shows it; it replaces what an earlier one said."""
        before = self.nodes.get(node.path)
        if before is None and len(self.nodes) >= MOST:
            return
        self.absent.pop(node.path, None)
        self.present.pop(node.path, None)
        if before is not None:
            if (before.major, before.minor, before.mode, before.kind) != (node.major, node.minor, node.mode, node.kind):
                self.note(
                    f"{node.path} is {_shown(before)} on line {before.line} and {_shown(node)} on line {node.line}: the last counts"
                )
            if before.inside < node.inside and (before.major, before.minor) == (node.major, node.minor):
                return  # a container may show another owner; the host's is what counts
        self.nodes[node.path] = node

    def put_absent(self, path: str, line: int) -> None:
        """A path that a command said is not there."""
        if self.within and path.startswith("/dev"):
            return
        before = self.nodes.get(path)
        if before is not None and not before.inside:
            self.note(f"{path} is there on line {before.line} and missing on line {line}: the last counts")
            del self.nodes[path]
        if len(self.absent) < MOST:
            self.absent[path] = line
            self.cover(path, line)

    def put_present(self, path: str, line: int) -> None:
        """A path that is there, of which nothing else is known."""
        if path not in self.nodes and len(self.present) < MOST:
            self.absent.pop(path, None)
            self.present[path] = line

    def put_file(self, path: str, text: str) -> None:
        """A file with its text; the later one counts."""
        if len(self.files) < MOST:
            self.files[path] = text
            self.cover(path, 0)

    def put_message(self, name: str, subject: str, text: str, line: int) -> None:
        """A message that is known by that name, and what it is about."""
        if len(self.messages) < 1000:
            self.messages.append((name, f"{subject}\0{text}", line))

    def current_smi(self, line: int) -> Smi:
        """The run of nvidia-smi that is being read: a new one after each command."""
        if self.smi and not self.fresh:
            return self.smi[-1]
        self.fresh = False
        self.smi.append(Smi(line, self.within))
        return self.smi[-1]

    def put_smi(self, smi: Smi) -> None:
        """The same run, knowing more."""
        self.smi[-1] = smi

    def put_mig(self, gpu: int, mig: NvmlMig) -> None:
        """A MIG device of a GPU of the run that is being read."""
        smi = self.smi[-1]
        found = smi.gpu(gpu)
        if found is not None and len(found.mig) < 64:
            self.smi[-1] = smi.with_gpu(found._replace(mig=(*found.mig, mig), mig_mode=True))


def _shown(node: SeenNode) -> str:
    number = "without a number" if node.major is None else f"{node.major}:{node.minor}"
    return f"{node.kind} {number} {node.mode:04o}"
