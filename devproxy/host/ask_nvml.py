"""A host of a plain probe, with NVML's answer: for the few bundles that name what NVML alone knows."""

from __future__ import annotations

from devproxy.host.details import Details
from devproxy.host.root import HostRoot, LiveReader, Reader
from devproxy.host.sources.nvml import read_nvml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host


def with_nvml(host: Host, source: str) -> Host:
    """The host with what NVML says: `source` is what it was probed from. On the live machine NVML is asked, in a child process that
    can be left behind; a recording has its answer, or not (`Host.unseen` says why then). Everything else is as it was.

    Raises:
        InputError: `source` is no recording, or a damaged one.
    """
    if source == "live":
        with LiveReader() as reader:
            return _told(host, reader)
    from devproxy.host.recorded import RecordedReader
    from devproxy.host.recording_file import load_recording

    return _told(host, RecordedReader(load_recording(source)))


def _told(host: Host, reader: Reader) -> Host:
    root = HostRoot(reader)
    details = (host.details or Details())._replace(nvml=read_nvml(root, host))
    return host._replace(details=details, unseen=(*host.unseen, *root.unseen))
