"""A session of pytest in a process of its own, with this plugin and pytest-xdist alone, and where its tests leave their witness."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devproxy.process import Completed, run

HERE = Path(__file__).parents[3]
EIGHT = str(HERE / "example" / "host-8gpu.tar")
TWO = str(HERE / "tests" / "hosts" / "before-550.tar")
TPUS = str(HERE / "tests" / "hosts" / "tpu-v4.tar")
NONE = str(HERE / "tests" / "hosts" / "cpu-only.tar")
# Locks of another kind (fcntl(2)) than those that leases are made of, and a line for each beginning and end.
WITNESS = """
import fcntl, os, time
from contextlib import contextmanager

@contextmanager
def seen(place, names):
    with open(f"{place}/log", "a", buffering=1) as log:
        files = [open(f"{place}/{name}", "w") for name in names]
        try:
            for file in files:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log.write(" ".join(("began", str(os.getpid()), *names)) + "\\n")
            yield
            log.write(" ".join(("ended", str(os.getpid()), *names)) + "\\n")
        finally:
            for file in files:
                file.close()
"""


class Directory:
    """A directory with tests; `state` is where its sessions keep their leases."""

    def __init__(self, path: Path, **sources: str) -> None:
        self.path = path
        self.state = str(path / "leases")
        (path / "pytest.ini").write_text("[pytest]\n")
        for name, source in sources.items():
            (path / f"{name}.py").write_text(source)

    def command(self, *words: str, host: str = EIGHT) -> list[str]:
        """Of a session; `host` is the recording that stands for the host. pytest-xdist is there where workers are asked for."""
        plugins = ["-p", "devproxy.pytest_plugin", *(["-p", "xdist.plugin"] if "-n" in words else [])]
        more = [
            f"--host={host}",
            f"--devproxy-state={self.state}",
            f"--basetemp={self.path}/tmp",
            "-p",
            "no:cacheprovider",
        ]
        return [sys.executable, "-m", "pytest", *plugins, *more, "-ra", *words]

    def run(self, *words: str, host: str = EIGHT) -> Completed:
        """A session to its end."""
        return run(self.command(*words, host=host), check=False, cwd=str(self.path), env=environment(), timeout=120)

    @contextmanager
    def started(self, *words: str, host: str = EIGHT) -> Iterator[subprocess.Popen[str]]:
        """A session that runs: what it and its workers say is its standard output, line by line. It is the first of a process group."""
        with subprocess.Popen(
            self.command(*words, host=host),
            cwd=self.path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as child:
            # Who waits for a line that never comes is told by the end of the output.
            late = threading.Timer(60, child.kill)
            late.start()
            try:
                yield child
            finally:
                late.cancel()
                late.join()
                child.kill()

    @contextmanager
    def holder(self, number: int, host: str = EIGHT) -> Iterator[subprocess.Popen[str]]:
        """A job outside of pytest that has so many accelerators, by `devproxy lease`, until its standard input ends."""
        lease = [sys.executable, "-m", "devproxy", "lease", str(number), "--state", self.state, "--host", host]
        command = [*lease, "--", "sh", "-c", "echo has them; read line"]
        with subprocess.Popen(
            command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "has them\n"
                yield child
            finally:
                child.kill()


def environment() -> dict[str, str]:
    """Without what the session around says to its own tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DEVPROXY_LEASE"))}
    return {
        **kept, "PYTHONPATH": str(HERE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


def until(child: subprocess.Popen[str], *words: str) -> list[str]:
    """The lines that a session says until each of the words has been in one."""
    assert child.stdout is not None
    lines: list[str] = []
    wanted = set(words)
    while wanted:
        line = child.stdout.readline()
        assert line, f"it ended without {wanted}:\n{''.join(lines)}"
        lines.append(line)
        wanted -= {word for word in wanted if word in line}
    return lines
