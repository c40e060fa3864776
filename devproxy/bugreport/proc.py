"""Files of /proc as they are pasted: /proc/devices, what the NVIDIA driver says, /proc/modules' cousins."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import MOST, Draft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_MAJOR: Final = re.compile(r"(?:/proc/devices:)?\s*(?P<major>\d{1,4}) (?P<name>[A-Za-z/][\w/.@+-]{0,63}(?: \w+)?)$")
_TELLING: Final = re.compile(r"nvidia(?:-[\w-]+)?|nvidiactl|nvidia-frontend|vfio|accel|kfd|drm|gdrdrv|habanalabs|apex")
_NVRM: Final = re.compile(
    r"NVRM version:\s+NVIDIA UNIX\s.*?Kernel Module\b.*?\s(?P<version>\d{3,4}\.\d{1,3}(?:\.\d{1,3})?)\b"
)
_PARAM: Final = re.compile(r'(?P<name>[A-Z][A-Za-z0-9_]{2,63}): (?P<value>\d{1,20}|"[^"]{0,1000}")$')
_PARAMS: Final = frozenset(
    ("ResmanDebugLevel", "RmLogonRC", "ModifyDeviceFiles", "DeviceFileUID", "DeviceFileGID", "DeviceFileMode")
)
_FIELD: Final = re.compile(
    r"(?P<name>Model|IRQ|GPU UUID|Video BIOS|Bus Type|DMA Size|DMA Mask|Bus Location|Device Minor|GPU Excluded|GPU Firmware|Blacklisted)\s*:\s*(?P<value>.*)$"
)
_CAPABILITY: Final = re.compile(r"DeviceFile(?P<name>Minor|Mode|Modify): (?P<value>\d{1,9})$")
_MINOR: Final = re.compile(
    r"(?P<name>config|monitor|fabric-mgmt|fabric-imex-mgmt|gpu\d{1,3}/gi\d{1,3}/(?:ci\d{1,3}/)?access) (?P<minor>\d{1,5})$"
)
_PATH: Final = re.compile(r"(?P<path>/proc/driver/nvidia[\w./:\\-]{0,200}?):?$")
_GPU: Final = re.compile(
    r"/proc/driver/nvidia/gpus/(?P<address>[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])/information"
)


def take_majors(lines: list[Line], at: int, draft: Draft) -> int:
    """/proc/devices, whole or what grep left of it."""
    command, text = draft.command, lines[at].text
    asked = command is not None and command.reads("/proc/devices")
    headed = text in ("Character devices:", "Block devices:")
    if not headed:
        line = _MAJOR.match(text)
        if line is None or not (asked or _TELLING.fullmatch(line["name"])):
            return 0
    end, found, blocks = _read_majors(lines, at, draft)
    if end == at:
        return 0
    if not _is_trimmed(lines, end) and not (asked and command is not None and command.cut):
        if text == "Character devices:" and (blocks or found > 8):
            draft.cover("/proc/devices", lines[at].number)
        elif asked and command is not None and found and not headed:
            for glob in "|".join(command.filters or ("*",)).split("|"):
                draft.cover("/proc/devices" if glob == "*" else f"/proc/devices:{glob}", lines[at].number)
    draft.use(lines[at].number, lines[end - 1].number, "/proc/devices", found, "major")
    return end - at


def _read_majors(lines: list[Line], at: int, draft: Draft) -> tuple[int, int, bool]:
    """Where the list ends, how many lines it has, and whether the section of block devices is in it."""
    kind, end, found = "Character", at, 0
    block: dict[tuple[str, str], dict[int, int]] = {}
    while end < len(lines):
        text = lines[end].text
        if (line := _MAJOR.match(text)) is not None:
            block.setdefault((kind, line["name"]), {}).setdefault(int(line["major"]), lines[end].number)
            found += 1
        elif text in ("Character devices:", "Block devices:") and (end == at or text[0] == "B"):
            kind = text.split()[0]
        elif text or found == 0 or end + 1 >= len(lines) or lines[end + 1].text != "Block devices:":
            break
        end += 1
    _keep_majors(draft, block)
    return end, found, kind == "Block"


def _keep_majors(draft: Draft, block: dict[tuple[str, str], dict[int, int]]) -> None:
    """Of a driver whose major is told again the last counts."""
    for key, found in block.items():
        before = draft.majors.get(key)
        if before is not None and before.keys() != found.keys():
            told, now = (
                ", ".join(f"{major} (line {line})" for major, line in each.items()) for each in (before, found)
            )
            draft.note(f"the major of {key[1]} is {told} and later {now}: the last counts")
        if before is not None or len(draft.majors) < MOST:
            draft.majors[key] = found


def _is_trimmed(lines: list[Line], at: int) -> bool:
    text = lines[at].text if at < len(lines) else ""
    return re.match(r"\W{0,3}(?:\.\.\.|…|\[?snip|truncated|<)", text) is not None


def take_version(lines: list[Line], at: int, draft: Draft) -> int:
    """/proc/driver/nvidia/version."""
    found = _NVRM.search(lines[at].text)
    if found is None:
        return 0
    draft.put_file("/proc/driver/nvidia/version", lines[at].text[found.start() :] + "\n")
    taken = 1 + (at + 1 < len(lines) and lines[at + 1].text.startswith("GCC version:"))
    draft.use(lines[at].number, lines[at + taken - 1].number, "driver version")
    return taken


def take_params(lines: list[Line], at: int, draft: Draft) -> int:
    """/proc/driver/nvidia/params. What a container shows is the host's, but for ModifyDeviceFiles."""
    first = _PARAM.match(lines[at].text)
    command = draft.command
    if first is None or not (first["name"] in _PARAMS or (command is not None and command.reads("nvidia/params"))):
        return 0
    end, kept = at, []
    while end < len(lines) and (line := _PARAM.match(lines[end].text)) is not None:
        kept.append(line[0])
        end += 1
    draft.put_file("/proc/driver/nvidia/params", "".join(f"{line}\n" for line in kept))
    draft.use(lines[at].number, lines[end - 1].number, "driver parameters", len(kept), "value")
    return end - at


