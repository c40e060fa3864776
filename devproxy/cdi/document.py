"""YAML or JSON as values that know their lines. Aliases are refused: a spec needs none, and they can grow without bound."""

from __future__ import annotations

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_LIMIT: Final = 1 << 20
_DEEPEST: Final = 100  # a spec has seven levels


class Value(Record):
    """A value and its line: a text, number, boolean or None; a list of values; or a mapping of them by name."""

    line: int
    plain: str | int | float | bool | None = None
    items: tuple[Value, ...] | None = None
    members: dict[str, Value] | None = None


class DocumentError(Exception):
    """No document: the line, and what is wrong there."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


def parse_document(text: str) -> Value:
    """The one document in a text. JSON is YAML, but for tabs before members.

    Raises:
        DocumentError: it cannot be parsed, or names a member twice.
    """
    import yaml

    if len(text) > _LIMIT:
        raise DocumentError(1, "larger than 1 MiB")
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")
    try:
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:  # what composes it calls itself, and takes minutes for some
                where = event.start_mark
                raise DocumentError(where.line + 1 if where is not None else 1, "nested too deeply")
            if isinstance(event, yaml.AliasEvent):
                where = event.start_mark
                raise DocumentError(where.line + 1 if where is not None else 1, "an alias, which no spec needs")
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            raise DocumentError(1, "empty")
        return _value(node, yaml.SafeLoader(""))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(mark.line + 1 if mark is not None else 1, error.problem or "no YAML") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DocumentError(1, f"no YAML: {str(error)[:100]}") from error


def _value(node: Any, loader: Any) -> Value:  # noqa: ANN401 (PyYAML's nodes have no common interface)
    line = node.start_mark.line + 1
    if node.id == "sequence":
        return Value(line, items=tuple(_value(each, loader) for each in node.value))
    if node.id == "mapping":
        members: dict[str, Value] = {}
        for key, value in node.value:
            if key.value in members:
                raise DocumentError(key.start_mark.line + 1, f"{key.value} is given twice")
            members[str(key.value)] = _value(value, loader)
        return Value(line, members=members)
    plain = loader.construct_object(node)
    return Value(line, plain if isinstance(plain, (str, int, float, bool, type(None))) else str(node.value))
