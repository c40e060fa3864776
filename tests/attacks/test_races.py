"""Races (runc CVE-2021-30465, CVE-2024-45310 and their kin): while roots are built and processes run in them, somebody
exchanges a directory of the image with a link to the canary, over and over.

Each kind takes DEVPROXY_RACE_SECONDS (10); `make soak` gives each a minute. A build that fails is an answer; reaching the canary is
none, nor is a process that runs without what keeps it from the host.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.attacks.scene import SECRET, STARTED, Scene, fingerprint, scene, shape
from tests.attacks.swapper import SECONDS, swapping
from tests.attacks.totals import RACES
from tests.attacks.ways import MEMORY, NONE, OLDEST, SELF, Way, command

pytestmark = [pytest.mark.root, pytest.mark.newest]  # the oldest kernel is one of the ways


class Race(NamedTuple):
    """`arm` prepares the scene and returns the place that is exchanged, and what the link leads to. `words` of the command line
    may name {directory}, the scene's.
    """

    name: str
    arm: Callable[[Scene], tuple[Path, str | Path]]
    ways: tuple[Way, ...] = (NONE, MEMORY, OLDEST)
    harm: Callable[[Scene, str], str] = lambda _scene, _out: ""
    words: tuple[str, ...] = ()


def _directory(scene: Scene, name: str) -> Path:
    made = scene.rootfs / name
    (made / "inside").mkdir(parents=True)
    return made


def _mount_points(scene: Scene) -> tuple[Path, Path]:
    """Mounts on a directory and on a file, both there and to be made."""
    place = _directory(scene, "a/b")
    scene.mount("/a/b/inside")
    scene.mount("/a/b/new/deep")
    scene.bind("/a/b/bound", scene.volume)
    scene.bind("/a/b/files/file", scene.volume / "file")
    return place, scene.canary


def _devices(scene: Scene) -> tuple[Path, Path]:
    place = _directory(scene, "a/b")
    for name in ("node", "new/node", "inside/node", "inside/deep/node"):
        scene.device(f"/a/b/{name}")
    return place, scene.canary


def _dev(scene: Scene) -> tuple[Path, Path]:
    """/dev itself, with everything that is made in it."""
    scene.device("/dev/deep/node")
    return scene.rootfs / "dev", scene.canary


def _working_directory(scene: Scene) -> tuple[Path, Path]:
    place = _directory(scene, "a/b")
    scene.config["process"]["cwd"] = "/a/b/inside"
    scene.script("cat secret ../secret /a/b/secret", "touch made")
    return place, scene.canary


def _proc(scene: Scene) -> tuple[Path, str]:
    """Where /proc is elsewhere for a moment, what is masked and read-only below it is not found there."""
    (scene.rootfs / "elsewhere").mkdir()
    scene.script(
        "for proc in /proc /proc.other /elsewhere; do",
        "echo changed 2>/dev/null > $proc/sys/kernel/domainname && echo @open $proc",
        "test -s $proc/timer_list && echo @open $proc/timer_list",
        "done",
        "true",
    )
    return scene.rootfs / "proc", "elsewhere"


def _is_open(_scene: Scene, out: str) -> str:
    return out if "@open" in out else ""


def _masked_files(scene: Scene) -> tuple[Path, Path]:
    place = _directory(scene, "a/b")
    (place / "secret").write_text("the image's own\n")
    scene.config["linux"]["maskedPaths"] += ["/a/b/secret", "/a/b/inside"]
    scene.config["linux"]["readonlyPaths"] += ["/a/b/inside", "/a/b"]
    scene.script("cat /a/b/secret", "touch /a/b/inside/made")
    return place, scene.canary


def _root(scene: Scene) -> tuple[Path, Path]:
    """root.path is the operator's, whose bundle somebody else writes: he gets the one or the other, never a mixture."""
    other = scene.directory / "image"
    scene.rootfs.rename(other)
    scene.rootfs.mkdir()
    return scene.rootfs, other


def _layers(scene: Scene) -> tuple[Path, Path]:
    """The directory for layers in the image is a link at times."""
    place = scene.rootfs / ".devproxy.overlay"
    place.mkdir(mode=0o700)
    scene.script("touch /made")
    return place, scene.canary


def _layers_elsewhere(scene: Scene) -> tuple[Path, Path]:
    """The directory for layers in a directory that others can write in."""
    place = scene.directory / "layers" / ".devproxy.overlay"
    place.mkdir(mode=0o700, parents=True)
    scene.script("touch /made")
    return place, scene.canary


