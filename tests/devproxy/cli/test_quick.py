"""The quick reading of the command line beside argparse's, which judges."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devproxy.cli.parser import read_arguments
from devproxy.cli.quick import read_quickly
from devproxy.cli.verbs import VERBS

OPTIONS = st.sampled_from(
    [
        "--config",
        "--set",
        "--log-format",
        "-v",
        "-q",
        "--verbose",
        "--host",
        "--mode",
        "--target",
        "--timings",
        "--json",
        "--text",
        "--gpus",
        "--quick",
        "-vv",
        "-vq",
        "--mod",
        "-h",
        "--nosuch",
        "-",
        "-1",
        "-v=",
        "--timings=1",
        "--host=",
        "--log-format=json",
        "--host=h.tar",
        "--set=a=b",
        "--mode=docker",
        "--config=-x",
        "--json=",
    ]
)
VALUES = st.sampled_from(
    ["bundle", "live", "json", "text", "docker", "auto", "kernel", "a=b", "", " ", "-x y", "é", "ls"]
)
WORDS = st.lists(OPTIONS | VALUES | st.sampled_from([verb.name for verb in VERBS]), max_size=7)
LINES = st.tuples(st.sampled_from([[], ["-v"], ["--set", "a=b"]]), st.sampled_from(VERBS), WORDS).map(
    lambda parts: [*parts[0], parts[1].name, *parts[2]]
)


def judged(words: list[str]) -> dict[str, Any] | None:
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return vars(read_arguments(words))
    except SystemExit:
        return None


@settings(max_examples=500)
@given(LINES | WORDS)
def test_what_is_read_quickly_is_what_argparse_reads(words: list[str]) -> None:
    quick = read_quickly(words)
    if quick is not None:
        assert vars(quick) == judged(words)


@pytest.mark.parametrize(
    "line",
    [
        "run bundle",
        "run --host h100.tar bundle --mode docker --target kernel",
        "run bundle --host=live --timings",
        "-v run bundle -q --verbose --set a=b --set=c=d",
        "--log-format json --config f.toml run bundle",
        "plan bundle --json",
        "verify bundle --text --mode spec",
        "probe",
        "record file.tar",
        "spec dir --gpus 0,1",
        "bench --quick --json",
        "completion bash",
    ],
)
def test_the_usual_lines_are_read_quickly(line: str) -> None:
    quick = read_quickly(line.split())
    assert quick is not None
    assert vars(quick) == judged(line.split())


ODD = """
run
run a b
run --nosuch a
--host live run a
plan a --json --text
run a --mode x
-h
run -h
run a -vv
run a --host
run a --host -v
run a --timings=1
run a -v=
--config run a
--version
""".splitlines()


@pytest.mark.parametrize("line", ODD)
def test_what_is_odd_is_left_to_argparse(line: str) -> None:
    assert read_quickly(line.split()) is None
