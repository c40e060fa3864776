"""Records beside what type checkers take them for: typing.NamedTuple."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from typing import Any, NamedTuple

import pytest

from devproxy.record import Record


class Point(Record):
    """A place."""

    x: int
    y: int = 2
    name: str = "here"

    @property
    def sum(self) -> int:
        return self.x + self.y

    def moved(self, by: int) -> Point:
        return self._replace(x=self.x + by)


class Peer(NamedTuple):
    x: int
    y: int = 2
    name: str = "here"


class Strict(Record):
    a: int

    def __bool__(self) -> bool:
        return self.a > 0


class Odd(Strict):
    """An ordinary subclass."""


def define(name: str, body: dict[str, Any]) -> Any:
    kind: Any = type(Record)
    return kind(name, (Record,), {"__qualname__": name, **body})


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, 5), {}),
    ((1, 5, "there"), {}),
    ((), {"x": 7}),
    ((), {"name": "n", "x": 7}),
    ((3,), {"y": 4}),
    ((), {}),
    ((1, 2, "a", 4), {}),
    ((1,), {"x": 2}),
    ((1,), {"z": 2}),
]


def attempt(call: Any, *args: Any, **named: Any) -> Any:
    try:
        return tuple(call(*args, **named))
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), str(error).replace("Peer", "Point")


@pytest.mark.parametrize(("given", "named"), ARGUMENTS)
def test_it_is_made_as_a_named_tuple_is(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    assert attempt(Point, *given, **named) == attempt(Peer, *given, **named)


@pytest.mark.parametrize("made", [Point, Peer])
def test_it_does_what_a_named_tuple_does(made: Any) -> None:
    one = made(1, name="a")
    assert (one.x, one.y, one.name) == (1, 2, "a") == one == tuple(one)
    assert hash(one) == hash((1, 2, "a"))
    assert one._replace(y=5) == (1, 5, "a")
    assert one._asdict() == {"x": 1, "y": 2, "name": "a"}
    assert made._fields == ("x", "y", "name")
    assert made._make([1, 2, 3]) == (1, 2, 3)
    assert made._field_defaults == {"y": 2, "name": "here"}
    assert repr(one) == f"{made.__name__}(x=1, y=2, name='a')"
    x, y, name = one
    assert [x, y, name] == [1, 2, "a"]
    assert made.__match_args__ == made._fields
    assert str(inspect.signature(made)) == "(x: 'int', y: 'int' = 2, name: 'str' = 'here')" or made is Peer
    assert typing.get_type_hints(made) == {"x": int, "y": int, "name": str}
    for wrong in ("x", "other"):
        with pytest.raises(AttributeError):
            setattr(one, wrong, 3)
    with pytest.raises(TypeError):
        made._make([1])
    with pytest.raises((TypeError, ValueError)):
        one._replace(z=1)


def test_it_matches_by_place_and_by_name() -> None:
    match Point(1, 2, "a"):
        case Point(1, 2, name=found):
            assert found == "a"
        case _:
            pytest.fail("does not match")


def test_a_copy_is_equal_and_of_its_class() -> None:
    one = Point(1, 2, "a")
    for again in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert again == one
        assert type(again) is Point


def test_methods_and_subclasses() -> None:
    assert type(Point) is type
    assert isinstance(Point(1), tuple)
    assert Point(1).sum == 3
    assert Point(1).moved(4) == Point(5)
    assert type(Point(1).moved(4)) is Point
    assert not Strict(0)
    assert type(Odd(3)._replace(a=4)) is Odd


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "1 to 20 fields, not 0"),
        ({"__annotations__": {f"f{n}": "int" for n in range(21)}}, "1 to 20 fields, not 21"),
        ({"__annotations__": {"a": "int", "b": "int"}, "a": 1}, "without a default come before"),
    ],
)
def test_a_class_that_cannot_be_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        define("Wrong", body)


@pytest.mark.parametrize("count", range(1, 21))
def test_any_number_of_fields_up_to_twenty(count: int) -> None:
    names = [f"f{n}" for n in range(count)]
    made = define("Wide", {"__annotations__": dict.fromkeys(names, "int"), names[-1]: "last"})
    values = list(range(count - 1))
    assert tuple(made(*values)) == (*values, "last")
    assert made(**dict(zip(names, values, strict=False)))._asdict() == dict(zip(names, [*values, "last"], strict=True))


def test_classes_share_what_reads_their_fields() -> None:
    """A class costs its constructor, not an object for each field as well."""

    class Pair(Record):
        first: int
        second: int = 2

    class Other(Record):
        name: str

    assert vars(Pair)["first"] is vars(Other)["name"]
    assert (Pair(1).first, Pair(1).second, Other("x").name) == (1, 2, "x")
    constructor = Pair.__new__
    assert (constructor.__name__, constructor.__qualname__) == ("__new__", f"{Pair.__qualname__}.__new__")
