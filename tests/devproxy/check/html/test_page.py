"""The HTML report: everything that was found is in it, nothing in it is more than text, and it is accessible."""

from __future__ import annotations

import itertools
import os
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.finding import Evidence, Finding, Report, Severity
from devproxy.check.html import page as page_module
from devproxy.check.html.markup import anchor, element, escape
from devproxy.check.html.page import Judged, report_page
from devproxy.host.facts import Host, Unseen
from tests.devproxy.check.html.pages import FINDINGS, host, page

VOID = {"meta", "br", "hr", "link"}


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed in order; keeps what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), "an attribute is there twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def text_of(made: str) -> str:
    return "\n".join(read(made).words)


def test_everything_that_was_found_is_told() -> None:
    text = text_of(report_page(page()))
    for finding in FINDINGS:
        told = (
            finding.code,
            finding.path,
            finding.expected,
            finding.found,
            finding.why,
            finding.hint,
            finding.reference,
        )
        for words in (*told, *(w for e in finding.evidence for w in e)):
            assert words in text


def test_the_picture_has_every_accelerator_with_its_node_and_its_holder() -> None:
    text = text_of(report_page(page()))
    for gpu in host().nvidia.gpus:  # type: ignore[union-attr]
        assert f"GPU {gpu.rank}" in text
        assert gpu.address in text
        assert f"/dev/nvidia{gpu.minor}" in text
    assert "held by python3 (pid 4242, uid 1000)" in text
    assert "NUMA node 0" in text
    assert "CPUs 56-111, 1024 GiB" in text
    assert "root bus 0000:18" in text


def test_every_step_of_the_plan_is_told_with_its_reason() -> None:
    made = page()
    text = text_of(report_page(made))
    assert made.plan is not None
    for step in made.plan.steps:
        assert step.describe() in text
        assert str(step.reason) in text


def test_links_lead_to_places_within_the_page() -> None:
    elements = read(report_page(page())).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [attributes["href"] or "" for _, attributes in elements if "href" in attributes]
    assert links
    for link in links:
        assert link[0] == "#"
        assert link[1:] in ids


def test_it_is_self_contained_and_without_scripts() -> None:
    elements = read(report_page(page())).elements
    assert {name for name, _ in elements}.isdisjoint({"script", "img", "iframe", "object", "form", "link", "svg"})
    for _, attributes in elements:
        assert not any(key.startswith("on") or key in ("src", "style", "action") for key in attributes)
    policy = [a["content"] for name, a in elements if name == "meta" and "http-equiv" in a]
    assert len(policy) == 1
    assert "default-src 'none'" in (policy[0] or "")


def test_it_is_accessible() -> None:
    made = read(report_page(page()))
    names = [name for name, _ in made.elements]
    assert dict(made.elements)["html"]["lang"] == "en"
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    levels = [int(name[1]) for name in names if re.fullmatch(r"h[1-6]", name)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), "a level is left out"
    assert names.count("caption") == names.count("table")
    assert all(attributes.get("scope") == "col" for name, attributes in made.elements if name == "th")
    assert all("aria-label" in attributes for _, attributes in made.elements if attributes.get("role") == "region")


@pytest.mark.property
@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(list(Severity)))
def test_hostile_texts_stay_texts(first: str, second: str, severity: Severity) -> None:
    plain = read(
        report_page(page((Finding("code", severity, "a", "b", "c", evidence=(Evidence("d", "e"),)),), with_plan=False))
    )
    finding = Finding("code", severity, f"a{first}", f"b{second}", f"c{first}", evidence=(Evidence("d", f"e{second}"),))
    made = report_page(page((finding,), with_plan=False))
    assert [name for name, _ in read(made).elements] == [name for name, _ in plain.elements]
    assert escape(first) in made
    assert all(c.isprintable() or c == "\n" for c in made)


def test_a_script_in_a_process_name_is_no_script() -> None:
    words = '</code></style><script>alert(1)</script><img src=x onerror="alert(1)">\u202e'
    elements = read(report_page(page((Finding("x", Severity.ERROR, words, words, words),)))).elements
    assert {name for name, _ in elements}.isdisjoint({"script", "img"})


@given(st.text(), st.text())
def test_different_names_have_different_anchors(first: str, second: str) -> None:
    assert (anchor("a", first) == anchor("a", second)) == (first == second)


def test_a_host_without_accelerators_says_so_and_one_that_was_not_seen_does_not() -> None:
    empty = Host("h", False, "", "", (), (), (), (), (), None, ())
    report = Report((), (("checks", 60),))
    made = page()._replace(host=empty, plan=None, judged=(Judged("Doctor", report),))
    assert "No accelerator was found." in text_of(report_page(made))
    blind = empty._replace(unseen=(Unseen("/sys/bus/pci/devices", "EACCES: Permission denied"),))
    text = text_of(report_page(made._replace(host=blind)))
    assert "could not be seen" in text
    assert "No accelerator was found." not in text


def test_attributes_and_contents_are_escaped() -> None:
    assert element("a", "<b>", href='"') == '<a href="&quot;">&lt;b&gt;</a>'
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


# colours


def _palettes() -> dict[str, dict[str, str]]:
    with open(os.path.join(os.path.dirname(page_module.__file__), "style.css"), encoding="utf-8") as file:
        style = file.read()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    palettes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", block)) for block in blocks]
    return {"light": palettes[0], "dark": palettes[0] | palettes[1], "print": palettes[0] | palettes[2]}


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAIRS = [
    ("ink", "paper"),
    ("quiet", "paper"),
    ("quiet", "panel"),
    ("ink", "panel"),
    ("link", "paper"),
    ("ink", "error-back"),
]
PAIRS += [("ink", "warning-back"), ("quiet", "warning-back"), ("quiet", "error-back")]
PAIRS += [(name, f"{name}-back") for name in ("error", "warning", "inconclusive", "info", "ok")]


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
@pytest.mark.parametrize(("ink", "paper"), PAIRS)
def test_texts_stand_out_from_their_background(mode: str, ink: str, paper: str) -> None:
    palette = _palettes()[mode]
    bright, dark = sorted((_luminance(palette[ink]), _luminance(palette[paper])), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3, level AA
