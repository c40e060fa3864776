"""What the tests of the verbs share: what a verb says, and the null device."""

from __future__ import annotations

import errno
from typing import Any

from devproxy.node import DeviceNumber

NULL = DeviceNumber(1, 3)


def errno_of(call: Any, *arguments: Any, **options: Any) -> str:
    """The name of the errno that a verb raises, or what it returns."""
    try:
        return str(call(*arguments, **options))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
