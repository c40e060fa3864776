"""The pages of the codes: what each means, how it is detected, what to do. They are part of the package."""

from __future__ import annotations

import os

from devproxy.check.doctor.catalogue import CHECKS
from devproxy.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PLACE: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "pages")


def codes() -> tuple[str, ...]:
    """Every code of the doctor, sorted."""
    return tuple(sorted({check.code for check in CHECKS}))


def page(code: str) -> str:
    """The page of a code, as Markdown.

    Errors: InputError for what is no code, with the nearest ones.
    """
    if code not in codes():
        from difflib import get_close_matches

        near = get_close_matches(code, codes(), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "'devproxy doctor --list' lists them"
        raise InputError(f"{code!r} is no code of the doctor's", hint=hint)
    with open(os.path.join(PLACE, f"{code}.md"), encoding="utf-8") as file:
        return file.read()
