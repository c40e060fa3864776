"""Starting host programs."""

from __future__ import annotations

import time

import pytest

from devproxy.errors import DevproxyError
from devproxy.process import find_program, run

pytestmark = pytest.mark.programs


def test_output_and_code_come_back() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert done == (3, "out\n", "err\n")


def test_standard_input_is_a_pipe_at_its_end() -> None:
    assert run(["sh", "-c", "readlink /proc/self/fd/0; cat"]).out.startswith("pipe:")


def test_a_bad_end_tells_the_command_to_paste_and_the_last_line() -> None:
    with pytest.raises(DevproxyError, match=r"'sh -c 'echo first >&2; echo last >&2; exit 9'' ended with code 9: last"):
        run(["sh", "-c", "echo first >&2; echo last >&2; exit 9"])


def test_a_signal_is_named() -> None:
    with pytest.raises(DevproxyError, match="ended with signal SIGKILL"):
        run(["sh", "-c", "kill -KILL $$"])


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(DevproxyError, match="cannot start '/no/such': no such file"):
        run(["/no/such"])


def test_a_program_that_hangs_is_ended_with_its_children() -> None:
    start = time.monotonic()
    with pytest.raises(DevproxyError, match=r"did not end within 0\.2 s"):
        run(["sh", "-c", "sleep 30 & sleep 30"], timeout=0.2)
    assert time.monotonic() - start < 10


def test_programs_are_found_by_path_or_not_at_all() -> None:
    assert find_program("sh")
    assert find_program("no-such-program-anywhere") is None
