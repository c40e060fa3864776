"""A process in a root: what it is given, who it is, and how its end is told."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from devproxy.errors import DevproxyError, InputError
from devproxy.launch import NotExecutable, NotFound, launch
from devproxy.linux.capabilities import NUMBERS
from devproxy.oci.spec import Capabilities, Process, Rlimit, User
from tests.devproxy.launch.rig import PATH, make_rootfs, run, usual
from tests.devproxy.linux.forked import in_child
from tests.devproxy.targets_kernel.rig import build, new_namespaces

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return make_rootfs(tmp_path)


# how it ends


@pytest.mark.parametrize("kinds", [("pid",), ()])
@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -USR1 $$", 138), ("kill -9 $$", 137)]
)
def test_the_exit_code_is_the_processs(rootfs: Path, kinds: tuple[str, ...], script: str, code: int) -> None:
    if kinds and "kill" in script:
        # Pid 1 gets no signal from inside its namespace that it does not handle: its child does the dying.
        script = f"sh -c '{script}'; exit $?"
    assert run(rootfs, "sh", "-c", script, kinds=kinds).code == code


def test_a_root_is_used_once(rootfs: Path) -> None:
    with build(usual(rootfs)) as root:
        assert launch(root, ["/bin/true"], process=Process(())) == 0
        with pytest.raises(DevproxyError, match="was used already"):
            launch(root, ["/bin/true"], process=Process(()))


def test_there_has_to_be_a_process(rootfs: Path) -> None:
    with build(usual(rootfs)) as root, pytest.raises(InputError, match="no process"):
        launch(root)


def test_arguments_alone_are_a_process(rootfs: Path) -> None:
    with build(usual(rootfs)) as root:
        assert launch(root, ["sh", "-c", "exit 4"]) == 4


# what it is given


def test_the_environment_is_the_specs_with_a_home(rootfs: Path) -> None:
    (rootfs / "etc/passwd").write_text("broken\nroot:x:0:0::/wrong\nuser:x:77:7::/home/user:/bin/sh\n")
    ran = run(rootfs, "/bin/cat", "/proc/self/environ", env=("B=1", "A=2", "B=3"), user=User(77, 7))
    assert ran.output.split("\0") == ["B=1", "A=2", "B=3", "HOME=/home/user", ""]
    ran = run(rootfs, "/bin/cat", "/proc/self/environ", env=("HOME=/x",))
    assert ran.output.split("\0") == ["HOME=/x", ""]


@pytest.mark.parametrize("kind", ["link", "fifo", "missing", "binary"])
def test_a_strange_passwd_gives_the_root_as_home(rootfs: Path, kind: str, tmp_path: Path) -> None:
    passwd = rootfs / "etc/passwd"
    if kind == "link":
        (tmp_path / "passwd").write_text("root:x:0:0::/canary:/bin/sh\n")
        passwd.symlink_to(tmp_path / "passwd")
    elif kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "binary":
        passwd.write_bytes(b"root:x:0:0::/a\xff\0:\n" + b"\xff" * 2_000_000)
    assert "HOME=/" in run(rootfs, "env").lines


@pytest.mark.rows("S30", oracle="kernel")
def test_only_the_standard_streams_are_handed_on(rootfs: Path) -> None:
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    ran = run(rootfs, "sh", "-c", "echo /proc/self/fd/*")
    os.close(leaked)
    # The shell itself opens none for this; 3 would be ours.
    assert ran.output.split() == [f"/proc/self/fd/{number}" for number in (0, 1, 2)] + ran.output.split()[3:]
    assert len(ran.output.split()) <= 4


@pytest.mark.parametrize("closed", [[0], [0, 1, 2]])
def test_a_closed_stream_is_the_null_device(rootfs: Path, closed: list[int]) -> None:
    def work() -> int:
        for number in closed:
            os.close(number)
        with build(usual(rootfs)) as root:
            tests = [f"test /dev/null = $(readlink /proc/$$/fd/{number})" for number in closed]
            return launch(root, ["sh", "-c", f"{' && '.join(tests)} && exit 5"], process=Process((), env=(PATH,)))

    assert in_child(work) == 5


@pytest.mark.rows("S11", oracle="kernel")
def test_directory_and_umask(rootfs: Path) -> None:
    (rootfs / "a").mkdir()
    (rootfs / "link").symlink_to("/a")
    assert run(rootfs, "sh", "-c", "pwd; umask", cwd="/link").lines == ["/a", "0022"]
    assert run(rootfs, "sh", "-c", "pwd; umask", cwd="/a/../a", user=User(umask=0o077)).lines == ["/a", "0077"]


@pytest.mark.parametrize("cwd", ["/missing", "/bin/busybox", "/proc/self/cwd", "/proc/self/fd/3", "/proc/1/root"])
def test_a_directory_that_is_none_is_refused(rootfs: Path, cwd: str) -> None:
    with pytest.raises(DevproxyError, match=f"process.cwd {cwd} cannot be entered"):
        run(rootfs, "pwd", cwd=cwd)


def test_a_relative_directory_is_refused(rootfs: Path) -> None:
    with pytest.raises(InputError, match="absolute"):
        run(rootfs, "pwd", cwd="tmp")


def test_limits(rootfs: Path) -> None:
    limits = (
        Rlimit("RLIMIT_NOFILE", 100, 200),
        Rlimit("RLIMIT_CORE", 0, 0),
        Rlimit("RLIMIT_CPU", 2**64 - 1, 2**64 - 1),
    )
    ran = run(rootfs, "cat", "/proc/self/limits", rlimits=limits)
    found = {line[:26].strip(): line[26:].split()[:2] for line in ran.lines}
    assert found["Max open files"] == ["100", "200"]
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max cpu time"] == ["unlimited", "unlimited"]


def test_the_limit_of_descriptors_is_the_callers(rootfs: Path) -> None:
    import resource

    ran = run(rootfs, "sh", "-c", "ulimit -n; ulimit -Hn")
    assert tuple(map(int, ran.lines)) == resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.mark.parametrize("limit", [Rlimit("RLIMIT_COLOUR", 1, 1), Rlimit("RLIM_INFINITY", 1, 1), Rlimit("error", 1, 1)])
def test_a_limit_that_is_none_is_refused(rootfs: Path, limit: Rlimit) -> None:
    with pytest.raises(InputError, match=f"{limit.name} is no limit"):
        run(rootfs, "true", rlimits=(limit,))


def test_a_limit_that_cannot_be_set_says_what_it_is(rootfs: Path) -> None:
    with pytest.raises(DevproxyError, match="RLIMIT_NOFILE cannot be set to soft 9 hard 8, it is soft") as caught:
        run(rootfs, "true", rlimits=(Rlimit("RLIMIT_NOFILE", 9, 8),))
    assert "CAP_SYS_RESOURCE" in caught.value.hint


def test_the_oom_score(rootfs: Path) -> None:
    assert run(rootfs, "cat", "/proc/self/oom_score_adj", oom_score_adj=321).lines == ["321"]
    with pytest.raises(DevproxyError, match="oomScoreAdj cannot be set to 5000"):
        run(rootfs, "true", oom_score_adj=5000)


# who it is


def status(ran_lines: list[str]) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in ran_lines if ":\t" in line)


def mask(*names: str) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def test_user_and_groups(rootfs: Path) -> None:
    ran = run(rootfs, "cat", "/proc/self/status", user=User(77, 88, (5, 6)))
    found = status(ran.lines)
    assert found["Uid"].split() == ["77"] * 4
    assert found["Gid"].split() == ["88"] * 4
    assert found["Groups"].split() == ["5", "6"]
    assert [found[name] for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")] == ["0" * 16] * 5


@pytest.mark.parametrize("uid", [0, 77])
def test_capabilities_are_exactly_the_specs(rootfs: Path, uid: int) -> None:
    kill, net = "CAP_KILL", "CAP_NET_BIND_SERVICE"
    sets = Capabilities((kill, net), (kill,), (kill,), (kill, net), (kill,))
    found = status(run(rootfs, "cat", "/proc/self/status", user=User(uid), capabilities=sets).lines)
    read = {name: int(found[name], 16) for name in ("CapBnd", "CapInh", "CapAmb", "CapEff", "CapPrm")}
    assert read["CapBnd"] == mask(kill, net)
    assert read["CapInh"] == mask(kill)
    assert read["CapAmb"] == mask(kill)
    # A root user's exec gives all of the bounding set; another user's keeps what is ambient (capabilities(7)).
    assert read["CapPrm"] == (mask(kill, net) if uid == 0 else mask(kill))


def test_nothing_is_inheritable_unless_the_spec_says_so(rootfs: Path) -> None:
    # As `runc spec` writes them: what is ambient and not inheritable cannot be had, and is left out.
    sets = Capabilities(("CAP_KILL",), ("CAP_KILL",), (), ("CAP_KILL",), ("CAP_KILL",))
    found = status(run(rootfs, "cat", "/proc/self/status", capabilities=sets).lines)
    assert (found["CapInh"], found["CapAmb"]) == ("0" * 16, "0" * 16)
    assert int(found["CapEff"], 16) == mask("CAP_KILL")


@pytest.mark.parametrize(
    ("sets", "kind", "words"),
    [
        (Capabilities(bounding=("CAP_MAGIC",)), InputError, "bounding: CAP_MAGIC is no capability"),
        (Capabilities(effective=("CAP_KILL",)), InputError, "effective has CAP_KILL, which permitted lacks"),
    ],
)
def test_sets_that_make_no_sense_are_refused(
    rootfs: Path, sets: Capabilities, kind: type[DevproxyError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        run(rootfs, "true", capabilities=sets)


def test_a_capability_that_is_not_held_is_named(rootfs: Path) -> None:
    from devproxy.linux import capabilities

    def work() -> int:
        missing = 1 << NUMBERS["CAP_SYS_TIME"]
        held = capabilities.capget()
        capabilities.capset(capabilities.Sets(held.effective & ~missing, held.permitted & ~missing, 0))
        with build(usual(rootfs)) as root:
            return launch(root, ["true"], process=Process((), capabilities=Capabilities(("CAP_SYS_TIME",))))

    with pytest.raises(DevproxyError, match="bounding asks for CAP_SYS_TIME, which devproxy itself does not hold"):
        in_child(work)


def test_no_new_privileges(rootfs: Path) -> None:
    assert status(run(rootfs, "cat", "/proc/self/status", no_new_privs=True).lines)["NoNewPrivs"] == "1"
    assert status(run(rootfs, "cat", "/proc/self/status").lines)["NoNewPrivs"] == "0"


# which file it is


@pytest.mark.rows("S14", oracle="kernel")
def test_the_executable_is_searched_in_path(rootfs: Path) -> None:
    (rootfs / "x").mkdir()
    (rootfs / "y").mkdir()
    (rootfs / "x/tool").write_text("#!/bin/sh\necho x\n")
    (rootfs / "y/tool").write_text("#!/bin/sh\necho y\n")
    (rootfs / "y/tool").chmod(0o755)
    search = "PATH=relative::/missing:/bin/busybox:/x:/y"
    assert run(rootfs, "tool", env=(search,)).lines == ["y"], "x/tool may not be executed, so the search goes on"
    with pytest.raises(
        NotExecutable, match="tool was found in PATH /missing:/x but cannot be executed: permission denied"
    ):
        run(rootfs, "tool", env=("PATH=/missing:/x",))
    with pytest.raises(NotFound, match="nope was not found in PATH /usr/bin:/bin"):
        run(rootfs, "nope")
    with pytest.raises(NotFound, match="tool was not found in PATH relative"):
        run(rootfs, "tool", env=("PATH=relative", "PATH=/y"), cwd="/")
    with pytest.raises(NotFound, match="true was not found: the environment has no PATH to look in"):
        run(rootfs, "true", env=())


@pytest.mark.rows("S14", oracle="kernel")
def test_names_with_a_slash_start_at_the_directory(rootfs: Path) -> None:
    assert run(rootfs, "./true", cwd="/bin").code == 0
    assert run(rootfs, "a/../true", cwd="/bin").code == 0, "the name is cleaned first"
    with pytest.raises(NotFound, match="/bin/missing was not found in the root"):
        run(rootfs, "./missing", cwd="/bin")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/missing", NotFound),
        ("/bin/busybox/x", NotFound),
        ("", NotFound),
        ("/bin", NotExecutable),
        ("/etc", NotExecutable),
        ("/dev/null", NotExecutable),
        ("/plain", NotExecutable),
        ("/loop", NotExecutable),
        ("/garbage", NotExecutable),
        ("/interpreted", NotFound),
    ],
)
@pytest.mark.rows("S14", "S15", oracle="kernel")
def test_what_cannot_be_executed(rootfs: Path, name: str, kind: type[DevproxyError]) -> None:
    (rootfs / "plain").write_text("#!/bin/sh\n")
    (rootfs / "loop").symlink_to("loop")
    (rootfs / "garbage").write_bytes(b"\x7fELF garbage")
    (rootfs / "interpreted").write_text("#!/missing\n")
    for path in ("garbage", "interpreted"):
        (rootfs / path).chmod(0o755)
    with pytest.raises(kind):
        run(rootfs, name)


@pytest.mark.rows("S13", oracle="kernel")
def test_the_search_has_the_users_eyes(rootfs: Path) -> None:
    (rootfs / "secret").mkdir(mode=0o700)
    (rootfs / "secret/true").symlink_to("/bin/busybox")
    for search in ("PATH=/secret", "PATH=/secret:/missing"):
        with pytest.raises(NotExecutable, match="permission denied"):
            run(rootfs, "true", env=(search,), user=User(77, 77))
    assert run(rootfs, "true", env=("PATH=/secret:/bin",), user=User(77, 77)).code == 0


def test_a_program_that_may_be_executed_but_not_read(rootfs: Path) -> None:
    (rootfs / "bin/busybox").chmod(0o711)
    assert run(rootfs, "true", user=User(77, 77)).code == 0


@pytest.mark.rows("S13", oracle="kernel")
def test_a_descriptor_is_an_executable(rootfs: Path) -> None:
    program = os.open("/usr/bin/busybox", os.O_PATH)
    assert run(rootfs, "sh", "-c", "exit 6", executable=program).code == 6
    os.close(program)


# signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH])
def test_signals_reach_the_process_once(rootfs: Path, number: signal.Signals, tmp_path: Path) -> None:
    script = (
        f"trap 'echo got; n=$((n+1))' {number.name[3:]}; echo ready; "
        "while [ -z $n ]; do sleep 0.02; done; sleep 0.1; exit $n"
    )
    timer = threading.Thread(target=send_when_ready, args=(tmp_path / "output", number))
    timer.start()
    before = signal.getsignal(number)
    ran = run(rootfs, "sh", "-c", script)
    timer.join()
    assert (ran.lines, ran.code) == (["ready", "got"], 1)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize(
    ("words", "kinds", "code"),
    [
        pytest.param("exec sleep 60", ("pid",), None, id="left to its default action"),
        pytest.param("exec sleep 60", (), None, id="without a pid namespace"),
        pytest.param("trap '' {}; echo ready; sleep 1; exit 5", ("pid",), 5, id="ignored"),
        pytest.param("trap 'exit 6' {}; echo ready; while :; do sleep 0.02; done", ("pid",), 6, id="handled"),
        pytest.param("sleep 60 & exec sleep 60", ("pid",), None, id="what it has started goes too"),
    ],
)
def test_a_signal_does_what_it_does_to_any_process(
    rootfs: Path, number: signal.Signals, words: str, kinds: tuple[str, ...], code: int | None, tmp_path: Path
) -> None:
    """The kernel keeps a signal's default action from the first process of a pid namespace: devproxy does not."""
    script = words.format(number.name[3:]) if "{}" in words else f"echo ready; {words}"
    shell = "exec" not in words
    timer = threading.Thread(target=send_when_ready, args=(tmp_path / "output", number), kwargs={"shell": shell})
    timer.start()
    ran = run(rootfs, "sh", "-c", script, kinds=kinds)
    timer.join()
    assert (ran.lines, ran.code) == (["ready"], 128 + number if code is None else code)


