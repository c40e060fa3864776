"""devproxy killed at any moment: no mount, process, cgroup or file is left, or the next command says what, and removes it.

DEVPROXY_KILLS is how many there are in all (60; `make soak` takes 1,000), DEVPROXY_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devproxy.process import run
from tests.devproxy.linux.forked import in_child
from tests.kills.rig import (
    VARIANTS,
    WHO,
    Host,
    Kill,
    OwnCgroup,
    Place,
    Variant,
    after_a_kill,
    apart,
    kill_many,
    seed,
    start,
    wait_for_all,
)

pytestmark = [pytest.mark.root, pytest.mark.rows("S42", oracle="kernel")]

KILLS = int(os.environ.get("DEVPROXY_KILLS", "60"))
SEED = seed()
EACH = -(-KILLS // len(VARIANTS))


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that an ordinary user can reach."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_killed_at_a_random_moment(variant: Variant, directory: Path) -> None:
    chance = random.Random(f"{SEED} {variant.name}")

    def kills(_: int) -> Iterator[Kill]:
        for number in range(EACH):
            yield Kill(WHO[number % len(WHO)], chance.uniform(0, 1.05))

    wrong, _, _ = kill_many(directory, variant, kills)
    assert not wrong, f"DEVPROXY_SEED={SEED}: " + "\n".join(wrong)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_killed_at_a_system_call(variant: Variant, directory: Path) -> None:
    """Borders spread over all that the run's processes make: the process that stands there dies, or devproxy does."""
    chance = random.Random(f"{SEED} {variant.name} borders")

    def kills(borders: int) -> Iterator[Kill]:
        for number in range(EACH):
            at = int((number + chance.random()) * borders / EACH) + 1
            yield Kill(chance.choice(("here", "devproxy", "builder")), border=at)

    wrong, _, borders = kill_many(directory, variant, kills)
    assert borders > 300
    assert not wrong, f"DEVPROXY_SEED={SEED}: " + "\n".join(wrong)


# The tests above would say nothing if nothing were ever left, or seen.


def test_layers_of_killed_runs_are_left_and_seen(directory: Path) -> None:
    variant = next(variant for variant in VARIANTS if variant.name == "all-self")

    def kills(borders: int) -> Iterator[Kill]:
        yield Kill("everybody", border=borders * 3 // 4)

    wrong, left, _ = kill_many(directory, variant, kills)
    assert (wrong, left) == ([], 1)


def test_what_is_left_is_seen(directory: Path) -> None:
    """A process without a parent, a mount, a file, and what is gone."""

    def child() -> list[str]:
        apart()
        with OwnCgroup() as cgroup:
            return work(cgroup)

    def work(cgroup: OwnCgroup) -> list[str]:
        place = Place(directory, VARIANTS[0])
        host = Host(cgroup)
        bundle = Path(place.bundle)
        run(["mount", "-t", "tmpfs", "tmpfs", str(bundle)])

        def sleep() -> int:
            time.sleep(60)
            return 0

        def orphan() -> int:
            start(sleep)
            return 0

        os.waitpid(start(orphan), 0)
        remain = wait_for_all(patience=0.2)
        wrong = host.differences()
        run(["umount", str(bundle)])
        (bundle / "rootfs" / "etc" / "new").touch()
        (bundle / "config.json").unlink()
        return [*remain, *wrong, *after_a_kill(place, host, place.whole)[0]]

    process, mounts, *files = in_child(child)
    assert process.startswith("process ")
    assert mounts.startswith("mounts: ")
    assert any("/rootfs/etc/new was left or changed" in line for line in files)
    assert any("/config.json is gone" in line for line in files)
