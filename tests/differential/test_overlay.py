"""Our overlay and the kernel's answer alike: same results, same tree, same whiteouts, opaque directories and redirects in the upper
layer.
"""

from __future__ import annotations

import os
import stat

import pytest

from tests.differential.vfs.explore import check, explore
from tests.differential.vfs.overlays import COMPARISON, Options, Programs
from tests.differential.vfs.programs import Call
from vfs.abi import RENAME_EXCHANGE

pytestmark = [pytest.mark.root, pytest.mark.property]

_FILE = os.O_RDWR | os.O_CREAT
_TMPFILE = os.O_TMPFILE | os.O_RDWR
REDIRECT, OPAQUE = "trusted.overlay.redirect", "trusted.overlay.opaque"


def _mkdir(*paths: str) -> list[Call]:
    return [Call("mkdir", (path, 0o777)) for path in paths]


def _whiteout(path: str) -> Call:
    return Call("mknod", (path, stat.S_IFCHR, 0, 0))


def _redirect(path: str, value: bytes) -> Call:
    return Call("setxattr", (path, REDIRECT, value, 0, False))


def _list(*paths: str) -> list[Call]:
    return [Call("listdir", (path,)) for path in paths]


ON = Options(1, redirect_dir="on")
PROGRAMS = {
    "a file that is cut while it is copied up has a new time": Programs(
        (
            [
                Call("open", (0, "a", _FILE, 0o666)),
                Call("write", (0, b"z" * 9000)),
                Call("utime", ("a", 5, 5, False)),
            ],
            [],
        ),
        [Call("truncate", ("a", 4095), "user")],
        Options(1),
    ),
    "under userxattr a link to a copied socket": Programs(
        ([Call("mknod", ("a", stat.S_IFSOCK, 0o777, 0))], [], [], []),
        [Call("link", ("a", "b", True))],
        Options(3, redirect_dir="nofollow", user_xattr=True),
    ),
    "what a redirect is not followed to is refused though nothing is there": Programs(
        ([], [*_mkdir("c"), _redirect("c", b"/b/a")]), _list("c"), Options(1)
    ),
    "a lower directory is no directory of two names": Programs(
        (_mkdir("a"), [*_mkdir("b"), _redirect("b", b"a")]), _list("a", "b"), Options(1, redirect_dir="follow")
    ),
    "what is not written to is read-only first": Programs(
        ([Call("open", (0, "d", _FILE, 0o600))], [], []), [Call("access", ("d", 7), "user")], Options(2, upper=False)
    ),
    "a whiteout in the upper layer alone keeps a directory": Programs(
        ([], [*_mkdir("a"), _whiteout("a/b")]), [Call("rmdir", ("a",))], ON
    ),
    "over a lower file it does not": Programs(
        ([Call("open", (0, "a", _FILE, 0o666))], [*_mkdir("a"), _whiteout("a/b")]), [Call("rmdir", ("a",))], ON
    ),
    "a regular whiteout keeps a directory, though it is not seen": Programs(
        (_mkdir("a"), [*_mkdir("a"), Call("whiteout", ("a/b",))], []), [*_list("a"), Call("rmdir", ("a",))]
    ),
    "a new directory is opaque where redirects are on": Programs(([], []), _mkdir("b"), ON),
    "the mark of a directory stays though it cannot be moved": Programs(
        ([], [*_mkdir("a", "a/b", "d")]), [Call("rename", ("d", "a", 0))], Options(1)
    ),
    "reading nothing is no look": Programs(
        ([Call("open", (0, "c", _FILE, 0o666))], []),
        [
            Call("utime", ("c", -1, 5, True)),
            Call("open", (1, "c", os.O_RDWR, 0)),
            Call("read", (1, 0)),
            Call("pread", (1, 0, 5)),
        ],
        Options(1),
    ),
    "a directory moves, back and on, with all that is below it": Programs(
        (_mkdir("a", "a/b", "a/b/c", "d"), _mkdir("a", "a/e"), []),
        [
            Call("rename", ("a", "x", 0)),
            Call("rename", ("x", "d/y", 0)),
            Call("rename", ("d/y/b", "d/y/z", 0)),
            Call("rename", ("d/y/z", "b", 0)),
            *_list("d/y", "b"),
            Call("rename", ("d/y", "a", 0)),
            *_mkdir("d/y"),
            *_list("a", "d/y"),
        ],
        Options(2, redirect_dir="on"),
    ),
    "redirects lead through several layers": Programs(
        (
            [*_mkdir("a"), _redirect("a", b"b")],
            [*_mkdir("b", "b/1"), _redirect("b", b"/c/d")],
            [*_mkdir("c", "c/2", "e"), _redirect("c", b"e")],
            _mkdir("e", "e/d", "e/d/3"),
            [],
        ),
        _list("a", "b", "c", "e"),
        Options(4, redirect_dir="follow"),
    ),
    "a path too long for a redirect is another device": Programs(
        (_mkdir(*("/".join(["n" * 80] * depth) for depth in (1, 2, 3, 4))), []),
        [
            *_mkdir("b"),
            Call("rename", ("/".join(["n" * 80] * 4), "b/x", 0)),
            Call("rename", ("/".join(["n" * 80] * 3), "b/x", 0)),
        ],
        ON,
    ),
    "directories and files change places": Programs(
        ([*_mkdir("a", "a/b", "d", "d/e"), Call("open", (0, "d/f", _FILE, 0o644))], []),
        [
            Call("rename", ("a", "d/f", RENAME_EXCHANGE)),
            Call("rename", ("a", "d", RENAME_EXCHANGE)),
            *_list("a", "d"),
            Call("rename", ("d/f", "a", RENAME_EXCHANGE)),
        ],
        ON,
    ),
    "a file without a name gets one": Programs(
        (_mkdir("a"), []),
        [
            Call("open", (0, "a", _TMPFILE, 0o640), "user"),
            Call("write", (0, b"hello")),
            Call("fstat", (0,)),
            Call("link_file", (0, "a/f")),
            *_list("a"),
        ],
        Options(1),
    ),
}


@pytest.mark.rows("S43", "S46", oracle="kernel")
def test_any_program_through_an_overlay_does_the_same() -> None:
    explore("overlay", COMPARISON)


@pytest.mark.parametrize("programs", PROGRAMS.values(), ids=PROGRAMS)
def test_what_once_differed(programs: Programs) -> None:
    check(COMPARISON, programs)
