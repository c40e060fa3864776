"""What commands say of the system: uname, lsmod, modinfo, id, SELinux, limits, /dev/shm, control groups, the environment."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import Draft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_UNAME: Final = re.compile(
    r"Linux (?:[\w.-]{1,64} )?(?P<release>\d\.\d{1,3}[\w.+~-]{0,64}) (?P<version>#\d\S{0,60} .*)$"
)
_KERNEL: Final = re.compile(
    r"(?:Kernel(?: version)?|Linux kernel|uname -r)\s*[:=]\s*`?(?:Linux )?(?P<release>\d\.\d{1,3}\.\d[\w.+~-]{0,64})"
)
_LSMOD: Final = re.compile(
    r"(?P<name>\w{2,56})\s+(?P<size>\d{3,9})\s+(?P<uses>-?\d{1,6})(?:\s+(?P<by>[\w,-]{1,1000}))?$"
)
_MODINFO: Final = re.compile(r"(?P<key>filename|version|vermagic|license|srcversion|name):\s+(?P<value>\S.*)$")
_ID: Final = re.compile(
    r"uid=(?P<uid>\d{1,9})(?:\((?P<user>[^)]{1,64})\))? gid=(?P<gid>\d{1,9})(?:\([^)]{1,64}\))?(?: (?:groups|Gruppen|grupos|groupes)=(?P<groups>\S{1,2000}))?"
)
_GROUP: Final = re.compile(r"(?P<gid>\d{1,9})(?:\((?P<name>[^)]{1,64})\))?")
_RULE: Final = re.compile(r"(?P<type>[abc]) (?P<major>\d{1,4}|\*):(?P<minor>\d{1,7}|\*) (?P<access>[rwm]{1,3})$")
_AVC: Final = re.compile(r"avc:\s+denied\s+\{[^}]{1,80}\}")
_FIELD: Final = re.compile(
    r"\b(?P<key>scontext|tcontext|tclass|path|name|comm|permissive)=\"?(?P<value>[^\s\"]{1,200})"
)
_SEALERT: Final = re.compile(
    r"(?P<key>Source Context|Target Context|Target Objects|Enforcing Mode|Selinux Enabled|Source Path)\s{2,}(?P<value>\S.*)$"
)
_BOOLEAN: Final = re.compile(r"(?P<name>container_use_\w{3,40}|container_use_xserver_devices) --> (?P<value>on|off)$")
_MEMLOCK: Final = re.compile(
    r"(?:max locked memory\s+(?:\(k(?:bytes|bytes,? -l)[^)]*\)\s+)?|Max locked memory\s+)(?P<soft>unlimited|\d{1,20})(?:\s+(?P<hard>unlimited|\d{1,20}))?(?P<unit>\s+bytes)?"
)
_DF: Final = re.compile(
    r"(?:shm|tmpfs|none|dev)\s+(?P<size>\d[\d.]{0,12}[KMGTP]?)i?\s+(?P<used>\d[\d.]{0,12}[KMGTP]?)i?\s+(?P<free>\d[\d.]{0,12}[KMGTP]?)i?\s+\d{1,3}%\s+/dev/shm$"
)
_VARIABLE: Final = re.compile(
    r"(?:export |ENV |-e |--env[= ]|declare -x |environment:\s*)?[\"']?(?P<key>NVIDIA_[A-Z_]{3,40}|CUDA_(?:VISIBLE_DEVICES|VERSION)|TPU_[A-Z_]{3,40}|HABANA_VISIBLE_DEVICES|PJRT_DEVICE|JAX_PLATFORMS|"
    r"ACCELERATOR_TYPE|CHIPS_PER_HOST_BOUNDS|HOST_BOUNDS|RUNTIME_VERSION|TOPOLOGY|WORKER_ID|ZONE|WRAP|TYPE|ROCR_VISIBLE_DEVICES|HIP_VISIBLE_DEVICES|LD_LIBRARY_PATH|XDG_RUNTIME_DIR)(?:=|:\s)[\"']?(?P<value>[^\"'\s][^\"']{0,500}?)?[\"']?$"
)
_ARGUMENT: Final = re.compile(
    r"(?:^|\s)(?P<key>--gpus|--device|-e|--env|--runtime)[= ][\"']?(?P<value>[^\s\"']{1,200})"
)
_CLI_DEVICE: Final = re.compile(r"nvidia-container-cli\b.{0,400}?\s--device=(?P<value>[^\s\"']{1,200})")
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_DISTRIBUTION: Final = re.compile(r"(?:PRETTY_NAME|Description|OS|Distribution)\s*[=:]\s*\"?.{0,100}\"?$")


def take_uname(lines: list[Line], at: int, draft: Draft) -> int:
    """`uname -a`, or a line of an issue's form that names the kernel."""
    text = lines[at].text[:512]
    found = _UNAME.match(text) or _KERNEL.match(text)
    command = draft.command
    if (
        found is None
        and command is not None
        and command.name == "uname"
        and re.fullmatch(r"\d\.\d{1,3}[\w.+~-]{1,64}", text)
    ):
        draft.facts["release"] = text
    elif found is not None:
        draft.facts["release"] = found["release"]
    else:
        return 0
    if "microsoft-standard-WSL" in text or "WSL2" in text:
        draft.containers["wsl"] = lines[at].number
    draft.use(lines[at].number, lines[at].number, "uname")
    return 1


def take_lsmod(lines: list[Line], at: int, draft: Draft) -> int:
    """lsmod, whole or what grep left of it."""
    command = draft.command
    asked = command is not None and (command.name == "lsmod" or command.reads("/proc/modules"))
    first = lines[at].text
    headed = re.fullmatch(r"Module\s+Size\s+Used by", first) is not None
    end, found = at + headed, 0
    if (
        not headed
        and not asked
        and not re.match(r"(?:nvidia|nouveau|amdgpu|vfio|habanalabs|gasket|apex)\w*\s+\d", first)
    ):
        return 0
    while end < len(lines) and (line := _LSMOD.match(lines[end].text)) is not None:
        if len(draft.modules) < 4096:
            draft.modules[line["name"]] = (line["uses"], line["by"] or "")
        found += 1
        end += 1
    if end == at:
        return 0
    following = lines[end].text if end < len(lines) else ""
    if asked and command is not None and not command.cut and not re.match(r"\W{0,3}(?:\.\.\.|…|\[?snip)", following):
        for pattern in command.filters or ("*",):
            for glob in pattern.split("|"):
                draft.cover("/proc/modules" if glob == "*" else f"/proc/modules:{glob}", lines[at].number)
    draft.use(lines[at].number, lines[end - 1].number, "lsmod", found, "module")
    return end - at


def take_modinfo(lines: list[Line], at: int, draft: Draft) -> int:
    """`modinfo nvidia`: the module on disk, which need not be the one that is loaded."""
    command = draft.command
    if command is None or command.name != "modinfo":
        return 0
    found = _MODINFO.match(lines[at].text)
    if found is None:
        return 0
    name = command.operands[-1] if command.operands else ""
    if found["key"] == "version" and name.startswith("nvidia"):
        draft.facts["modinfo"] = found["value"].split()[0]
    draft.use(lines[at].number, lines[at].number, "modinfo")
    return 1


def take_id(lines: list[Line], at: int, draft: Draft) -> int:
    """`id`, and `groups`."""
    text = lines[at].text
    found = _ID.match(text)
    command = draft.command
    if found is None:
        if (
            command is not None
            and command.name == "groups"
            and re.fullmatch(r"(?:[\w.-]{1,32} : )?(?:[\w.-]{1,32} ?){1,60}", text)
        ):
            draft.caller["names"] = text.partition(" : ")[2].split() or text.split()
            draft.use(lines[at].number, lines[at].number, "groups")
            return 1
        return 0
    gids = [(int(group["gid"]), group["name"] or "") for group in _GROUP.finditer(found["groups"] or "")]
    if not draft.within:
        draft.caller.update(uid=int(found["uid"]), gid=int(found["gid"]), gids=[gid for gid, _ in gids])
        draft.groups.update({name: gid for gid, name in gids if name})
    draft.use(lines[at].number, lines[at].number, "id")
    return 1


def take_rules(lines: list[Line], at: int, draft: Draft) -> int:
    """devices.list of a control group (v1). Before and after something was done it is another list."""
    if _RULE.match(lines[at].text) is None:
        return 0
    end, rules = at, []
    while end < len(lines) and (line := _RULE.match(lines[end].text)) is not None:
        rules.append((line["type"], line["major"], line["minor"], line["access"]))
        end += 1
    subject, state = subject_of(draft.label)
    key = f"{subject}\0{draft.label}"
    if key in draft.rules and state:
        draft.rules[key] += rules
    elif len(draft.rules) < 200:
        draft.rules[key] = rules
    draft.use(
        lines[at].number,
        lines[end - 1].number,
        f"devices.list{f' ({draft.label})' if draft.label else ''}",
        len(rules),
        "rule",
    )
    return end - at


def subject_of(label: str) -> tuple[str, str]:
    """What a heading with `before` or `after` is about, and which of the two it is: `251 before` is (`251`, `before`)."""
    found = re.match(r"(?P<subject>.*?)\W*\b(?P<state>before|after)\b", label, re.IGNORECASE)
    return (found["subject"].strip().lower(), found["state"].lower()) if found else (label.lower(), "")


