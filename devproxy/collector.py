"""The interpreter's collector of cycles (the gc module), kept still while many records are made."""

from __future__ import annotations

import gc


class Still:
    """A context in which nothing is collected.

    Records refer to each other in no cycles, so that there is nothing to find; but each of thousands that is made brings
    the next collection nearer, which looks at all of them again. It concerns the whole process; another thread that comes out
    of such a context first turns the collector on earlier, which costs time and nothing else.
    """

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            gc.enable()
