"""What a file holds, told by its content: a recording, a plan, a report; and the comparison of two of a kind."""

from __future__ import annotations

import os
import stat

from devproxy.difference.comparison import Comparison
from devproxy.errors import InputError
from devproxy.json_text import loads
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host

_MOST_BYTES: Final = 64 << 20
_HINT: Final = "`devproxy record FILE.tar` makes a recording; `plan`, `verify` and `doctor` with --json the others"


class Compared(Record):
    """One side: its kind (`recording`, `plan`, `report`), and the host or the document."""

    kind: str
    name: str
    host: Host | None = None
    document: dict[str, object] | None = None


def read(path: str) -> Compared:
    """What the file at `path` holds; `live` is this machine.

    Raises:
        InputError: it cannot be read, or is nothing that can be compared.
    """
    from devproxy.host.probe import probe

    if path == "live":
        return Compared("recording", path, host=probe(deep=True))
    if not _begins_like_json(path):
        return Compared("recording", path, host=probe(path, deep=True))
    document = _json(path)
    if isinstance(document.get("steps"), list):
        return Compared("plan", path, document=document)
    if isinstance(document.get("findings"), list):
        return Compared("report", path, document=document)
    probed = "pci" in document and "nodes" in document
    hint = "what `probe --json` prints is not compared: make a recording of the host instead" if probed else _HINT
    raise InputError(f"{path!r} is JSON, but neither a plan nor a report", hint=hint)


def compare_files(first: str, second: str) -> Comparison:
    """What differs between the things in two files.

    Raises:
        InputError: they are of different kinds, or one of them is of none.
    """
    before, after = read(first), read(second)
    if before.kind != after.kind:
        kinds = f"{first!r} is a {before.kind}, {second!r} is a {after.kind}"
        raise InputError(f"{kinds}: only two of a kind can be compared", hint=_HINT)
    if before.host is not None and after.host is not None:
        from devproxy.difference.hosts import compare_hosts

        return compare_hosts(before.host, after.host)
    assert before.document is not None
    assert after.document is not None
    if before.kind == "plan":
        from devproxy.difference.plans import compare_plans

        return compare_plans(before.document, after.document)
    from devproxy.difference.reports import compare_reports

    return compare_reports(before.document, after.document)


def _begins_like_json(path: str) -> bool:
    """Whether the first thing in the file is what a JSON document begins with; a tar begins with a name."""
    return _read(path, 64).lstrip()[:1] in (b"{", b"[")


def _json(path: str) -> dict[str, object]:
    data = _read(path, _MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path!r} has more than {_MOST_BYTES} bytes, which is no plan or report")
    try:
        document = loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path!r} is no JSON: {error}", hint=_HINT) from error
    if not isinstance(document, dict):
        raise InputError(f"{path!r} is JSON, but neither a plan nor a report", hint=_HINT)
    return document


def _read(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"{path!r} is no regular file", hint=_HINT)
            return file.read(limit)
    except OSError as error:
        raise InputError(f"cannot read {path!r}: {error.strerror}", hint=_HINT) from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
