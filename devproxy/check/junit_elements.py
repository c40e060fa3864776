"""The elements of JUnit's XML (junit-10.xsd of Jenkins' xunit plugin), with texts as XML 1.0 can hold them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


def case(classname: str, name: str, inner: tuple[str, ...], seconds: float | None = None) -> str:
    """A test, with what is in it. `seconds` is how long it took."""
    time = {} if seconds is None else {"time": f"{seconds:.3f}"}
    return f"{tag('testcase', {'classname': classname, 'name': name, **time})}{''.join(inner)}</testcase>"


def element(name: str, text: str, **attributes: str) -> str:
    """An element with a text."""
    return f"{tag(name, attributes)}{escaped(text)}</{name}>"


def tag(name: str, attributes: dict[str, str]) -> str:
    """An opening tag."""
    shown = "".join(f' {key}="{escaped(value)}"' for key, value in attributes.items())
    return f"<{name}{shown}>"


_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escaped(text: str) -> str:
    """A text as XML 1.0 can hold it (production 2, Char): what it cannot is shown as in Python. Tabs and ends of lines are
    written as references, which attributes keep.
    """
    return "".join(_character(character) for character in text)


def _character(character: str) -> str:
    if character in _ENTITIES:
        return _ENTITIES[character]
    if character in "\t\n\r":
        return f"&#{ord(character)};"
    if character < " " or "\ud800" <= character <= "\udfff" or character in "\ufffe\uffff" or character == "\x7f":
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character