def _restore(scene: Scene) -> tuple[Path, Path]:
    """What was saved is put into directories of the image that are links at times, into a tmpfs there, and over what the image has."""
    place = _directory(scene, "a/b")
    (place / "gone").mkdir()
    scene.mount("/a/b/inside")
    scene.script("cd /a/b", "echo made > inside/made", "mkdir -p more/deep", "echo made > more/deep/file", "rmdir gone")
    scene.write()
    ran = command(scene, ["run", str(scene.bundle), f"--save={scene.directory}/work.tar"], MEMORY)
    assert ran.code == 0, ran
    scene.script("cat /a/b/secret /a/b/inside/made", "test -e /a/b/gone && test -e /a/b/more/deep/file && echo @half")
    return place, scene.canary


def _is_half(_scene: Scene, out: str) -> str:
    return "what was saved is there, what was removed is too" if "@half" in out else ""


def _bind_source(scene: Scene) -> tuple[Path, Path]:
    """A directory of the image that the operator binds elsewhere."""
    place = _directory(scene, "a/b")
    scene.bind("/mnt/data", place)
    scene.bind("/mnt/file", scene.file("a/b/secret", "the image's own\n"))
    scene.script("cat /mnt/data/secret /mnt/file", "touch /mnt/data/made", "echo made > /mnt/file")
    return place, scene.canary


def _executable(scene: Scene) -> tuple[Path, str]:
    """The program that was looked at is exchanged with the host's interpreter before it is executed (CVE-2019-5736)."""
    program = scene.file("bin/program", f"#!/bin/sh\necho {STARTED}\n", 0o755)
    scene.file("bin/evil", "#!/proc/self/exe\nprint(open('/proc/self/exe', 'r+b'), 'is open')\n", 0o755)
    scene.config["process"]["args"] = ["/bin/program"]
    return program, "evil"


def _interpreter_is_open(_scene: Scene, out: str) -> str:
    return out if "is open" in out else ""


ELSEWHERE = Way("layers elsewhere")
RACES_RUN = (
    Race("mount points", _mount_points),
    Race("devices", _devices),
    Race("dev", _dev, (NONE, OLDEST)),
    Race("working directory", _working_directory),
    Race("proc", _proc, (NONE, OLDEST), _is_open),
    Race("masked paths", _masked_files),
    Race("root", _root),
    Race("layers", _layers, (SELF,)),
    Race("layers elsewhere", _layers_elsewhere, (ELSEWHERE,), words=("--set=overlay2=root:dir={directory}/layers",)),
    Race("restore", _restore, (MEMORY, SELF), _is_half, ("--restore={directory}/work.tar",)),
    Race("bind source", _bind_source),
    Race("executable", _executable, (NONE, MEMORY), _interpreter_is_open),
)


@pytest.mark.parametrize("race", RACES_RUN, ids=lambda race: race.name)
def test_is_lost(race: Race) -> None:
    before = fingerprint()
    with scene() as made, ExitStack() as stack:
        place, target = race.arm(made)
        made.write()
        untouched = shape(made.canary)
        stack.enter_context(swapping(place, target))
        end = time.monotonic() + SECONDS
        count = started = 0
        words = [each.format(directory=made.directory) for each in race.words]
        for way in itertools.cycle(race.ways):
            if time.monotonic() > end:
                break
            ran = command(made, ["run", str(made.bundle), *(f"--set={each}" for each in way.settings), *words], way)
            count, started = count + 1, started + ran.started
            assert ran.code is not None, f"it hangs: {ran}"
            assert SECRET not in ran.out, ran
            assert race.harm(made, ran.out) == "", (count, way, ran)
            assert "a defect of devproxy:" not in ran.err, ran
            assert "Traceback" not in ran.err, ran
            assert shape(made.canary) == untouched, (count, way, ran)
        RACES[race.name] = (count, started)
        assert count > 3
    assert fingerprint() == before, "the host is not what it was"


def test_the_swapper_swaps(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with swapping(tmp_path / "place", "elsewhere"):
        seen = {os.path.islink(tmp_path / "place") for _ in range(20000)}
    assert seen == {True, False}
    assert not (tmp_path / "place").is_symlink()
    assert os.listdir(tmp_path) == ["place"]
