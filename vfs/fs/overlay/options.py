"""What an overlay mount is asked for, in values or as text."""

from __future__ import annotations

import enum
import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fs.static import refused
from vfs.resolve import PathOperation

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.mount import VirtualDentry
    from vfs.virtual_filesystem import VirtualFilesystem

LOWER_LIMIT: Final = 500
"""The most lower layers (OVL_MAX_STACK)."""


class RedirectDir(enum.Enum):
    """What happens to directories that lower layers have and that are renamed, and to the redirects that this leaves."""

    ON = "on"
    """They are renamed, and the upper layer says where the lower ones have them."""
    FOLLOW = "follow"
    """Renaming is EXDEV; redirects found are followed. The default ("off" too, with redirect_always_follow of the module)."""
    NOFOLLOW = "nofollow"
    """Renaming is EXDEV; what a redirect would lead to is EPERM."""


_REDIRECT_DIR: Final = {each.value: each for each in RedirectDir} | {"off": RedirectDir.FOLLOW}


@dataclass(frozen=True, slots=True)
class OverlayOptions:
    """For `MountOptions.internal`: the layers, the topmost lower one first. Mounts that are attached nowhere become the
    overlay's, which lets them go at its end.

    `root` is where the paths of a text `lowerdir=/a:/b,upperdir=/c,workdir=/d` are looked up instead, and `start` where
    relative ones begin; without it they are refused. `user_xattr` keeps what the overlay notes under user.overlay., with
    which redirects are never followed. A `volatile` overlay leaves its upper layer alone when it is told to sync. `shown` is
    the text of the layers as mountinfo has it.
    """

    upper: VirtualDentry | None = None
    lowers: tuple[VirtualDentry, ...] = ()
    root: VirtualDentry | None = None
    start: VirtualDentry | None = None
    redirect_dir: RedirectDir = RedirectDir.FOLLOW
    user_xattr: bool = False
    volatile: bool = False
    work: VirtualDentry | None = None
    shown: str = ""


@dataclass(slots=True)
class _Text:
    """A text taken apart. `appended` says that the lower layers came one by one, by lowerdir+."""

    lowers: list[str] = field(default_factory=list)
    lowerdir: str = ""
    appended: bool = False
    places: dict[str, str] = field(default_factory=dict)
    redirect: str | None = None
    flags: set[str] = field(default_factory=set)

    def take(self, key: str, value: str | None) -> None:
        """Errors: EINVAL for what is unknown, and for features that this overlay has not."""
        if key == "lowerdir" and value:
            self.lowers, self.lowerdir, self.appended = _split(value), value, False
        elif key == "lowerdir+" and value and (self.appended or not self.lowers):
            self.lowers.append(value)
            self.appended = True
        elif key in {"upperdir", "workdir"} and value:
            self.places[key] = value
        elif key == "redirect_dir" and value in _REDIRECT_DIR:
            self.redirect = value
        elif (key in {"userxattr", "volatile", "default_permissions"} and value is None) or value in _PLAIN.get(
            key, ()
        ):
            self.flags.add(key if value is None else f"{key}={value}")
        else:
            raise refused(key, value)

    def shown(self) -> str:
        """As mountinfo shows it (ovl_show_options of Linux)."""
        lowers = [f"lowerdir+={_escaped(each)}" for each in self.lowers if self.appended]
        shown = lowers or [f"lowerdir={_escaped(self.lowerdir)}"]
        shown += [f"{key}={_escaped(self.places[key])}" for key in ("upperdir", "workdir") if "upperdir" in self.places]
        if "default_permissions" in self.flags:
            shown.append("default_permissions")
        return ",".join(shown)


_PLAIN: Final = {"index": ("off",), "metacopy": ("off",), "nfs_export": ("off",), "xino": ("off",), "verity": ("off",)}
"""Features that are off, and may be asked to be."""


def parse(vfs: VirtualFilesystem, creds: Credentials, data: str, given: OverlayOptions) -> OverlayOptions:
    """The options that a text names, each layer as a mount of its own.

    Errors: EINVAL for what is unknown or does not go together, for no root to look paths up in, relative paths without a
    start, and what is no directory; ENOENT; ENOTDIR on the way to a layer.
    """
    text = _Text()
    for item in _items(data):
        key, equals, value = item.partition("=")
        if key:
            text.take(key, value if equals else None)
    paths = [*text.places.values(), *text.lowers]
    if given.root is None or not (given.start or all(path.startswith("/") for path in map(_unescaped, paths))):
        raise error(errno.EINVAL, data)
    user = "userxattr" in text.flags
    if (user and text.redirect not in {None, "nofollow"}) or ("upperdir" in text.places) > ("workdir" in text.places):
        raise error(errno.EINVAL, data)
    redirect = RedirectDir.NOFOLLOW if user else _REDIRECT_DIR[text.redirect or "off"]
    if "upperdir" not in text.places and redirect is RedirectDir.FOLLOW:
        # There is nothing to rename; ovl_fs_params_verify says so in these words.
        redirect = RedirectDir.ON
    return _opened(vfs, creds, text, given, redirect)


def _opened(
    vfs: VirtualFilesystem, creds: Credentials, text: _Text, given: OverlayOptions, redirect: RedirectDir
) -> OverlayOptions:
    assert given.root is not None
    root, start = given.root, given.start or given.root
    lowers = text.lowers if text.appended else [_unescaped(path) for path in text.lowers]
    places = [_unescaped(text.places[key]) for key in ("upperdir", "workdir") if "upperdir" in text.places]
    found: list[VirtualDentry] = []
    try:
        for path in (*places, *lowers):
            mount = vfs.clone_mount(creds, PathOperation(root, start, path))
            found.append(root._replace(mount=mount, dentry=mount.root))
    except OSError:
        for each in found:
            vfs.discard_mount(each.mount)
        raise
    upper, work = found[:2] if places else (None, None)
    return OverlayOptions(
        upper,
        tuple(found[len(places) :]),
        redirect_dir=redirect,
        user_xattr="userxattr" in text.flags,
        volatile="volatile" in text.flags,
        work=work,
        shown=text.shown(),
    )


def _items(data: str) -> Iterator[str]:
    """The items of a text, in which a backslash keeps a comma from separating (ovl_next_opt of Linux)."""
    return (item for item in re.findall(r"(?:\\.|[^\\,])+", data, re.DOTALL))


def _split(lowerdir: str) -> list[str]:
    """The paths of a lowerdir, in which a backslash keeps a colon from separating. Errors: EINVAL for an empty one.

    Layers of data alone, after two colons, are for metacopy, which is off.
    """
    paths = re.findall(r"(?:\\.|[^\\:])+", lowerdir, re.DOTALL)
    if len(paths) != len(re.sub(r"\\.", "", lowerdir, flags=re.DOTALL).split(":")):
        raise error(errno.EINVAL, lowerdir)
    return paths


def _unescaped(path: str) -> str:
    return re.sub(r"\\(.?)", r"\1", path)


def _escaped(text: str) -> str:
    """As seq_show_option() writes a value."""
    return re.sub(r"[, \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", text)
