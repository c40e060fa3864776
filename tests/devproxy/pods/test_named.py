"""Pods with a name: who is in them, and what is left of them."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import devproxy
from devproxy.errors import DevproxyError, InputError
from devproxy.pods import state
from devproxy.pods.state import Membership, check_name, runtime_directory
from tests.devproxy.pods.bundles import hints, mounted, planned
from tests.devproxy.pods.test_pod import asides, write
from tests.unprivileged import UID, as_user


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pods are: made by whoever needs it, below a directory of the system's."""
    (tmp_path / "run").mkdir()
    path = tmp_path / "run/devproxy/pods"
    monkeypatch.setattr(state, "runtime_directory", lambda: str(path))
    return path


@pytest.fixture
def null() -> Iterator[int]:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("name", ["web", "web-1", "a.b_c", "0", "x" * 64])
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/x", "-x", ".x", "a b", "a\0", "ä", "x" * 65, "a\n"])
def test_names_that_are_no_component_of_a_path(name: str) -> None:
    with pytest.raises(InputError, match=r"^the pod's name is "):
        Membership(name)


def test_the_last_one_out_leaves_nothing(place: Path) -> None:
    one, two = Membership("web"), Membership("web")
    for each in (one, two):
        with each.locked() as members:
            each.join(members, (-1, -1))
    assert stat.S_IMODE((place / "web").stat().st_mode) == stat.S_IMODE(place.stat().st_mode) == 0o700
    assert len(os.listdir(place / "web")) == 2
    one.leave()
    one.leave()
    assert len(os.listdir(place / "web")) == 1
    two.leave()
    assert os.listdir(place.parent.parent) == []


def leave_behind(place: Path, pod: str, name: str = "1-0123") -> Path:
    """What a killed member leaves: a file that nobody holds."""
    (place / pod).mkdir(parents=True, mode=0o700)
    for each in (place.parent, place, place / pod):
        each.chmod(0o700)
    file = place / pod / name
    file.write_text(json.dumps({"pid": 1, "started": 1, "mount": 3, "user": -1}))
    return file


def test_what_killed_members_left_is_removed_with_any_pod(place: Path) -> None:
    leave_behind(place, "web")
    leave_behind(place, "other")
    with Membership("web").locked() as members:
        assert members.removed == 2
        assert members.living() == []
        assert not (place / "other").exists()
    assert os.listdir(place.parent.parent) == []


def test_one_that_somebody_works_on_is_left_to_them(place: Path) -> None:
    file = leave_behind(place, "other")
    folder = os.open(place / "other", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with Membership("web").locked() as members:
        assert members.removed == 0
    assert file.exists()
    os.close(folder)


def held(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"pid": 1, "started": 1}, "process 1 is another one"),
        ({"pid": 1 << 30, "started": 1}, "there is no process"),
        ({}, "no mnt namespace"),
    ],
)
def test_a_member_whose_namespace_cannot_be_had_is_no_reason_for_a_second_pod(
    place: Path, null: int, about: dict[str, int], why: str
) -> None:
    own = {"pid": os.getpid(), "started": state._started(os.getpid()), "mount": null, "user": -1}
    file = leave_behind(place, "web")
    file.write_text(json.dumps(own | about))
    holder = held(file)
    with Membership("web").locked() as members, pytest.raises(DevproxyError, match=f"pod web: no member .*{why}"):
        members.living()
    os.close(holder)


@pytest.mark.parametrize("which", ["devproxy", "devproxy/pods", "devproxy/pods/web"])
@pytest.mark.parametrize("kind", ["link", "file", "open"])
def test_what_is_somebody_elses_is_refused(place: Path, tmp_path: Path, which: str, kind: str) -> None:
    path = tmp_path / "run" / which
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for above in (place.parent, place):
        if above.is_dir():
            above.chmod(0o700)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        path.write_text("")
    else:
        path.mkdir()
        path.chmod(0o777)
    with pytest.raises(DevproxyError, match=f"{path} is .*, expected a directory of uid {os.geteuid()} with mode 0700"):
        Membership("web").locked().__enter__()
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.root
def test_a_directory_of_another_user_is_refused(place: Path) -> None:
    leave_behind(place, "web")
    os.chown(place / "web", 12345, 12345)
    with pytest.raises(DevproxyError, match="is of uid 12345 with mode 0700"):
        Membership("web").locked().__enter__()