def send_when_ready(output: Path, number: int, *, shell: bool = True) -> None:
    """Without `shell` not before the shell has become the program: it catches what it means to die of, and cannot as pid 1."""
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline:
        if output.exists() and "ready" in output.read_text() and (shell or "sh" not in commands()):
            os.kill(os.getpid(), number)
            return
        time.sleep(0.005)


def commands() -> set[str]:
    """What the processes below this one run."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(child.name())
    return found


def test_outside_of_the_main_thread_nothing_is_forwarded(rootfs: Path) -> None:
    codes: list[int] = []

    def work() -> None:
        with build(usual(rootfs)) as root:
            codes.append(launch(root, ["sh", "-c", "exit 3"]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [3]


@pytest.mark.parametrize("kinds", [("pid",), ()])
@pytest.mark.parametrize("user", [User(), User(77, 77)])
def test_a_killed_devproxy_takes_the_process_along(rootfs: Path, kinds: tuple[str, ...], user: User) -> None:
    """The kernel forgets the parent-death signal when the user changes; the process must have it again."""
    reader, writer = os.pipe()
    caller = os.fork()
    if caller == 0:
        os.dup2(writer, 1)
        with build(usual(rootfs), namespaces=new_namespaces(*kinds)) as root:
            os.write(writer, f"{root.pid}\n".encode())
            launch(
                root, ["sh", "-c", "echo ready; while :; do sleep 1; done"], process=Process((), user=user, env=(PATH,))
            )
    os.close(writer)
    with open(reader, encoding="ascii") as told:
        pid = int(told.readline())
        assert told.readline() == "ready\n"
        os.kill(caller, signal.SIGKILL)
        os.waitpid(caller, 0)
        deadline = time.monotonic() + 60
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
            time.sleep(0.005)
    assert not os.path.exists(f"/proc/{pid}")


def test_the_process_leads_a_session(rootfs: Path) -> None:
    fields = run(rootfs, "cat", "/proc/self/stat").output.rpartition(")")[2].split()
    assert (fields[2], fields[3]) == ("1", "1")
