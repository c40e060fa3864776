"""Records: immutable tuples with named fields, as `typing.NamedTuple` makes them and as type checkers see them.

What it is for: importing typing costs more than a root takes to build, and making sixty classes with it as much again
(each compiles a `__new__` and every annotation). Here a class costs what `type()` costs: its `__new__` is one of the
templates below, whose parameters get the names of the fields. An instance costs what a NamedTuple's does.

Not done, other than by NamedTuple: names are not checked (the type checker does that), and a record has one to
twenty fields.
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]
from itertools import repeat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FunctionType
    from typing import Any, Final, Self, TypeVar

    Made = TypeVar("Made")
else:
    FunctionType = type(lambda: None)  # the module of types would cost more than all that is made here

__all__ = ["Record", "make_all"]

_new: Final = tuple.__new__

# fmt: off
# One for each number of fields. The names are replaced, the bodies are what counts.
_TEMPLATES: Final[tuple[Callable[..., Any], ...]] = (
    lambda _cls, a: _new(_cls, (a,)),
    lambda _cls, a, b: _new(_cls, (a, b)),
    lambda _cls, a, b, c: _new(_cls, (a, b, c)),
    lambda _cls, a, b, c, d: _new(_cls, (a, b, c, d)),
    lambda _cls, a, b, c, d, e: _new(_cls, (a, b, c, d, e)),
    lambda _cls, a, b, c, d, e, f: _new(_cls, (a, b, c, d, e, f)),
    lambda _cls, a, b, c, d, e, f, g: _new(_cls, (a, b, c, d, e, f, g)),
    lambda _cls, a, b, c, d, e, f, g, h: _new(_cls, (a, b, c, d, e, f, g, h)),
    lambda _cls, a, b, c, d, e, f, g, h, i: _new(_cls, (a, b, c, d, e, f, g, h, i)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j: _new(_cls, (a, b, c, d, e, f, g, h, i, j)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u)),
)
# fmt: on
_MOST: Final = len(_TEMPLATES)
# What reads a field knows its place alone, so that all classes share it.
_GETTERS: Final = tuple(_tuplegetter(place, None) for place in range(_MOST))


class _Values(tuple["Any", ...]):
    """What every record can do; the names are those of NamedTuple."""

    __slots__ = ()
    if TYPE_CHECKING:  # annotations here would pass for fields
        _fields: tuple[str, ...] = ()

    @classmethod
    def _make(cls, values: Iterable[Any]) -> Self:
        """A record of values in the order of the fields. Errors: TypeError for too few or too many."""
        made = _new(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, not {len(made)}")
        return made

    def _replace(self, /, **changes: object) -> Self:
        """The same with some fields changed. Errors: TypeError for a name that is none of its own."""
        made = _new(type(self), map(changes.pop, self._fields, self))
        if changes:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(map(repr, changes))}")
        return made

    __replace__ = _replace

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({fields})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)


class _RecordType(type):
    """Turns the body of a class into a record class. What it makes is a plain class: the next `class` statement that
    names it as its base makes an ordinary subclass.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, body)
        if len(bases) > 1:
            raise TypeError(f"{name}: a record class has no base but Record")
        types = body.get("__annotations__", {})
        fields = tuple(types)
        if not 1 <= len(fields) <= _MOST:
            raise TypeError(f"{name}: a record has 1 to {_MOST} fields, not {len(fields)}")
        given = {field: body.pop(field) for field in fields if field in body}
        if given and fields[-len(given) :] != tuple(given):
            raise TypeError(f"{name}: fields without a default come before those with one")
        body.update(zip(fields, _GETTERS))  # noqa: B905 (of fields there are fewer)
        body["__slots__"] = ()
        body["_fields"] = body["__match_args__"] = fields
        body["_field_defaults"] = given
        body["__new__"] = new = _constructor(body["__qualname__"], fields, tuple(given.values()))
        new.__annotations__ = types
        return type(name, (_Values,), body)


def _constructor(owner: str, fields: tuple[str, ...], defaults: tuple[Any, ...]) -> FunctionType:
    template = _TEMPLATES[len(fields) - 1].__code__
    # The qualified name is what a message about arguments begins with.
    code = template.replace(co_varnames=("_cls", *fields), co_name="__new__", co_qualname=f"{owner}.__new__")
    return FunctionType(code, globals(), None, defaults)


def make_all(cls: type[Made], *columns: Iterable[Any]) -> list[Made]:
    """Records of a class from the columns of their fields, all of them, in a third of the time that one by one takes. It ends with the
    shortest column. Precondition: there is a column for each field.
    """
    return list(map(_new, repeat(cls), zip(*columns, strict=False)))  # type: ignore[arg-type]


if TYPE_CHECKING:
    from typing import NamedTuple as Record
else:

    class Record(metaclass=_RecordType):
        """The base of a record class: `class Mount(Record)`, then fields with annotations, then methods."""
