"""Listings of /dev: ls in its styles, eza, stat, find -ls."""

from __future__ import annotations

import posixpath
import re

from devproxy.bugreport.draft import Draft, SeenNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_ENTRY: Final = re.compile(
    r"(?:\d{1,20}\s+)?(?:\d[\d.]{0,9}[KMGT]?\s+)?[.]?(?P<mode>[bcdlps-][r-][w-][xsS-][r-][w-][xsS-][r-][w-][xtT-])[.+@]?\s+(?P<rest>\S.*)$"
)
_NUMBER: Final = re.compile(r"(?:^|\s)(?P<major>\d{1,4}),\s*(?P<minor>\d{1,7})(?=\s|$)")
_CONTEXT: Final = re.compile(r"(?:\w+:){3,4}\S+$|\?$")
_HEADING: Final = re.compile(r"'?(?P<path>(?:/[\w.@+-]+){1,12}/?)'?:$")
_TIME: Final = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?|(?:19|20)\d\d|[ap]m|[+-]\d{4}")
_MISSING: Final = re.compile(
    r"(?:(?:\S{0,40}\b(?:ls|stat|cat|lsd|eza|exa|find)|gnuls)\s?:\s.{0,80}?)?['\"`]{0,2}"
    r"(?P<path>/(?:dev|proc|sys|run|var|etc|usr)/[^\s'\"`:]{1,200})['\"`]{0,2}(?:\s[\w ]{1,20})?\s?:\s"
    r"(?:No such file|Datei oder Verzeichnis nicht gefunden|Aucun fichier|No existe|Нет такого|そのような|没有那个|Bestand of map|"
    r"File o directory non|Arquivo ou diretório|Ingen|沒有此一|그런 파일)"
)
_DENIED: Final = re.compile(
    r"\S*\b(?:ls|stat|cat|find)\s?:\s.*?['\"`]?(?P<path>/dev/[^\s'\"`:]*)['\"`]?\s?:?\s(?:Permission denied|Keine Berechtigung|权限不够)"
)
_TRIMMED: Final = re.compile(
    r"\W{0,3}(?:\.\.\.|…|\[?snip(?:ped)?\]?|truncated|\(?etc\.?\)?|output (?:omitted|truncated)|and so on|省略)\W{0,3}$",
    re.IGNORECASE,
)
_BARE: Final = re.compile(
    r"/dev/(?:nvidia|accel|vfio|dri|kfd|dxg|nvmap|nvhost|davinci|hl|apex|gdrdrv|infiniband|nvgpu|char|shm|mapper)[\w./:-]{0,80}"
)
_HOMES: Final = tuple(
    (re.compile(name), home)
    for name, home in (
        (r"nvidia-cap\d+", "/dev/nvidia-caps"), (r"channel\d+", "/dev/nvidia-caps-imex-channels"), (r"(?:card|renderD|controlD)\d+", "/dev/dri"),
        (r"accel_controlD\d+", "/dev/accel"), (r"uverbs\d+|rdma_cm|umad\d+|issm\d+", "/dev/infiniband"),
        (r"(?:nvidia|nvhost-|nvmap|kfd|accel|dxg|hl|apex_|gdrdrv|nvram|null|zero|full|tty|fuse|iommu)[\w-]*", "/dev"),
    )
)  # fmt: skip
_LISTERS: Final = frozenset(("ls", "ll", "la", "lsd", "eza", "exa", "dir", "find", "stat"))


def take_listing(lines: list[Line], at: int, draft: Draft) -> int:
    """Lines of `ls -l`, in any of its styles, and of `find -ls`."""
    first = lines[at]
    found = _entry(lines, at, draft)
    if found is None:
        return 0
    nodes, end = 0, at
    while found is not None:
        node, taken = found
        if node is not None:
            draft.put_node(node)
            nodes += node.kind in "cb"
            if label := _label_of(lines[end].text):
                draft.labels[node.path] = label
        end += taken
        found = _entry(lines, end, draft) if end < len(lines) else None
    following = lines[end].text if end < len(lines) else ""
    if not _TRIMMED.match(following):
        _cover(draft, first.number)
    draft.use(first.number, lines[end - 1].number, "ls -l", nodes, "node")
    return end - at


def take_heading(lines: list[Line], at: int, draft: Draft) -> int:
    """`/dev/nvidia-caps:` before a directory's entries, and `total 0` after it."""
    text = lines[at].text
    command = draft.command
    if (
        command is not None
        and command.name in _LISTERS
        and re.fullmatch(r"(?:total|insgesamt|итого|合計|总用量|總計|totale|celkem|합계)\s+\d[\d.,]{0,9}[KMG]?", text)
    ):
        draft.use(lines[at].number, lines[at].number, "ls -l")
        return 1
    found = _HEADING.match(text)
    if found is None or not found["path"].startswith(("/dev", "/proc", "/sys", "/run", "/etc", "/var")):
        return 0
    draft.heading = found["path"].rstrip("/")
    draft.use(lines[at].number, lines[at].number, "ls -l")
    return 1


