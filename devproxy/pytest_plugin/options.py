"""The command line and the configuration file: which host, where leases are kept, how long a test waits, where evidence goes."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from itertools import pairwise

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

WAIT: Final = "30m"
_HOST: Final = "replay this recording (devproxy record) in the place of this host"
_REQUIRE: Final = "a test whose hardware is missing fails, rather than being skipped"
_OPTIONS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("--devproxy-host", {"metavar": "FILE", "help": _HOST}),
    ("--devproxy-require-hardware", {"action": "store_true", "default": False, "help": _REQUIRE}),
    ("--devproxy-wait", {"metavar": "TIME", "help": f"wait so long for busy accelerators: 90s, 30m, forever (default {WAIT})"}),
    ("--devproxy-state", {"metavar": "DIR", "help": "where leases are kept (default: where devproxy lease keeps them)"}),
    ("--devproxy-artifacts", {"metavar": "DIR", "help": "keep the recordings that failed tests leave here"}),
    ("--devproxy-bundle", {"metavar": "DIR", "help": "the bundle that devproxy_root builds, where no marker says another"}),
)  # fmt: skip
# What is short is what another plugin may have too: these names are taken when all others had their choice.
_SHORT: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("--host", "devproxy_host", {"metavar": "FILE", "help": f"{_HOST}; the same as --devproxy-host"}),
    (
        "--require-hardware",
        "devproxy_require_hardware",
        {"action": "store_true", "default": False, "help": f"{_REQUIRE}; the same as --devproxy-require-hardware"},
    ),
)
_INI: Final = (
    ("devproxy_host", "the recording that stands for this host, relative to the configuration file", ""),
    ("devproxy_state", "where leases are kept", ""),
    ("devproxy_wait", "how long a test waits for busy accelerators", WAIT),
    ("devproxy_artifacts", "where the recordings of failed tests are kept, relative to the configuration file", ""),
    ("devproxy_evidence_timeout", "how many seconds a recording of this host may take when a test has failed", "30"),
    ("devproxy_bundle", "the bundle that devproxy_root builds, relative to the configuration file", ""),
)


def add(parser: pytest.Parser) -> None:
    """Declare the options that begin with `devproxy`."""
    group = parser.getgroup("devproxy", "accelerators (devproxy)")
    for name, words in _OPTIONS:
        group.addoption(name, dest=name.removeprefix("--").replace("-", "_"), **words)
    for name, text, default in _INI:
        parser.addini(name, text, default=default)


def add_short(parser: pytest.Parser) -> None:
    """Declare the short names, each unless a plugin or a conftest.py has it already: then that is what it means."""
    group = parser.getgroup("devproxy")
    for name, dest, words in _SHORT:
        with suppress(argparse.ArgumentError, ValueError):
            group.addoption(name, dest=dest, **words)


def pass_over_value(config: pytest.Config, args: list[str]) -> None:
    """`--host` is not known yet while initial conftest.py files are looked for, and its value is none of the paths to look at."""
    paths = config.known_args_namespace.file_or_dir
    for word, value in pairwise(args):
        if word == "--host" and value in paths:
            paths.remove(value)


def require_sound(config: pytest.Config) -> None:
    """Errors: pytest.UsageError for a recording that is not there, and for times that are none."""
    source = host(config)
    if source != "live" and not os.path.isfile(source):
        raise pytest.UsageError(
            f"--host {source}: no such file, expected a recording that 'devproxy record FILE.tar' made"
        )
    seconds = config.getini("devproxy_evidence_timeout")
    if not (str(seconds).isdecimal() and int(seconds)):
        raise pytest.UsageError(f"devproxy_evidence_timeout is {seconds!r}, expected whole seconds")
    words = _words(config, "devproxy_wait")
    if words != WAIT:
        from devproxy.errors import InputError
        from devproxy.jobs.size import parse_duration

        try:
            parse_duration(words)
        except InputError as error:
            raise pytest.UsageError(f"--devproxy-wait: {error}") from None


def host(config: pytest.Config) -> str:
    """The path of the recording that stands for this host, or `live`."""
    found = _path(config, "devproxy_host")
    return "live" if found is None else found


def requires_hardware(config: pytest.Config) -> bool:
    """Whether missing hardware is a failure."""
    return bool(config.getoption("devproxy_require_hardware"))


def wait(config: pytest.Config) -> float | None:
    """How long a test waits whose marker does not say it, in seconds; None for ever."""
    from devproxy.jobs.size import parse_duration

    return parse_duration(_words(config, "devproxy_wait"))


def state(config: pytest.Config) -> str | None:
    """The directory in which leases are kept, where one is named."""
    return _path(config, "devproxy_state")


def artifacts(config: pytest.Config) -> str | None:
    """The directory for recordings of failed tests, where one is named: that of `devproxy job`, where pytest is its command."""
    of_job = os.environ.get("DEVPROXY_ARTIFACTS")
    return _path(config, "devproxy_artifacts") or (os.path.abspath(of_job) if of_job else None)


def bundle(config: pytest.Config) -> str | None:
    """The bundle to build where no marker names one."""
    return _path(config, "devproxy_bundle")


def evidence_timeout(config: pytest.Config) -> int:
    """How many seconds a recording may take."""
    return int(config.getini("devproxy_evidence_timeout"))


def _words(config: pytest.Config, name: str) -> str:
    return str(config.getoption(name) or config.getini(name))


def _path(config: pytest.Config, name: str) -> str | None:
    """An option is relative to where pytest was started, a setting to the file that it is in. `live` is no path."""
    option, setting = config.getoption(name), config.getini(name)
    words = option or setting
    if not words or words == "live":
        return None
    base = config.invocation_params.dir if option else (config.inipath.parent if config.inipath else config.rootpath)
    return os.path.join(base, words)
