"""What this kernel can do of what the kernel target wants, and the older ways where it cannot."""

from __future__ import annotations

import errno
import os

from devproxy.errors import InputError
from devproxy.linux import mounts, paths, walk
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.linux.paths import Opener


class KernelPaths(Record):
    """Which of two ways the kernel target goes, three times. Tests force the older ones; Linux 5.12, whose
    mount_setattr(2) has no stand-in, is the oldest that will do.

    `detached`: the root is built attached nowhere (6.15), else in a private mount namespace. `openat2`: the kernel
    resolves paths (5.6), else devproxy.linux.walk. `layers_by_fd`: overlay takes descriptors (6.13), else paths of
    /proc/self/fd.
    """

    detached: bool = True
    openat2: bool = True
    layers_by_fd: bool = True

    @property
    def opener(self) -> Opener:
        """How paths are opened inside a root."""
        return paths.open_in_root if self.openat2 else walk.open_in_root

    @property
    def opener_beneath(self) -> Opener:
        """How paths are opened below a directory which they must not leave."""
        return paths.open_beneath if self.openat2 else walk.open_beneath


OLDEST: Final = KernelPaths(detached=False, openat2=False, layers_by_fd=False)
_VARIABLE: Final = "DEVPROXY_KERNEL"


def forced_paths() -> KernelPaths | None:
    """The older ways where the environment asks for them, by DEVPROXY_KERNEL=oldest: to test them, or to get around a newer
    one that fails. Errors: InputError for another value.
    """
    asked = os.environ.get(_VARIABLE, "")
    if asked not in ("", "oldest"):
        raise InputError(
            f"{_VARIABLE} is {asked!r}, expected oldest", hint="without it the kernel is asked what it can"
        )
    return OLDEST if asked else None


_DETACHED_SINCE: Final = (6, 15)

_found: KernelPaths | None = None


def kernel_paths() -> KernelPaths:
    """What this kernel can, found by trying, once a process. Errors: EPERM without CAP_SYS_ADMIN."""
    global _found  # noqa: PLW0603 (the answer is a property of the running kernel)
    if _found is None:
        _found = KernelPaths(_mounts_on_detached(), paths.has_openat2(), _overlay_takes_descriptors())
    return _found


def _mounts_on_detached() -> bool:
    """Bind a tmpfs that is attached nowhere onto itself. It vanishes with its descriptors."""
    if _release() >= _DETACHED_SINCE:
        # Not tried: the kernel takes milliseconds to let a mount go.
        return True
    context = mounts.fsopen("tmpfs")
    opened = [context]
    try:
        mounts.fsconfig_create(context)
        opened.append(mounts.fsmount(context, 0))
        opened.append(mounts.clone_tree(opened[1], recursive=False))
        mounts.move_mount(opened[2], opened[1])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True


def _release() -> tuple[int, ...]:
    """The running kernel's version, as far as it is numbers (uname(2))."""
    words = os.uname().release.split("-")[0].split(".")[:2]
    return tuple(int(word) for word in words if word.isdecimal())


def _overlay_takes_descriptors() -> bool:
    """Configure an overlay, which is never made, with a layer by descriptor. Before 6.15 fsconfig(2) takes none that was
    opened with O_PATH (EBADF), before 6.13 an overlay takes none at all (EINVAL), and before 6.5 fsconfig(2) knows overlay by its
    old interface alone, which takes nothing but strings (EOPNOTSUPP).
    """
    try:
        context = mounts.fsopen("overlay")
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    lower = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        mounts.fsconfig_descriptor(context, "lowerdir+", lower)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return False
    finally:
        os.close(lower)
        os.close(context)
    return True
