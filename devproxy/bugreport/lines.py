"""The lines of a report without what surrounds pasted output: quotes, fences, colours, carriage returns, prefixes of logs."""

from __future__ import annotations

import re

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Far beyond every line that a command prints; what is longer is no output that is understood here.
LINE_LIMIT: Final = 4096

_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|\[[0-9;]{1,8}m")
_INVISIBLE: Final = dict.fromkeys([*range(9), *range(11, 32), 127, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF], None)
_INVISIBLE.update({0xA0: " ", 0x202F: " ", 0x2007: " ", 0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
_ENTITIES: Final = (
    ("&gt;", ">"),
    ("&lt;", "<"),
    ("&quot;", '"'),
    ("&#39;", "'"),
    ("&#x27;", "'"),
    ("&apos;", "'"),
    ("&#34;", '"'),
    ("&nbsp;", " "),
    ("&amp;", "&"),
)
_QUOTE: Final = re.compile(r"\s{0,3}(?:>\s?){1,8}")
_FENCE: Final = re.compile(
    r"\s*(?:[-*]\s+)?(?:`{3,}|~{3,})|\s*</?(?:pre|code|details|summary)\b[^>]{0,80}>\s*$|\s*\{(?:code|noformat)\b[^}]*\}\s*$"
)
_TAGS: Final = re.compile(r"</?(?:pre|code|details|summary|b|strong|br|p)\b[^>]{0,80}>")
# What an editor makes of everything that looks like an address: nvidia.com/gpu=all is no link.
_LINKS: Final = re.compile(r"\[([^\[\]]{1,200})\]\(https?://[^()\s]{1,500}\)")
_DATE: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
# `lsmod | grep nvidia` without a prompt is no line of the service lsmod.
_PIPED: Final = r"(?:ls\w*|dmesg|journalctl|cat|nvidia-smi|modinfo|env|printenv|mount|id|groups|ps|find|dpkg|rpm|ldconfig|clinfo|rocminfo)"
# What container engines, Kubernetes, compose and services write before a line of a log.
_PREFIXES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"\[pod/[^\]\s]+\]\s+",
        rf"(?!{_PIPED}\s)[\w.-]{{1,64}}\s+\|\s(?=\S)",
        rf"{_DATE}\s+(?:stdout|stderr)\s+[FP]\s",
        rf"\[?{_DATE}\]?\s+(?=\S)",
        r"\[?\d\d:\d\d:\d\d(?:[.,]\d{1,6})?\]?\s+(?=\S)",
        r"[A-Z][a-z]{2}\s+\d{1,2}\s\d\d:\d\d:\d\d(?:\.\d+)?\s+[\w.-]+\s+[\w./@-]+(?:\[\d+\])?:\s",
        r"(?:Error|error|ERROR|INFO|WARN|FATA|ERRO)\[\d{4}\]\s(?=\S)",
    )
)
_BULLET: Final = re.compile(r"(?:[-*•–]|\d{1,2}[.)])\s+(?=\S)")


class Line(Record):
    """A line by its number in the report: as it stands once colours and quotes are off (`raw`, indented), without
    prefixes of logs and marks of lists (`text`, stripped), and whether it is a fence or another mark around output.
    """

    number: int
    raw: str
    text: str
    fence: bool = False


def lines_of(text: str) -> list[Line]:
    """Every line of a report."""
    return [_line(number, line) for number, line in enumerate(_split(text), 1)]


def _split(text: str) -> list[str]:
    # Progress bars end lines with a lone carriage return; what matters is the last state.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _line(number: int, line: str) -> Line:
    raw = line[:LINE_LIMIT].translate(_INVISIBLE) if "\x1b" not in line else _uncoloured(line)
    if "[" in raw and "m" in raw:
        raw = _ESCAPES.sub("", raw)
    # A prompt that is `>` goes as well: a command is known by its name then.
    if mark := _QUOTE.match(raw):
        raw = raw[mark.end() :]
    if _FENCE.match(raw):
        return Line(number, raw, "", fence=True)
    if "&" in raw:
        for entity, character in _ENTITIES:
            raw = raw.replace(entity, character)
    if "](http" in raw:
        raw = _LINKS.sub(r"\1", raw)
    if "</" in raw or "<pre" in raw or "<code" in raw or "<br" in raw:
        raw = _TAGS.sub("", raw)
    raw = raw.rstrip()
    return Line(number, raw, _unprefixed(raw.strip()))


def _uncoloured(line: str) -> str:
    return _ESCAPES.sub("", line[: 4 * LINE_LIMIT]).translate(_INVISIBLE)[:LINE_LIMIT]


def _unprefixed(text: str) -> str:
    if text.startswith('{"log":'):
        text = _of_json_log(text)
    for prefix in _PREFIXES:
        if found := prefix.match(text):
            text = text[found.end() :]
    if found := _BULLET.match(text):
        text = text[found.end() :]
    if len(text) > 1 and text[0] == text[-1] == "`":
        text = text.strip("`")
    return text.strip()


def _of_json_log(text: str) -> str:
    """The line inside one of docker's json-file log."""
    from devproxy.json_text import loads

    try:
        document = loads(text)
    except (ValueError, RecursionError):
        return text
    log = document.get("log") if isinstance(document, dict) else None
    return log.strip() if isinstance(log, str) else text