def take_path(lines: list[Line], at: int, draft: Draft) -> int:
    """The path of a file of the driver as a heading before its text."""
    text = lines[at].text.strip("*#= `'\"")
    found = _PATH.fullmatch(text.removeprefix("==> ").removesuffix(" <=="))
    if found is None:
        return 0
    draft.heading = found["path"].replace("\\", "").rstrip(":")
    draft.use(lines[at].number, lines[at].number, "file name")
    return 1


def take_information(lines: list[Line], at: int, draft: Draft) -> int:
    """/proc/driver/nvidia/gpus/*/information."""
    first = _FIELD.match(lines[at].text)
    if first is None or first["name"] != "Model":
        return 0
    fields, end = {}, at
    while (
        end < len(lines)
        and (line := _FIELD.match(lines[end].text)) is not None
        and not (end > at and line["name"] == "Model")
    ):
        fields[line["name"]] = line["value"].strip()
        end += 1
    if not {"Bus Location", "Device Minor"} & fields.keys() or len(fields) < 3:
        return 0
    named = draft.heading + " " + (draft.command.text.replace("\\", "") if draft.command else "")
    address = fields.get("Bus Location", "") or ((path := _GPU.search(named)) and path["address"]) or ""
    if re.fullmatch(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]", address):
        text = "".join(f"{name}: {value}\n" for name, value in fields.items())
        draft.put_file(f"/proc/driver/nvidia/gpus/{address.lower()}/information", text)
    draft.use(lines[at].number, lines[end - 1].number, "GPU information", 1, "GPU")
    return end - at


def take_capability(lines: list[Line], at: int, draft: Draft) -> int:
    """A capability's file, or the permissions of nvlink and nvswitch, below the name that a heading or `cat` gave."""
    if _CAPABILITY.match(lines[at].text) is None:
        return 0
    end, kept = at, []
    while end < len(lines) and end < at + 3 and (line := _CAPABILITY.match(lines[end].text)) is not None:
        kept.append(line[0])
        end += 1
    named = [word for word in (draft.command.words if draft.command else ()) if word.startswith("/proc/driver/nvidia")]
    path = named[-1].replace("\\", "") if named else draft.heading
    if path.startswith("/proc/driver/nvidia") and "*" not in path:
        draft.put_file(path, "".join(f"{line}\n" for line in kept))
    draft.use(lines[at].number, lines[end - 1].number, "capability file", 1, "file")
    return end - at


def take_minors(lines: list[Line], at: int, draft: Draft) -> int:
    """/proc/driver/nvidia-caps/mig-minors and its neighbours."""
    first = _MINOR.match(lines[at].text)
    if first is None:
        return 0
    end, kept = at, []
    while end < len(lines) and (line := _MINOR.match(lines[end].text)) is not None:
        kept.append(line[0])
        end += 1
    draft.put_file("/proc/driver/nvidia-caps/mig-minors", "".join(f"{line}\n" for line in kept))
    draft.use(lines[at].number, lines[end - 1].number, "mig-minors", len(kept), "minor")
    return end - at
