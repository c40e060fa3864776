"""Two containers of one pod that share a volume, beside runsc: the same looks in memory, and by real processes on the kernel.

Debian 12's runsc wants the mounts of a shared volume to have its type already (S65), and shares none that is one container's (H22).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from devproxy.errors import InputError
from tests.differential import pod_worlds as worlds
from tests.differential.pod_worlds import Container, Pod, World

pytestmark = [pytest.mark.root, pytest.mark.peer]

WRONG = {
    "Read-only file system": "EROFS",
    "No such file": "ENOENT",
    "Permission denied": "EACCES",
    "not empty": "ENOTEMPTY",
}


def _told(said: str) -> str:
    return next((word for text, word in WRONG.items() if text in said), said)


def _attempt(work: Callable[[], object]) -> str:
    try:
        return str(work() or "")
    except OSError as error:
        return next((word for text, word in WRONG.items() if text in str(error.strerror)), str(error))


class Write(NamedTuple):
    """Write a line to a file."""

    container: int
    path: str
    text: str

    def look(self, world: World) -> str:
        root = worlds.root_of(world, self.container)
        if root is None:
            return _told(worlds.shell_of(world).look(self.container, f"echo {self.text} > {self.path}"))

        def write() -> None:
            with root.open(self.path, "w") as file:
                file.write(f"{self.text}\n")

        return _attempt(write)


class Read(NamedTuple):
    """Read a file."""

    container: int
    path: str

    def look(self, world: World) -> str:
        root = worlds.root_of(world, self.container)
        if root is None:
            return _told(worlds.shell_of(world).look(self.container, f"cat {self.path}"))
        return _attempt(lambda: root.read_bytes(self.path).decode().strip())


class List(NamedTuple):
    """The names in a directory."""

    container: int
    path: str

    def look(self, world: World) -> str:
        root = worlds.root_of(world, self.container)
        if root is None:
            return " ".join(_told(worlds.shell_of(world).look(self.container, f"ls -A {self.path}")).split())
        return _attempt(lambda: " ".join(root.listdir(self.path)))


class Device(NamedTuple):
    """The number of the file system, which is compared with others of the same world."""

    container: int
    path: str

    def look(self, world: World) -> str:
        root = worlds.root_of(world, self.container)
        if root is None:
            return "device " + worlds.shell_of(world).look(self.container, f"stat -c %d {self.path}")
        return f"device {root.stat(self.path).st_dev}"


class Inode(NamedTuple):
    """Kind, mode and owner of what is at a path."""

    container: int
    path: str

    def look(self, world: World) -> str:
        root = worlds.root_of(world, self.container)
        if root is None:
            return worlds.shell_of(world).look(self.container, f"stat -c '%f %u %g' {self.path}")
        found = root.stat(self.path)
        return f"{found.st_mode:x} {found.st_uid} {found.st_gid}"


class Options(NamedTuple):
    """What the mount table says of a mount, of the words that runsc knows. Its noatime takes the place of ro and rw (S56)."""

    container: int
    path: str

    def look(self, world: World) -> str:
        root = worlds.root_of(world, self.container)
        if root is None:
            table = worlds.shell_of(world).look(self.container, f"grep ' {self.path} ' /proc/self/mountinfo")
            fields = table.split("\n")[-1].split()
            words, fstype = set(fields[5].split(",")), fields[fields.index("-") + 1]
        else:
            line = [line for line in root.mountinfo() if line.mount_point == self.path][-1]
            words, fstype = set(line.options), line.fstype
        known = {"noatime", "noexec"} if "noatime" in words else {"ro", "noexec"}
        return " ".join(sorted(words & known)) + f" {fstype}"


Look = Write | Read | List | Device | Inode | Options


class Story(NamedTuple):
    """A pod, and what is looked at one after the other."""

    name: str
    pod: Pod
    looks: tuple[Look, ...]


def container(*mounts: tuple[str, str]) -> Container:
    """A container whose mounts of the volume are (where, options with commas)."""
    return Container(tuple((where, "tmpfs", tuple(filter(None, options.split(",")))) for where, options in mounts))


STORIES = (
    Story(
        "both ways",
        Pod((container(("/shared", "rw")), container(("/other", "rw")))),
        (
            List(0, "/shared"),
            Write(0, "/shared/a", "from-one"),
            Read(1, "/other/a"),
            Write(1, "/other/b", "from-two"),
            Write(1, "/other/a", "changed"),
            Read(0, "/shared/b"),
            Read(0, "/shared/a"),
            List(0, "/shared"),
            List(1, "/other"),
            Device(0, "/shared"),
            Device(1, "/other"),
            Inode(0, "/shared"),
            Inode(1, "/other"),
            Options(0, "/shared"),
            Options(1, "/other"),
        ),
    ),
    Story(
        "a read-only mount of it",
        Pod((container(("/shared", "rw")), container(("/ro", "ro"), ("/deep/er/rw", "rw")))),
        (
            Write(0, "/shared/a", "kept"),
            Read(1, "/ro/a"),
            Write(1, "/ro/b", "no"),
            Write(1, "/ro/a", "no"),
            Write(1, "/deep/er/rw/b", "yes"),
            Read(0, "/shared/b"),
            Read(1, "/ro/b"),
            Device(0, "/shared"),
            Device(1, "/ro"),
            Device(1, "/deep/er/rw"),
            Device(1, "/"),
            Options(1, "/ro"),
            Options(1, "/deep/er/rw"),
        ),
    ),
    Story(
        "the same source twice in one container",
        Pod((container(("/one", "rw"), ("/two", "ro,noexec")), container(("/three", "noexec")))),
        (
            Write(0, "/one/a", "here"),
            Read(0, "/two/a"),
            Write(0, "/two/b", "no"),
            Write(1, "/three/c", "there"),
            List(0, "/two"),
            Device(0, "/one"),
            Device(0, "/two"),
            Device(1, "/three"),
            Options(0, "/one"),
            Options(0, "/two"),
            Options(1, "/three"),
        ),
    ),
    Story(
        "options that go together",
        Pod((container(("/a", "ro,noexec,noatime")), container(("/b", "ro,noexec,noatime"))), "ro,noexec,noatime"),
        (Options(0, "/a"), Options(1, "/b"), Write(0, "/a/x", "no"), Write(1, "/b/x", "no"), List(1, "/b")),
    ),
    Story(
        "stricter than the volume",
        Pod((container(("/a", "rw")), container(("/b", "ro,noexec,noatime"))), "rw,exec,atime"),
        (Write(0, "/a/x", "yes"), Read(1, "/b/x"), Write(1, "/b/x", "no"), Options(0, "/a"), Options(1, "/b")),
    ),
    Story(
        "one container alone",
        Pod((container(("/a", "rw"), ("/b/c", "ro")),)),
        (Write(0, "/a/x", "yes"), Read(0, "/b/c/x"), Write(0, "/b/c/y", "no"), Device(0, "/a"), Device(0, "/b/c")),
    ),
    Story(
        "three containers",
        Pod((container(("/a", "rw")), container(("/a", "rw")), container(("/c", "ro"), ("/a", "rw")))),
        (
            Write(0, "/a/0", "zero"),
            Write(1, "/a/1", "one"),
            Write(2, "/a/2", "two"),
            List(0, "/a"),
            List(1, "/a"),
            List(2, "/c"),
            Device(0, "/a"),
            Device(1, "/a"),
            Device(2, "/c"),
        ),
    ),
)


def tell(story: Story, world: World) -> list[str]:
    """What is seen, with devices numbered in the order in which they appear."""
    seen: dict[str, str] = {}
    told = [look.look(world) for look in story.looks]
    return [seen.setdefault(each, f"device #{len(seen)}") if each.startswith("device ") else each for each in told]


@pytest.mark.rows("S62", "S63", "S65", "H22", oracle="runsc")
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_pod_is_as_runsc_shows_it(story: Story, tmp_path: Path) -> None:
    with worlds.on_runsc(story.pod, tmp_path / "runsc") as world:
        assert not isinstance(world, str), world
        theirs = tell(story, world)
    assert os.listdir(tmp_path / "runsc/volume") == []
    with worlds.in_memory(story.pod, tmp_path / "memory") as memory:
        assert tell(story, memory) == theirs
    with worlds.on_the_kernel(story.pod, tmp_path / "kernel") as kernel:
        assert tell(story, kernel) == theirs
    for name in ("memory", "kernel"):
        assert os.listdir(tmp_path / name / "volume") == []


REFUSED = [
    ("the first", "ro", "rw", "read-write"),
    ("the first", "noexec", "exec", "exec enabled"),
    ("a joiner", "noatime", "atime", "atime enabled"),
]


@pytest.mark.rows("S64", oracle="runsc")
@pytest.mark.parametrize(("by", "of_volume", "of_mount", "theirs"), REFUSED)
def test_a_mount_that_goes_beyond_its_volume_is_refused_there_too(
    tmp_path: Path, by: str, of_volume: str, of_mount: str, theirs: str
) -> None:
    good, bad = container(("/a", of_volume)), container(("/a", of_mount))
    pod = Pod((bad,) if by == "the first" else (good, bad), of_volume)
    with worlds.on_runsc(pod, tmp_path / "runsc") as said:
        assert isinstance(said, str)
        assert f"cannot mount {theirs} shared mount because master is" in said
    with (
        pytest.raises(InputError, match=r"^mounts.3., /a is .*, but its volume vol is "),
        worlds.in_memory(pod, tmp_path / "memory"),
    ):
        pass
    with pytest.raises(AssertionError, match="but its volume vol is"), worlds.on_the_kernel(pod, tmp_path / "kernel"):
        pass


@pytest.mark.rows("S65", oracle="runsc")
def test_a_bind_of_the_volume_gets_its_type_from_the_hint_here(tmp_path: Path) -> None:
    binds = Container((("/a", "bind", ("rw",)),))
    pod = Pod((binds, binds))
    with worlds.on_runsc(pod, tmp_path / "runsc") as said:
        assert isinstance(said, str)
        assert "gofer mount requires a connection FD" in said
    story = Story(
        "", pod, (Write(0, "/a/x", "yes"), Read(1, "/a/x"), Device(0, "/a"), Device(1, "/a"), Options(1, "/a"))
    )
    expected = ["", "yes", "device #0", "device #0", " tmpfs"]
    with worlds.in_memory(pod, tmp_path / "memory") as memory:
        assert tell(story, memory) == expected
    with worlds.on_the_kernel(pod, tmp_path / "kernel") as kernel:
        assert tell(story, kernel) == expected


@pytest.mark.rows("S63", "S65", oracle="runc")
@pytest.mark.parametrize("story", STORIES[:3], ids=lambda story: story.name)
def test_a_volume_is_to_its_containers_what_a_bound_tmpfs_is_to_runcs(story: Story, tmp_path: Path) -> None:
    with worlds.on_runc(story.pod, tmp_path / "runc") as world:
        theirs = tell(story, world)
    with worlds.on_the_kernel(story.pod, tmp_path / "kernel") as kernel:
        assert tell(story, kernel) == theirs
