"""The verbs of the `devproxy` command, each with the module that carries it out; a verb's module is loaded by its use."""

from __future__ import annotations

import sys

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any, Final, Protocol

    from devproxy.cli.context import Context
    from devproxy.cli.quick import Parser
else:
    Protocol = object


class Verb(Record):
    """A verb: its name, the module that carries it out, one line of help."""

    name: str
    module: str
    help: str

    def load(self) -> VerbModule:
        """Its module."""
        __import__(self.module)
        found: Any = sys.modules[self.module]
        module: VerbModule = found
        return module


class VerbModule(Protocol):
    """What a verb's module offers."""

    def add_arguments(self, parser: Parser) -> None:
        """Declare the verb's own arguments."""

    def run(self, args: Namespace, context: Context) -> int:
        """Carry it out and return the exit code."""


VERBS: Final[tuple[Verb, ...]] = (
    Verb("probe", "devproxy.cli.probe", "show what accelerators this host (or a recorded one) has"),
    Verb("record", "devproxy.cli.record", "record this host into a tar file, for --host"),
    Verb("spec", "devproxy.cli.spec", "write a new bundle that lists this host's accelerators"),
    Verb("plan", "devproxy.cli.plan", "show the steps that build the container's root, each with its reason"),
    Verb("run", "devproxy.cli.run", "build the root on the kernel and run the bundle's process in it"),
    Verb("inspect", "devproxy.cli.inspect", "build the root in memory and look around in it (no root needed)"),
    Verb("verify", "devproxy.cli.verify", "build the root on the kernel and compare it with what it should be"),
    Verb("doctor", "devproxy.cli.doctor", "say what is wrong with a host or a bug report, and what to type"),
    Verb("setup", "devproxy.cli.setup", "make this host ready for jobs: modules, device nodes, links; and undo it"),
    Verb("lease", "devproxy.cli.lease", "accelerators for one command, nobody else's meanwhile; and who has which"),
    Verb("clean", "devproxy.cli.clean", "remove what a lease's command left behind, and only what is that lease's"),
    Verb(
        "job",
        "devproxy.cli.job",
        "a whole hardware job: lease, check, run a command, check, clean, and tell whose fault it is",
    ),
    Verb("diff", "devproxy.cli.diff", "show what differs between two recordings, plans or reports"),
    Verb("check", "devproxy.cli.check", "say how the hardware is before and after a job, and what the job left behind"),
    Verb("quarantine", "devproxy.cli.quarantine", "keep a device out of leases and plans, with a reason"),
    Verb("bench", "devproxy.cli.bench", "measure devproxy beside runc and the kernel's own file systems"),
    Verb("completion", "devproxy.cli.completion", "print a completion script for bash, zsh or fish"),
)


TAKES_COMMAND: Final = ("run", "lease", "job")
"""The verbs after which `-- COMMAND` may stand."""


def find_verb(name: str) -> Verb | None:
    """The verb of a name."""
    return next((verb for verb in VERBS if verb.name == name), None)
