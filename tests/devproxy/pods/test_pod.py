"""Pods in one process, on both targets."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

import devproxy
from devproxy.build import Root
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.errors import DevproxyError, InputError
from devproxy.plan.steps import MountFilesystem
from tests.devproxy.pods.bundles import hints, mounted, planned
from tests.unprivileged import as_user

TARGETS = [
    pytest.param("memory", marks=pytest.mark.rows("S63", "S65", "H22", oracle="specification")),
    pytest.param("kernel", marks=[pytest.mark.root, pytest.mark.rows("S63", "S65", "H22", oracle="kernel")]),
]
SECONDS = float(os.environ.get("DEVPROXY_RACE_SECONDS", "3"))
on_each = pytest.mark.parametrize("target", TARGETS)


def asides(root: Root) -> list[str]:
    """What is told of the volumes of a root."""
    return [
        outcome.aside for outcome in root.outcomes if isinstance(outcome.step, MountFilesystem) and outcome.step.volume
    ]


def write(root: Root, path: str, text: str) -> None:
    with root.open(path, "w") as file:
        file.write(text)


@on_each
def test_containers_see_each_others_files(target: str, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    source = str(tmp_path / "volume")
    first = planned(tmp_path / "one", mounted("/shared", source=source), annotations=hints("mode=0750", source=source))
    second = planned(
        tmp_path / "two", mounted("/data/deep", "noexec", kind="tmpfs", source=source), mounted("/again", source=source)
    )
    with devproxy.Pod(target) as pod, pod.build(first) as one, pod.build(second) as two:
        write(one, "/shared/hello", "from one")
        assert two.read_bytes("/data/deep/hello") == two.read_bytes("/again/hello") == b"from one"
        write(two, "/again/reply", "from two")
        assert one.listdir("/shared") == ["hello", "reply"]
        assert one.stat("/shared").st_dev == two.stat("/data/deep").st_dev == two.stat("/again").st_dev
        assert two.stat("/again").st_mode & 0o7777 == 0o750
        assert one.stat("/dev").st_dev != two.stat("/dev").st_dev
        assert os.listdir(source) == []
        assert asides(one) == ["made"]
        assert asides(two) == [f"joined, {tmp_path / 'one'} made it"] * 2
        for root in (one, two):
            assert check_outcomes(root).ok
            assert verify(root.plan, root).findings == ()


@on_each
def test_each_mount_has_its_own_options(target: str, tmp_path: Path) -> None:
    first = planned(tmp_path / "one", mounted("/rw", "nosuid"), mounted("/ro", "ro", "nosuid"), annotations=hints())
    second = planned(tmp_path / "two", mounted("/ro", "ro", "noatime"))
    with devproxy.Pod(target) as pod, pod.build(first) as one, pod.build(second) as two:
        write(one, "/rw/file", "x")
        for root in (one, two):
            assert root.read_bytes("/ro/file") == b"x"
            with pytest.raises(OSError) as caught:
                root.open("/ro/file", "w")
            assert caught.value.errno == errno.EROFS


@on_each
@pytest.mark.rows("S64", oracle="specification")
def test_a_joiner_is_held_to_the_pods_hints(target: str, tmp_path: Path) -> None:
    first = planned(tmp_path / "one", mounted("/shared", "ro"), annotations=hints("ro"))
    # On its own it would be free to do so.
    second = planned(tmp_path / "two", mounted("/shared"), annotations=hints())
    with devproxy.Pod(target) as pod, pod.build(first):
        with pytest.raises(InputError, match="/shared is read-write, but its volume vol is read-only"):
            pod.build(second)
        with pod.build(planned(tmp_path / "two", mounted("/shared", "ro"))) as two:
            assert asides(two)[0].startswith("joined")


@on_each
@pytest.mark.parametrize("share", ["pod", "container"])
@pytest.mark.rows("H22", oracle="specification")
def test_h22_a_volume_outlives_the_container_that_made_it(target: str, share: str, tmp_path: Path) -> None:
    plan = planned(tmp_path / "one", mounted("/shared"), annotations=hints(share=share))
    with devproxy.Pod(target) as pod:
        with pod.build(plan) as root:
            write(root, "/shared/kept", "still here")
        with pod.build(plan) as again:
            assert again.read_bytes("/shared/kept") == b"still here"
    with devproxy.Pod(target) as pod, pod.build(plan) as root:
        assert root.listdir("/shared") == []


@on_each
def test_roots_and_their_pod_are_closed_in_any_order(target: str, tmp_path: Path) -> None:
    plan = planned(tmp_path / "one", mounted("/shared"), annotations=hints())
    pod = devproxy.Pod(target)
    one, two = pod.build(plan), pod.build(plan)
    one.close()
    pod.close()
    pod.close()
    write(two, "/shared/file", "x")
    assert two.read_bytes("/shared/file") == b"x"
    two.close()
    with pytest.raises(DevproxyError, match="closed"):
        pod.build(plan)


@on_each
def test_a_failed_container_leaves_the_pod_usable(target: str, tmp_path: Path) -> None:
    bad = planned(
        tmp_path / "bad",
        mounted("/shared"),
        {"destination": "/x", "type": "bind", "source": str(tmp_path / "missing"), "options": ["bind"]},
        annotations=hints(),
    )
    with devproxy.Pod(target) as pod:
        with pytest.raises(InputError, match="missing"):
            pod.build(bad)
        with pod.build(planned(tmp_path / "one", mounted("/shared"))) as root:
            write(root, "/shared/file", "x")


@on_each
def test_a_volume_that_cannot_be_made_names_its_step(target: str, tmp_path: Path) -> None:
    plan = planned(tmp_path / "one", mounted("/shared"), annotations=hints("size=much"))
    with (
        devproxy.Pod(target) as pod,
        pytest.raises(DevproxyError, match=r"mount the pod's volume .* at /shared.*size=much"),
    ):
        pod.build(plan)


@on_each
def test_a_volume_larger_than_memory_takes_what_is_written(target: str, tmp_path: Path) -> None:
    plan = planned(tmp_path / "one", mounted("/big"), annotations=hints("size=100t"))
    with devproxy.Pod(target) as pod, pod.build(plan) as root:
        write(root, "/big/file", "small")
        assert root.read_bytes("/big/file") == b"small"


@on_each
def test_a_source_that_is_a_link_is_not_followed(target: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    source = str(tmp_path / "link")
    plan = planned(tmp_path / "one", mounted("/shared", source=source), annotations=hints(source=source))
    with devproxy.Pod(target) as pod, pod.build(plan) as root:
        assert root.listdir("/shared") == []


@on_each
def test_a_link_that_another_container_planted_leads_nowhere_else(target: str, tmp_path: Path) -> None:
    first = planned(tmp_path / "one", mounted("/shared"), annotations=hints())
    plain = {"destination": "/shared/sub", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0700"]}
    second = planned(tmp_path / "two", mounted("/shared"), plain)
    with devproxy.Pod(target) as pod, pod.build(first) as one:
        if target == "kernel":
            assert devproxy.launch(one, ["ln", "-s", "../../../../../../etc", "/shared/sub"]) == 0
        else:
            write(one, "/shared/other", "")  # nothing runs in memory
        with pod.build(second) as two:
            points = [line.mount_point for line in two.mountinfo()]
            assert ("/etc" if target == "kernel" else "/shared/sub") in points
        assert "/shared/sub" not in {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def test_in_memory_each_container_is_a_process_of_its_own(tmp_path: Path) -> None:
    plan = planned(tmp_path / "one", mounted("/shared"), annotations=hints())
    with devproxy.Pod("memory") as pod, pod.build(plan) as one, pod.build(plan) as two:
        assert one.readlink("/proc/self") != two.readlink("/proc/self")
        write(two, "/only-here", "")
        assert "only-here" in two.listdir("/proc/self/root")
        assert "only-here" not in one.listdir("/proc/self/root")
        with one.open("/proc/self/mountinfo") as file:
            assert b"/shared" in file.read()


def test_a_pod_in_memory_is_on_one_host(tmp_path: Path) -> None:
    plan = planned(tmp_path / "one", mounted("/shared"), annotations=hints())
    with devproxy.Pod("memory") as pod, pod.build(plan), pytest.raises(DevproxyError, match="are on one host"):
        pod.build(plan._replace(host=plan.host._replace(name="another")))


def test_what_a_pod_is_made_with() -> None:
    with pytest.raises(DevproxyError, match="takes no name"):
        devproxy.Pod("memory", name="web")
    with pytest.raises(DevproxyError, match="expected 'memory' or 'kernel'"):
        devproxy.Pod("disk")


@pytest.mark.rows("S63", "S65", "H22", oracle="specification")
def test_without_root_too() -> None:
    def work(directory: Path) -> list[object]:
        first = planned(directory / "one", mounted("/shared"), annotations=hints("size=1m,uid=5"))
        second = planned(directory / "two", mounted("/data", "noexec"), mounted("/ro", "ro"))
        with devproxy.Pod("kernel") as pod, pod.build(first) as one, pod.build(second) as two:
            write(one, "/shared/hello", "from one")
            said = two.read_bytes("/data/hello").decode(), two.read_bytes("/ro/hello").decode()
            devices = {one.stat("/shared").st_dev, two.stat("/data").st_dev}
            warned = [outcome.found for outcome in one.outcomes if outcome.warning and "uid=5" in outcome.found]
            code = devproxy.launch(
                two, ["sh", "-c", "echo x > /data/more && test -e /ro/more && ! touch /ro/y && sleep 0"]
            )
            return [*said, len(devices), len(warned), code, one.listdir("/shared"), len(verify(one.plan, one).findings)]

    assert as_user(work) == ["from one", "from one", 1, 1, 0, ["hello", "more"], 0]


@pytest.mark.root
def test_a_neighbour_that_swaps_paths_while_a_container_is_built(tmp_path: Path) -> None:
    """What is mounted in a volume lands in the container's own root, or nowhere: never on the host."""
    first = planned(tmp_path / "one", mounted("/shared"), annotations=hints())
    plain = {"destination": "/shared/sub/deep", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0700"]}
    second = planned(tmp_path / "two", mounted("/shared"), plain)
    before = sorted(os.listdir("/etc")), sorted(os.listdir("/"))
    swaps = "while ! test -e /shared/stop; do rm -rf /shared/sub; ln -s ../../../../etc /shared/sub; rm /shared/sub; mkdir /shared/sub; done"
    built = 0
    with devproxy.Pod("kernel") as pod, pod.build(first) as one:
        swapper = threading.Thread(target=devproxy.launch, args=(one, ["sh", "-c", swaps]))
        swapper.start()
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                try:
                    with pod.build(second) as two:
                        points = {line.mount_point for line in two.mountinfo()}
                        assert not {point for point in points if point.endswith("/deep")} - {
                            "/shared/sub/deep",
                            "/etc/deep",
                        }
                        built += 1
                except DevproxyError:
                    continue  # it was swapped in between
        finally:
            with pod.build(planned(tmp_path / "three", mounted("/shared"))) as three:
                write(three, "/shared/stop", "")
            swapper.join()
    assert built
    assert before == (sorted(os.listdir("/etc")), sorted(os.listdir("/")))
    assert "/deep " not in Path("/proc/self/mountinfo").read_text()
