from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import World
from vfs import ROOT, BindOptions, MountFlags
from vfs.mountinfo import escape, mountinfo, mounts


def test_the_lines_of_a_namespace(world: World) -> None:
    world.mkdir("/a b")
    world.mount("/a b", "size=4k,mode=700", MountFlags.RDONLY | MountFlags.NOSUID | MountFlags.NOATIME)
    world.mkdir("/c")
    world.vfs.bind_at(ROOT, world.at("/c"), world.at("/c"), BindOptions(flags=MountFlags.NODEV))
    assert mountinfo(world.ns) == [
        "1 1 0:1 / / rw - tmpfs none rw,mode=0755",
        r"2 1 0:2 / /a\040b ro,nosuid,noatime - tmpfs none rw,size=4k,mode=700",
        "3 1 0:1 /c /c rw,nodev - tmpfs none rw,mode=0755",
    ]
    assert mounts(world.ns) == [
        "none / tmpfs rw,mode=0755 0 0",
        r"none /a\040b tmpfs ro,nosuid,noatime,size=4k,mode=700 0 0",
        "none /c tmpfs rw,nodev,mode=0755 0 0",
    ]


def test_only_what_the_root_reaches_is_shown(world: World) -> None:
    world.vfs.mkdir_all_at(ROOT, world.at("/in/m"), 0o755)
    world.mkdir("/out")
    world.mount("/in/m")
    world.mount("/out")
    root = world.vfs.get_dentry_at(ROOT, world.at("/in"))
    assert [line.split()[4] for line in mountinfo(world.ns, root)] == ["/m"]


@given(st.text(alphabet=" \t\n\\a0", max_size=10))
def test_escapes_are_undone_by_octal(text: str) -> None:
    escaped = escape(text)
    assert not set(escaped) & set(" \t\n")
    assert escaped.encode().decode("unicode_escape") == text
