"""Actions carried out on the running machine. An action is done whole or not at all, also if the process is killed in the middle:
what is made gets its name when it is as it should be, and what it takes the place of is looked at once more before it goes.

`note` is called just before the step that counts, with the action as it is really done.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from devproxy.errors import DevproxyError
from devproxy.jobs.setup.action import FileChange, LinkChange, ModuleChange, NodeChange, Standing, kind_of, type_bits
from devproxy.jobs.setup.modules import change_module
from devproxy.jobs.setup.place import directory, temporary
from devproxy.linux.paths import chown_descriptor
from devproxy.linux.rename import exchange, rename_new
from devproxy.node import DeviceNumber, number_of_rdev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from devproxy.jobs.setup.action import Action

    Note = Callable[[Action], None]

_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FILE_LIMIT: Final = 1 << 20


class Changed(DevproxyError):
    """What an action was to change is not there any more as it was seen: nothing was done."""


def apply(action: Action, note: Note) -> None:
    """Carry an action out. Errors: Changed, DevproxyError, OSError; then nothing was changed."""
    match action:
        case ModuleChange():
            change_module(action, note)
        case NodeChange():
            _change_node(action, note)
        case LinkChange():
            _change_link(action, note)
        case FileChange():
            _change_file(action, note)


def standing_at(folder: int, name: str) -> Standing | None:
    """The node or directory of a name; None for nothing. Errors: Changed for anything else."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return _standing(found, name)


