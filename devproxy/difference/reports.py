"""Two reports compared (`devproxy verify --json`, `devproxy doctor --json`): a finding is its code and what it is about."""

from __future__ import annotations

from devproxy.difference.comparison import Comparison, Line, change
from devproxy.difference.listed import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    Document = dict[str, object]
    Key = tuple[str, str, int]

_FIELDS: Final = ("severity", "expected")
# What was found has measured values in it: another temperature is the same finding.
_MEASURED: Final = ("found", "why")
_ORDER: Final = ("error", "inconclusive", "warning", "info")


def compare_reports(before: Document, after: Document) -> Comparison:
    """The verdict, findings that are new, gone and changed, the severe ones first, then what else was told.

    Raises:
        InputError: one of them has no findings as reports have them.
    """
    old, new = _findings(before, "the first report"), _findings(after, "the second report")
    lines = [*_said(before, after, "verdict", "verdict", minor=False)]
    lines += sorted(_came(old, new), key=lambda line: line.before is not None)
    both = [(key, old[key], new[key]) for key in old if key in new]
    lines += [line for key, was, now in both for line in _changed(key, was, now, _FIELDS, "findings", minor=False)]
    lines += [line for key, was, now in both for line in _changed(key, was, now, _MEASURED, "values", minor=True)]
    for name in ("compared", "host", "bundle", "mode"):
        lines += _said(before, after, name, "about", minor=True)
    return Comparison("report", tuple(lines))


def _findings(document: Document, where: str) -> dict[Key, Document]:
    found = entries(document, "findings", "code", where, "finding")
    severity = {key: _text(finding.get("severity")) for key, finding in found.items()}
    rank = {name: place for place, name in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda each: rank.get(severity[each[0]], len(rank))))


def _came(old: dict[Key, Document], new: dict[Key, Document]) -> Iterator[Line]:
    for key, finding in new.items():
        if key not in old:
            yield Line("findings", *_subject(key), "", None, _words(finding), f"finding new: {_named(key, finding)}")
    for key, finding in old.items():
        if key not in new:
            yield Line("findings", *_subject(key), "", _words(finding), None, f"finding gone: {_named(key, finding)}")


def _changed(
    key: Key, was: Document, now: Document, fields: tuple[str, ...], group: str, *, minor: bool
) -> Iterator[Line]:
    for field in fields:
        first, second = _text(was.get(field)), _text(now.get(field))
        if first != second:
            text = f"finding {key[0]} {key[1]}: {field} {change(first, second)}"
            yield Line(group, *_subject(key), field, first, second, text, minor)


def _said(before: Document, after: Document, name: str, group: str, *, minor: bool) -> Iterator[Line]:
    was, now = _text(before.get(name)), _text(after.get(name))
    if was != now:
        yield Line(group, "report", "", name, was, now, f"{name} {change(was, now)}", minor)


def _subject(key: Key) -> tuple[str, str]:
    return key[0], key[1]


def _named(key: Key, finding: Document) -> str:
    return f"{key[0]} {key[1]} ({_words(finding)})"


def _words(finding: Document) -> str:
    severity, found, expected = (_text(finding.get(name)) for name in ("severity", "found", "expected"))
    return f"{severity}: {found}, expected {expected}"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return "" if value is None else str(value)
