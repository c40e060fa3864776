"""Choices beside what type checkers take them for: enum.Enum and enum.IntFlag."""

from __future__ import annotations

import copy
import enum
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.choice import Choice, Flags


class Colour(Choice):
    """A few."""

    RED = "red"
    GREEN = 2
    NONE = None

    @property
    def loud(self) -> str:
        return f"{self.value}!"


class PeerColour(enum.Enum):
    RED = "red"
    GREEN = 2
    NONE = None


class Bits(Flags):
    A = 0x1
    B = 0x4
    C = 0x100


class PeerBits(enum.IntFlag):
    A = 0x1
    B = 0x4
    C = 0x100


@pytest.mark.parametrize("kind", [Colour, PeerColour])
def test_a_choice_is_an_enumeration(kind: Any) -> None:
    assert [(member.name, member.value) for member in kind] == [("RED", "red"), ("GREEN", 2), ("NONE", None)]
    assert len(kind) == 3
    assert kind("red") is kind.RED
    assert kind(None) is kind.NONE
    assert isinstance(kind.RED, kind)
    assert kind.RED in kind
    assert kind.RED == kind.RED
    assert kind.RED != "red"
    assert {kind.RED: 1}[kind("red")] == 1
    assert repr(kind.RED) == f"<{kind.__name__}.RED: 'red'>"
    assert copy.deepcopy(kind.RED) is copy.copy(kind.RED) is kind.RED
    wrongs: tuple[object, ...] = ("blue", 3, [])
    for wrong in wrongs:
        with pytest.raises(ValueError, match=f"is not a valid {kind.__name__}"):
            kind(wrong)
    for name in ("value", "name"):
        with pytest.raises(AttributeError):
            setattr(kind.RED, name, 1)
    match kind.GREEN:
        case kind.GREEN:
            pass
        case _:
            pytest.fail("does not match")


def test_members_can_be_pickled_and_have_methods() -> None:
    assert pickle.loads(pickle.dumps(Colour.GREEN)) is Colour.GREEN
    assert pickle.loads(pickle.dumps(Bits.A | Bits.C)) == Bits.A | Bits.C
    assert Colour.RED.loud == "red!"
    assert isinstance(Colour.RED, Choice)


BITS = {"A": 0x1, "B": 0x4, "C": 0x100}
bits = st.integers(0, 7).map(lambda n: (n & 1) | (n & 2) << 1 | (n & 4) << 6)


@given(bits, bits)
def test_flags_are_bits(one: int, other: int) -> None:
    for kind in (Bits, PeerBits):
        a, b = kind(one), kind(other)
        assert (int(a | b), int(a & b), int(a ^ b)) == (one | other, one & other, one ^ other)
        assert int(a & ~b) == one & ~other
        assert (b in a) == (one & other == other)
        assert [member.name for member in a] == [name for name, bit in BITS.items() if bit & one]
        assert a | other == a | b == other | a
        assert bool(a) == bool(one)
        assert {type(a | b), type(a & b), type(~a), type(a & ~b)} == {kind}
        assert hash(a) == hash(one)
    assert Bits(one).value == PeerBits(one).value


def test_flags_have_names_and_members() -> None:
    assert [(flag.name, int(flag)) for flag in Bits] == [("A", 1), ("B", 4), ("C", 256)]
    assert Bits(4) is Bits.B
    assert (Bits.A | Bits.B) & Bits.B is Bits.B
    assert (Bits.A | Bits.B).name is None
    assert Bits(0).name is None
    assert repr(Bits.A | Bits.C) == "<Bits.A|C: 0x101>"
    assert repr(Bits(0)) == "<Bits.none: 0x0>"
