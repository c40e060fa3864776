"""Properties of loading and planning, whatever the bundle says."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.oci.configuration import Cgroupfs, Configuration
from devproxy.oci.json_file import parse_document
from devproxy.oci.load import load, parse_spec
from devproxy.oci.spec import Spec
from devproxy.overlay import NO_OVERLAY, Medium, Overlaid, Overlay, Overlay2
from devproxy.plan.order import MANDATORY, ordered_mounts
from devproxy.plan.plan import Plan
from devproxy.plan.plan_json import to_json
from devproxy.plan.planner import plan
from devproxy.plan.steps import Bind, Level, MakeNode, MountFilesystem, Seal, Skip
from devproxy.plan.text import plan_lines
from tests.bundles import runc_spec_like
from tests.hosts import host_with_gpus

pytestmark = pytest.mark.property

NAMES = st.sampled_from(["a", "b", "dev", "pts", "tmp", "proc", "nvidia0", "..", ".", ""])
PATHS = st.lists(NAMES, max_size=5).map(lambda names: "/" + "/".join(names))
OPTIONS = st.lists(
    st.sampled_from(["ro", "rw", "nosuid", "noatime", "rro", "rslave", "sync", "relatime", "nodev", "dev"]), max_size=4
)
MOUNTS = st.fixed_dictionaries(
    {
        "destination": PATHS,
        "type": st.sampled_from(["tmpfs", "proc", "bind", "cgroup", "none", "devtmpfs", "mqueue", "devpts", "xfs"]),
        "source": st.sampled_from(["src", "/src"]),
        "options": OPTIONS,
    }
)
DEVICES = st.fixed_dictionaries(
    {
        "path": PATHS.filter(lambda path: "nvidia0" in path or "a" in path).map(lambda path: f"{path}/d"),
        "type": st.sampled_from(["c", "b", "u", "p"]),
        "major": st.sampled_from([1, 195, 462]),
        "minor": st.integers(0, 255),
    }
)
CONFIGS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    mounts=st.lists(MOUNTS, max_size=20),
    root=st.fixed_dictionaries({"path": st.just("rootfs"), "readonly": st.booleans()}),
    process=st.fixed_dictionaries({
        "cwd": PATHS,
        "env": st.sampled_from([[], ["NVIDIA_VISIBLE_DEVICES=all"], ["NVIDIA_VISIBLE_DEVICES=1,0"]]),
    }),
    linux=st.fixed_dictionaries({"devices": st.lists(DEVICES, max_size=6), "maskedPaths": st.lists(PATHS, max_size=3)}),
    hooks=st.dictionaries(st.sampled_from(["prestart", "poststop"]), st.just([{"path": "/x"}])),
)  # fmt: skip
CONFIGURATIONS = st.builds(
    Configuration,
    cgroupfs=st.sampled_from(list(Cgroupfs)),
    overlay2=st.sampled_from([NO_OVERLAY, Overlay2(), Overlay2(Overlaid.ALL, Overlay(Medium.SELF))]),
    nvproxy=st.sampled_from([None, True, False]),
    tun=st.booleans(),
    mount_order=st.sampled_from(["depth", "listed"]),
    strict=st.just(False),
)
HOSTS = st.sampled_from([host_with_gpus(2), host_with_gpus(3), host_with_gpus(2, uvm=None)])


def specced(changes: dict[str, Any]) -> Spec:
    return parse_spec(runc_spec_like(**changes), "/b")


def refusal_of(work: Callable[[], object]) -> InputError | None:
    """How the input was refused, or None; any other exception is a defect and passes through."""
    try:
        work()
    except InputError as error:
        return error
    return None


def assert_printable(found: Plan) -> None:
    assert all(line.isprintable() and line for line in plan_lines(found))


def mounts_of(found: Plan) -> list[MountFilesystem | Bind]:
    return [step for step in found.steps if isinstance(step, MountFilesystem | Bind)]


@given(CONFIGS, CONFIGURATIONS, HOSTS, st.sampled_from(["auto", "docker", "spec", "none"]))
def test_the_same_input_gives_the_same_plan_and_every_step_is_one_line(
    changes: dict[str, Any], config: Configuration, host: Any, mode: str
) -> None:
    found = plan(specced(changes), host, mode=mode, config=config)
    again = plan(specced(copy.deepcopy(changes)), host, mode=mode, config=config)
    assert found == again
    assert json.dumps(to_json(found)) == json.dumps(to_json(again))
    assert_printable(found)
    assert all(step.path.startswith("/") and "//" not in step.path for step in found.steps)


@given(CONFIGS)
@pytest.mark.rows("S33", oracle="specification")
def test_s33_parents_come_before_children_and_equals_keep_the_specs_order(changes: dict[str, Any]) -> None:
    spec = specced(changes)
    steps = [step for step in mounts_of(plan(spec, host_with_gpus(2))) if step.reason.source.startswith("mounts[")]
    for early, late in itertools.pairwise(steps):
        assert early.path.count("/") <= late.path.count("/")
        if early.path.count("/") == late.path.count("/"):
            first, second = (int(step.reason.source[len("mounts[") : -1]) for step in (early, late))
            assert first < second


@given(CONFIGS)
@pytest.mark.rows("S33", oracle="specification")
def test_s33_planning_what_was_planned_changes_nothing(changes: dict[str, Any]) -> None:
    """A spec whose mounts stand in the plan's order is planned in that order."""
    spec = specced(changes)
    in_order = tuple(mount for mount in ordered_mounts(spec.mounts, "depth") if mount.where != MANDATORY)
    host = host_with_gpus(2)
    first, second = (plan(spec._replace(mounts=mounts), host, mode="spec") for mounts in (spec.mounts, in_order))
    assert first.steps == second.steps
    listed = plan(spec._replace(mounts=in_order), host, mode="spec", config=Configuration(mount_order="listed"))
    mine = [[s.describe() for s in mounts_of(p) if s.reason.source != MANDATORY] for p in (first, listed)]
    assert mine[0] == mine[1]


