"""Images that are odd to look at: deeper than Python recurses, with names that would take over a terminal."""

from __future__ import annotations

import os

from tests.attacks.more import CONTROL
from tests.attacks.scene import Scene, scene
from tests.attacks.ways import INSPECT, command


def _look(made: Scene, *words: str) -> str:
    made.write()
    ran = command(made, ["inspect", str(made.bundle), *words], INSPECT)
    assert (ran.code, ran.err) == (0, ""), ran
    return ran.out


def test_a_tree_deeper_than_python_recurses_is_shown() -> None:
    with scene() as made:
        here = os.open(made.rootfs, os.O_RDONLY)
        for _ in range(1100):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        shown = _look(made, "tree", "/d", "--text").splitlines()
        assert len(shown) == 1100
        assert shown[-1].endswith("└── d")


def test_a_name_moves_no_cursor() -> None:
    with scene() as made:
        name = f"odd{CONTROL.replace('/', '')}"
        (made.rootfs / "tmp" / name).mkdir()
        (made.rootfs / "tmp" / name / "link").symlink_to(f"to{CONTROL}")
        for look in ("ls", "tree"):
            for form in ("--text", "--json"):
                out = _look(made, look, "/tmp", form)
                assert "odd" in out
                assert not any(c in out for c in "\x1b\x07\r\u202e"), out
        assert len(_look(made, "ls", "/tmp", "--text").splitlines()) == 1
