"""The process that builds a root on the kernel, and then becomes the container's.

The caller is forked once. Its child is born in a new pid namespace; only one that is joined, a time namespace, and a builder
without privileges take a second fork, since children alone are part of such a namespace: the first child waits then for the
second. The other namespaces are made first of all, since proc, sysfs and mqueue belong to those of whoever mounts them;
without privileges a user namespace comes before them (devproxy.targets.rootless). The caller's own namespaces, umask and
directory are never touched.
"""

from __future__ import annotations

import errno
import gc
import os
import resource

from devproxy.errors import DevproxyError
from devproxy.host.facts import Host
from devproxy.linux import mounts, process
from devproxy.linux.namespaces import (
    CLONE,
    ChildrenInNewPidNamespace,
    bring_up_loopback,
    is_privileged,
    map_one,
    setdomainname,
    sethostname,
    setns,
    unshare,
)
from devproxy.linux.paths import LAST_DESCRIPTOR, PROC_SUPER_MAGIC, close_range, filesystem_magic, has_openat2
from devproxy.oci.spec import Namespace
from devproxy.record import Record
from devproxy.targets.kernel.become import Builder, become
from devproxy.targets.kernel.channel import Channel
from devproxy.targets.kernel.failure import to_json
from devproxy.targets.kernel.handles import NO_VOLUMES, HeldVolume
from devproxy.targets.kernel.paths import KernelPaths, forced_paths, kernel_paths
from devproxy.targets.kernel.root import KernelRoot, exit_code
from devproxy.targets.kernel.target import KernelTarget
from devproxy.targets.kernel.warden import Warden
from devproxy.targets.rootless import Rootless

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, NoReturn

    # What is done on the target in the builder; the result is JSON.
    Work = Callable[[KernelTarget], list[Any]]
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build


class _Order(Record):
    """What the builder is told."""

    host: Host
    work: Work
    namespaces: Sequence[Namespace]
    hostname: str
    domainname: str
    live: Mapping[int, str]
    paths: KernelPaths | None
    rootless: Rootless | None
    volumes: Mapping[str, HeldVolume]


def start_builder(  # noqa: PLR0913 (keywords, each a part of what a container is)
    host: Host,
    work: Work,
    *,
    namespaces: Sequence[Namespace] = (),
    hostname: str = "",
    domainname: str = "",
    live: Mapping[int, str] | None = None,
    paths: KernelPaths | None = None,
    volumes: Mapping[str, HeldVolume] = NO_VOLUMES,
) -> KernelRoot:
    """Fork a builder, have it do `work` on a `KernelTarget`, and return the root that came of it.

    `work` runs in the builder. It opens what it needs of the host through the target, and what it returns is the root's
    `outcomes`. The builder dies with the thread that calls this. `live` maps the kernel's character majors to drivers,
    where a recorded host's nodes must not reach them; by default it is read from /proc/devices. `volumes` are those of the pod
    that the root is part of.

    Without CAP_SYS_ADMIN, and for a root that is one in a user namespace alone, the builder has a user namespace of its
    own; `rootless` of the root says so.

    Raises DevproxyError for a namespace that cannot be had, and whatever `work` raised as DevproxyError or OSError.
    Nothing is left then.
    """
    _check_namespaces(namespaces, hostname or domainname)
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        raise DevproxyError(
            "SIGCHLD is ignored, so that no exit code can be waited for",
            hint="whoever started this process ignores it (trap '' CHLD): give it its default action",
        )
    rootless, paths = _rootless(namespaces), paths or forced_paths()
    if rootless is None:
        paths = paths or kernel_paths()
    live = _live_majors(host) if live is None else live
    order = _Order(host, work, namespaces, hostname, domainname, live, paths, rootless, volumes)
    return _fork(order)


def _rootless(namespaces: Sequence[Namespace]) -> Rootless | None:
    """None with the privileges that mounting and making nodes need."""
    if is_privileged():
        return None
    new = frozenset(each.type for each in namespaces if not each.path)
    return Rootless(os.geteuid(), os.getegid(), new, {})


def _fork(order: _Order) -> KernelRoot:
    """Fork, and wait for the builder's report. A signal is held back until there is something that can drop the children,
    and none of the caller's handlers runs in them. The warden is made now, while the builder works and the caller would wait.
    """
    ours, theirs = Channel.pair()
    mask = process.block_signals()
    try:
        child = _fork_into(order, theirs)
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    # Whether openat2 can be used is the same for both; the rest of what the kernel can is asked by the builder.
    opener = order.paths.opener if order.paths else KernelPaths(openat2=has_openat2()).opener
    root = KernelRoot(ours, child, opener, simulated=order.host.simulated, rootless=order.rootless)
    try:
        theirs.close()
        try:
            root.guard(Warden())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _hand_over_volumes(ours, order.volumes)
        root.await_report()
    except BaseException:
        root.close()
        raise
    return root


