"""What a user is told when something cannot be done.

Everything below devproxy's edge raises plain OSError with the right errno. One ladder turns it into a `DevproxyError`
where it is known what was being done; only `cli` prints it. A message is a fact with its values, in lower case: what
was attempted, what was found, what was expected. The hint, when there is one, says what to do about it.
"""

from __future__ import annotations


class DevproxyError(Exception):
    """Something that was asked for cannot be done. `message` is a fact with its values; `hint` is what to do, or
    empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class InputError(DevproxyError):
    """What the user gave (a bundle, a recording, an option) is wrong; nothing was started. Exit code 2."""


class NvmlUnasked(InputError):
    """An id of the bundle that NVML alone knows, and the host is one whose NVML was not asked (`host.ask_nvml` does): with its answer
    the same may be planned.
    """


class NotStarted(DevproxyError):
    """A command could not be started. `code` is the exit code for that: 126 not executable, 127 not found."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
