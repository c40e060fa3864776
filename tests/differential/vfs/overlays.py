"""The two worlds under an overlay: one to four lower layers and an upper one or none, filled by programs before the overlay is
mounted.
"""

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
from tests.differential.vfs.programs import CHANGING, LOOKING, MAKING, MOVING, NAMES, ON_OPEN_FILES, Call
from vfs import ROOT, MountFlags, MountOptions, OpenOptions, VirtualDentry, VirtualFilesystem, dcache
from vfs.fs.overlay import OverlayOptions, OverlayType, RedirectDir
from vfs.fs.tmpfs import TmpfsType


class Options(NamedTuple):
    """How the overlay is mounted. Without an upper layer there are at least two lower ones."""

    lowers: int = 2
    upper: bool = True
    redirect_dir: str = "nofollow"
    user_xattr: bool = False

    @property
    def prefix(self) -> str:
        return "user.overlay." if self.user_xattr else "trusted.overlay."

    @property
    def names(self) -> list[str]:
        """The directories of the lower layers."""
        return [f"lower{number}" for number in range(self.lowers)]

    def text(self) -> str:
        upper = ",upperdir=upper,workdir=work" if self.upper else ""
        own = "userxattr" if self.user_xattr else f"redirect_dir={self.redirect_dir}"
        return f"lowerdir={':'.join(self.names)}{upper},index=off,metacopy=off,xino=off,{own}"


class Programs(NamedTuple):
    """What fills the layers, the upper one last, and what is then done through the overlay."""

    layers: tuple[list[Call], ...]
    main: list[Call]
    options: Options = Options()


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
_OWN = st.sampled_from(["opaque", "overlay.opaque", "overlay.x"])
_MARKS = st.sampled_from([b"y", b"x", b""])
_REDIRECTS = st.sampled_from(
    [b"a", b"b", b"c", b"/a", b"/b", b"/a/b", b"/b/a", b"/a/b/c", b"a/b", b"", b"/", b"..", b"/a/../b"]
)
_FILLING = st.one_of(
    st.builds(Call, st.just("mkdir"), st.tuples(_PLACES, st.sampled_from([0o777, 0o755, 0o2775]))),
    st.builds(Call, st.just("mkdir"), st.tuples(_PLACES, st.just(0o777))),
    st.builds(Call, st.just("open"), st.tuples(st.just(0), _PLACES, st.just(os.O_RDWR | os.O_CREAT), st.just(0o666))),
    st.builds(Call, st.just("mknod"), st.tuples(_PLACES, st.just(stat.S_IFCHR), st.just(0), st.just(0))),
    st.builds(Call, st.just("setxattr"), st.tuples(_PLACES, _OWN, _MARKS, st.just(0), st.just(False))),
    st.builds(Call, st.just("opaque"), st.tuples(_PLACES)),
    st.builds(Call, st.just("whiteout"), st.tuples(_PLACES)),
    st.builds(Call, st.just("redirect"), st.tuples(_PLACES, _REDIRECTS)),
    st.builds(Call, st.just("utime"), st.tuples(_PLACES, st.just(5), st.just(5), st.just(False))),
    st.builds(Call, st.just("write"), st.tuples(st.just(0), st.sampled_from([b"hello", b"z" * 9000]))),
    MAKING.map(_as_root),
    CHANGING.filter(_plain).map(_as_root),
)
LAYER = st.lists(_FILLING, max_size=12)
_OWN_XATTRS = st.builds(
    Call,
    st.sampled_from(["getxattr", "removexattr"]),
    st.tuples(_PLACES, _OWN, st.just(False)),
) | st.builds(
    Call,
    st.just("setxattr"),
    st.tuples(_PLACES, _OWN, _MARKS, st.just(0), st.just(False)),
)
MAIN = st.lists(
    st.one_of(
        MAKING, MOVING, MOVING, LOOKING, LOOKING, CHANGING.filter(_plain), ON_OPEN_FILES.filter(_plain), _OWN_XATTRS
    ),
    min_size=5,
    max_size=30,
)


def _programs(layers: list[list[Call]], upper: list[Call], main: list[Call], options: Options) -> Programs:
    lowers = [[_spelled(call, options) for call in layer] for layer in layers[: options.lowers]]
    top = [_spelled(call, options) for call in upper] if options.upper else []
    return Programs((*lowers, top), [_spelled(call, options) for call in main], options)


