"""The entries of a list in a JSON document, by what each is: its kind, its path, and which of those that share both."""

from __future__ import annotations

from devproxy.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Document = dict[str, object]
    Key = tuple[str, str, int]


def entries(document: Document, name: str, kind: str, where: str, noun: str) -> dict[Key, Document]:
    """The entries of the list `name` by their texts `kind` and `path`; `where` and `noun` are what the document and an entry are
    called to the user.

    Raises:
        InputError: there is no such list, or an entry lacks one of the two.
    """
    found: dict[Key, Document] = {}
    listed = document.get(name)
    for place, entry in enumerate(listed if isinstance(listed, list) else [None]):
        first, path = (entry.get(kind), entry.get("path")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(first, str) and isinstance(path, str)):
            raise InputError(
                f"{where}: {name}[{place}] is no {noun}: it has no {'kind' if kind == noun else kind} and path"
            )
        number = 0
        while (first, path, number) in found:
            number += 1
        found[first, path, number] = entry
    return found
