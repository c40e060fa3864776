"""What CI systems read from a job's log, read back by parsers that follow theirs."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devproxy.jobs.job.github import annotation, harmless, resume_commands, stop_commands
from devproxy.jobs.job.gitlab import section_end, section_start
from devproxy.jobs.job.markdown import escape

TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from(["::", "##[", "error", "]", " ", ",", "=", ":", "%", "%0A", "%25", "\r", "\n", "\u2028", "stop-commands", "<b>", "`", "|"]),
    max_size=12,
).map("".join)  # fmt: skip


def read_line(line: str) -> tuple[str, dict[str, str], str] | None:
    """A line as the runner takes it (actions/runner, src/Runner.Common/ActionCommand.cs, TryParseV2 and TryParse): the command's name,
    its properties, its data.
    """
    message = line.strip()
    if message.startswith("::") and (end := message.find("::", 2)) >= 0:
        name, _, properties = message[2:end].partition(" ")
        pairs = (each.split("=", 1) for each in properties.strip().split(",") if each.strip())
        known = {pair[0]: _unescape(pair[1], property_=True) for pair in pairs if len(pair) == 2 and all(pair)}
        return name, known, _unescape(message[end + 2 :])
    older = re.search(r"##\[([^\] ]+)(?: ([^\]]*))?\](.*)", line)
    return (older[1], {}, older[3]) if older else None


def _unescape(text: str, *, property_: bool = False) -> str:
    pairs = [("%0D", "\r"), ("%0A", "\n"), *((("%3A", ":"), ("%2C", ",")) if property_ else ()), ("%25", "%")]
    for written, meant in pairs:
        text = text.replace(written, meant)
    return text


def lines(text: str) -> list[str]:
    """As a .NET StreamReader gives them."""
    return re.split(r"\r\n|\r|\n", text)


@pytest.mark.property
@given(TEXTS, TEXTS)
@example("a,title=b::c", "x\n::error::forged\r::warning::too%0A%25")
@example("", "")
def test_an_annotation_is_one_command_with_the_message_that_was_given(title: str, message: str) -> None:
    written = annotation("error", title, message)
    (line,) = lines(written)
    found = read_line(line)
    assert found is not None
    name, properties, data = found
    assert name == "error"
    # The runner trims the line and the properties; a lone surrogate cannot be written at all.
    assert data.rstrip() == _writable(message).rstrip()
    assert properties.keys() <= {"title"}
    assert properties.get("title", "").strip() == _writable(title).strip()


def _writable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@pytest.mark.property
@given(TEXTS)
@example("##[error]forged")
@example("####[[error]")
def test_a_message_of_ours_is_no_command_whatever_is_in_it(text: str) -> None:
    shown = harmless(text.replace("\n", "\\n").replace("\r", "\\r"))  # control characters are escaped by the context
    assert read_line(f"devproxy: {shown}") is None


def test_the_command_cannot_speak_between_the_two_lines() -> None:
    token = "5d0b"
    assert read_line(stop_commands(token)) == ("stop-commands", {}, token)
    assert read_line(resume_commands(token)) == (token, {}, "")


@pytest.mark.property
@given(TEXTS)
@example("# x\n- [ ] <script>alert(1)</script> | `a` ![](http://x) &amp;")
def test_markdown_is_one_line_without_markup(text: str) -> None:
    shown = escape(text)
    assert shown.isprintable()
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", shown)  # escaped punctuation is itself, and nothing else (GFM 6.1)
    bare = bare.replace("&amp;", "").replace("&lt;", "")
    assert not set(bare) & set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def test_gitlabs_sections() -> None:
    pattern = r"\x1b\[0Ksection_start:(\d+):([\w.-]+)(\[collapsed=true\])?\r\x1b\[0K(.*)"
    found = re.fullmatch(pattern, section_start("devproxy_check_before", "check", 12.7, collapsed=True))
    assert found is not None
    assert found.groups() == ("12", "devproxy_check_before", "[collapsed=true]", "check")
    assert section_end("devproxy_check_before", 13) == "\x1b[0Ksection_end:13:devproxy_check_before\r\x1b[0K"
