"""`--junit FILE`: a report as JUnit's XML, written whole or not at all."""

from __future__ import annotations

from devproxy.check.finding import Report
from devproxy.check.report_junit import junit_document
from devproxy.host.recording_file import save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def write_junit(path: str, verb: str, report: Report, *, host: str = "", checks: Iterable[str] = ()) -> None:
    """Write the file; see `junit_document`.

    Raises:
        InputError: something other than a file is at `path`, or it cannot be written.
    """
    save(junit_document(verb, report, host=host, checks=checks), path, what="JUnit file")
