"""The story in the README, played as it stands there: two users and root on a host with eight GPUs, one of which is lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hwtests.conftest import Tell
from hwtests.lab.guest.drivers import doom, eight_gpus
from hwtests.lab.guest.story import Player, read_quotes, read_steps, text_of
from hwtests.lab.python_files import TREE

README: Final = (TREE / "README.md").read_text(encoding="utf-8")
AGENTS: Final = ("ci-a", "ci-b")
# What stands for the agents' own work. A trains until somebody has waited for its GPUs; B asks each of its own, again and again.
PROGRAMS: Final = {
    "train.sh": """\
echo "training on $(echo "$CUDA_VISIBLE_DEVICES" | tr , '\\n' | wc -l) GPUs"
until ls /run/devproxy-leases/queue | grep -q .; do sleep 0.1; done
sleep 2
""",
    "bench.sh": """\
for round in 1 2 3; do
    for uuid in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do
        minor=$((0x${uuid##*-} - 1))
        ask "/dev/nvidia$minor" >/dev/null || { echo "round $round: GPU $minor does not answer"; exit 1; }
    done
    echo "round $round: all answer"
done
""",
}
# The minor of the GPU that answers twice and falls off the bus.
DOOMED: Final = 2


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Eight GPUs of which NVML tells too, and neither leases nor a quarantine."""
    with eight_gpus():
        _forget()
        Path("/lab/nvml.ini").write_text("[system]\npresent = yes\n" + "".join(map(_world, range(8))))
        for user in AGENTS:
            for name, text in PROGRAMS.items():
                program = Path(f"/home/{user}/{name}")
                program.write_text(f"#!/bin/sh\n{text}")
                program.chmod(0o755)
        yield
        for agent in AGENTS:
            shutil.copytree(f"/home/{agent}", f"/results/{agent}", symlinks=True, dirs_exist_ok=True)
        Path("/lab/nvml.ini").unlink()
        _forget()


def _forget() -> None:
    for place in ("/run/devproxy-leases", "/var/lib/devproxy"):
        shutil.rmtree(place, ignore_errors=True)


def _world(minor: int) -> str:
    address = f"0001:00:{minor + 1:02x}.0"
    facts = {
        "uuid": f"GPU-de500000-1ab0-4000-8000-{minor + 1:012x}",
        "minor": minor,
        "address": f"0000{address}",
        "needs": f"/sys/bus/pci/devices/{address}",
    }
    return f"[gpu {minor}]\n" + "".join(f"{key} = {value}\n" for key, value in facts.items())


def test_the_story_is_as_it_is_told(server: None, tell: Tell) -> None:
    doom(DOOMED)
    env = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "DEVPROXY_NVML_SECONDS")}
    player = Player({**env, "LD_LIBRARY_PATH": "/lab", "NO_COLOR": "1", "TERM": "dumb"})
    wrong = []
    for step in read_steps(README):
        started = time.monotonic()
        typed = player.play(step)
        took = time.monotonic() - started
        tell(f"{took:.1f} s {step.user}", f"{step.command}\n{typed.printed}")
        if not step.command.endswith("&") and not step.is_as_told(typed.printed):
            wrong.append(typed)
    wrong += [typed for typed in player.finish() if not typed.step.is_as_told(typed.printed)]
    for typed in wrong:
        told = "\n".join(typed.step.sees)
        tell("WRONG", f"{typed.step.command}\n--- told:\n{told}\n--- seen:\n{typed.printed}")
    assert not [typed.step.command for typed in wrong]
    report = text_of(Path("/home/ci-b/out/report.html"))
    quotes = read_quotes(README)
    assert quotes
    assert not [quote for quote in quotes if quote not in report]
