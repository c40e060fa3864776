"""How an overlay is written, and what each mount is made of: a lower layer, an upper one, a size (H18, S40)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.oci.configuration import parse_configuration
from devproxy.overlay import NO_OVERLAY, Medium, Overlaid, Overlay, Overlay2
from devproxy.plan.plan_json import to_json
from devproxy.plan.steps import Bind, MountFilesystem, MountRoot
from tests.devproxy.oci.parsing import parse
from tests.devproxy.plan.planning import bare, mount, steps_of

DIRECTORIES = st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), min_size=1, max_size=20)
SIZES = st.one_of(
    st.just(""), st.builds("{}{}".format, st.integers(1, 10**6), st.sampled_from(["", "k", "m", "G", "t"]))
)
MEDIUMS = st.one_of(
    st.builds(Overlay, st.sampled_from([Medium.MEMORY, Medium.SELF]), st.just(""), SIZES),
    st.builds(lambda path, size: Overlay(Medium.DIRECTORY, f"/{path}", size), DIRECTORIES, SIZES),
)
OVERLAYS = st.one_of(st.just(NO_OVERLAY), st.builds(Overlay2, st.sampled_from([Overlaid.ROOT, Overlaid.ALL]), MEDIUMS))


@pytest.mark.rows("S39", "S40", "H18", oracle="specification")
@given(OVERLAYS)
def test_what_is_written_is_read_back(overlay2: Overlay2) -> None:
    # What a path ends with is not told from a size, nor from spaces around a value: these are other settings.
    directory = overlay2.overlay.directory
    if directory == directory.strip() and ",size=" not in directory:
        assert parse_configuration(None, [f"overlay2={overlay2}"]).configuration.overlay2 == overlay2


@pytest.mark.rows("H18", oracle="specification")
@pytest.mark.parametrize(
    ("entry", "overlay2", "lower", "upper"),
    [
        (mount("/m", "bind"), "none", "/source", None),
        (mount("/m", "bind"), "all:memory", "/source", {"medium": "memory", "directory": None, "size": None}),
        (
            mount("/m", "bind"),
            "all:memory,size=1719",
            "/source",
            {"medium": "memory", "directory": None, "size": "1719"},
        ),
        (mount("/m", "bind"), "all:self", "/source", {"medium": "self", "directory": None, "size": None}),
        (mount("/m", "bind"), "all:dir=/d", "/source", {"medium": "dir", "directory": "/d", "size": None}),
        (mount("/m", "bind", "ro"), "all:memory", "/source", None),
        (mount("/m", "tmpfs"), "all:memory", None, None),
        (mount("/m", "tmpfs", "size=1719"), "none", None, None),
    ],
)
def test_a_plan_tells_the_layers_of_every_mount(
    entry: dict[str, Any], overlay2: str, lower: str | None, upper: dict[str, Any] | None
) -> None:
    """A bind has its source as lower layer, and an upper one by the configuration; without a lower one a mount is a tmpfs."""
    plan = bare(mounts=[entry], config=parse_configuration(None, [f"overlay2={overlay2}"]).configuration)
    (found,) = (step for step in plan.steps if isinstance(step, Bind | MountFilesystem) and step.path == "/m")
    told = next(step for step in json.loads(json.dumps(to_json(plan)))["steps"] if step["path"] == "/m")
    if lower is None:
        assert isinstance(found, MountFilesystem)
        assert (found.fstype, "overlay" in told) == ("tmpfs", False)
    else:
        assert isinstance(found, Bind)
        assert (told["source"], told["overlay"]) == (lower, upper)
        assert ("overlay in" in told["text"]) == (upper is not None)


@pytest.mark.rows("H18", oracle="specification")
def test_a_mount_of_neither_layer_is_none() -> None:
    for entry in ({"type": "bind"}, {"type": "none", "options": ["bind"]}, {"type": "bind", "source": ""}):
        with pytest.raises(InputError, match=r"mounts\[0\]\.source is "):
            parse(mounts=[{"destination": "/m", **entry}])
    (root,) = steps_of(bare(config=parse_configuration(None, ["overlay2=none"]).configuration), MountRoot)
    assert (root.source, root.overlay) == ("/b/rootfs", None)