def _hand_over_volumes(channel: Channel, volumes: Mapping[str, HeldVolume]) -> None:
    """Give the builder the mounts of a pod's volumes, which stay the caller's to close."""
    for key, held in volumes.items():
        try:
            channel.send([key, held.maker], (held.descriptor,))
        except BrokenPipeError:
            return  # it has failed, and its report says why


def _fork_into(order: _Order, channel: Channel) -> int:
    """Fork the builder, into its pid namespace where that is a new one. Returns its pid."""
    if order.rootless is None and any(each.type == "pid" and not each.path for each in order.namespaces):
        with ChildrenInNewPidNamespace() as new:
            child = os.fork()
            if child == 0:
                _run_builder(order, channel, is_first=new.entered)
    else:
        child = os.fork()
        if child == 0:
            _run_builder(order, channel, is_first=False)
    return child


def _check_namespaces(wanted: Sequence[Namespace], name: str) -> None:
    """Refuse what the kernel target cannot do (config-linux.md, "Namespaces")."""
    for namespace in wanted:
        if namespace.type not in CLONE:
            raise DevproxyError(f"{namespace.where}: namespace type {namespace.type!r} is unknown")
        if namespace.type == "user":
            raise DevproxyError(
                f"{namespace.where}: a user namespace is not supported",
                hint="hand the bundle to a runtime that maps users, or remove the entry",
            )
        if namespace.type == "mount" and namespace.path:
            raise DevproxyError(
                f"{namespace.where}: the mount namespace {namespace.path} cannot be joined, the root needs its own",
                hint="remove the path",
            )
    if name and not any(namespace.type == "uts" for namespace in wanted):
        raise DevproxyError(
            f"the host name {name} needs a UTS namespace, and linux.namespaces has none: it would rename the host",
            hint='add {"type": "uts"} to linux.namespaces',
        )


def _live_majors(host: Host) -> dict[int, str]:
    """The character majors of the running kernel, which only a recorded host can disagree with."""
    if not host.simulated:
        return {}
    from devproxy.host.proc_devices import parse_majors

    with open("/proc/devices", encoding="utf-8") as file:
        sections, _ = parse_majors(file.read())
    return {line.major: line.name for line in sections["Character devices:"]}


# in the child


def _run_builder(order: _Order, channel: Channel, *, is_first: bool) -> NoReturn:
    """The whole life of the builder: it never returns, and what it raises is told to the caller. `is_first`: it is the first
    process of a new pid namespace.
    """
    code = 125
    try:
        # An object of the caller that is collected here would close a number that is a descriptor of ours by now.
        gc.disable()
        leave_the_caller(channel)
        proc = open_proc()
        volumes = _take_over_volumes(channel, len(order.volumes))
        _enter_namespaces(order, channel, proc, is_first=is_first)
        become(_build(order, channel, proc, volumes))
    except EOFError:
        code = 0  # the caller has dropped the root
    except BaseException as error:  # noqa: BLE001 (told to the caller)
        tell(channel, error)
    finally:
        os._exit(code)


def tell(channel: Channel, error: BaseException) -> None:
    """Tell the caller what went wrong, if it is still there."""
    try:
        channel.send({"error": to_json(error)})
    except OSError:
        return  # nobody is there to be told


def leave_the_caller(channel: Channel) -> None:
    """Keep nothing of the caller but its standard streams, and die with it."""
    process.die_with_parent()
    process.forbid_dumping()
    process.reset_signals()
    os.setsid()
    with _Attempt("a session keyring of its own cannot be had"):
        process.new_session_keyring()
    close_range(3, channel.fileno() - 1)
    close_range(channel.fileno() + 1, LAST_DESCRIPTOR)
    # It may have ended before it could be asked for; the last copy of its end of the channel was just closed.
    if channel.is_over():
        raise EOFError
    # Where the caller has closed a standard stream, no descriptor of ours may take its number.
    while (null := os.open("/dev/null", os.O_RDWR)) < 3:
        pass
    os.close(null)
    os.umask(0)


def open_proc() -> int:
    """The host's procfs, for what is ours in it: the root may have none, or one that is not what it seems."""
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    if filesystem_magic(proc) != PROC_SUPER_MAGIC:
        raise DevproxyError("/proc of the host is not procfs", hint="mount it: mount -t proc proc /proc")
    return proc


def _enter_namespaces(order: _Order, channel: Channel, proc: int, *, is_first: bool) -> None:
    """Join and make the namespaces, all paths being opened before the first is entered. Returns in the process that is
    in all of them.
    """
    for_children = {each.type for each in order.namespaces} & {"pid", "time"}
    new = {each.type for each in order.namespaces if not each.path} | {"mount"}
    if is_first:
        for_children.discard("pid")
        new.discard("pid")
    joined = [(_open_namespace(each, each.path), each) for each in order.namespaces if each.path]
    if order.rootless is not None:
        enter_user_namespace(order.rootless, proc)
    for descriptor, each in joined:
        _join(descriptor, each, "" if order.rootless is None else "without root only new namespaces can be had")
    with _Attempt(f"new namespaces ({', '.join(sorted(new))}) cannot be made", _NO_USER_NAMESPACE):
        unshare(sum(CLONE[kind] for kind in new))
    if for_children:
        _become_child(channel)
    mounts.set_propagation_of_everything(mounts.MS_SLAVE)
    with _Attempt(f"the host name {order.hostname!r} and domain name {order.domainname!r} cannot be set"):
        if order.hostname:
            sethostname(order.hostname)
        if order.domainname:
            setdomainname(order.domainname)
    if "network" in new:
        with _Attempt("the loopback interface of the new network namespace cannot be brought up", _NO_NETWORK):
            bring_up_loopback()


