"""What the container tools print: nvidia-container-cli, nvidia-ctk, the engines' configuration files."""

from __future__ import annotations

import re

from devproxy.bugreport.draft import Draft, Smi
from devproxy.host.nvml_facts import NvmlGpu

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_CLI: Final = re.compile(r"[IWED]\d{4} \d\d:\d\d:\d\d\.\d{6} \d{1,9} [\w.]{1,40}:\d{1,5}\] (?P<message>.*)$")
_LISTING: Final = re.compile(
    r"listing device (?P<path>/dev/[\w./-]{1,80})(?: \((?P<uuid>GPU-[0-9a-f-]{36}) at (?P<address>[0-9a-fA-F:.]{10,16})\))?"
)
_WHITELISTING: Final = re.compile(r"whitelisting device node (?P<major>\d{1,4}):(?P<minor>\d{1,7})")
_INFO: Final = re.compile(
    r"(?P<key>NVRM version|CUDA version|Device Index|Device Minor|Model|Brand|GPU UUID|Bus Location|Architecture):\s+(?P<value>\S.*)$"
)
_LEVEL: Final = re.compile(
    r"(?:time=\S{1,40} )?(?:level=\w+ msg=|(?:INFO|WARN|DEBU|ERRO|FATA)\[\d{4}\]\s?|\{\"level\")"
)
_CTK: Final = re.compile(
    r"\"?(?:Using |Auto-detected mode as|Selecting |Found multiple driver store|Could not locate |Generated CDI spec|Found \d+ CDI devices|Selected )"
)
_SETTING: Final = re.compile(
    r"(?P<key>[a-z][\w.-]{1,60})\s*=\s*(?P<value>true|false|\"[^\"]{0,200}\"|\d{1,9}|\[.{0,200}\])$"
)
_SECTION: Final = re.compile(r"\[(?P<name>[a-z][\w.\"-]{1,80})\]$")
_CONFIG: Final = frozenset(
    (
        "no-cgroups", "swarm-resource", "accept-nvidia-visible-devices-envvar-when-unprivileged", "accept-nvidia-visible-devices-as-volume-mounts",
        "disable-require", "ldconfig", "load-kmods", "mode", "runtimes", "debug", "log-level", "environment", "path", "user", "root",
        "supported-driver-capabilities", "skip-mode-detection", "annotation-prefixes", "default-kind", "spec-dirs", "mount-spec-path",
    )
)  # fmt: skip
_CSV: Final = re.compile(r"(?:dev|dir|lib|sym), ?/[\w./-]{1,200}$")
_GID: Final = re.compile(r"^nvidia\.com/gpu=[\w:.-]{1,80}$")


def take_cli_log(lines: list[Line], at: int, draft: Draft) -> int:
    """Lines of libnvidia-container's log."""
    found = _CLI.match(lines[at].text)
    if found is None:
        return 0
    message = found["message"]
    if device := _LISTING.match(message):
        draft.put_present(device["path"], lines[at].number)
    elif (mounting := re.match(r"mounting (?P<path>/dev/[\w./-]{1,80})", message)) and at + 1 < len(lines):
        draft.put_present(mounting["path"], lines[at].number)
    draft.use(lines[at].number, lines[at].number, "nvidia-container-cli log", 1, "line")
    if _CLI.match(message) is None and (" error" in message or "failed" in message):
        return 0  # the message itself may be one that is known
    return 1


def take_cli_info(lines: list[Line], at: int, draft: Draft) -> int:
    """`nvidia-container-cli info`: the versions, then a block for each device."""
    first = _INFO.match(lines[at].text)
    if first is None or first["key"] not in ("NVRM version", "Device Index"):
        return 0
    if first["key"] == "Device Index" and not first["value"].isdigit():
        return 0
    smi, end = draft.current_smi(lines[at].number), at
    gpu: dict[str, str] = {}
    while end < len(lines):
        text = lines[end].text
        found = _INFO.match(text)
        if found is None and (text or end + 1 >= len(lines) or _INFO.match(lines[end + 1].text) is None):
            break
        if found is not None:
            if found["key"] == "NVRM version":
                smi = smi._replace(driver=found["value"].split()[0], error=None)
            elif found["key"] == "Device Index":
                gpu = {}
            gpu[found["key"]] = found["value"]
            smi = _keep(gpu, smi)
        end += 1
    draft.put_smi(smi)
    draft.use(lines[at].number, lines[end - 1].number, "nvidia-container-cli info", len(smi.gpus), "GPU")
    return end - at