@given(CONFIGS)
def test_everything_listed_is_carried_out_or_skipped(changes: dict[str, Any]) -> None:
    spec = specced(changes)
    found = plan(spec, host_with_gpus(2))
    told = {step.reason.source for step in found.steps}
    for mount in spec.mounts:
        assert mount.where in told
    for device in spec.devices or ():
        assert device.where in told
    for unsupported in spec.unsupported:
        assert any(
            isinstance(step, Skip)
            and step.reason.source == unsupported.where
            and (step.level is Level.NOTE) == unsupported.harmless
            for step in found.steps
        )


@given(CONFIGS, st.sampled_from(["depth", "listed"]))
@pytest.mark.rows("S36", oracle="specification")
def test_s36_nothing_is_made_in_a_mount_after_its_seal(changes: dict[str, Any], order: str) -> None:
    found = plan(specced(changes), host_with_gpus(2), config=Configuration(mount_order=order))
    sealed: list[str] = []
    for step in found.steps:
        if isinstance(step, MountFilesystem | Bind):
            # A new mount hides what was sealed at and below its mount point.
            sealed = [path for path in sealed if path != step.path and not path.startswith(f"{step.path}/")]
        elif isinstance(step, Seal):
            sealed.append(step.path)
        if isinstance(step, MakeNode | Seal):
            inside = [path for path in sealed if step.path.startswith(f"{path.rstrip('/')}/") and path != step.path]
            assert not inside, f"{step.describe()} after the seal of {inside}"


# load


def _paths(value: object, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here] + [path for key, inner in items for path in _paths(inner, (*here, key))]


RICH = runc_spec_like(
    hooks={"prestart": [{"path": "/x"}]},
    annotations={"a.b": "c"},
    domainname="d",
    process={"user": {"uid": 1, "gid": 2, "additionalGids": [3], "umask": 18}, "oomScoreAdj": 1},
    linux={
        "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}],
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
        "rootfsPropagation": "slave",
        "sysctl": {"a": "b"},
    },
)
PLACES = _paths(RICH)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 70), 1 << 70),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["\0", "/\0", "\ud800", "/\udfff", "x" * 70_000, "/" * 70_000, "bind", "../..", "all", "c"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES, st.booleans()), min_size=1, max_size=4))
def test_any_change_of_a_valid_config_is_loaded_and_planned_or_refused_in_words(
    changes: list[tuple[tuple[Any, ...], Any, bool]],
) -> None:
    document = copy.deepcopy(RICH)
    for place, value, remove in changes:
        document = _changed(document, place, value, remove=remove)
    error = refusal_of(lambda: assert_printable(plan(parse_spec(document, "/b"), host_with_gpus(2))))
    assert error is None or (error.message.isprintable() and 0 < len(error.message) < 2000)


def _changed(document: Any, place: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    if not place:
        return value
    inner = document
    for key in place[:-1]:
        try:
            inner = inner[key]
        except (LookupError, TypeError):
            return document
    try:
        if remove:
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
    except (LookupError, TypeError):
        pass
    return document


@given(
    st.one_of(
        st.binary(max_size=200), st.text(alphabet='{}[]",:0123456789.eE-truefalsn\\u ', max_size=60).map(str.encode)
    )
)
def test_any_bytes_are_json_or_refused_in_words(content: bytes) -> None:
    error = refusal_of(lambda: parse_document(content))
    assert error is None or error.message


@given(st.integers(0, 4000), st.integers(0, 255))
def test_any_changed_byte_of_a_config_is_loaded_or_refused(tmp_path_factory: Any, position: int, byte: int) -> None:
    content = bytearray(json.dumps(RICH).encode())
    content[position % len(content)] = byte
    directory = tmp_path_factory.mktemp("bundle")
    (directory / "config.json").write_bytes(content)
    error = refusal_of(lambda: load(directory))
    assert error is None or ("config.json" in error.message and error.hint)
