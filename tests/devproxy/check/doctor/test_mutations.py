"""Sound recordings, each with one thing wrong: what the doctor says of them, counted."""

from __future__ import annotations

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.finding import Severity
from tests.devproxy.check.doctor import totals
from tests.devproxy.check.doctor.edits import Edited
from tests.devproxy.check.doctor.mutations import SOUND, Mutation, mutations

# What a doctor says only in passing is no diagnosis.
TOLD = (Severity.ERROR, Severity.WARNING)


def codes(edited: Edited) -> set[str]:
    return {finding.code for finding in examine(Case(edited.host())).findings if finding.severity in TOLD}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_machine_has_nothing_wrong(name: str) -> None:
    assert codes(Edited.of(SOUND[name])) == set()


def test_two_hundred_mutations_are_diagnosed_by_code() -> None:
    bases = {name: Edited.of(path) for name, path in SOUND.items()}
    every = mutations()
    assert len(every) >= 200
    missed: list[tuple[Mutation, set[str]]] = []
    false: list[tuple[Mutation, set[str]]] = []
    wanted = found_right = told = 0
    for each in every:
        found = codes(each.edit(bases[each.base]))
        wanted += len(each.codes)
        found_right += len(each.codes & found)
        wrong = found - each.codes - each.allowed
        told += len(each.codes & found) + len(wrong)
        if each.codes - found:
            missed.append((each, found))
        if wrong:
            false.append((each, wrong))
    totals.MUTATIONS.update(mutations=len(every), wanted=wanted, found=found_right, told=told)
    words = [f"{m.base}: {m.what}: expected {sorted(m.codes)}, found {sorted(f)}" for m, f in missed]
    words += [f"{m.base}: {m.what}: false {sorted(f)}" for m, f in false]
    assert found_right / wanted >= 0.95, "\n".join(words)
    assert found_right / told >= 0.98, "\n".join(words)
