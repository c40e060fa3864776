"""Mount hints in annotations."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.oci.hints import Dropped, Hints, MountHint, Share, from_json, parse_hints, to_json

PREFIX = "dev.gvisor.spec.mount"


def hints(**values: str) -> Hints:
    """The hints of annotations `NAME__KEY=value`."""
    return parse_hints((f"{PREFIX}.{key.replace('__', '.')}", value) for key, value in values.items())


def dropped(**values: str) -> Dropped:
    """The only thing dropped."""
    (found,) = hints(**values).dropped
    return found


VOLUME = {"v__source": "/data", "v__type": "bind", "v__share": "container"}


@pytest.mark.rows("S60", oracle="specification")
def test_s60_a_hint_has_a_source_a_type_and_a_share() -> None:
    found = hints(**VOLUME, v__lifecycle="pod", v__options="ro,noexec")
    assert found == Hints({"/data": MountHint("v", "/data", "bind", Share.CONTAINER, Share.POD, ("ro", "noexec"))}, ())


def test_other_annotations_are_nobodys_business() -> None:
    assert parse_hints([("io.kubernetes.x", "y"), ("dev.gvisor.other", "z")]) == Hints({}, ())


@pytest.mark.rows("S60", oracle="specification")
@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("v", "x", "NAME.KEY"),
        ("v.source.more", "x", "NAME.KEY"),
        (".source", "x", "NAME.KEY"),
        ("v.colour", "red", "one of source, type, share, options, lifecycle, directfs"),
        ("v.source", "", "expected a path"),
        ("v.type", "nfs", "expected tmpfs or bind"),
        ("v.share", "world", "expected container or pod or shared"),
        ("v.lifecycle", "", "expected container or pod or shared"),
    ],
)
@pytest.mark.rows("S60", oracle="specification")
def test_s60_a_bad_annotation_is_named_and_dropped(key: str, value: str, expected: str) -> None:
    found = parse_hints([(f"{PREFIX}.{key}", value)]).dropped[0]
    assert found.where == f'annotations["{PREFIX}.{key}"]'
    assert expected in found.why


@pytest.mark.rows("S60", oracle="specification")
def test_s60_unknown_options_are_dropped_one_by_one() -> None:
    found = hints(**VOLUME, v__options="ro,bogus,size=1,noexec")
    assert found.by_source["/data"].options == ("ro", "noexec")
    assert [entry.why for entry in found.dropped] == [
        '"bogus" is no option of a bind', '"size=1" is no option of a bind',
    ]  # fmt: skip


@pytest.mark.rows("S60", oracle="specification")
def test_s60_a_tmpfs_volume_takes_what_tmpfs_takes() -> None:
    found = hints(
        v__source="/v", v__type="tmpfs", v__share="pod", v__options="size=1m,bind,rw,mode=0700,shared,rro,bogus=1"
    )
    assert found.by_source["/v"].options == ("size=1m", "rw", "mode=0700")
    assert [entry.why for entry in found.dropped] == [
        f'"{word}" is no option of a tmpfs volume' for word in ("bind", "shared", "rro", "bogus=1")
    ]  # fmt: skip


@pytest.mark.rows("S60", oracle="specification")
def test_s60_options_that_are_for_a_mount_to_say_are_dropped() -> None:
    assert hints(**VOLUME, v__options="rw,shared,noexec").by_source["/data"].options == ("rw", "noexec")


@pytest.mark.parametrize(
    ("kind", "share", "access"),
    [
        ("bind", "container", "exclusive"),
        ("bind", "pod", "shared"),
        ("bind", "shared", "shared"),
        ("tmpfs", "container", "exclusive"),
        ("tmpfs", "pod", "exclusive"),
        ("tmpfs", "shared", "shared"),
    ],
)
@pytest.mark.rows("S62", oracle="specification")
def test_s62_who_changes_the_files_of_a_volume(kind: str, share: str, access: str) -> None:
    (hint,) = hints(v__source="/data", v__type=kind, v__share=share).by_source.values()
    assert hint.access == access


def test_hints_cross_to_another_process() -> None:
    found = hints(
        **VOLUME, v__lifecycle="pod", w__source="/w", w__type="tmpfs", w__share="pod", w__options="ro,size=1m"
    )
    assert from_json(json.loads(json.dumps(to_json(found)))) == found


@pytest.mark.rows("S61", oracle="specification")
@pytest.mark.parametrize("missing", ["source", "type", "share"])
@pytest.mark.rows("S61", oracle="specification")
def test_s61_a_hint_that_lacks_something_is_dropped_whole(missing: str) -> None:
    values = {key: value for key, value in VOLUME.items() if not key.endswith(missing)}
    found = hints(**values)
    assert found.by_source == {}
    assert found.dropped == (
        Dropped(f'annotations["{PREFIX}.v"]', f"a hint needs source, type and share, {missing} missing"),
    )


@pytest.mark.rows("S61", oracle="specification")
def test_s61_of_two_hints_for_one_source_the_first_stands() -> None:
    found = hints(**VOLUME, w__source="/data", w__type="tmpfs", w__share="pod")
    assert found.by_source["/data"].name == "v"
    assert found.dropped == (Dropped(f'annotations["{PREFIX}.w"]', '"v" has the same source, "/data"'),)


@pytest.mark.parametrize(
    ("kind", "share", "lifecycle", "overlaid", "shared"),
    [
        ("bind", "container", "", True, False),
        ("bind", "container", "container", True, False),
        ("bind", "container", "pod", True, False),
        ("bind", "container", "shared", False, False),
        ("bind", "pod", "", False, False),
        ("tmpfs", "container", "", False, True),
        ("tmpfs", "pod", "pod", False, True),
        ("tmpfs", "shared", "", False, False),
    ],
)
@pytest.mark.rows("S62", oracle="specification")
def test_s62_who_gets_an_overlay_and_who_shares(
    kind: str, share: str, lifecycle: str, overlaid: bool, shared: bool
) -> None:
    more = {"v__lifecycle": lifecycle} if lifecycle else {}
    (hint,) = hints(v__source="/data", v__type=kind, v__share=share, **more).by_source.values()
    assert (hint.overlaid, hint.shared) == (overlaid, shared)


WORDS = st.sampled_from(["", "v", "w", "source", "type", "share", "options", "lifecycle", "bind", "tmpfs", "\0", "pod"])
KEYS = st.lists(WORDS, max_size=3).map(lambda words: ".".join([PREFIX, *words]))


@given(st.lists(st.tuples(KEYS, st.one_of(WORDS, st.text(max_size=5))), max_size=8))
def test_any_annotations_are_read(annotations: list[tuple[str, str]]) -> None:
    found = parse_hints(annotations)
    assert all(hint.source == source for source, hint in found.by_source.items())


@pytest.mark.rows("H21", oracle="specification")
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("default", []),
        ("off", ['"off", but no gofer stands between a container and its files here']),
        ("maybe", ['"maybe", expected default or off']),
    ],
)
def test_h21_directfs_changes_no_hint_and_off_is_told(value: str, why: list[str]) -> None:
    found = hints(**VOLUME, v__directfs=value)
    assert [each.why for each in found.dropped] == why
    assert found.by_source == hints(**VOLUME).by_source
