"""The two worlds under an overlay: two lower layers and an upper one, filled by programs before the overlay is mounted."""

from __future__ import annotations

import functools
import os
import stat
import tempfile
from typing import Any, NamedTuple

from tests.differential.vfs import kernel, simulated
from tests.differential.vfs import recipes as st
from tests.differential.vfs.explore import Comparison
from tests.differential.vfs.kernel import CLONE_NEWNS, MS_PRIVATE, MS_REC, check, libc
from tests.differential.vfs.programs import CHANGING, LOOKING, MAKING, MOVING, NAMES, ON_OPEN_FILES, Call, is_basic
from vfs import ROOT, MountFlags, MountOptions, VirtualDentry, VirtualFilesystem
from vfs.fs.overlay import OverlayOptions, OverlayType
from vfs.fs.tmpfs import TmpfsType

LAYERS = ("lower", "lowest", "upper")
OPTIONS = b"lowerdir=lower:lowest,upperdir=upper,workdir=work,index=off,metacopy=off,redirect_dir=nofollow,xino=off"
OPAQUE = "trusted.overlay.opaque"


class Programs(NamedTuple):
    """What fills the layers, in the order of `LAYERS`, and what is then done through the overlay."""

    layers: tuple[list[Call], list[Call], list[Call]]
    main: list[Call]


def _plain(call: Call) -> bool:
    """Whether a change is refused, if at all, before the kernel copies up, and can be asked of both.

    Attributes with odd names are refused late.
    """
    return (
        "xattr" not in call.name or call.name == "flistxattr" or call.arguments[1] in {"user.a", "user.b", "trusted.a"}
    )


def _as_root(call: Call) -> Call:
    return call._replace(who="root")


_PLACES = st.sampled_from([*NAMES, "a/b", "a/c", "b/a", "a/b/c"])
_FILLING = st.one_of(
    st.builds(Call, st.just("mkdir"), st.tuples(_PLACES, st.sampled_from([0o777, 0o755, 0o2775]))),
    st.builds(Call, st.just("mkdir"), st.tuples(_PLACES, st.just(0o777))),
    st.builds(Call, st.just("open"), st.tuples(st.just(0), _PLACES, st.just(os.O_RDWR | os.O_CREAT), st.just(0o666))),
    st.builds(Call, st.just("mknod"), st.tuples(_PLACES, st.just(stat.S_IFCHR), st.just(0), st.just(0))),
    st.builds(
        Call, st.just("setxattr"), st.tuples(_PLACES, st.just(OPAQUE), st.just(b"y"), st.just(0), st.just(False))
    ),
    st.builds(Call, st.just("utime"), st.tuples(_PLACES, st.just(5), st.just(5), st.just(False))),
    st.builds(Call, st.just("write"), st.tuples(st.just(0), st.sampled_from([b"hello", b"z" * 9000]))),
    MAKING.map(_as_root),
    CHANGING.filter(_plain).map(_as_root),
)
LAYER = st.lists(_FILLING, max_size=12)
_OWN_XATTRS = st.builds(
    Call,
    st.sampled_from(["getxattr", "removexattr"]),
    st.tuples(_PLACES, st.sampled_from([OPAQUE, "trusted.overlay.x"]), st.just(False)),
) | st.builds(
    Call,
    st.just("setxattr"),
    st.tuples(_PLACES, st.sampled_from([OPAQUE, "trusted.overlay.x"]), st.just(b"y"), st.just(0), st.just(False)),
)
MAIN = st.lists(
    st.one_of(
        MAKING, MOVING, MOVING, LOOKING, LOOKING, CHANGING.filter(_plain), ON_OPEN_FILES.filter(_plain), _OWN_XATTRS
    ).filter(is_basic),
    min_size=5,
    max_size=30,
)
PROGRAMS = st.builds(Programs, st.tuples(LAYER, LAYER, st.just([])), MAIN)