def _keep(gpu: dict[str, str], smi: Smi) -> Smi:
    rank, minor = gpu.get("Device Index", ""), gpu.get("Device Minor", "")
    if not (rank.isdigit() and len(rank) <= 3):
        return smi
    uuid = gpu.get("GPU UUID", "")
    address = gpu.get("Bus Location", "")[-12:].lower()
    number = int(minor) if minor.isdigit() and len(minor) <= 4 else None
    return smi.with_gpu(NvmlGpu(int(rank), address, uuid if len(uuid) == 40 else None, number, gpu.get("Model", "")))


def take_ctk_log(lines: list[Line], at: int, draft: Draft) -> int:
    """Lines that `nvidia-ctk cdi generate` and `cdi list` log."""
    text = lines[at].text
    level = _LEVEL.match(text)
    message = text[level.end() :].lstrip('"') if level else text
    if not _CTK.match(message):
        if _GID.match(text):
            draft.use(lines[at].number, lines[at].number, "CDI devices", 1, "name")
            return 1
        return 0
    if "mode as 'wsl'" in message or "/usr/lib/wsl" in message:
        draft.containers["wsl"] = lines[at].number
    if found := re.match(r"Selecting (/dev/[\w./-]{1,80}) as", message):
        draft.put_present(found[1], lines[at].number)
    draft.use(lines[at].number, lines[at].number, "nvidia-ctk log", 1, "line")
    return 1


def take_csv(lines: list[Line], at: int, draft: Draft) -> int:
    """Lines of a Jetson's lists of what containers are given (`dev, /dev/nvhost-ctrl`): that it is there they do not say."""
    if _CSV.match(lines[at].text) is None:
        return 0
    draft.use(lines[at].number, lines[at].number, "list for containers", 1, "path")
    return 1


def take_config(lines: list[Line], at: int, draft: Draft) -> int:
    """The toolkit's config.toml, or a line of it that grep found."""
    text = lines[at].text
    section = _SECTION.match(text)
    if section is not None:
        draft.facts["section"] = section["name"]
        if section["name"].startswith("nvidia-c"):
            draft.use(lines[at].number, lines[at].number, "config.toml")
            return 1
        return 0
    found = _SETTING.match(text)
    if found is None or found["key"].rpartition(".")[2] not in _CONFIG:
        return 0
    prefix = str(draft.facts.get("section", ""))
    key = found["key"] if found["key"] != "no-cgroups" else "nvidia-container-cli.no-cgroups"
    if prefix.startswith("nvidia-c") and "." not in key:
        key = f"{prefix}.{key}"
    draft.runtimes.setdefault("nvidia-container-runtime", {})[key] = found["value"].strip('"')
    draft.use(lines[at].number, lines[at].number, "config.toml", 1, "setting")
    return 1


def take_daemon_json(lines: list[Line], at: int, draft: Draft) -> int:
    """/etc/docker/daemon.json, as a JSON object that names runtimes or a cgroup driver."""
    if not lines[at].raw.strip().startswith("{") or len(lines[at].raw) > 2000:
        return 0
    from devproxy.json_text import loads

    depth, text = 0, ""
    for end in range(at, min(len(lines), at + 60)):
        text += lines[end].raw + "\n"
        depth += lines[end].raw.count("{") - lines[end].raw.count("}")
        if depth <= 0:
            break
    else:
        return 0
    if not ('"runtimes"' in text or '"exec-opts"' in text or '"default-runtime"' in text or '"features"' in text):
        return 0
    try:
        document = loads(text)
    except (ValueError, RecursionError):
        return 0
    if not isinstance(document, dict):
        return 0
    _keep_daemon(document, draft)
    draft.use(lines[at].number, lines[end].number, "daemon.json")
    return end - at + 1


def _keep_daemon(document: dict[str, object], draft: Draft) -> None:
    settings = draft.runtimes.setdefault("docker", {})
    default = document.get("default-runtime")
    if isinstance(default, str):
        settings["default-runtime"] = default
    runtimes = document.get("runtimes")
    if isinstance(runtimes, dict):
        settings["runtimes"] = ",".join(sorted(str(name) for name in runtimes))
    options = document.get("exec-opts")
    if isinstance(options, list):
        for option in options:
            if isinstance(option, str) and option.startswith("native.cgroupdriver="):
                settings["cgroup-driver"] = option.partition("=")[2]
    features = document.get("features")
    if isinstance(features, dict) and isinstance(features.get("cdi"), bool):
        settings["features.cdi"] = str(features["cdi"]).lower()
