"""Tables: a caption, a header row, cells; wide ones scroll by themselves and not the page."""

from __future__ import annotations

from devproxy.check.html.markup import Content, Html, element, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Content]]) -> Html:
    """A table, or nothing where there are no rows."""
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    if not body:
        return Html("")
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in header)))
    whole = element("table", element("caption", caption), head, element("tbody", join(body)))
    # A region that scrolls is reached by keyboard, and has a name (WCAG 2.1.1).
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def code(text: str) -> Html:
    """A path, a number, a value as it was read."""
    return element("code", text)


def facts(pairs: Iterable[tuple[str, Content]]) -> Html:
    """Names and values, one beside the other; empty values are left out."""
    told = [(name, value) for name, value in pairs if value]
    parts = [element("div", element("dt", name), element("dd", value)) for name, value in told]
    return element("dl", join(parts), class_="facts")