_NO_USER_NAMESPACE = (
    "an ordinary user needs user namespaces: see 'sysctl kernel.unprivileged_userns_clone user.max_user_namespaces "
    "kernel.apparmor_restrict_unprivileged_userns'; or run it as root, or 'devproxy inspect', which builds in memory"
)
_NO_NETWORK = "it takes CAP_NET_ADMIN: docker run --cap-add NET_ADMIN, or a bundle without a network namespace in linux.namespaces"
# user_namespaces(7): root may map itself only with CAP_SETFCAP, which keeps file capabilities from being forged.
_NO_CAPABILITIES = (
    "this root lacks CAP_SYS_ADMIN, as in a container, and CAP_SETFCAP, without which it cannot be in a user namespace: give it one of "
    "them (docker run --cap-add SYS_ADMIN); or 'devproxy inspect', which builds in memory"
)


def enter_user_namespace(rootless: Rootless, proc: int) -> None:
    """Become root of a new user namespace, which has the caller in it and nobody else."""
    hint = _NO_USER_NAMESPACE if rootless.uid else _NO_CAPABILITIES
    with _Attempt(f"a user namespace for uid {rootless.uid} cannot be made", hint, _NO_USER_NAMESPACE):
        unshare(CLONE["user"])
        with process.Dumpable():
            map_one(proc, (0, rootless.uid), (0, rootless.gid))


class _Attempt:
    """A context in which an OSError becomes a DevproxyError that starts with `what`; the hints are for one of rights and for one of
    limits.
    """

    def __init__(self, what: str, hint: str = "", limited: str = "") -> None:
        self._what = what
        self._hints = {
            errno.EPERM: hint,
            errno.EACCES: hint,
            errno.ENOSPC: limited or hint,
            errno.EUSERS: limited or hint,
        }

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise DevproxyError(
                f"{self._what}: {(error.strerror or '').lower()}", hint=self._hints.get(error.errno or 0, "")
            ) from None


def _open_namespace(namespace: Namespace, path: str) -> int:
    with _Attempt(f"{namespace.where}: {path} cannot be opened"):
        return os.open(path, os.O_RDONLY)


def _join(descriptor: int, namespace: Namespace, hint: str) -> None:
    with _Attempt(f"{namespace.where}: {namespace.path} cannot be joined as a {namespace.type} namespace", hint):
        setns(descriptor, CLONE[namespace.type])
    os.close(descriptor)


def _become_child(channel: Channel) -> None:
    """Fork: the child goes on, as pid 1 of a new pid namespace; this process waits for it and ends as it does."""
    with _Attempt("a process cannot be made in the pid namespace"):
        child = os.fork()
    if child:
        channel.close()
        os._exit(exit_code(os.waitpid(child, 0)[1]))
    process.die_with_parent()
    os.setsid()


def _take_over_volumes(channel: Channel, number: int) -> Mapping[str, HeldVolume]:
    volumes: dict[str, HeldVolume] = {}
    for _ in range(number):
        (key, maker), descriptors, _ = channel.receive()
        volumes[key] = HeldVolume(descriptors[0], maker)
    return volumes


def _build(order: _Order, channel: Channel, proc: int, volumes: Mapping[str, HeldVolume]) -> Builder:
    """Do the work, tell the caller what came of it, and hand over what becoming the process needs."""
    files = _allow_many_descriptors()
    paths, rootless = order.paths or kernel_paths(), order.rootless
    with KernelTarget(order.host, order.live, paths, rootless, volumes) as target:
        outcomes = order.work(target)
        target.finish()
        kept = target.take_kept()
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    refused = rootless.refused if rootless is not None else {}
    # The mount table as this process sees it, which starts at its root since the pivot: read anew from its beginning, it shows
    # what is mounted by then (fs/proc_namespace.c, mounts_open_common).
    mountinfo = os.open("self/mountinfo", os.O_RDONLY, dir_fd=proc)
    channel.send({"outcomes": outcomes, "refused": refused, "kept": len(kept)}, (root, mountinfo))
    os.close(mountinfo)
    for each, descriptor in kept:
        channel.send([each.destination, each.path, each.kind], (descriptor,))
        os.close(descriptor)
    return Builder(channel, paths.opener, root, proc, files, rootless is not None)


def _allow_many_descriptors() -> tuple[int, int]:
    """Raise the soft limit of descriptors: every source is open before the first is mounted. Returns the old limits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard
