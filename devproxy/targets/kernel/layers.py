"""Upper layers in directories of the host: made before a root is built, gone when it is (S42).

    VOLUME/.devproxy.overlay/        ours alone (0700); locked while a layer is made or removed
        ID/                          one overlay of one sandbox; locked by the devproxy that it belongs to
            upper/ work/

A killed devproxy loses its lock with its life, so that the next one over the same volume tells what it left behind from
the layers of living sandboxes, and removes it. Nothing in a volume is trusted: no link is followed, and a
`.devproxy.overlay` of somebody else is refused.
"""

from __future__ import annotations

import errno
import fcntl
import os

from devproxy.errors import DevproxyError
from devproxy.overlay import LAYERS
from devproxy.own_directory import make_own, open_own
from devproxy.targets.kernel.removal import remove_tree

_HINT = "overlays keep their layers there: remove it, or set overlay2 to memory or dir="
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OURS = os.O_NOFOLLOW | _DIRECTORY


class HostLayers:
    """The layers of one sandbox, held by this process. A context manager would end too early: whoever has the root
    closes them after it.
    """

    def __init__(self) -> None:
        self._held: list[tuple[int, str]] = []

    def add(self, volume: str, name: str) -> str:
        """Make the directory of a layer in a volume, and remove what killed ones left there. Returns what was removed,
        in words.

        Errors: OSError for a volume that cannot be opened or written; DevproxyError for a `.devproxy.overlay` that is
        not ours.
        """
        base = os.open(volume, _DIRECTORY)
        try:
            folder = _lock_folder(base, volume)
        finally:
            os.close(base)
        try:
            told = _told(_remove_leftovers(folder))
            os.mkdir(name, 0o700, dir_fd=folder)
            self._held.append((_lock(folder, name), name))
        finally:
            os.close(folder)
        return told

    def close(self) -> None:
        """Remove the layers. Precondition: nobody uses them any more. What cannot be removed now is left for the next
        one to find.
        """
        held, self._held = self._held, []
        for layer, name in held:
            try:
                _remove(layer, name)
            except OSError:
                continue
            finally:
                os.close(layer)


def open_layer(base: int, name: str, volume: str) -> int:
    """The directory of a layer that `HostLayers` has made, from the descriptor of its volume.

    Errors: DevproxyError for one that is not ours; ENOENT.
    """
    folder = _open_ours(base, volume)
    try:
        return os.open(name, _OURS, dir_fd=folder)
    finally:
        os.close(folder)


def left_behind(volume: str) -> tuple[str, ...]:
    """The layers in a volume that nobody holds, and the next one to keep a layer there would remove. None are told while a layer is made
    or removed there, nor of a volume that is missing, or of a `.devproxy.overlay` of somebody else.

    Errors: OSError for what cannot be looked into.
    """
    try:
        base = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    try:
        folder = _open_ours(base, volume)
    except (FileNotFoundError, DevproxyError):
        return ()
    finally:
        os.close(base)
    try:
        # Shared, so that it keeps nobody from a layer: who makes one waits until this look is over.
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return tuple(name for name in sorted(filter(_is_ours, os.listdir(folder))) if not _is_held(folder, name))
    except BlockingIOError:
        return ()
    finally:
        os.close(folder)


def _is_held(folder: int, name: str) -> bool:
    layer = os.open(name, _OURS, dir_fd=folder)
    try:
        fcntl.flock(layer, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(layer)
    return False


def _lock_folder(base: int, volume: str) -> int:
    """The volume's LAYERS, made if it is missing, and locked: no layer is half made or half removed now."""
    while True:
        make_own(base, LAYERS)
        try:
            folder = _open_ours(base, volume)
        except FileNotFoundError:
            continue  # removed since, with the last layer in it
        fcntl.flock(folder, fcntl.LOCK_EX)
        if os.fstat(folder).st_nlink:
            return folder
        os.close(folder)


def _open_ours(base: int, volume: str) -> int:
    return open_own(base, LAYERS, os.path.join(volume, LAYERS), _HINT)


def _lock(folder: int, name: str) -> int:
    """Open a layer and hold it. Errors: EWOULDBLOCK if it is held."""
    layer = os.open(name, _OURS, dir_fd=folder)
    try:
        fcntl.flock(layer, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(layer)
        raise
    return layer


def _is_ours(name: str) -> bool:
    """Whether layer_name() made it: anything else in there is not ours to remove."""
    digest, _, number = name.partition(".")
    return len(digest) == 12 and set(digest) <= set("0123456789abcdef") and number.isascii() and number.isdigit()


def _remove_leftovers(folder: int) -> tuple[int, int]:
    """Remove the layers that nobody holds. Returns how many were removed, and how many could not be."""
    removed = kept = 0
    for name in filter(_is_ours, os.listdir(folder)):
        try:
            os.close(_lock(folder, name))
            remove_tree(folder, name)
            removed += 1
        except BlockingIOError:
            continue
        except OSError:
            kept += 1
    return removed, kept


def _told(leftovers: tuple[int, int]) -> str:
    removed, kept = leftovers
    told = [f"removed {removed} layers that killed runs left"] if removed else []
    return ", ".join([*told, f"{kept} layers that killed runs left cannot be removed"] if kept else told)


def _remove(layer: int, name: str) -> None:
    folder = os.open("..", _DIRECTORY, dir_fd=layer)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        remove_tree(folder, name)
        volume = os.open("..", _DIRECTORY, dir_fd=folder)
        try:
            os.rmdir(LAYERS, dir_fd=volume)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        finally:
            os.close(volume)
    finally:
        os.close(folder)
