"""The page: a verdict that is seen first, the host as a picture, the findings, the plan, the facts."""

from __future__ import annotations

import os

from devproxy.check.finding import Report
from devproxy.check.html.chapters import contents, findings, host_facts, plan_steps, scope, verdict_banner
from devproxy.check.html.markup import Html, element, join
from devproxy.check.html.picture import picture
from devproxy.host.facts import Host
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.plan.plan import Plan


class Judged(Record):
    """A report and its title (`Doctor`, `Verification`), and how it ended in words; empty for those of a verification."""

    title: str
    report: Report
    words: str = ""


class Page(Record):
    """What a page shows. `made` says when and by what, in words."""

    title: str
    host: Host
    judged: tuple[Judged, ...]
    made: str
    plan: Plan | None = None


def report_page(page: Page) -> str:
    """The page as HTML: complete, without scripts, and nothing in it is fetched from anywhere."""
    every = [finding for judged in page.judged for finding in judged.report.findings]
    chapters: list[tuple[str, str, Html]] = [("host", "The host", picture(page.host, every))]
    for number, judged in enumerate(page.judged):
        title = judged.title if len(page.judged) == 1 else f"{judged.title}: findings"
        chapters.append((f"findings-{number}", title, join((findings(judged.report), scope(judged.report)))))
    if page.plan is not None:
        chapters.append(("plan", "The plan", plan_steps(page.plan)))
    chapters.append(("facts", "What was read", host_facts(page.host)))
    recorded = " (recorded)" if page.host.simulated else ""
    body = element(
        "body",
        element("a", "To the findings", href="#findings-0", class_="skip"),
        element(
            "header",
            element("h1", page.title),
            element("p", f"host {page.host.name}{recorded} · {page.made}", class_="quiet"),
            *(verdict_banner(judged.title, judged.report, judged.words) for judged in page.judged),
            contents([(name, title) for name, title, _ in chapters]),
        ),
        element("main", *(element("section", element("h2", title), body, id=name) for name, title, body in chapters)),
    )
    return whole_page(page.title, body)


def whole_page(title: str, body: Html) -> str:
    """The HTML around a body."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        # Whatever a hostile text might still become: no script runs, nothing is loaded, no form is sent.
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        ),
        element("title", title),
        Html(f"<style>{_style()}</style>"),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _style() -> str:
    with open(os.path.join(os.path.dirname(__file__), "style.css"), encoding="utf-8") as file:
        return file.read()
