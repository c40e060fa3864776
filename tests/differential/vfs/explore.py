"""Runs random programs on two worlds until enough operations were compared, and reports the smallest program that differs.

A program is a list of calls, or something that `split` takes apart into one and `join` puts together again. The kernel gets
many programs at a time, as each child that it takes costs as much as hundreds of calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from random import Random
from typing import Generic, NamedTuple, TypeVar

import pytest

from tests.differential.vfs import operations
from tests.differential.vfs.recipes import Recipe

P = TypeVar("P")
BATCH = 50
Results = list[object]


class Comparison(NamedTuple, Generic[P]):
    """Two worlds. `theirs` answers for several programs at once; `calls` are those whose results come first in an answer."""

    recipe: Recipe[P]
    ours: Callable[[P], Results]
    theirs: Callable[[list[P]], list[Results]]
    split: Callable[[P], list[object]] = list  # type: ignore[assignment]
    join: Callable[[list[object]], P] = lambda calls: calls  # type: ignore[assignment, return-value]
    calls: Callable[[P], Sequence[object]] = list  # type: ignore[assignment]


def explore(subject: str, comparison: Comparison[P]) -> None:
    """Compare as many operations as the subject's share is.

    `DEVPROXY_SEED` repeats the programs of a failure; without it, they are the same every time, except in a soak.
    """
    wanted = operations.share(subject)
    seed = os.environ.get("DEVPROXY_SEED") or (subject if operations.WANTED <= 100_000 else os.urandom(8).hex())
    random = Random(f"{subject} {seed}")
    done = 0
    while done < wanted:
        batch: list[P] = []
        while done < wanted and len(batch) < BATCH:
            parts = comparison.split(comparison.recipe.draw(random))[: wanted - done]
            batch.append(comparison.join(parts))
            done += len(parts)
        for program, theirs in zip(batch, comparison.theirs(batch), strict=True):
            if comparison.ours(program) != theirs:
                pytest.fail(f"DEVPROXY_SEED={seed}: {report(comparison, smallest(comparison, program))}", pytrace=False)
        operations.done[subject] += sum(len(comparison.split(program)) for program in batch)


def check(comparison: Comparison[P], program: P) -> None:
    """Compare one program: for those that once differed."""
    if comparison.ours(program) != comparison.theirs([program])[0]:
        pytest.fail(report(comparison, program), pytrace=False)


def smallest(comparison: Comparison[P], program: P) -> P:
    """A part of a program that differs still, though not when one more call is left out."""
    parts = comparison.split(program)

    def differs(some: list[object]) -> bool:
        candidate = comparison.join(some)
        return comparison.ours(candidate) != comparison.theirs([candidate])[0]

    width = len(parts)
    while width:
        start = 0
        while start < len(parts):
            fewer = parts[:start] + parts[start + width :]
            if len(fewer) < len(parts) and differs(fewer):
                parts = fewer
            else:
                start += width
        width //= 2
    return comparison.join(parts)


def report(comparison: Comparison[P], program: P) -> str:
    """The program, and where the answers part."""
    ours, theirs = comparison.ours(program), comparison.theirs([program])[0]
    calls = [str(call) for call in comparison.calls(program)]
    lines = ["this program has two outcomes:", *(f"    {part}," for part in comparison.split(program))]
    for step, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        if left != right:
            lines += [f"{calls[step] if step < len(calls) else 'at the end'}:", *_difference(left, right)]
    return "\n".join(lines)


def _difference(ours: object, theirs: object) -> list[str]:
    if isinstance(ours, list) and isinstance(theirs, list):
        return [
            *(f"  ours alone:   {row}" for row in ours if row not in theirs),
            *(f"  kernel alone: {row}" for row in theirs if row not in ours),
        ]
    return [f"  ours:   {ours}", f"  kernel: {theirs}"]
