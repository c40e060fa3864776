"""pyudev, without the programs that it starts: to find libudev it asks ctypes.util.find_library, which runs ldconfig and,
where that does not know, gcc. The library's name is its ABI's; the linker finds it as it finds every other.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_NAME: Final = "libudev.so.1"


def new_context() -> Any:  # noqa: ANN401 (pyudev has no types)
    """A `pyudev.Context`.

    Errors: OSError if there is no pyudev or no libudev.
    """
    try:
        from pyudev import Context
        from pyudev._ctypeslib import utils
    except ImportError as error:
        raise OSError(errno.ENOENT, f"pyudev: {error}") from error
    if hasattr(utils, "find_library"):
        utils.find_library = _find_library
    try:
        return Context()
    except ImportError as error:
        raise OSError(errno.ENOENT, f"libudev: {error}") from error


def _find_library(_: str) -> str:
    return _NAME
