"""Two plans compared (`devproxy plan --json`), step by step: a step is its kind and its path."""

from __future__ import annotations

from devproxy.difference.comparison import Comparison, Line, change
from devproxy.difference.listed import entries
from devproxy.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    Document = dict[str, object]
    Key = tuple[str, str, int]

_HEAD: Final = ("mode", "strict", "host_fifo", "character_devices", "hostname", "domainname")
# Where a bundle lies and what a recording is called says nothing of the plan.
_ABOUT: Final = ("bundle", "host")
_SAID: Final = ("step", "path", "text", "reason")


def compare_plans(before: Document, after: Document) -> Comparison:
    """The plans' settings, then steps that are new, gone and changed, their order, their reasons.

    Raises:
        InputError: one of them has no steps as plans have them.
    """
    old = entries(before, "steps", "step", "the first plan", "step")
    new = entries(after, "steps", "step", "the second plan", "step")
    lines = [*_fields(before, after, _HEAD, "settings"), *_steps_changed(old, new)]
    lines += _order([key for key in old if key in new], [key for key in new if key in old])
    lines += [line for key in old if key in new for line in _reason(old[key], new[key])]
    return Comparison("plan", (*lines, *_fields(before, after, _ABOUT, "about", minor=True)))


def _steps_changed(old: dict[Key, Document], new: dict[Key, Document]) -> Iterator[Line]:
    for key, step in new.items():
        if key not in old:
            yield Line("steps", "step", _name(key), "", None, _text(step), f"step added: {_text(step)}")
    for key, step in old.items():
        if key not in new:
            yield Line("steps", "step", _name(key), "", _text(step), None, f"step removed: {_text(step)}")
    for key, step in old.items():
        other = new.get(key)
        for field in dict.fromkeys((*step, *other)) if other is not None else ():
            if other is not None and field not in _SAID and step.get(field) != other.get(field):
                was, now = _shown(step.get(field)), _shown(other.get(field))
                yield Line(
                    "steps", "step", _name(key), field, was, now, f"step {_name(key)}: {field} {change(was, now)}"
                )


def _order(old: list[Key], new: list[Key]) -> Iterator[Line]:
    """Whether steps that both have come in another order; the first that does tells."""
    for was, now in zip(old, new, strict=True):
        if was != now:
            first, second = _name(was), _name(now)
            yield Line("steps", "order", "", "first", first, second, f"order of the steps: {first} was before {second}")
            return


def _reason(old: Document, new: Document) -> Iterator[Line]:
    was, now = _shown(old.get("reason")), _shown(new.get("reason"))
    if was != now:
        name = f"{old['step']} {old['path']}"
        yield Line("reasons", "step", name, "reason", was, now, f"step {name}: reason {change(was, now)}")


def _fields(
    before: Document, after: Document, names: tuple[str, ...], group: str, *, minor: bool = False
) -> Iterator[Line]:
    for name in names:
        was, now = _shown(before.get(name)), _shown(after.get(name))
        if was != now:
            yield Line(group, "setting", "", name, was, now, f"{name} {change(was, now)}", minor)


def _name(key: Key) -> str:
    kind, path, number = key
    return f"{kind} {path}" + (f" (number {number + 1} there)" if number else "")


def _text(step: Document) -> str:
    text = step.get("text")
    return text if isinstance(text, str) else f"{step['step']} {step['path']}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else dumps(value)
