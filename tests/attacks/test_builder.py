"""The builder is devproxy inside the container's root, with every privilege: whatever it would look up there by a path is
the image's (the class of docker's CVE-2019-14271). And the container's process is given nothing of the host's that it did not get on
purpose: its interpreter, its terminal, its keys.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

import devproxy
from devproxy.linux.process import prctl
from tests.attacks.scene import SECRET, STARTED, Ran, Scene, fingerprint, scene
from tests.attacks.ways import NONE, OLDEST, Way, attack, command, ran

pytestmark = [pytest.mark.root, pytest.mark.newest]  # the oldest kernel is one of the ways
SOURCE = Path(devproxy.__file__).parents[1]
PROCESSES = {
    "a script of a user": ["/bin/script"],
    "found in PATH": ["true"],
    "missing": ["no-such-program"],
    "not to be executed": ["/etc"],
    "the host's interpreter": ["/proc/self/exe"],
}


@pytest.fixture
def intruder(programs: None, tmp_path: Path) -> Path:
    """tests/attacks/intruder.c, built."""
    made = tmp_path / "intruder"
    source = Path(__file__).with_name("intruder.c")
    subprocess.run(["gcc", "-static", "-Wall", "-o", str(made), str(source)], check=True, timeout=60)
    return made


def _traced(made: Scene, way: Way) -> list[str]:
    """The system calls with paths that the process made which became the container's, from pivot_root(2) to execve(2)."""
    made.write()
    log = made.directory / "trace"
    environment = {**os.environ, "DEVPROXY_KERNEL": way.kernel, "PYTHONPATH": str(SOURCE)}
    words = [sys.executable, "-m", "devproxy", "run", str(made.bundle), *(f"--set={each}" for each in way.settings)]
    trace = ["strace", "-f", "-o", str(log), "-e", "trace=%file,pivot_root"]
    subprocess.run([*trace, *words], input=b"", capture_output=True, timeout=60, check=False, env=environment)
    lines = [line.split(None, 1) for line in log.read_text().splitlines()]
    builder, start = next((pid, number) for number, (pid, call) in enumerate(lines) if call.startswith("pivot_root("))
    calls = []
    for pid, call in lines[start + 1 :]:
        if pid == builder and call.startswith("execve("):
            break
        if pid == builder:
            calls.append(call)
    return calls


@pytest.mark.parametrize("way", [NONE, OLDEST], ids=lambda way: way.name)
@pytest.mark.parametrize("args", PROCESSES.values(), ids=PROCESSES)
def test_nothing_is_looked_up_in_the_image_by_path(args: list[str], way: Way) -> None:
    with scene() as made:
        made.file("bin/script", "#!/bin/sh\ntrue\n", 0o755)
        made.config["process"].update(args=args, user={"uid": 77, "gid": 77}, oomScoreAdj=300, cwd="/tmp")
        calls = _traced(made, way)
    by_path = [call for call in calls if re.match(r'(?!getcwd)\w+\((AT_FDCWD, )?"/', call)]
    # The root itself, and nothing below it; detaching the old root is told by its dot.
    assert all(re.match(r'openat\(AT_FDCWD, "/", ', call) for call in by_path), by_path
    assert calls, "nothing was seen"


def test_an_image_that_shadows_python_is_not_imported() -> None:
    """Every module that there is, at every place where ours are looked for."""
    with scene() as made:
        places = {path for path in sys.path if path.startswith("/") and not path.endswith(".zip")}
        places |= {str(SOURCE), str(SOURCE / "devproxy"), str(SOURCE / "devproxy/linux")}
        names = set(sys.stdlib_module_names) | {Path(name).stem for name in os.listdir(SOURCE / "devproxy")}
        evil = "open('/IMPORTED', 'a').write(__name__)\n"
        for place in places:
            folder = made.rootfs / place.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                (folder / f"{name}.py").write_text(evil)
        environment = ["LD_PRELOAD=/evil.so", "PYTHONSTARTUP=/evil.py", f"PYTHONPATH={SOURCE}", "PYTHONHOME=/evil"]
        made.config["process"]["env"] += [*environment, "GLIBC_TUNABLES=glibc.malloc.check=3", "NAME=\u00e9"]
        codes = []
        for args in (["true"], ["missing"], ["/etc"]):
            made.config["process"]["args"] = args
            codes.append(attack(made, NONE).code)
        assert codes == [0, 127, 126]
        assert not (made.rootfs / "IMPORTED").exists(), (made.rootfs / "IMPORTED").read_text()


# the interpreter


def test_a_program_interpreted_by_the_hosts_interpreter_is_refused() -> None:
    """CVE-2019-5736, by the field of an ELF file that names its loader."""
    with scene() as made:
        source = made.directory / "program.c"
        source.write_text("int main(void) { return 0; }\n")
        flags = ["-Wl,--dynamic-linker=/proc/self/exe", "-o", str(made.rootfs / "bin/program")]
        subprocess.run(["gcc", str(source), *flags], check=True, timeout=60)
        made.config["process"]["args"] = ["/bin/program"]
        before = fingerprint()
        found = attack(made, NONE)
        assert (found.code, "magic link" in found.err) == (126, True), found
        assert fingerprint() == before


# the terminal, and the standard streams


