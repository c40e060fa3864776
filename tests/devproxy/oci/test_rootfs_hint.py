"""The rootfs hint in annotations (H19)."""

from __future__ import annotations

import pytest

from devproxy.errors import InputError
from devproxy.oci.configuration import Configuration, parse_configuration
from devproxy.oci.spec import RootfsHint
from devproxy.overlay import NO_OVERLAY, Medium, Overlaid, Overlay, Overlay2
from devproxy.plan.plan_json import to_json
from devproxy.plan.steps import Level, MountRoot, Skip, WhenMissing
from tests.devproxy.oci.parsing import parse
from tests.devproxy.plan.planning import bare, steps_of

pytestmark = pytest.mark.rows("H19", oracle="specification")

PREFIX = "dev.gvisor.spec.rootfs"


def said_of(**values: str) -> dict[str, str]:
    return {f"{PREFIX}.{key}": value for key, value in values.items()}


BIND = {"source": "/image", "type": "bind"}


def test_the_root_comes_from_the_source_that_it_names() -> None:
    spec = parse(annotations=said_of(**BIND))
    assert (spec.rootfs, spec.rootfs_hint) == ("/image", RootfsHint("/image", None, ""))
    assert parse(annotations={"dev.gvisor.spec.other": "x"}).rootfs_hint is None


@pytest.mark.parametrize(
    ("overlay", "options", "expected"),
    [
        ("none", None, NO_OVERLAY),
        ("memory", None, Overlay2()),
        ("memory", "size=64m", Overlay2(overlay=Overlay(size="64m"))),
        ("self", None, Overlay2(Overlaid.ROOT, Overlay(Medium.SELF))),
        ("dir=/layers", None, Overlay2(Overlaid.ROOT, Overlay(Medium.DIRECTORY, "/layers"))),
    ],
)
def test_its_overlay_outweighs_the_configuration(overlay: str, options: str | None, expected: Overlay2) -> None:
    said = said_of(**BIND, overlay=overlay, **({} if options is None else {"options": options}))
    for configured in ("none", "all:dir=/elsewhere"):
        config = parse_configuration(None, [f"overlay2={configured}"]).configuration
        (root,) = steps_of(bare(annotations=said, config=config), MountRoot)
        assert root.source == "/image"
        assert root.overlay == (None if expected is NO_OVERLAY else expected.overlay)


@pytest.mark.parametrize(
    ("options", "configured", "expected"),
    [
        ({}, "root:memory", Overlay()),
        ({}, "none", None),
        ({"options": "size=8m"}, "all:memory,size=1g", Overlay(size="8m")),
        ({"options": "size=8m"}, "root:self", Overlay(Medium.SELF, size="8m")),
    ],
)
def test_what_it_leaves_open_the_configuration_says(
    options: dict[str, str], configured: str, expected: Overlay | None
) -> None:
    config = parse_configuration(None, [f"overlay2={configured}"]).configuration
    (root,) = steps_of(bare(annotations=said_of(**BIND, **options), config=config), MountRoot)
    assert root.overlay == expected


def test_a_read_only_root_gets_it_where_something_has_to_be_made() -> None:
    said = said_of(**BIND, overlay="self")
    (root,) = steps_of(bare(annotations=said, root={"readonly": True}), MountRoot)
    assert (root.overlay, root.when) == (Overlay(Medium.SELF), WhenMissing(("/proc", "/sys", "/dev", "/tmp")))


def test_a_plan_says_where_the_root_comes_from() -> None:
    plan = bare(annotations=said_of(**BIND, overlay="memory"))
    step = to_json(plan)["steps"][0]  # type: ignore[index]
    assert (step["source"], step["text"]) == ("/image", "root /image [overlay in memory]")
    assert step["reason"] == {"source": "the rootfs hint in annotations", "note": "overlay2 = root:memory"}


@pytest.mark.rows("H21", oracle="specification")
@pytest.mark.parametrize(("directfs", "told"), [(None, False), ("default", False), ("off", True)])
def test_directfs_is_of_a_gofer_and_off_is_told(directfs: str | None, told: bool) -> None:
    said = said_of(**BIND, **({} if directfs is None else {"directfs": directfs}))
    skips = steps_of(bare(annotations=said, config=Configuration(strict=True)), Skip)
    assert [(step.level, step.what) for step in skips if "directfs" in step.what] == (
        [(Level.NOTE, "directfs=off for the root: no gofer stands between a container and its files here")]
        if told
        else []
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"source": "image", "type": "bind"}, '.source"] is "image" (a string), expected an absolute path'),
        ({"source": "", "type": "bind"}, '.source"] is "" (a string), expected a path'),
        ({"source": "/a", "type": "nfs"}, '.type"] is "nfs" (a string), expected "bind"'),
        ({"source": "/a", "type": "erofs"}, "EROFS images are not mounted"),
        ({**BIND, "overlay": "tape"}, '.overlay"] is "tape" (a string), expected none, memory, self or dir='),
        ({**BIND, "overlay": "dir=layers"}, '.overlay"] is "dir=layers"'),
        ({**BIND, "overlay": "none", "options": "size=1m"}, '.overlay"] is "none" (a string), expected a medium'),
        ({**BIND, "options": "size=0"}, '.options"] is "size=0" (a string), expected size=SIZE'),
        ({**BIND, "options": "size=1m,mode=7"}, '.options"] is "size=1m,mode=7"'),
        ({**BIND, "options": "colour=red"}, '.options"] is "colour=red"'),
        ({**BIND, "directfs": "maybe"}, '.directfs"] is "maybe" (a string), expected "default" or "off"'),
        ({**BIND, "colour": "red"}, '.colour"] is no rootfs annotation'),
        ({"type": "bind"}, f'annotations["{PREFIX}.source"] missing beside annotations["{PREFIX}.type"]'),
        ({"source": "/a"}, f'annotations["{PREFIX}.type"] missing'),
        ({"overlay": "memory"}, f'annotations["{PREFIX}.source"] and annotations["{PREFIX}.type"] missing'),
    ],
)
def test_anything_wrong_is_an_error_that_names_it(values: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(annotations=said_of(**values))
    assert words in raised.value.message
    assert PREFIX in raised.value.message