class KernelWorld(kernel.World):
    """The calls through the kernel's overlay, in a mount namespace of one's own."""

    def __init__(self, place: str, programs: Programs) -> None:
        super().__init__()
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        check(libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, b"mode=0777"))
        self.top = os.open("/", os.O_RDONLY)
        self.place = os.open(place, os.O_RDONLY)
        os.umask(0)
        os.chdir(place)
        for name in (*LAYERS, "work", "merged"):
            os.mkdir(name, 0o777)
        for name, program in zip(LAYERS, programs.layers, strict=True):
            self.fill(name, program)
        check(libc.mount(b"overlay", b"merged", b"overlay", 0, OPTIONS))
        self.enter("merged")

    def enter(self, name: str) -> None:
        os.fchdir(self.place)
        os.chroot(name)
        os.chdir("/")

    def leave(self) -> None:
        os.fchdir(self.top)
        os.chroot(".")
        os.fchdir(self.place)

    def fill(self, name: str, program: list[Call]) -> None:
        self.enter(name)
        world = kernel.World()
        for call in program:
            world.attempt(call)
        for slot in list(world.files):
            world.close(slot)
        self.leave()

    def listdir(self, path: str) -> list[str]:
        # A directory that one layer alone has is listed as it is, whiteouts too, though they cannot be looked up.
        return [name for name in super().listdir(path) if not _is_gone(f"{path}/{name}")]

    def run(self, program: list[Call]) -> list[object]:
        results = super().run(program)
        self.leave()
        return [*results, upper_rows(self.place)]


def _is_gone(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def upper_rows(place: int) -> list[object]:
    """What the upper layer holds: kinds, whiteouts, opaque directories, contents."""
    rows: list[object] = []
    pending = ["upper"]
    while pending:
        path = pending.pop()
        info = os.stat(path, dir_fd=place, follow_symlinks=False)
        opaque = _xattr(f"/proc/self/fd/{place}/{path}")
        rows.append((path.removeprefix("upper") or "/", oct(info.st_mode), info.st_rdev, opaque))
        if stat.S_ISDIR(info.st_mode):
            pending += [f"{path}/{name}" for name in os.listdir(f"/proc/self/fd/{place}/{path}")]
    return sorted(rows, key=repr)


def _xattr(path: str) -> bytes | None:
    try:
        return os.getxattr(path, OPAQUE, follow_symlinks=False)
    except OSError:
        return None


class SimulatedWorld(simulated.World):
    """The same calls on ours."""

    def __init__(self, programs: Programs) -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(TmpfsType())
        self.vfs.register_filesystem_type(OverlayType())
        places = [self.layer(program) for program in programs.layers]
        self.upper = places[2]
        options = MountOptions(internal=OverlayOptions(self.upper, (places[0], places[1])))
        self.root = self.vfs.new_mount_namespace(ROOT, "overlay", "overlay", options).root
        self.cwd = self.root
        self.files = {}
        self.opened = {}
        self.creds = ROOT

    def layer(self, program: list[Call]) -> VirtualDentry:
        world = simulated.World(MountFlags(0))
        mount = self.vfs.mount_disconnected(ROOT, "none", "tmpfs", MountOptions(data="mode=0777"))
        world.vfs = self.vfs
        world.root = world.cwd = VirtualDentry(mount, mount.root)
        for call in program:
            world.attempt(call)
        for slot in list(world.files):
            world.close(slot)
        return VirtualDentry(mount, mount.root)

    def run(self, program: list[Call]) -> list[object]:
        return [*super().run(program), self.upper_rows()]

    def upper_rows(self) -> list[object]:
        rows: list[object] = []
        pending = [("/", self.upper.dentry)]
        while pending:
            path, dentry = pending.pop()
            inode = dentry.inode
            opaque = inode.get_xattr(OPAQUE) if OPAQUE in inode.list_xattr() else None
            rows.append((path, oct(inode.mode), inode.rdev, opaque))
            if stat.S_ISDIR(inode.mode):
                for entry in inode.iterate():
                    child = dentry.children.get(entry.name)
                    assert child is not None, "what is in the upper layer went through the overlay"
                    pending.append((f"{path.rstrip('/')}/{entry.name}", child))
        return sorted(rows, key=repr)


def run_kernel(several: list[Programs]) -> list[list[object]]:
    """The result of each call of the main program, the tree that is left, and the upper layer."""
    place = tempfile.mkdtemp(dir=kernel.PLACE)
    try:
        return kernel.in_children([functools.partial(_run_kernel, place, programs) for programs in several])
    finally:
        os.rmdir(place)


def _run_kernel(place: str, programs: Programs) -> list[object]:
    return KernelWorld(place, programs).run(programs.main)


def run_simulated(programs: Programs) -> list[object]:
    """The same, on ours."""
    return SimulatedWorld(programs).run(programs.main)


def _split(programs: Programs) -> list[object]:
    return [(index, call) for index, calls in enumerate((*programs.layers, programs.main)) for call in calls]


def _join(parts: list[Any]) -> Programs:
    lower, lowest, upper, main = ([call for where, call in parts if where == index] for index in range(4))
    return Programs((lower, lowest, upper), main)


COMPARISON = Comparison(PROGRAMS, run_simulated, run_kernel, _split, _join, lambda programs: programs.main)
