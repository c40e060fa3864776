"""The catalogue: every code has its place, its page, and an order."""

from __future__ import annotations

import os
import re

import pytest

from devproxy.check.doctor.catalogue import CHECKS
from devproxy.check.doctor.pages import PLACE, codes, page
from devproxy.check.doctor.words import together
from devproxy.check.finding import Finding, Severity
from devproxy.errors import InputError

SECTIONS = ["What it means", "How it is detected", "What to do"]


def test_codes_are_words_and_each_is_there_once() -> None:
    assert len(codes()) == len(CHECKS)
    for code in codes():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)


@pytest.mark.parametrize("code", codes())
def test_each_code_has_a_page(code: str) -> None:
    text = page(code)
    assert text.startswith(f"# {code}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    for section in text.split("## ")[1:]:
        assert len(section.partition("\n")[2].strip()) >= 20, "a section says nothing"


def test_there_is_no_page_without_a_code() -> None:
    assert {name.removesuffix(".md") for name in os.listdir(PLACE)} == set(codes())


def test_what_is_no_code_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean device-lost"):
        page("device-loss")
    with pytest.raises(InputError, match="--list"):
        page("../../../etc/passwd")


def test_findings_that_say_the_same_are_told_once() -> None:
    same = [
        Finding("a", Severity.ERROR, f"/dev/nvidia{n}", "x", "y", "why", f"chmod 0666 /dev/nvidia{n}")
        for n in range(12)
    ]
    other = Finding("a", Severity.WARNING, "/dev/nvidia0", "x", "y", "why")
    told = together([*same, other])
    assert [len(each.subjects) for each in told] == [12, 1]
    assert told[0].subject.endswith("/dev/nvidia7 and 4 more")
