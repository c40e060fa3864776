"""Where jobs of the tests are run, and the text of the pages that they make."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from devproxy.jobs.devices import Wanted
from devproxy.jobs.job.asked import Asked
from devproxy.jobs.job.job import run_job
from devproxy.jobs.job.result import Result
from devproxy.jobs.listing import held
from devproxy.jobs.state import State
from tests.devproxy.jobs.job.hosts import GPUS

NOBODY = (None, None)


class Place:
    """Where a job has its state, its quarantine and its folder."""

    def __init__(self, place: Path) -> None:
        self.path = place
        self.folder = place / "out"

    def asked(self, *command: str, **more: object) -> Asked:
        whole = Asked(
            command,
            Wanted(1),
            host=GPUS,
            artifacts=str(self.folder),
            state=str(self.path / "leases"),
            quarantine=str(self.path / "quarantine"),
        )
        return whole._replace(**more)  # type: ignore[arg-type]

    def run(self, *command: str, **more: object) -> Result:
        return run_job(self.asked(*command, **more), onward=NOBODY)

    def document(self, name: str = "job.json") -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / name).read_text())
        return found

    def leased(self) -> int:
        with State(str(self.path / "leases")) as state:
            return len(held(state))


def text_of(page: str) -> str:
    """A page's text; every element that is opened is closed."""
    found: list[str] = []
    open_: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "img", "iframe", "object")
            if tag not in ("meta", "br", "hr"):
                open_.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_.pop() == tag

        def handle_data(self, data: str) -> None:
            found.append(data)

    Reader().feed(page)
    assert open_ == []
    return "".join(found)
