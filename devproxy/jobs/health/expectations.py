"""What a host should have, as a TOML file says it: read strictly, since a misspelt expectation would be one that nobody checks.

[host]      product
[driver]    version: exact, or ">=550.90"
[gpu]       count, model, memory, pcie-width, pcie-generation, nvlinks, mig, ecc, persistence, sm-clocks, temperature-most
[tpu]       count, generation
[checks]    CODE = false: not looked for
"""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.jobs.size import parse_size
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

_LARGEST: Final = 1 << 20


class Expectations(Record):
    """What is expected; None, or empty, is anything. `models` are those that a GPU may be of, `memory` the bytes that each has at
    least, `sm_clocks` the clocks for applications in MHz that may be set, `temperature_most` degrees Celsius. `checks` are codes
    with whether they are looked for. `source` is the file.
    """

    product: str = ""
    driver: str = ""
    gpu_count: int | None = None
    models: tuple[str, ...] = ()
    memory: int | None = None
    pcie_width: int | None = None
    pcie_generation: int | None = None
    nvlinks: int | None = None
    mig: bool | None = None
    ecc: bool | None = None
    persistence: bool | None = None
    sm_clocks: tuple[int, ...] = ()
    temperature_most: int | None = None
    tpu_count: int | None = None
    tpu_generation: str = ""
    checks: tuple[tuple[str, bool], ...] = ()
    source: str = "expectations"


def load_expectations(path: str, codes: Iterable[str]) -> Expectations:
    """The expectations in a file; `codes` are those that [checks] may name.

    Errors: InputError, with the line and the key, for what is no TOML, an unknown key, a value of another kind.
    """
    import tomllib

    from devproxy.oci.json_file import read_regular

    try:
        text = read_regular(path, _LARGEST).decode()
        document = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read the expectations {path!r}: {error.strerror}", hint=_WRITE) from None
    except RecursionError:
        raise InputError(f"the expectations {path!r} are nested too deeply") from None
    except ValueError as error:  # what is no UTF-8, too
        raise InputError(f"the expectations {path!r} are no TOML: {error}", hint=_WRITE) from None
    return _Reading(path, text, frozenset(codes)).read(document)


_WRITE: Final = "'devproxy check --write-expect FILE' writes what this host has"


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40:
        return value
    raise ValueError("a whole number")


def _words(value: object) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError("a text")


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def _models(value: object) -> tuple[str, ...]:
    return tuple(_words(each) for each in (value if isinstance(value, list) and value else [value]))


def _clocks(value: object) -> tuple[int, ...]:
    return tuple(_whole(each) for each in (value if isinstance(value, list) and value else [value]))


def _size(value: object) -> int:
    if isinstance(value, str):
        try:
            return parse_size(value)
        except InputError:
            raise ValueError("a size like '80G', or bytes") from None
    return _whole(value)


def _version(value: object) -> str:
    text = _words(value)
    if not all(part.isdigit() for part in text.removeprefix(">=").strip().split(".")):
        raise ValueError("a version like '550.163.01', or '>=550.90'")
    return text


_KEYS: Final[dict[str, dict[str, tuple[str, Callable[[object], Any]]]]] = {
    "host": {"product": ("product", _words)},
    "driver": {"version": ("driver", _version)},
    "gpu": {
        "count": ("gpu_count", _whole), "model": ("models", _models), "memory": ("memory", _size),
        "pcie-width": ("pcie_width", _whole), "pcie-generation": ("pcie_generation", _whole), "nvlinks": ("nvlinks", _whole),
        "mig": ("mig", _truth), "ecc": ("ecc", _truth), "persistence": ("persistence", _truth),
        "sm-clocks": ("sm_clocks", _clocks), "temperature-most": ("temperature_most", _whole),
    },
    "tpu": {"count": ("tpu_count", _whole), "generation": ("tpu_generation", _words)},
}  # fmt: skip
_CHECKS: Final = "checks"


class _Reading:
    """A file that is read: what it is called, its text for the lines of errors, the codes."""

    def __init__(self, path: str, text: str, codes: frozenset[str]) -> None:
        self._path = path
        self._text = text
        self._codes = codes

    def read(self, document: dict[str, object]) -> Expectations:
        """Errors: InputError."""
        found: dict[str, Any] = {"source": self._path}
        for name, table in document.items():
            if name not in (*_KEYS, _CHECKS):
                raise self._unknown("table", name, "", (*_KEYS, _CHECKS))
            if not isinstance(table, dict):
                raise InputError(f"{self._at(name, '')}: {name} is {table!r}, expected a table: [{name}]")
            found |= self._checks(table) if name == _CHECKS else self._table(name, table)
        return Expectations(**found)

    def _table(self, name: str, table: dict[str, object]) -> dict[str, object]:
        found = {}
        for key, value in table.items():
            if key not in _KEYS[name]:
                raise self._unknown("key", key, name, _KEYS[name])
            field, take = _KEYS[name][key]
            try:
                found[field] = take(value)
            except ValueError as error:
                raise InputError(f"{self._at(key, name)}: {name}.{key} is {_short(value)}, expected {error}") from None
        return found

    def _checks(self, table: dict[str, object]) -> dict[str, object]:
        for code, on in table.items():
            if code not in self._codes:
                raise self._unknown("code", code, _CHECKS, self._codes)
            if not isinstance(on, bool):
                raise InputError(f"{self._at(code, _CHECKS)}: {_CHECKS}.{code} is {_short(on)}, expected true or false")
        return {"checks": tuple(table.items())}

    def _unknown(self, kind: str, key: str, table: str, known: Iterable[str]) -> InputError:
        from difflib import get_close_matches

        names = sorted(known)
        near = get_close_matches(key, names, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names[:16])}"
        inside = f" in [{table}]" if table else ""
        return InputError(f"{self._at(key, table)}: there is no {kind} {key!r}{inside}", hint=hint)

    def _at(self, key: str, table: str) -> str:
        """`expected.toml, line 7`. tomllib keeps no lines; where a key is written in an unusual way the file alone is named."""
        section = ""
        for number, line in enumerate(self._text.split("\n"), 1):
            words = line.partition("#")[0].strip()
            if words.startswith("["):
                section = words.strip("[] \t")
                if not table and section.partition(".")[0].strip("\"' ") == key:
                    return f"{self._path}, line {number}"
            elif section == table and words.partition("=")[0].partition(".")[0].strip("\"' ") == key:
                return f"{self._path}, line {number}"
        return self._path


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
