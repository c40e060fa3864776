"""How random programs are made: hypothesis's words for it, drawn from `random.Random` at a hundredth of the cost.

A soak makes a million calls. What hypothesis does better, finding the smallest failure, `tests.differential.vfs.explore` does
by leaving calls out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Generic, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
U = TypeVar("U")


class Recipe(Generic[T]):
    """Makes one value after another."""

    def __init__(self, draw: Callable[[Random], T]) -> None:
        self.draw = draw

    def map(self, change: Callable[[T], U]) -> Recipe[U]:
        return Recipe(lambda random: change(self.draw(random)))

    def filter(self, wanted: Callable[[T], bool]) -> Recipe[T]:
        def draw(random: Random) -> T:
            while not wanted(value := self.draw(random)):
                pass
            return value

        return Recipe(draw)

    def __or__(self, other: Recipe[T]) -> Recipe[T]:
        return one_of(self, other)

    def strategy(self) -> st.SearchStrategy[T]:
        """The same for a test that hypothesis runs."""
        return st.builds(self.draw, st.randoms(use_true_random=False))


def just(value: T) -> Recipe[T]:
    return Recipe(lambda random: value)


def sampled_from(values: Sequence[T]) -> Recipe[T]:
    return Recipe(lambda random: values[int(random.random() * len(values))])


def one_of(*recipes: Recipe[T]) -> Recipe[T]:
    draws = [recipe.draw for recipe in recipes]
    return Recipe(lambda random: draws[int(random.random() * len(draws))](random))


def integers(low: int, high: int) -> Recipe[int]:
    return Recipe(lambda random: low + int(random.random() * (high - low + 1)))


def booleans() -> Recipe[bool]:
    return Recipe(lambda random: random.random() < 0.5)


def tuples(*recipes: Recipe[Any]) -> Recipe[tuple[Any, ...]]:
    draws = [recipe.draw for recipe in recipes]
    return Recipe(lambda random: tuple(draw(random) for draw in draws))


def builds(make: Callable[..., T], *recipes: Recipe[Any]) -> Recipe[T]:
    draws = [recipe.draw for recipe in recipes]
    return Recipe(lambda random: make(*[draw(random) for draw in draws]))


def lists(recipe: Recipe[T], *, min_size: int = 0, max_size: int, unique: bool = False) -> Recipe[list[T]]:
    sizes = integers(min_size, max_size)

    def draw(random: Random) -> list[T]:
        values: list[T] = []
        size = sizes.draw(random)
        while len(values) < size:
            value = recipe.draw(random)
            if not unique or value not in values:
                values.append(value)
        return values

    return Recipe(draw)
