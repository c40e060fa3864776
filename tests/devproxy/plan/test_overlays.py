"""Which mounts get an overlay."""

from __future__ import annotations

from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.oci.configuration import Configuration, parse_configuration
from devproxy.overlay import Medium, Overlay
from devproxy.plan.plan_json import to_json
from devproxy.plan.steps import Bind, Level, MountRoot, Skip
from tests.devproxy.plan.planning import bare, mount, steps_of

HINT = {
    "dev.gvisor.spec.mount.vol.source": "/source",
    "dev.gvisor.spec.mount.vol.type": "bind",
    "dev.gvisor.spec.mount.vol.share": "container",
}


def config(overlay2: str, *more: str) -> Configuration:
    return parse_configuration(None, [f"overlay2={overlay2}", *more]).configuration


def overlays(overlay2: str, *options: str, **changes: Any) -> tuple[Overlay | None, Overlay | None]:
    """The overlay of the root, and that of a bind."""
    plan = bare(config=config(overlay2), mounts=[mount("/data", "bind", *options)], **changes)
    (root,), (bind,) = steps_of(plan, MountRoot), steps_of(plan, Bind)
    return root.overlay, bind.overlay


SELF, MEMORY = Overlay(Medium.SELF), Overlay()


@pytest.mark.rows("S39", "S41", "H18", "H21", oracle="specification")
@pytest.mark.parametrize(
    ("overlay2", "root", "bind"),
    [
        ("none", None, None),
        ("root:memory", MEMORY, None),
        ("root:self", SELF, None),
        ("all:memory,size=1m", Overlay(size="1m"), Overlay(size="1m")),
        ("all:dir=/x", Overlay(Medium.DIRECTORY, "/x"), Overlay(Medium.DIRECTORY, "/x")),
    ],
)
def test_s41_the_configuration_says_which(overlay2: str, root: Overlay | None, bind: Overlay | None) -> None:
    assert overlays(overlay2) == (root, bind)


@pytest.mark.rows("S41", oracle="specification")
@pytest.mark.parametrize("option", ["ro", "rro"])
def test_s41_what_is_read_only_needs_none(option: str) -> None:
    assert overlays("all:self", option)[1] is None
    assert overlays("none", option, annotations=HINT)[1] is None


@pytest.mark.rows("S41", oracle="specification")
def test_s41_s62_a_hint_outweighs_the_configuration() -> None:
    for overlay2 in ("none", "root:memory", "all:memory"):
        assert overlays(overlay2, annotations=HINT)[1] == SELF
    assert overlays("none", annotations=HINT | {"dev.gvisor.spec.mount.vol.lifecycle": "shared"})[1] is None
    assert overlays("none", annotations=HINT | {"dev.gvisor.spec.mount.vol.source": "/other"})[1] is None


def test_the_plan_says_why() -> None:
    (bind,) = steps_of(bare(config=config("all:dir=/x"), mounts=[mount("/data", "bind")]), Bind)
    assert bind.describe() == "bind /source at /data [overlay in /x] kind_of(/source)"
    assert str(bind.reason) == "mounts[0]: overlay2 = all:dir=/x"
    (bind,) = steps_of(bare(annotations=HINT, mounts=[mount("/data", "bind")]), Bind)
    assert bind.describe() == "bind /source at /data [overlay in the source itself] kind_of(/source)"
    assert bind.reason.note == "the hint vol keeps the volume to this container"


def test_json_has_the_overlay_by_its_parts() -> None:
    plan = bare(config=config("root:dir=/x,size=1g"), mounts=[mount("/data", "bind")])
    steps: Any = to_json(plan)["steps"]
    assert steps[0]["overlay"] == {"medium": "dir", "directory": "/x", "size": "1g"}
    assert [step["overlay"] for step in steps if step["step"] == "bind"] == [None]


@pytest.mark.rows("S61", oracle="specification")
def test_s61_a_dropped_hint_is_a_warning_and_an_error_under_strict() -> None:
    bad = {"dev.gvisor.spec.mount.vol.type": "nfs"}
    (skip,) = [step for step in steps_of(bare(annotations=bad), Skip) if step.level is Level.WARNING]
    assert skip.reason.source == 'annotations["dev.gvisor.spec.mount.vol.type"]'
    with pytest.raises(InputError, match="expected tmpfs or bind"):
        bare(annotations=bad, config=config("none", "strict=true"))
