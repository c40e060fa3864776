"""Choices: classes with a fixed set of members, as `enum.Enum` and `enum.IntFlag` make them and as type checkers see them.

Importing enum and making a dozen classes with it costs milliseconds that `devproxy run` does not have. What is here is
what devproxy uses: members are the class's own objects, told apart by identity, found by value, listed in the order
written. Not done: aliases, `auto()`, members by name (`Kind["NAME"]`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

__all__ = ["Choice", "Flags"]


class _ChoiceType(type):
    """Makes the members when their class is made, and answers for them."""

    _members: dict[Any, Any]

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> _ChoiceType:
        values = {key: value for key, value in body.items() if key[0] != "_" and not hasattr(value, "__get__")}
        for key in values:
            del body[key]
        body.setdefault("__slots__", ())
        made = super().__new__(cls, name, bases, body)
        made._members = {}
        for key, value in values.items():
            member = made._member(key, value)  # type: ignore[attr-defined]
            made._members[value] = member
            setattr(made, key, member)
        return made

    def __call__(cls, value: object) -> object:
        """The member with a value. Errors: ValueError without one."""
        try:
            return cls._members[value]
        except (KeyError, TypeError):
            return cls._missing(value)  # type: ignore[attr-defined]

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls._members.values())

    def __len__(cls) -> int:
        return len(cls._members)


class _Choice(metaclass=_ChoiceType):
    """One of a few: `name` and `value` are what its class says."""

    __slots__ = ("name", "value")
    name: str
    value: Any

    @classmethod
    def _member(cls, name: str, value: object) -> _Choice:
        made = object.__new__(cls)
        object.__setattr__(made, "name", name)
        object.__setattr__(made, "value", value)
        return made

    @classmethod
    def _missing(cls, value: object) -> NoReturn:
        raise ValueError(f"{value!r} is not a valid {cls.__name__}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self!r} cannot be changed")

    def __reduce__(self) -> tuple[type, tuple[Any]]:
        return type(self), (self.value,)  # a copy is the member itself

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value!r}>"


class _Flags(int, metaclass=_ChoiceType):
    """Some of a few, as bits. What several come to is of the class too, and has no name."""

    __slots__ = ()

    @classmethod
    def _member(cls, _: str, value: int) -> _Flags:
        return int.__new__(cls, value)

    @classmethod
    def _missing(cls, value: int) -> _Flags:
        return int.__new__(cls, value)

    @property
    def name(self) -> str | None:
        """As its class says; None for several and for none."""
        members = vars(type(self)).items()
        return next((name for name, member in members if type(member) is type(self) and member == self), None)

    @property
    def value(self) -> int:
        """The bits."""
        return int(self)

    def __or__(self, other: int) -> _Flags:
        return type(self)(int(self) | other)

    def __and__(self, other: int) -> _Flags:
        return type(self)(int(self) & other)

    def __xor__(self, other: int) -> _Flags:
        return type(self)(int(self) ^ other)

    def __contains__(self, other: int) -> bool:
        return int(self) & other == other

    def __iter__(self) -> Iterator[Any]:
        return (member for member in type(self) if int(self) & member)

    def __invert__(self) -> _Flags:
        """Every other member."""
        cls = type(self)
        rest = 0
        for member in cls:
            rest |= int(member)
        return cls(rest & ~int(self))

    __ror__, __rand__, __rxor__ = __or__, __and__, __xor__

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (int(self),)

    def __repr__(self) -> str:
        names = "|".join(member.name for member in self)
        return f"<{type(self).__name__}.{names or 'none'}: {int(self):#x}>"


if TYPE_CHECKING:
    from enum import Enum as Choice
    from enum import IntFlag as Flags
else:
    Choice, Flags = _Choice, _Flags
