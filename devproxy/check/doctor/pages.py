"""The pages of the codes: what each means, how it is detected, what to do. They are part of the package."""

from __future__ import annotations

import os

from devproxy.check.doctor.catalogue import CHECKS
from devproxy.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

PLACE: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "pages")

_MOST: Final = 6


def codes() -> tuple[str, ...]:
    """Every code of the doctor, sorted."""
    return tuple(sorted({check.code for check in CHECKS}))


def pages() -> tuple[str, ...]:
    """Every code that has a page: the doctor's, and those of `devproxy check`."""
    return tuple(sorted(name.removesuffix(".md") for name in os.listdir(PLACE) if name.endswith(".md")))


def page(code: str) -> str:
    """The page of a code, as Markdown.

    Errors: InputError for what is no code, with the nearest ones.
    """
    require(code, pages())
    with open(os.path.join(PLACE, f"{code}.md"), encoding="utf-8") as file:
        return file.read()


def require(code: str, known: Iterable[str]) -> None:
    """Errors: InputError for what is none of the known codes, with those that have all of its words, or else the nearest ones."""
    known = tuple(known)
    if code not in known:
        from difflib import get_close_matches

        words = code.lower().replace("-", " ").replace("_", " ").split()
        near = [each for each in known if words and all(word in each for word in words)]
        if not 0 < len(near) <= _MOST:
            near = get_close_matches(code, known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "--list lists them"
        raise InputError(f"{code!r} is no code that is looked for", hint=hint)
