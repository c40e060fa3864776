"""`devproxy record`: this host into a file, for `--host` on another machine."""

from __future__ import annotations

import os
import time

from devproxy import __version__
from devproxy.cli.context import Context
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Recorder
from devproxy.host.recording_file import encode, require_file, save
from devproxy.host.root import LiveReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser
    from devproxy.host.pseudonyms import Names
    from devproxy.host.recorded import Recording

_EXAMPLES = """\
examples:
  devproxy record host.tar                        everything that a deep probe reads on this host
  devproxy record host.tar --anonymize            the same for people who need not know whose it is
  devproxy probe --host host.tar                  what is in it, here or elsewhere

Anonymized, UUIDs, serial numbers, names of hosts, users and volumes, MAC and IP addresses are others of the same form, the same
wherever they occur in the recording, and different in the next one. PCI addresses, versions and numbers of devices stay.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument("file", metavar="FILE.tar", help="the recording; a file that is there is replaced")
    parser.add_argument(
        "--anonymize", action="store_true", help="replace what says whose machine it is by words of the same form"
    )
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Probe with the reads kept, write the file, say what is in it and what is not."""
    require_file(args.file)
    with LiveReader() as reader:
        recorder = Recorder(reader)
        host = probe_reader(recorder, name="live", simulated=False, deep=True)
    recording = recorder.recording()
    tool = f"devproxy {__version__}"
    if args.anonymize:
        recording, tool = _anonymized(recording, context), f"{tool}, anonymized"
    save(encode(recording, recorded_at=int(time.time()), tool=tool), args.file)
    gpus = len(host.nvidia.gpus) if host.nvidia else 0
    nodes = f"{len(host.nodes)} device nodes, {len(host.pci)} PCI functions, {gpus} NVIDIA GPUs"
    context.say(f"recorded {args.file}: {nodes}, {len(recording.files)} files in all")
    for unseen in host.unseen:
        context.warn(f"not recorded: {unseen.path}: {unseen.why}")
    return 0


def _anonymized(recording: Recording, context: Context) -> Recording:
    """The recording without names, and what became of them told."""
    from devproxy.host.anonymize import anonymize

    made = anonymize(recording, _names_here())
    numbers = ", ".join(f"{kind} ({number})" for kind, number in made.replaced)
    context.say(f"replaced, each with how many different ones: {numbers or 'nothing, there was nothing to replace'}")
    for name in made.kept:
        context.warn(f"not replaced: the name {name!r}, which devices and files of the system have too")
    return made.recording


def _names_here() -> Names:
    """The names of this machine and of its users, which may occur anywhere."""
    from devproxy.host.pseudonyms import Names

    variables = (os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER"))
    users = {*variables, *_accounts()} - {""}
    return Names(frozenset((os.uname().nodename,)), frozenset(users))


def _accounts() -> set[str]:
    """Accounts of people. Only the file is read: a directory service may have ten thousand, and take as long."""
    try:
        with open("/etc/passwd", encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split(":") for line in file.read(1 << 20).split("\n")]
    except OSError:
        return set()
    return {row[0] for row in rows if len(row) > 2 and row[2].isdigit() and 1000 <= int(row[2]) < 60000}