def _spelled(call: Call, options: Options) -> Call:
    """With the overlay's own attributes under their names."""
    if call.name in {"opaque", "redirect"}:
        value = b"y" if call.name == "opaque" else call.arguments[1]
        return Call("setxattr", (call.arguments[0], options.prefix + call.name, value, 0, False))
    if _OWN_NAMES & set(call.arguments[1:2]):
        path, name, *rest = call.arguments
        return call._replace(arguments=(path, f"{options.prefix}{name}", *rest))
    return call


_OWN_NAMES = {"opaque", "overlay.opaque", "overlay.x"}
_OPTIONS = st.one_of(
    st.builds(Options, st.integers(1, 4), st.just(True), st.sampled_from(["on", "on", "follow", "nofollow"])),
    st.builds(Options, st.integers(1, 4), st.just(True), st.sampled_from(["on", "on", "follow", "nofollow"])),
    st.builds(Options, st.integers(2, 4), st.just(False), st.sampled_from(["on", "follow", "nofollow"])),
    st.builds(Options, st.integers(1, 3), st.just(True), st.just("nofollow"), st.just(True)),
)
PROGRAMS = st.builds(
    _programs,
    st.lists(LAYER, min_size=4, max_size=4),
    # A whiteout that is a regular file is for lower layers; Linux would move it about in the upper one.
    st.one_of(st.just([]), LAYER.map(lambda layer: [call for call in layer if call.name != "whiteout"])),
    MAIN,
    _OPTIONS,
)


MARKS = ("opaque", "redirect")


_EMPTIED = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK


class FillingKernelWorld(kernel.World):
    """What fills a layer can also leave an empty file that stands for a whiteout, in a directory marked for it."""

    def whiteout(self, path: str) -> None:
        os.close(os.open(path, _EMPTIED, 0o666))
        for prefix in ("trusted.overlay.", "user.overlay."):
            os.setxattr(path, f"{prefix}whiteout", b"")
            os.setxattr(os.path.dirname(path) or ".", f"{prefix}opaque", b"x")


class FillingSimulatedWorld(simulated.World):
    """The same on ours."""

    def whiteout(self, path: str) -> None:
        self.vfs.open_at(ROOT, self.at(path), OpenOptions(_EMPTIED, 0o666)).close()
        for prefix in ("trusted.overlay.", "user.overlay."):
            self.vfs.setxattr_at(ROOT, self.at(path), f"{prefix}whiteout", b"")
            self.vfs.setxattr_at(ROOT, self.at(os.path.dirname(path) or "."), f"{prefix}opaque", b"x")


def without_blocks(result: object) -> object:
    """Copying up leaves holes where they are; Linux fills those that are near to data."""
    if isinstance(result, list):
        return [without_blocks(each) for each in result]
    if isinstance(result, tuple):
        if len(result) == 8:
            return result[:5] + result[6:]
        return tuple(without_blocks(each) for each in result)
    return result


def answers(results: list[object], options: Options) -> list[object]:
    """What is compared of the results, the last of which is the tree that is left.

    With `userxattr` Linux cannot note on a node, fifo, socket or link what it was copied from (xattr(7)): a hard link made of it
    then is a file of its own, as to inode numbers. Here it is one.
    """
    *calls, tree = map(without_blocks, results)
    assert isinstance(tree, list)
    return [*calls, [_apart(row) for row in tree] if options.user_xattr else tree]


def _apart(row: tuple[object, ...]) -> tuple[object, ...]:
    if len(row) < 4 or not isinstance(row[2], tuple):
        return row
    mode = int(row[2][0], 8)
    return row if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else (row[0], row[0], *row[2:])


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
        names = [*programs.options.names, "upper"]
        for name in (*names, "work", "merged"):
            os.mkdir(name, 0o777)
        for name, program in zip(names, programs.layers, strict=True):
            self.fill(name, program)
        check(libc.mount(b"overlay", b"merged", b"overlay", 0, programs.options.text().encode()))
        self.options, self.prefix = programs.options, programs.options.prefix
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
        world = FillingKernelWorld()
        for call in program:
            world.attempt(call)
        for slot in list(world.files):
            world.close(slot)
        self.leave()

    def listdir(self, path: str) -> list[str]:
        # A directory that one layer alone has is listed as it is, whiteouts too, though they cannot be looked up. Names whose
        # lookup is refused are left out once the directory has something that was copied up.
        names = super().listdir(path)
        self.credentials.become("root")
        return [name for name in names if not _is_gone(f"{path}/{name}")]

    def _collect(self, path: str, rows: list[object], first_names: dict[tuple[int, int], str]) -> None:
        try:
            super()._collect(path, rows, first_names)
        except OSError as refused:
            # A redirect that is not followed is told by every look at the name.
            rows.append((path, refused.errno))

    def run(self, program: list[Call]) -> list[object]:
        results = super().run(program)
        self.leave()
        return [*answers(results, self.options), upper_rows(self.place, self.prefix)]


