"""`--html FILE`: a report as a page, written whole or not at all."""

from __future__ import annotations

import time

import devproxy
from devproxy.check.html.page import Judged, Page, report_page
from devproxy.host.facts import Host
from devproxy.host.recording_file import save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from devproxy.plan.plan import Plan


def write_page(path: str, title: str, host: Host, judged: Sequence[Judged], plan: Plan | None) -> None:
    """Write the page.

    Raises:
        InputError: something other than a file is at `path`, or it cannot be written.
    """
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    about = f"{made}, devproxy {devproxy.__version__}"
    page = Page(title, host, tuple(judged), about, plan)
    save(report_page(page).encode(), path, what="page")