def test_links_among_the_members_are_not_followed(place: Path, tmp_path: Path) -> None:
    leave_behind(place, "web").unlink()
    (tmp_path / "precious").write_text("kept")
    (place / "web/1-link").symlink_to(tmp_path / "precious")
    with Membership("web").locked() as members:
        assert members.living() == []
    assert (tmp_path / "precious").read_text() == "kept"


def test_where_pods_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert runtime_directory() == "/run/devproxy/pods"
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid or 12345)
    fallback = f"/tmp/devproxy-{os.geteuid()}/pods"
    for wrong in ("", "relative", str(tmp_path / "missing"), "/"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", wrong)
        assert runtime_directory() == fallback
    os.chown(tmp_path, os.geteuid(), -1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/")
    assert runtime_directory() == f"{tmp_path}/devproxy/pods"
    tmp_path.chmod(0o777)
    assert runtime_directory() == fallback


@pytest.mark.root
@pytest.mark.rows("S63", "S65", "H22", oracle="kernel")
def test_a_member_joins_through_another_ones_descriptors(place: Path, tmp_path: Path) -> None:
    first = planned(tmp_path / "one", mounted("/shared"), annotations=hints())
    second = planned(tmp_path / "two", mounted("/data"))
    begun = devproxy.Pod("kernel", name="web")
    with begun.build(first) as one:
        write(one, "/shared/hello", "from one")
        with devproxy.Pod("kernel", name="web") as joined:
            with joined.build(second) as two:
                assert two.read_bytes("/data/hello") == b"from one"
                assert asides(two) == [f"joined, {tmp_path / 'one'} made it"]
                # The first one leaves: the pod goes on.
                begun.close()
                with devproxy.Pod("kernel", name="web") as third, third.build(second) as three:
                    assert three.read_bytes("/data/hello") == b"from one"
            with devproxy.Pod("kernel", name="other") as other, other.build(first) as alone:
                assert alone.listdir("/shared") == []
        assert os.listdir(place.parent.parent) == []
        with devproxy.Pod("kernel", name="web") as anew, anew.build(first) as root:
            assert root.listdir("/shared") == []


@pytest.mark.root
def test_a_build_that_fails_leaves_no_member_behind(place: Path, tmp_path: Path) -> None:
    plan = planned(tmp_path / "one", mounted("/shared"), annotations=hints("size=much"))
    with devproxy.Pod("kernel", name="web") as pod, pytest.raises(DevproxyError, match="size=much"):
        pod.build(plan)
    assert os.listdir(place.parent.parent) == []


@pytest.mark.rows("S63", "S65", "H22", oracle="specification")
def test_a_named_pod_without_root() -> None:
    def work(directory: Path) -> list[object]:
        os.environ["XDG_RUNTIME_DIR"] = str(directory)
        first = planned(directory / "one", mounted("/shared"), annotations=hints())
        second = planned(directory / "two", mounted("/data"))
        begun, joined = (devproxy.Pod("kernel", name="web") for _ in range(2))
        with begun, joined, begun.build(first) as one, joined.build(second) as two:
            write(one, "/shared/hello", "from one")
            where = sorted(os.listdir(directory / "devproxy/pods"))
            owner = (directory / "devproxy/pods/web").stat().st_uid
            said = [two.read_bytes("/data/hello").decode(), where, owner]
        return [*said, (directory / "devproxy").exists()]

    assert as_user(work) == ["from one", ["web"], UID, False]
