"""Volumes that mount hints make, in plans."""

from __future__ import annotations

from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.mount_options import Attribute
from devproxy.oci.hints import NO_HINTS, parse_hints
from devproxy.plan.plan import Plan
from devproxy.plan.plan_json import to_json
from devproxy.plan.planner import plan_in_pod
from devproxy.plan.steps import Bind, Level, MakeNode, MountFilesystem, Seal, Skip
from tests.devproxy.plan.planning import STRICT, bare, mount, steps_of

pytestmark = pytest.mark.rows("S62", "S63", "S64", "S65", "H22", oracle="specification")


def hint(
    options: str = "", *, kind: str = "tmpfs", share: str = "pod", name: str = "vol", source: str = "/source"
) -> dict[str, str]:
    """The annotations of one hint."""
    fields = {"source": source, "type": kind, "share": share, "options": options}
    return {f"dev.gvisor.spec.mount.{name}.{key}": value for key, value in fields.items()}


def volumes(*mounts: dict[str, Any], options: str = "", **changes: Any) -> Plan:
    return bare(annotations=hint(options), mounts=list(mounts), **changes)


def volume_steps(plan: Plan) -> list[MountFilesystem]:
    return [step for step in steps_of(plan, MountFilesystem) if step.volume]


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_s65_a_mount_of_the_volume_has_the_hints_type(kind: str) -> None:
    plan = volumes(mount("/data", kind, "noexec"), options="size=64k")
    (step,) = volume_steps(plan)
    assert step.describe() == "mount the pod's volume /source, a tmpfs, at /data [noexec,size=64k]"
    assert step.reason.note.startswith("the hint vol makes it a volume in memory")
    assert ("/source of the host is not used" in step.reason.note) == (kind == "bind")
    assert steps_of(plan, Bind) == []
    (shown,) = [each for each in to_json(plan)["steps"] if each.get("volume")]  # type: ignore[attr-defined]
    assert shown["volume"] == "/source"


@pytest.mark.parametrize(("kind", "share"), [("bind", "pod"), ("bind", "shared"), ("tmpfs", "shared")])
def test_s62_other_hints_make_no_volume(kind: str, share: str) -> None:
    plan = bare(annotations=hint(kind=kind, share=share), mounts=[mount("/data", "bind")])
    assert volume_steps(plan) == []
    (bind,) = steps_of(plan, Bind)
    assert bind.overlay is None
    assert bind.reason.note == "the hint vol says that access to it is shared"


def test_h22_a_volume_of_one_container_is_one_too() -> None:
    plan = bare(annotations=hint(share="container"), mounts=[mount("/data", "bind")])
    assert len(volume_steps(plan)) == 1


def test_s62_the_source_decides_by_its_letters() -> None:
    assert volume_steps(volumes(mount("/data", "bind", source="/source/"))) == []
    assert volume_steps(volumes(mount("/data", "bind", source="/x/../source"))) == []
    relative = bare(annotations=hint(source="/b/data"), mounts=[mount("/data", "bind", source="data")])
    assert len(volume_steps(relative)) == 1  # S28: joined to the bundle first


@pytest.mark.parametrize("destination", ["/", "/dev", "/dev/pts"])
def test_what_each_container_has_of_its_own_is_not_shared(destination: str) -> None:
    plan = volumes(mount(destination))
    assert volume_steps(plan) == []
    told = [step.what for step in steps_of(plan, Skip) if step.level is Level.WARNING]
    assert "sharing the volume vol" in told


def test_a_hint_is_no_way_to_another_type() -> None:
    plan = bare(annotations=hint(source="proc"), mounts=[mount("/proc", "proc", source="proc")])
    assert volume_steps(plan) == []


OF_HINT_AND_MOUNT = [
    ("", "", ""),
    ("ro,noatime,noexec", "ro,noatime,noexec", ""),
    ("rw,atime,exec", "ro,noatime,noexec", ""),
    ("nodev,nodiratime", "dev,diratime", ""),
    ("ro", "rw", "read-write"),
    ("noatime", "atime", "access times"),
    ("noexec", "exec", "executable"),
    ("nosuid", "", "set-user-ID"),
    ("ro", "rro", ""),
    ("noexec", "noexec,rexec", "executable"),
]


@pytest.mark.parametrize(("of_hint", "of_mount", "refused"), OF_HINT_AND_MOUNT)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_s64_a_mount_does_not_go_beyond_its_volume(of_hint: str, of_mount: str, refused: str, kind: str) -> None:
    asked = mount("/data", kind, *filter(None, of_mount.split(",")))
    if not refused:
        assert len(volume_steps(volumes(asked, options=of_hint))) == 1
        return
    with pytest.raises(InputError, match=f"^mounts.0., /data is .*{refused}.* volume vol is") as caught:
        volumes(asked, options=of_hint)
    assert "add " in (caught.value.hint or "")


def test_read_only_comes_last_and_for_the_mount_alone() -> None:
    plan = volumes(mount("/ro", "bind", "ro"), mount("/rro", "bind", "rro"), mount("/rw", "bind"))
    assert not any(step.options.change.set & Attribute.RDONLY for step in volume_steps(plan))
    assert [step.path for step in steps_of(plan, Seal)] == ["/ro", "/rro"]


def test_s63_the_hint_says_how_the_volume_is_made() -> None:
    plan = volumes(mount("/data", "tmpfs", "size=1m", "sync"), options="size=64k,mode=0700")
    (step,) = volume_steps(plan)
    assert (step.options.data, step.options.superblock) == (("size=64k", "mode=0700"), ())
    (told,) = [step for step in steps_of(plan, Skip) if step.level is Level.WARNING]
    assert told.what == "sync,size=1m of the mount at /data"
    with pytest.raises(InputError, match="size=1m"):
        volumes(mount("/data", "tmpfs", "size=1m"), config=STRICT)


def test_devices_can_be_made_in_a_volume() -> None:
    device = {"path": "/data/null", "type": "c", "major": 1, "minor": 3}
    plan = volumes(mount("/data", "bind"), linux={"devices": [device]})
    assert "/data/null" in [step.path for step in steps_of(plan, MakeNode)]


def test_s63_in_a_pod_the_hints_of_its_first_container_count() -> None:
    own = bare(annotations=hint(source="/own"), mounts=[mount("/data", "bind"), mount("/own", "bind", source="/own")])
    assert [step.volume for step in volume_steps(own)] == ["/own"]
    first = parse_hints(hint().items())
    joined = plan_in_pod(own, first)
    assert [step.volume for step in volume_steps(joined)] == ["/source"]
    assert joined.hints == first
    assert [(step.what, step.level) for step in steps_of(joined, Skip) if "hint" in step.what] == [
        ("the mount hint vol", Level.NOTE)
    ]
    assert plan_in_pod(joined, first) is joined
    assert volume_steps(plan_in_pod(own, NO_HINTS)) == []


def test_s64_what_another_pod_allows_is_checked_anew() -> None:
    plan = bare(mounts=[mount("/data", "bind")])
    with pytest.raises(InputError, match="read-only"):
        plan_in_pod(plan, parse_hints(hint("ro").items()))
