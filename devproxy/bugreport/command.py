"""What was typed before an output: the command behind a prompt, its arguments, what its output was filtered by."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# The commands whose output is understood, or that change what is meant by a name.
_KNOWN: Final = frozenset(
    (
        "ls", "ll", "la", "lsd", "eza", "exa", "dir", "stat", "find", "cat", "head", "tail", "less", "more", "grep", "egrep", "zcat",
        "nvidia-smi", "nvidia-container-cli", "nvidia-ctk", "nvidia-modprobe", "nvidia-bug-report.sh", "tpu-info", "lspci", "dmesg",
        "journalctl", "lsmod", "modinfo", "uname", "id", "groups", "getenforce", "sestatus", "ausearch", "ulimit", "df", "docker",
        "podman", "kubectl", "nerdctl", "ctr", "crictl", "env", "printenv", "echo", "cd", "lxc", "rocminfo", "rocm-smi", "python",
        "python3", "modprobe", "dpkg", "rpm", "apt", "for", "cdi", "singularity", "apptainer", "enroot", "cut", "getfacl", "namei",
        "readlink", "systemctl", "dkms", "export", "strace", "watch", "curl", "whoami", "lsof", "fuser", "mokutil", "hl-smi", "xbutil",
        "clinfo", "vulkaninfo", "prlimit", "free", "mount", "bash", "sh", "rmmod", "insmod", "udevadm", "awk", "sed", "tr", "sort",
    )
)  # fmt: skip
_FILTERS: Final = frozenset(("grep", "egrep", "fgrep", "rg", "ag"))
_CUTTERS: Final = frozenset(("head", "tail", "awk", "cut", "sed", "uniq", "wc", "xargs", "tr"))
_INSIDE: Final = re.compile(
    r"(?:(?:docker|podman|nerdctl|finch)(?:\s+compose)?\s+(?:container\s+)?(?:run|exec|start)|docker-compose\s+(?:run|exec)|kubectl\s[^|;]*\bexec|"
    r"lxc\s+exec|incus\s+exec|ctr\s[^|;]*\brun|crictl\s+exec|singularity\s+exec|apptainer\s+exec|enroot\s+start|srun\b[^|;]*--container)\b"
)
_WORD: Final = r"[\w.\-+]{1,64}"
_STRONG: Final = re.compile(
    rf"(?:\([\w .\-+/]{{1,60}}\)\s*)?(?:\[?(?:sudo )?{_WORD}@{_WORD}[^$#%>]{{0,120}}?\]?\s?[$#%>]|\$|(?:bash|sh|zsh|ksh)-\d[\d.]*[$#]|"
    rf"\((?:host|container|pod|docker|guest|node)\)\s*[#%>]|(?:/|~)[\w./~\-]{{0,80}}\s?[#$]|❯|➜(?:\s+\S{{1,40}})?|λ|PS [^>]{{1,80}}>|[A-Z]:\\[^>]{{0,80}}>|In \[\d+\]:\s*!?|!)\s*(?P<rest>\S.*)$"
)
_WEAK: Final = re.compile(
    r"(?:#{1,6}|>|%|\+{1,3}|\*\*|Running:?|Command:?|cmd:?|Output of:?|输出:?|命令:?)\s*(?P<rest>\S.*)$"
)
_DIRECTORY: Final = re.compile(rf"\[?{_WORD}@{_WORD}[:\s](?P<path>[/~][^$#%>\]\s]{{0,100}})\]?\s?[$#%>]")
_IN_DOCKER: Final = re.compile(
    r"\[?root@(?:[0-9a-f]{12}|[\w-]*(?:pod|cuda-test|gpu-test|container)[\w-]*)[:\s]|\((?:in(?:side)? )?(?:the )?(?:container|pod|docker)\)\s"
)
_INLINE: Final = re.compile(r"`([^`]{2,200})`")


class Command(Record):
    """A command: its words, the patterns that its output was filtered by (globs), whether lines of it may be missing,
    whether it was typed behind a prompt for certain, whether it ran inside a container, and the working directory.
    """

    words: tuple[str, ...]
    filters: tuple[str, ...] = ()
    cut: bool = False
    typed: bool = False
    inside: bool = False
    directory: str = ""
    text: str = ""

    @property
    def name(self) -> str:
        """The program, without its directory."""
        return self.words[0].rpartition("/")[2] if self.words else ""

    @property
    def operands(self) -> tuple[str, ...]:
        """The arguments that are no options."""
        return tuple(
            word for word in self.words[1:] if not word.startswith("-") and word not in ("2>&1", "2>/dev/null")
        )

    @property
    def options(self) -> str:
        """The letters of its short options."""
        return "".join(word[1:] for word in self.words[1:] if word.startswith("-") and not word.startswith("--"))

    def passes(self, name: str) -> bool:
        """Whether a line about `name` would have come through the filters."""
        return not self.cut and all(
            any(fnmatchcase(name, glob) for glob in pattern.split("|")) for pattern in self.filters
        )

    def reads(self, path: str) -> bool:
        """Whether the command prints the file of that path."""
        return any(word == path or word.endswith(path) for word in self.words[1:])


def parse_line(text: str) -> Command | None:
    """The command on a line, or None if the line is none. A prompt that may be something else counts only before a
    command that is known here.
    """
    if not text or len(text) > 2048:
        return None
    strong = _STRONG.match(text)
    if strong:
        inside = _IN_DOCKER.match(text) is not None
        where = _DIRECTORY.match(text)
        return parse_command(strong["rest"], typed=True, inside=inside, directory=where["path"] if where else "")
    weak = _WEAK.match(text)
    found = parse_command(weak["rest"] if weak else text)
    if found is None or found.name not in _KNOWN or not _is_plausible(found):
        return None
    return found


def inline_command(text: str) -> Command | None:
    """The command in backticks in a sentence, or None."""
    for quoted in reversed(_INLINE.findall(text)):
        found = parse_command(quoted.lstrip("$# ").strip())
        if (
            found is not None
            and found.name in _KNOWN
            and (len(found.words) > 1 or found.name.startswith("nvidia-") or found.name == "tpu-info")
        ):
            return found
    return None


def _is_plausible(command: Command) -> bool:
    """Without a prompt, a sentence may begin with the name of a command."""
    if command.name in (
        "find",
        "more",
        "less",
        "head",
        "watch",
        "id",
        "groups",
        "for",
        "env",
        "cut",
        "free",
        "mount",
        "sort",
        "dir",
        "start",
    ):
        rest = command.words[1:]
        return any(word.startswith(("/", "-")) or word == "|" for word in rest) or (
            not rest and command.name in ("id", "groups", "env")
        )
    if command.name in ("ls", "ll", "la", "cat", "stat", "echo", "grep", "cd", "python", "python3", "docker", "podman"):
        return (
            len(command.words) == 1
            or any(c in word for word in command.words[1:] for c in "/-*$|.")
            or command.name == "ls"
        )
    return not command.text.endswith((".", ":", "?")) or len(command.words) <= 2


def parse_command(text: str, *, typed: bool = False, inside: bool = False, directory: str = "") -> Command | None:
    """A command line as typed. What runs inside a container is the command in the end."""
    text = text.strip()
    inside = inside or _INSIDE.search(text[:512]) is not None
    words = _words(text)
    stages = _stages(words)
    if not stages or not stages[0]:
        return None
    first = _unwrapped(stages[0], inside=inside)
    filters: list[str] = []
    cut = False
    for stage in stages[1:]:
        name = stage[0].rpartition("/")[2] if stage else ""
        if name in _FILTERS:
            pattern = _glob_of(stage[1:])
            cut = cut or pattern is None
            filters += [pattern] if pattern else []
        elif name in _CUTTERS:
            cut = True
    if first and first[0] in _FILTERS and len(first) > 2:
        pattern = _glob_of(first[1:])
        cut = cut or pattern is None
        filters += [pattern] if pattern else []
    if first and first[0] in ("head", "tail"):
        cut = True
    return Command(tuple(first), tuple(filters), cut, typed, inside, directory, text)


def _words(text: str) -> list[str]:
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars="|;&")
        lexer.whitespace_split = True
        lexer.commenters = ""
        return list(lexer)
    except ValueError:
        return text.replace("|", " | ").replace(";", " ; ").split()


def _stages(words: list[str]) -> list[list[str]]:
    """The stages of the pipeline that prints: of several commands the last that is not `cd` or `echo`."""
    runs: list[list[list[str]]] = [[[]]]
    for word in words:
        if word in ("|", "|&"):
            runs[-1].append([])
        elif word and set(word) <= set(";&|"):
            runs.append([[]])
        else:
            runs[-1][-1].append(word)
    printing = [run for run in runs if run[0] and run[0][0] not in ("cd", "echo", "sleep", "export", "sudo-i")]
    return printing[0] if printing else runs[0]


def _unwrapped(words: list[str], *, inside: bool) -> list[str]:
    """The words without what starts the command: sudo, time, variables, a container engine before `ls` or `cat`."""
    while words and (
        words[0] in ("sudo", "time", "command", "exec", "env", "doas") or re.match(r"[A-Z_]{2,40}=", words[0])
    ):
        rest = words[1:]
        while rest and words[0] in ("sudo", "doas") and rest[0].startswith("-"):
            rest = rest[1:]
        if not rest:
            break
        words = rest
    if not inside:
        return words
    for at, word in enumerate(words[1:], 1):
        if word in ("-c", "-lc", "-ic") and at + 1 < len(words):
            return _unwrapped((_stages(_words(words[at + 1])) or [[]])[0] or words, inside=False)
        if word.rpartition("/")[2] in (
            "ls",
            "cat",
            "nvidia-smi",
            "stat",
            "tpu-info",
            "find",
            "lspci",
            "id",
            "df",
            "env",
        ):
            return words[at:]
    return words


def _glob_of(arguments: list[str]) -> str | None:
    """A glob for the lines that grep lets through, if the pattern is a plain word; None if it is not understood."""
    if any(a.startswith("-") and not a.startswith("--") and set(a[1:]) & set("vcolLm") for a in arguments):
        return None
    words = [a for a in arguments if not a.startswith("-")]
    if not words:
        return None
    pattern = words[0].strip("'\"")
    globs = [_glob_of_word(word) for word in pattern.replace("\\|", "|").strip("()").split("|")]
    known = [glob for glob in globs if glob]
    if len(known) != len(globs):
        return None
    folded = any("i" in a[1:] for a in arguments if a.startswith("-") and not a.startswith("--"))
    return "|".join(glob.lower() if folded else glob for glob in known)


def _glob_of_word(pattern: str) -> str:
    start, end = pattern.startswith("^"), pattern.endswith("$")
    pattern = pattern.strip("^$").replace(".*", "*")
    if not re.fullmatch(r"[\w/.*\- ]{1,64}", pattern):
        return ""
    return ("" if start else "*") + pattern + ("" if end else "*")