def _on_a_terminal(work: Callable[[], int]) -> tuple[Ran, bytes]:
    """What came of work whose standard input is the terminal of its session, and what was typed into that by then."""
    master, slave = pty.openpty()

    def child() -> int:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        os.dup2(slave, 0)
        return work()

    try:
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        found = ran(child, keep=(slave,))
        os.set_blocking(slave, False)
        try:
            typed = os.read(slave, 100)
        except BlockingIOError:
            typed = b""
    finally:
        os.close(master)
        os.close(slave)
    return found, typed


def devproxy_main(made: Scene) -> int:
    from devproxy.cli.main import main

    return main(["run", str(made.bundle), "--set=overlay2=none"])


def test_the_operators_terminal_cannot_be_typed_into(intruder: Path) -> None:
    """TIOCSTI on a terminal that is a standard stream: the process is in a session of its own, whose terminal it is not."""
    with scene() as made:
        shutil.copy(intruder, made.rootfs / "bin/intruder")
        made.config["process"]["args"] = ["/bin/intruder", "type"]
        made.write()
        if Path("/proc/sys/dev/tty/legacy_tiocsti").read_text() != "0\n":
            whoever = _on_a_terminal(lambda: os.execv(intruder, [str(intruder), "type"]))
            assert whoever[1] == b"XX", "whoever is in the session can type"
        found, typed = _on_a_terminal(lambda: devproxy_main(made))
        assert found.started, found
        assert "pushed -1 -1" in found.out, found
        assert typed == b"", "something was typed into the operator's terminal"


@pytest.mark.parametrize("name", ["dev/console", "dev/pts", "dev/ptmx", "dev/tty", "dev"])
def test_links_do_not_lead_the_terminal_out(name: str) -> None:
    """Whoever binds or opens the terminal by its name in the image (runc CVE-2025-52565) finds the image's link."""
    with scene() as made:
        made.without_dev()
        made.link(name, made.canary / "inside" if name == "dev/pts" else made.canary)
        made.config["process"]["terminal"] = True
        made.script("tty", "echo > /dev/console", "echo > /dev/tty", "true")
        made.write()
        found, _ = _on_a_terminal(lambda: devproxy_main(made))
        assert made.harm(found) == ""
        assert "/pts/0\r\n" in found.out, found


def test_a_directory_is_no_standard_stream() -> None:
    """A caller whose standard input is a directory would give the process the host (`devproxy run . < /`)."""
    with scene() as made:
        made.script("cat /proc/self/fd/0/secret")
        made.write()

        def child() -> int:
            directory = os.open(made.canary, os.O_RDONLY)
            os.dup2(directory, 0)
            return devproxy_main(made)

        found = ran(child)
        assert SECRET not in found.out
        assert (found.code, "standard input is a directory" in found.err) == (2, True), found


# keys


def test_the_operators_keys_are_not_the_containers(intruder: Path) -> None:
    """The session keyring comes with fork and exec (session-keyring(7)): whoever has it possesses its keys."""
    with scene() as made:
        shutil.copy(intruder, made.rootfs / "bin/intruder")
        made.config["process"]["args"] = ["/bin/intruder", "search"]
        made.write()
        words = [sys.executable, "-m", "devproxy", "run", str(made.bundle)]
        holding = subprocess.run(
            [str(intruder), "hold", str(intruder), "search"], capture_output=True, check=True, timeout=60
        )
        assert b"search found" in holding.stdout, "the key is there for whoever keeps the keyring"
        done = subprocess.run(
            [str(intruder), "hold", *words], input=b"", capture_output=True, check=True, timeout=60, cwd=SOURCE
        )
        assert done.stdout.decode().splitlines()[1:] == [STARTED, "search Required key not available"], done


def test_nothing_of_the_builder_is_open_to_the_container() -> None:
    """What is left to the process: three descriptors, its own session, no capability to inherit, no way to be dumped into."""
    with scene() as made:
        made.leaked = made.canary
        made.config["process"]["capabilities"]["inheritable"] = []
        made.script(
            "echo @fds",
            "ls /proc/1/fd",
            "echo @caps",
            "grep CapInh /proc/1/status",
            "echo @root",
            "ls /proc/1/root",
            "echo @",
        )
        found = command_of(made)
        assert set(found.lines_after("@fds")) <= {"0", "1", "2", "10"}, found  # busybox opens one of its own
        assert found.lines_after("@caps") == ["CapInh:\t0000000000000000"]
        assert "bin" in found.lines_after("@root")


def command_of(made: Scene) -> Ran:
    made.write()
    return command(made, ["run", str(made.bundle)], NONE)


def test_the_builder_cannot_be_dumped_or_traced() -> None:
    """PR_GET_DUMPABLE of the builder while a root waits for its process, seen by the owner of its /proc."""
    with scene() as made:
        made.write()
        plan = devproxy.plan(devproxy.load(str(made.bundle)), devproxy.probe())
        with devproxy.build(plan, "kernel") as root:
            pid = root.tree.pid  # type: ignore[attr-defined]

            def intrude() -> int:
                """As the container's root without capabilities would."""
                os.setgroups([])
                for capability in range(64):
                    try:
                        prctl(24, capability)
                    except OSError:
                        break
                drop_capabilities()
                for name in ("mem", "fd/3", "exe", "root", "cwd", "environ"):
                    try:
                        os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))
                    except PermissionError:
                        continue
                    sys.stdout.write(name)
                return 0

            assert ran(intrude).out == ""


def drop_capabilities() -> None:
    from devproxy.linux.capabilities import Sets, capset

    capset(Sets(0, 0, 0))
