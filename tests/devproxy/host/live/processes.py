"""Processes that hold something and wait, for as long as a test looks at them."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def holding(prepare: Callable[[], object]) -> Iterator[int]:
    """A child that did `prepare`, keeps what that returned, and ends with the context. Its pid."""
    ready, tell = os.pipe()
    wait, go = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(go)
            kept = prepare()
            os.write(tell, b".")
            os.read(wait, 1)
            del kept
            code = 0
        except BaseException:  # noqa: BLE001 (a child tells and never returns)
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(tell)
    os.close(wait)
    try:
        assert os.read(ready, 1) == b".", "the child could not do it"
        yield child
    finally:
        os.close(ready)
        os.close(go)
        os.waitpid(child, 0)
