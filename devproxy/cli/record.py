"""`devproxy record`: this host into a file, for `--host` on another machine."""

from __future__ import annotations

import time

from devproxy.cli.context import Context
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Recorder
from devproxy.host.recording_file import encode, save
from devproxy.host.root import LiveReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument("file", metavar="FILE.tar", help="the recording; a file that is there is replaced")


def run(args: Namespace, context: Context) -> int:
    """Probe with the reads kept, write the file, say what is in it and what is not."""
    with LiveReader() as reader:
        recorder = Recorder(reader)
        host = probe_reader(recorder, name="live", simulated=False)
    recording = recorder.recording()
    archive = encode(recording, recorded_at=int(time.time()))
    save(archive, args.file)
    gpus = len(host.nvidia.gpus) if host.nvidia else 0
    nodes = f"{len(host.nodes)} device nodes, {len(host.pci)} PCI functions, {gpus} NVIDIA GPUs"
    context.say(f"recorded {args.file}: {nodes}, {len(recording.files)} files in all")
    for unseen in host.unseen:
        context.warn(f"not recorded: {unseen.path}: {unseen.why}")
    return 0
