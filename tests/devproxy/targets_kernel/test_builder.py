"""The builder: its namespaces, what it tells, and that it leaves nothing behind, whenever it ends."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devproxy.errors import DevproxyError, InputError
from devproxy.linux import process
from devproxy.mount_options import Attribute, Change
from devproxy.node import DeviceNumber, Fixed, NodeKind, OfDriver
from devproxy.oci.spec import Namespace
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.linux.forked import in_child
from tests.devproxy.targets_kernel.rig import (
    NO_CHANGE,
    a_host,
    build,
    make_rootfs,
    new_namespaces,
    overlay_root,
    tmpfs,
    tmpfs_root,
)

pytestmark = pytest.mark.root

PR_GET_DUMPABLE = 3
KINDS = ["pid", "ipc", "uts", "network", "cgroup", "mount", "time"]
LINKS = {"network": "net", "mount": "mnt"}


def namespace_of(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{LINKS.get(kind, kind)}")


# namespaces


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_namespaces_that_were_asked_for_are_new(kind: str) -> None:
    with build(tmpfs_root, namespaces=new_namespaces(kind)) as root:
        new = {each for each in KINDS if namespace_of(root.pid, each) != namespace_of("self", each)}
    assert new == {kind, "mount"}


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "network", "cgroup"])
def test_an_existing_namespace_is_joined(kind: str) -> None:
    with build(tmpfs_root, namespaces=new_namespaces(kind)) as holder:
        path = f"/proc/{holder.pid}/ns/{LINKS.get(kind, kind)}"
        with build(tmpfs_root, namespaces=[Namespace(kind, path, "linux.namespaces[0]")]) as root:
            assert namespace_of(root.pid, kind) == namespace_of(holder.pid, kind)


def test_file_systems_belong_to_the_new_namespaces() -> None:
    def work(target: KernelTarget) -> None:
        tmpfs_root(target)
        for fstype in ("proc", "sysfs"):
            target.make_directory("/" + fstype, 0o755)
            target.attach(target.filesystem(fstype, fstype, NO_CHANGE, (), ()), "/" + fstype)

    with build(work, namespaces=new_namespaces("pid", "network")) as root:
        assert [name for name in root.listdir("/proc") if name.isdigit()] == ["1"]
        assert root.listdir("/sysfs/class/net") == ["lo"]
        assert int(root.read_bytes("/sysfs/class/net/lo/flags"), 16) & 1, "lo is up"


def test_names_are_set_in_the_new_namespace_only() -> None:
    before = os.uname().nodename

    def work(target: KernelTarget) -> list[str]:
        tmpfs_root(target)
        return [os.uname().nodename]

    with build(work, namespaces=new_namespaces("uts"), hostname="a-box", domainname="a.domain") as root:
        assert root.outcomes == ["a-box"]
    assert os.uname().nodename == before


@pytest.mark.parametrize(
    ("namespaces", "options", "words"),
    [
        (new_namespaces("user"), {}, r"linux.namespaces\[0\]: a user namespace is not supported"),
        (new_namespaces("colour"), {}, "'colour' is unknown"),
        ([Namespace("mount", "/proc/self/ns/mnt", "linux.namespaces[3]")], {}, r"\[3\].*cannot be joined"),
        ([Namespace("ipc", "/proc/self/ns/net", "linux.namespaces[1]")], {}, r"\[1\].*ipc namespace: invalid argument"),
        (new_namespaces("pid"), {"hostname": "a-box"}, "would rename the host"),
    ],
)
def test_what_cannot_be_had_is_refused(namespaces: list[Namespace], options: dict[str, Any], words: str) -> None:
    with pytest.raises(DevproxyError, match=words):
        build(tmpfs_root, namespaces=namespaces, **options)


def test_a_namespace_that_is_missing_is_named() -> None:
    with pytest.raises(DevproxyError, match=r"linux.namespaces\[0\]: /not/there cannot be opened: no such file"):
        build(tmpfs_root, namespaces=[Namespace("ipc", "/not/there", "linux.namespaces[0]")])


def test_a_host_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(DevproxyError, match=r"host name 'xxx.* cannot be set: invalid argument"):
        build(tmpfs_root, namespaces=new_namespaces("uts"), hostname="x" * 65)


# the caller


def test_the_caller_is_not_changed_and_may_have_threads(tmp_path: Path) -> None:
    rootfs = make_rootfs(tmp_path)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    before = [namespace_of("self", kind) for kind in KINDS], os.getcwd(), os.umask(0o027)
    try:
        with build(lambda target: overlay_root(target, rootfs), namespaces=new_namespaces(*KINDS)):
            assert ([namespace_of("self", kind) for kind in KINDS], os.getcwd(), os.umask(0o027)) == (
                *before[:2],
                0o027,
            )
    finally:
        os.umask(before[2])
        stop.set()
        thread.join()


def test_the_builder_has_nothing_of_the_callers_descriptors(tmp_path: Path) -> None:
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)

    def work(target: KernelTarget) -> list[str]:
        tmpfs_root(target)
        links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd") if int(name) > 2)
        return [os.readlink(link) for link in links if os.path.lexists(link)]

    with build(work) as root:
        os.close(leaked)
        # Its channel, the host's procfs and null device, and the root that it makes.
        assert sorted(link.partition(":")[0] for link in root.outcomes) == ["/", "/dev/null", "/proc", "socket"]


def test_nobody_looks_into_the_builder() -> None:
    def work(target: KernelTarget) -> list[int]:
        tmpfs_root(target)
        return [process.prctl(PR_GET_DUMPABLE, 0)]

    with build(work) as root:
        assert root.outcomes == [0]


@pytest.mark.parametrize("closed", [[0], [1, 2], [0, 1, 2]])
def test_closed_standard_streams_are_no_trap(closed: list[int], tmp_path: Path) -> None:
    rootfs = make_rootfs(tmp_path)

    def work() -> list[str]:
        for number in closed:
            os.close(number)
        with build(lambda target: overlay_root(target, rootfs), namespaces=new_namespaces("pid")) as root:
            return root.listdir("/srv")

    assert in_child(work) == ["deep"]


def test_a_caller_that_cannot_wait_is_told() -> None:
    def work() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        build(tmpfs_root)

    with pytest.raises(DevproxyError, match="SIGCHLD is ignored"):
        in_child(work)


def test_a_pid_namespace_whose_first_process_has_ended_is_refused() -> None:
    with build(tmpfs_root, namespaces=new_namespaces("pid")) as holder:
        namespace = os.open(f"/proc/{holder.pid}/ns/pid", os.O_RDONLY)
    try:
        path = f"/proc/{os.getpid()}/fd/{namespace}"
        with pytest.raises(DevproxyError, match="a process cannot be made in the pid namespace"):
            build(tmpfs_root, namespaces=[Namespace("pid", path, "linux.namespaces[0]")])
    finally:
        os.close(namespace)


# what is told


def test_errors_arrive_as_what_they_were() -> None:
    def oserror(target: KernelTarget) -> None:
        raise OSError(errno.EROFS, "some words", "/a/path")

    def wrong_input(target: KernelTarget) -> None:
        raise InputError("a message", hint="a hint")

    def defect(target: KernelTarget) -> None:
        raise KeyError("a key")

    with pytest.raises(OSError, match="some words") as caught:
        build(oserror)
    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, "/a/path")
    with pytest.raises(InputError, match="a message") as told:
        build(wrong_input)
    assert told.value.hint == "a hint"
    with pytest.raises(RuntimeError, match="KeyError: 'a key'") as unforeseen:
        build(defect, namespaces=new_namespaces("pid"))
    assert "test_builder.py:" in unforeseen.value.__notes__[0]


def test_outcomes_of_any_size_arrive() -> None:
    def work(target: KernelTarget) -> list[Any]:
        tmpfs_root(target)
        return [{"number": number, "words": "ü" * 100} for number in range(5_000)]

    with build(work) as root:
        assert len(root.outcomes) == 5_000
        assert root.outcomes[4_999] == {"number": 4_999, "words": "ü" * 100}


def test_the_pid_is_the_one_that_this_process_sees() -> None:
    with build(tmpfs_root, namespaces=new_namespaces("pid")) as root:
        with open(f"/proc/{root.pid}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert status["NSpid"].split() == [str(root.pid), "1"]
        assert os.readlink(f"/proc/{root.pid}/root") == "/"


def test_a_simulated_number_that_is_live_is_refused() -> None:
    recorded = a_host({"nvidia-uvm": 1}, simulated=True)
    with pytest.raises(OSError, match="1 is nvidia-uvm on a-host and mem on this machine") as caught:
        build(lambda target: target.number_of(OfDriver("nvidia-uvm", 0)), host=recorded)
    assert caught.value.errno == errno.EADDRINUSE


# what is left


# What one verb made and a later one uses, in the builder.
KEPT: dict[str, Any] = {}


def verbs() -> Iterator[tuple[str, Callable[[KernelTarget], object]]]:
    """A build in pieces, one a verb."""
    yield "open_source", lambda target: KEPT.update(source=target.open_source("/usr"))
    yield "root", lambda target: target.attach(tmpfs(target), "/")
    yield "directory", lambda target: target.make_directory("/a/b", 0o755)
    yield "mount point", lambda target: target.make_mount_point("/c/d", directory=False)
    yield "filesystem", lambda target: KEPT.update(mount=tmpfs(target))
    yield "change", lambda target: target.change(KEPT["mount"], Change(Attribute.NOEXEC), recursive=True)
    yield "attach", lambda target: target.attach(KEPT["mount"], "/a/b")
    yield "bind", lambda target: target.attach(target.bind(KEPT["source"], recursive=True), "/a")
    yield "node", lambda target: target.make_node("/null", NodeKind.CHARACTER, DeviceNumber(1, 3), 0o666, 0, 0)
    yield "link", lambda target: target.make_symlink("/link", "null")
    yield "number", lambda target: target.number_of(Fixed(DeviceNumber(1, 3)))
    yield "mask", lambda target: target.mask("/c")
    yield "cover", lambda target: target.cover("/null", b"ours", 0o444)
    yield "seal path", lambda target: target.seal_path("/a")
    yield "seal", lambda target: target.seal("/")
    yield "finish", lambda target: target.finish()


STEPS = list(verbs())


@pytest.mark.parametrize("last", range(len(STEPS)), ids=[name for name, _ in STEPS])
@pytest.mark.parametrize("how", ["error", "exit", "killed"])
def test_a_build_that_ends_anywhere_leaves_nothing(last: int, how: str, tmp_path: Path) -> None:
    """Mounts, descriptors and children are looked for by the suite's own fixture; the builder's pid here."""
    noted = tmp_path / "pid"

    def work(target: KernelTarget) -> None:
        noted.write_text(os.readlink("/proc/self"))
        for _, verb in STEPS[: last + 1]:
            verb(target)
        if how == "error":
            raise OSError(errno.EIO, "the end")
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(OSError, match="the end" if how == "error" else "the builder ended with code"):
        build(work, namespaces=new_namespaces("pid" if how == "error" else "ipc", "network"))
    assert not is_alive(int(noted.read_text()))


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def dies(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


@pytest.mark.parametrize("kinds", [(), ("pid",)])
def test_a_dropped_root_is_gone(kinds: tuple[str, ...]) -> None:
    root = build(tmpfs_root, namespaces=new_namespaces(*kinds))
    assert is_alive(root.pid)
    root.close()
    assert not is_alive(root.pid)
    root.close()


@pytest.mark.parametrize("kinds", [(), ("pid",)])
def test_a_killed_caller_takes_the_root_along(kinds: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    caller = os.fork()
    if caller == 0:
        root = build(tmpfs_root, namespaces=new_namespaces(*kinds))
        os.write(writer, str(root.pid).encode())
        signal.pause()
    os.close(writer)
    pid = int(os.read(reader, 20))
    os.close(reader)
    assert is_alive(pid)
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    assert dies(pid)


@pytest.mark.parametrize("kinds", [(), ("pid",)])
def test_a_killed_caller_takes_a_busy_builder_along(kinds: tuple[str, ...], tmp_path: Path) -> None:
    noted = tmp_path / "pid"

    def work(target: KernelTarget) -> None:
        (tmp_path / "writing").write_text(os.readlink("/proc/self"))
        os.rename(tmp_path / "writing", noted)
        signal.pause()

    caller = os.fork()
    if caller == 0:
        build(work, namespaces=new_namespaces(*kinds))
    while not noted.exists():
        time.sleep(0.002)
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    assert dies(int(noted.read_text()))


def test_an_interrupted_build_is_dropped(tmp_path: Path) -> None:
    noted = tmp_path / "pid"

    def work(target: KernelTarget) -> None:
        noted.write_text(os.readlink("/proc/self"))
        os.kill(os.getppid(), signal.SIGUSR1)
        signal.pause()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            build(work)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not is_alive(int(noted.read_text()))


def test_many_sources_need_no_higher_limit(tmp_path: Path) -> None:
    """All sources are open before the first is mounted: the builder raises its soft limit."""
    import resource

    def work(target: KernelTarget) -> None:
        sources = [target.open_source("/usr") for _ in range(300)]
        tmpfs_root(target)
        for number, source in enumerate(sources):
            target.make_directory(f"/{number}", 0o755)
            target.attach(target.bind(source, recursive=False), f"/{number}")

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    try:
        with build(work) as root:
            assert len(root.mountinfo()) == 301
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
