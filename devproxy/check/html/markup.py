"""HTML made of elements, never of strings: every text is escaped, and what would turn or hide text is shown as a code."""

from __future__ import annotations

import html

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

# Elements without contents (HTML Living Standard, 13.1.2 "Void elements").
_VOID: Final = frozenset(("br", "hr", "meta", "link"))


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = Html | str | None


def element(name: str, /, *content: Content, **attributes: str | None) -> Html:
    """An element. Texts are escaped, None is left out; an attribute of None is left out, `class_` is `class`, `aria_label`
    is `aria-label`.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{words}>")
    return Html(f"<{name}{words}>{join(content)}</{name}>")


def join(content: Iterable[Content]) -> Html:
    """Contents one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in content if part is not None))


def escape(text: str) -> Html:
    """A text as HTML. Control and format characters (which end lines, hide words or turn their direction) and lone
    surrogates stand as their codes.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
    return Html(html.escape(text, quote=True))


def anchor(kind: str, name: str) -> str:
    """An id for links within the page: letters, digits and `-`, different for different names."""
    return f"{kind}-" + "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in name)