def take_missing(lines: list[Line], at: int, draft: Draft) -> int:
    """`ls: cannot access '/dev/nvidia-uvm': No such file or directory`, and the same in other languages."""
    text = lines[at].text
    found = _MISSING.match(text)
    if found is not None:
        path = found["path"].rstrip("/")
        draft.put_absent(path, lines[at].number)
        if "*" in path:
            draft.cover(path, lines[at].number)
        draft.use(lines[at].number, lines[at].number, "missing files", 1, "path")
        return 1
    denied = _DENIED.match(text)
    if denied is not None:
        draft.put_present(denied["path"], lines[at].number)
        # To list is refused where the directory may not be searched; `cat` opens the node itself.
        if re.match(r"\S*\bcat\s?:", text):
            draft.put_message("open-denied-mode", denied["path"], text, lines[at].number)
        draft.use(lines[at].number, lines[at].number, "ls -l")
        return 1
    return 0


def take_names(lines: list[Line], at: int, draft: Draft) -> int:
    """The names that plain `ls /dev/nvidia*` prints, several to a line."""
    words = lines[at].text.split()
    if (
        not words
        or len(words) > 200
        or not all(_BARE.fullmatch(word.rstrip(":")) for word in words)
        or words[0].endswith(":")
    ):
        return 0
    for word in words:
        draft.put_present(word, lines[at].number)
    if draft.command is not None and draft.command.name in _LISTERS:
        _cover(draft, lines[at].number)
    draft.use(lines[at].number, lines[at].number, "ls", len(words), "name")
    return 1


def take_stat(lines: list[Line], at: int, draft: Draft) -> int:
    """The block that stat(1) prints of a node."""
    opened = re.match(r"(?:File|Datei|Fichier|Fichero|文件):\s+['\"]?(?P<path>/dev/[^\s'\"]{1,200})", lines[at].text)
    if opened is None:
        return 0
    joined = " ".join(line.text for line in lines[at : at + 4])
    kind = re.search(r"(character|block) special|\bregular (?:empty )?file|\bdirectory|symbolic link", joined)
    number = re.search(r"Device type:\s*(?P<a>[0-9a-fA-F]{1,4}),(?P<b>[0-9a-fA-F]{1,6})", joined)
    access = re.search(
        r"\((?P<octal>[0-7]{4})/(?P<kind>[bcdlps-])[rwxsStT-]{9}[.+]?\)\s*Uid:\s*\(\s*(?P<uid>\d{1,9})/\s*(?P<owner>\S{1,32})\)\s*Gid:\s*\(\s*(?P<gid>\d{1,9})/\s*(?P<group>\S{1,32})\)",
        joined,
    )
    if access is None or kind is None:
        return 0
    major, minor = (int(number["a"], 16), int(number["b"], 16)) if number else (None, None)
    draft.groups.setdefault(access["group"], int(access["gid"]))
    draft.put_node(
        SeenNode(
            opened["path"],
            access["kind"],
            major,
            minor,
            int(access["octal"], 8),
            access["owner"],
            access["group"],
            lines[at].number,
            draft.within,
        )
    )
    taken = 1
    while (
        taken < 9
        and at + taken < len(lines)
        and re.match(r"(?:Size|Device|Access|Modify|Change|Birth|Context):", lines[at + taken].text)
    ):
        taken += 1
    draft.use(lines[at].number, lines[at + taken - 1].number, "stat", 1, "node")
    return taken


def _entry(lines: list[Line], at: int, draft: Draft) -> tuple[SeenNode | None, int] | None:
    """An entry of a listing, and the lines that it takes: two where a terminal wrapped it. None if it is no entry."""
    found = _ENTRY.match(lines[at].text)
    if found is None:
        return None
    mode, rest, taken = found["mode"], found["rest"], 1
    number = _NUMBER.search(rest) if mode[0] in "bc" else None
    before, after = (rest[: number.start()], rest[number.end() :]) if number else (rest, rest)
    words = after.split(" -> ")[0].split()
    if _is_cut(words, number is not None):
        following = lines[at + 1].text.split() if at + 1 < len(lines) else []
        if (
            not following
            or _ENTRY.match(lines[at + 1].text)
            or len(following) > 4
            or not re.match(r"[/\w]", following[-1])
        ):
            return (None, 1) if mode[0] not in "bc" else None
        words, taken = [*words, *following], 2
    owner, group = _owner(before.split() if number else rest.split(), words, eza=bool(number) and not before.strip())
    path = _path(words[-1].strip("'\""), number, draft)
    if path is None or mode[0] not in "bcd-l" or (mode[0] in "dl-" and not path.startswith("/dev")):
        return None, taken
    if mode[0] == "l" or path.endswith(("/.", "/..")):
        return None, taken
    major, minor = (int(number["major"]), int(number["minor"])) if number else (None, None)
    if mode[0] in "bc" and major is None:
        return None
    return SeenNode(path, mode[0], major, minor, _mode(mode), owner, group, lines[at].number, draft.within), taken