def _standing(found: os.stat_result, name: str) -> Standing:
    kind = kind_of(found.st_mode)
    if kind is None:
        raise Changed(f"{name} is neither a device node nor a directory by now: {stat.filemode(found.st_mode)}")
    number = None if kind == "d" else number_of_rdev(found.st_rdev)
    return Standing(kind, number, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def _require(path: str, found: object, expected: object) -> None:
    if found != expected:
        raise Changed(f"{path} is {found or 'gone'} by now, expected {expected or 'nothing there'}")


# nodes


def _change_node(action: NodeChange, note: Note) -> None:
    parent, name = os.path.split(action.path)
    before, after = action.before, action.after
    with directory(parent) as folder:
        found = standing_at(folder, name)
        if not _is_half_way(found, action):
            _require(action.path, found, before)
        if after is None:
            note(action)
            _remove(folder, name, action)
        elif after.same_device(before):
            note(action)
            _permit(folder, name, after)
        elif after.kind == "d":
            _make_directory(folder, name, action, note)
        else:
            _make_node(folder, name, action, note)
        _require(action.path, standing_at(folder, name), after)


def _is_half_way(found: Standing | None, action: NodeChange) -> bool:
    """Whether a node has the owner of one side and the mode of the other: these are two system calls, and whoever made the first may have
    been killed before the second.
    """
    before, after = action.before, action.after
    if found is None or before is None or after is None or not (found.same_device(before) and found.same_device(after)):
        return False
    owners = ((before.uid, before.gid), (after.uid, after.gid))
    return (found.uid, found.gid) in owners and found.mode in (before.mode, after.mode)


def _remove(folder: int, name: str, action: NodeChange) -> None:
    if action.before is None or action.before.kind != "d":
        os.unlink(name, dir_fd=folder)
        return
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise Changed(f"{action.path} is not empty, and stays") from None


def _make_directory(folder: int, name: str, action: NodeChange, note: Note) -> None:
    assert action.after is not None
    other = temporary()
    os.mkdir(other, 0o700, dir_fd=folder)
    try:
        _permit(folder, other, action.after)
        note(action)
        rename_new(folder, other, name)
    finally:
        with suppress(FileNotFoundError):
            os.rmdir(other, dir_fd=folder)


def _make_node(folder: int, name: str, action: NodeChange, note: Note) -> None:
    """Make a node under another name, with mode and owner, and give it its own in one step."""
    after = action.after
    assert after is not None
    assert isinstance(after.number, DeviceNumber), "the driver is loaded by now"
    other = temporary()
    os.mknod(other, type_bits(after) | 0o600, after.number.rdev, dir_fd=folder)
    try:
        _permit(folder, other, after)
        note(action)
        if action.before is None:
            rename_new(folder, other, name)
        else:
            _take_the_place(folder, other, name, lambda: standing_at(folder, other) == action.before)
    finally:
        _unlink_quietly(folder, other)


def _permit(folder: int, name: str, after: Standing) -> None:
    """Give a node or directory its owner and mode, by the descriptor by which it is known to be the one that is meant."""
    node = os.open(name, _LOOK, dir_fd=folder)
    try:
        found = _standing(os.fstat(node), name)
        if not after.same_device(found):
            raise Changed(f"{name} is {found} by now, expected {after}")
        if (found.uid, found.gid) != (after.uid, after.gid):
            chown_descriptor(node, after.uid, after.gid)
        # fchmod(2) takes no O_PATH descriptor, and a device is not opened for this; its magic link leads to itself alone.
        os.chmod(f"/proc/self/fd/{node}", after.mode)
    finally:
        os.close(node)


# links


def _change_link(action: LinkChange, note: Note) -> None:
    parent, name = os.path.split(action.path)
    with directory(parent) as folder:
        found = _target(folder, name)
        if action.before is not None and found is not None and _lead_to_one(parent, found, action.before):
            action = action._replace(before=found)  # facts tell where a link leads, not in which words
        _require(action.path, found, action.before)
        if action.after is None:
            note(action)
            os.unlink(name, dir_fd=folder)
        elif action.before is None:
            note(action)
            os.symlink(action.after, name, dir_fd=folder)
        else:
            _turn(folder, name, action, note)
        _require(action.path, _target(folder, name), action.after)


def _turn(folder: int, name: str, action: LinkChange, note: Note) -> None:
    assert action.after is not None
    other = temporary()
    os.symlink(action.after, other, dir_fd=folder)
    try:
        note(action)
        _take_the_place(folder, other, name, lambda: _target(folder, other) == action.before)
    finally:
        _unlink_quietly(folder, other)


def _target(folder: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:
        raise Changed(f"{name} is no symbolic link, and is left alone") from None


def _lead_to_one(parent: str, first: str, second: str) -> bool:
    """Whether two targets lead to one path, by their words."""
    return os.path.normpath(os.path.join(parent, first)) == os.path.normpath(os.path.join(parent, second))


# files


def read_file(folder: int, name: str) -> str | None:
    """A file's text; None for nothing. Errors: Changed for what is no regular file of a sensible size."""
    try:
        file = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Changed(f"{name} is no regular file: {(error.strerror or '').lower()}") from None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Changed(f"{name} is no regular file")
        return os.read(file, _FILE_LIMIT).decode("utf-8", "backslashreplace")
    finally:
        os.close(file)


def _change_file(action: FileChange, note: Note) -> None:
    parent, name = os.path.split(action.path)
    with directory(parent) as folder:
        if read_file(folder, name) != action.before:
            raise Changed(f"{action.path} is not as it was seen, and is left alone")
        if action.after is None:
            note(action)
            os.unlink(name, dir_fd=folder)
        else:
            _write(folder, name, action, note)
        os.fsync(folder)


def _write(folder: int, name: str, action: FileChange, note: Note) -> None:
    assert action.after is not None
    other = temporary()
    file = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(file, "wb") as opened:
            opened.write(action.after.encode())
            opened.flush()
            os.fchmod(file, 0o644)
            os.fsync(file)
        note(action)
        if action.before is None:
            rename_new(folder, other, name)
        else:
            _take_the_place(folder, other, name, lambda: read_file(folder, other) == action.before)
    finally:
        _unlink_quietly(folder, other)


def _take_the_place(folder: int, other: str, name: str, is_what_was_seen: Callable[[], bool]) -> None:
    """Let what was made under another name change places with what is to go, and look at that once more: if it is not what was seen,
    somebody was quicker, and it comes back.
    """
    exchange(folder, other, name)
    try:
        if is_what_was_seen():
            return
    except Changed:
        pass  # it is of another type
    exchange(folder, other, name)
    raise Changed(f"{name} was changed by somebody else meanwhile, and is left alone")


def _unlink_quietly(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
