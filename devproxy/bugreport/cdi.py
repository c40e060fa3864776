"""CDI specs as they are pasted, YAML or JSON."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import Draft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_START: Final = re.compile(r"(?:---\s*|cdiVersion:\s.*|kind:\s+[\w./-]{3,80}/[\w.-]{1,60}\s*)$")
_NAMED: Final = re.compile(r"(?P<path>/(?:etc|var/run|run)/cdi/[\w./-]{1,100}\.(?:ya?ml|json))")
_MOST: Final = 20_000


def take_cdi(lines: list[Line], at: int, draft: Draft) -> int:
    """A spec, from `cdiVersion` or `{` to its end. A piece of one is none: what is missing may have been left out."""
    first = lines[at].raw.rstrip()
    stripped = first.lstrip()
    if stripped.startswith("{"):
        return _take_json(lines, at, draft)
    if not _START.match(stripped):
        return 0
    indent = len(first) - len(stripped)
    end, kept, begun = at, [], set[str]()
    while end < len(lines) and end < at + _MOST and not lines[end].fence:
        raw = lines[end].raw.rstrip()
        if raw and not raw.startswith(" " * indent):
            break
        line = raw[indent:]
        if line and end > at and not re.match(r"(?:\s+\S|-\s|[a-zA-Z]{2,24}:(?:\s|$)|#|---|\.\.\.)", line):
            break
        if line.strip() in ("...", "…", "[...]"):
            return 0  # a part was left out: nothing can be said of what is not there
        if line.startswith(("cdiVersion:", "kind:", "---")):
            key = line[:4]
            if key in begun or (end > at and key == "---"):
                break  # the next spec
            begun.add(key)
        kept.append(line)
        end += 1
    text = "\n".join(kept).rstrip() + "\n"
    if not (re.search(r"^cdiVersion:", text, re.MULTILINE) and re.search(r"^kind:", text, re.MULTILINE)):
        return 0
    _keep(lines, at, at + len(text.splitlines()), text, draft, "yaml")
    return len(text.splitlines())


def _take_json(lines: list[Line], at: int, draft: Draft) -> int:
    ahead = "".join(line.raw for line in lines[at : at + 4])
    if '"cdiVersion"' not in ahead:
        return 0
    depth, kept = 0, []
    for line in lines[at : at + _MOST]:
        if line.fence:
            break
        kept.append(line.raw)
        depth += line.raw.count("{") - line.raw.count("}")
        if depth <= 0:
            break
    _keep(lines, at, at + len(kept), "\n".join(kept) + "\n", draft, "json")
    return len(kept)


def _keep(lines: list[Line], at: int, end: int, text: str, draft: Draft, kind: str) -> None:
    command = draft.command
    named = _NAMED.search(command.text) if command is not None else None
    for line in lines[max(0, at - 3) : at]:
        named = _NAMED.search(line.text) or named
    path = named["path"] if named else f"/etc/cdi/report-line-{lines[at].number}.{kind}"
    if len(draft.cdi) < 50:
        draft.cdi[path] = text
    draft.use(lines[at].number, lines[end - 1].number, "CDI spec", 1, "spec")