def _is_cut(words: list[str], is_node: bool) -> bool:  # noqa: FBT001 - of one use
    """Whether an entry ends before its name: with its date, or within it."""
    if not words or _TIME.fullmatch(words[-1]):
        return True
    return is_node and (len(words) < 3 or (words[-1].isdigit() and len(words) < 4 and len(words[-1]) < 3))


def _owner(before: list[str], after: list[str], *, eza: bool) -> tuple[str, str]:
    """Owner and group. eza writes them after the number, and shows the group only when asked."""
    if eza:
        named = [word for word in after[:2] if not word[0].isdigit()]
        # A date may begin with the name of a month: two words before it are owner and group.
        return named[0] if named else "", named[1] if len(after) > 5 and len(named) > 1 else ""
    words = [word for word in before if not _CONTEXT.fullmatch(word)]
    if (len(words) > 2 and words[0].isdigit()) or (len(words) == 2 and words[0].isdigit()):
        words = words[1:]
    return (words[0] if words else ""), (words[1] if len(words) > 1 else "")


def _path(name: str, number: re.Match[str] | None, draft: Draft) -> str | None:
    """The path that a name in a listing stands for, or None where nothing tells."""
    if name.startswith("/"):
        return posixpath.normpath(name)
    name = name.removeprefix("./")
    where = draft.heading or _directory(draft)
    if where.startswith("/dev") and where != "/dev":
        return posixpath.normpath(f"{where}/{name}")
    if number is None and where.startswith("/") and where != "/" and not where.startswith("/dev"):
        return posixpath.normpath(f"{where}/{name}")
    if number is not None and name.isdigit() and number["major"] != "10":
        return f"/dev/vfio/{name}"
    if number is not None and name == "vfio" and where != "/dev":
        return "/dev/vfio/vfio"
    if number is not None and number["major"] == "261" and name.startswith("accel"):
        return f"/dev/accel/{name}"  # DRM's; those of TPUs are /dev/accelN
    home = next((home for pattern, home in _HOMES if pattern.fullmatch(name)), where)
    return posixpath.normpath(f"{home}/{name}") if home.startswith("/") else None


def _directory(draft: Draft) -> str:
    """The directory that names of the listing are relative to, as its command says."""
    command = draft.command
    if command is None or command.name not in _LISTERS:
        return draft.directory
    operands = command.operands
    if len(operands) == 1 and not any(c in operands[0] for c in "*?[{"):
        path = posixpath.normpath(posixpath.join(command.directory or draft.directory or "/", operands[0]))
        if path not in draft.nodes and not re.search(
            r"/(?:nvidia\d+|nvidiactl|nvidia-uvm|kfd|accel\d+|renderD\d+|card\d+)$", path
        ):
            return path
    return command.directory or draft.directory


def _cover(draft: Draft, line: int) -> None:
    """What the command would have listed and did not is not there."""
    command = draft.command
    if command is None or command.name not in _LISTERS or command.cut or command.name == "stat":
        return
    where = command.directory or draft.directory
    operands = [word for word in command.operands if not (command.name == "find" and word in ("c", "b"))]
    if not operands and where.startswith("/dev"):
        operands = [where]
    for operand in operands:
        path = posixpath.normpath(posixpath.join(where or "/", operand))
        if not path.startswith("/dev"):
            continue
        for pattern in (path, *((f"{path}/*",) if not any(c in path for c in "*?") else ())):
            for only in command.filters or ("*",):
                for glob in only.split("|"):
                    draft.cover(_both(pattern, glob), line)


def _both(path: str, glob: str) -> str:
    """A pattern for the paths that one glob lists and another lets through."""
    if glob == "*":
        return path
    if path.endswith("/*"):
        return path[:-1] + glob.lstrip("/")
    if "*" in path:
        stem = path.partition("*")[0]
        return path if glob.strip("*") in stem else stem + glob
    return path


def _mode(text: str) -> int:
    """`crw-rw-rw-` as bits."""
    bits = 0
    for place, letter in enumerate(text[1:]):
        if letter in "rwxst":
            bits |= 1 << (8 - place)
        if letter in "sS":
            bits |= 0o4000 if place == 2 else 0o2000
        if letter in "tT":
            bits |= 0o1000
    return bits


def _label_of(text: str) -> str:
    found = re.search(r"\s(?P<label>\w+:\w+:\w+(?::[\w.,:-]+)?)\s", text)
    return found["label"] if found and "_t" in found["label"] else ""