def take_selinux(lines: list[Line], at: int, draft: Draft) -> int:
    """getenforce, sestatus, getsebool, AVC messages and what setroubleshoot makes of them."""
    text = lines[at].text
    command = draft.command
    if (
        command is not None
        and command.name in ("getenforce", "sestatus")
        and (mode := re.search(r"\b(enforcing|permissive|disabled)$", text, re.IGNORECASE))
    ):
        draft.facts["enforcing"] = mode[1].lower() == "enforcing"
    elif boolean := _BOOLEAN.match(text):
        booleans = draft.facts.setdefault("booleans", {})
        if isinstance(booleans, dict) and len(booleans) < 100:
            booleans[boolean["name"]] = boolean["value"] == "on"
    elif _AVC.search(text):
        values = {found["key"]: found["value"] for found in _FIELD.finditer(text)}
        if values.get("tclass") == "chr_file":
            path = values.get("path") or f"/dev/{values.get('name', '')}"
            _deny(draft, path, values.get("tcontext", ""), enforcing=values.get("permissive") != "1", line=lines[at])
    elif found := _SEALERT.match(text):
        draft.facts[found["key"]] = found["value"]
        if found["key"] == "Enforcing Mode":
            path = str(draft.facts.get("Target Objects", "")).split(" ")[0]
            if path.startswith("/dev/"):
                _deny(
                    draft,
                    path,
                    str(draft.facts.get("Target Context", "")),
                    enforcing=found["value"] == "Enforcing",
                    line=lines[at],
                )
    else:
        return 0
    draft.use(lines[at].number, lines[at].number, "SELinux")
    return 1


def _deny(draft: Draft, path: str, label: str, *, enforcing: bool, line: Line) -> None:
    draft.facts["enforcing"] = enforcing
    draft.labels[path] = label
    if enforcing:
        draft.messages.append(("selinux-denial", f"{path} labelled {label} denied", line.number))


def take_limits(lines: list[Line], at: int, draft: Draft) -> int:
    """`ulimit -l`, `ulimit -a`, /proc/PID/limits, and the size of /dev/shm."""
    text = lines[at].text
    command = draft.command
    if (size := _DF.match(text)) is not None:
        draft.sizes["/dev/shm"] = (_bytes(size["size"]), _bytes(size["free"]))
        draft.use(lines[at].number, lines[at].number, "df")
        return 1
    found = _MEMLOCK.match(text)
    soft, scale = "", 1024
    if found is not None:
        soft, scale = found["soft"], 1 if found["unit"] else 1024
    elif (
        command is not None
        and command.name == "ulimit"
        and "l" in command.options
        and re.fullmatch(r"unlimited|\d{1,20}", text)
    ):
        soft = text
    if not soft:
        return 0
    draft.facts["memlock"] = None if soft == "unlimited" else min(int(soft) * scale, 1 << 62)
    draft.use(lines[at].number, lines[at].number, "memory lock limit")
    return 1


def _bytes(text: str) -> int:
    """A size as df writes it: in KiB, or with a unit."""
    unit = _UNITS.get(text[-1], 0)
    number = text[:-1] if unit else text
    try:
        return int(float(number) * (unit or 1024))
    except ValueError:
        return 0


def take_environment(lines: list[Line], at: int, draft: Draft) -> int:
    """Variables that ask for devices, or that a TPU machine's metadata gives."""
    found = _VARIABLE.match(lines[at].text)
    if found is None:
        return 0
    key, value = found["key"], (found["value"] or "").strip()
    if len(draft.environment) < 200:
        draft.environment[key] = value
    if key in ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_IMEX_CHANNELS", "TPU_VISIBLE_CHIPS", "HABANA_VISIBLE_DEVICES"):
        draft.requests[(key, value)] = lines[at].number
    draft.use(lines[at].number, lines[at].number, "environment", 1, "variable")
    return 1


def requested(text: str, number: int, draft: Draft) -> None:
    """What a command line asks for: `--gpus`, `--device`, variables."""
    if found := _CLI_DEVICE.search(text):
        draft.requests.setdefault(("--device", found["value"]), number)
        return
    if not re.search(r"\b(?:docker|podman|nerdctl|ctr|kubectl|finch)\b", text[:200]):
        return
    for found in _ARGUMENT.finditer(text):
        key, value = found["key"], found["value"]
        if key in ("-e", "--env"):
            name, equals, content = value.partition("=")
            if equals and name.startswith(("NVIDIA_VISIBLE", "NVIDIA_IMEX", "TPU_VISIBLE", "HABANA_VISIBLE")):
                draft.requests.setdefault((name, content), number)
        elif len(draft.requests) < 200:
            draft.requests.setdefault((key, value), number)