def _is_gone(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError:
        return True
    return False


def upper_rows(place: int, prefix: str) -> list[object]:
    """What the upper layer holds: kinds, whiteouts, opaque directories, contents."""
    rows: list[object] = []
    pending = ["upper"]
    while pending:
        path = pending.pop()
        info = os.stat(path, dir_fd=place, follow_symlinks=False)
        # A whiteout is a whiteout, whatever it had been marked with.
        names = [] if stat.S_ISCHR(info.st_mode) else [prefix + mark for mark in MARKS]
        marks = [_xattr(f"/proc/self/fd/{place}/{path}", name) for name in names]
        rows.append((path.removeprefix("upper") or "/", kind(info.st_mode, info.st_rdev), info.st_rdev, marks))
        if stat.S_ISDIR(info.st_mode):
            pending += [f"{path}/{name}" for name in os.listdir(f"/proc/self/fd/{place}/{path}")]
    return sorted(rows, key=repr)


def kind(mode: int, rdev: int) -> str:
    """The mode of a file in the upper layer. Whiteouts that were there before may have one, which Linux moves about with them."""
    return "whiteout" if stat.S_ISCHR(mode) and not rdev else oct(mode)


def _xattr(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


class SimulatedWorld(simulated.World):
    """The same calls on ours."""

    def __init__(self, programs: Programs) -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(TmpfsType())
        self.vfs.register_filesystem_type(OverlayType())
        *lowers, self.upper = [self.layer(program) for program in programs.layers]
        self.options = programs.options
        internal = OverlayOptions(
            self.upper if self.options.upper else None,
            tuple(lowers),
            redirect_dir=RedirectDir(self.options.redirect_dir),
            user_xattr=self.options.user_xattr,
        )
        options = MountOptions(internal=internal)
        self.root = self.vfs.new_mount_namespace(ROOT, "overlay", "overlay", options).root
        self.cwd = self.root
        self.files = {}
        self.opened = {}
        self.creds = ROOT

    def layer(self, program: list[Call]) -> VirtualDentry:
        world = FillingSimulatedWorld(MountFlags(0))
        mount = self.vfs.mount_disconnected(ROOT, "none", "tmpfs", MountOptions(data="mode=0777"))
        world.vfs = self.vfs
        world.root = world.cwd = VirtualDentry(mount, mount.root)
        for call in program:
            world.attempt(call)
        for slot in list(world.files):
            world.close(slot)
        return VirtualDentry(mount, mount.root)

    def listdir(self, path: str) -> list[str]:
        # A regular file that is a whiteout is listed by both in a directory that is not marked for having any.
        return [name for name in super().listdir(path) if not self.is_gone(f"{path}/{name}")]

    def is_gone(self, path: str) -> bool:
        try:
            self.vfs.stat_at(ROOT, self.at(path, follow=False))
        except OSError:
            return True
        return False

    def _collect(self, path: str, rows: list[object], first_names: dict[tuple[int, int], str]) -> None:
        try:
            super()._collect(path, rows, first_names)
        except OSError as refused:
            rows.append((path, refused.errno))

    def run(self, program: list[Call]) -> list[object]:
        return [*answers(super().run(program), self.options), self.upper_rows()]

    def upper_rows(self) -> list[object]:
        rows: list[object] = []
        pending = [("/", self.upper.dentry)]
        while pending:
            path, dentry = pending.pop()
            inode = dentry.inode
            names = [] if stat.S_ISCHR(inode.mode) else [self.options.prefix + mark for mark in MARKS]
            marks = [inode.get_xattr(name) if name in inode.list_xattr() else None for name in names]
            rows.append((path, kind(inode.mode, inode.rdev), inode.rdev, marks))
            if stat.S_ISDIR(inode.mode):
                for entry in inode.iterate():
                    child = dcache.lookup(dentry, entry.name)
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
    calls = enumerate((*programs.layers, programs.main))
    return [(programs.options, index, call) for index, part in calls for call in part]


def _join(parts: list[Any]) -> Programs:
    options: Options = parts[0][0] if parts else Options()
    *layers, main = ([call for _, where, call in parts if where == index] for index in range(options.lowers + 2))
    return Programs(tuple(layers), main, options)


COMPARISON = Comparison(PROGRAMS, run_simulated, run_kernel, _split, _join, lambda programs: programs.main)
