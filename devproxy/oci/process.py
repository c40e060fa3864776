"""The `process` of a spec (config.md, "Process")."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.oci.json_path import JsonValue, quote
from devproxy.oci.spec import Capabilities, Process, Rlimit, Unsupported, User

# (uid_t) -1 means "no change" to every system call that takes one.
ID_MAX = (1 << 32) - 2
_RLIM_MAX = (1 << 64) - 1

# getrlimit(2).
_RLIMITS = frozenset(
    "RLIMIT_" + name
    for name in [
        "AS",
        "CORE",
        "CPU",
        "DATA",
        "FSIZE",
        "LOCKS",
        "MEMLOCK",
        "MSGQUEUE",
        "NICE",
        "NOFILE",
        "NPROC",
        "RSS",
        "RTPRIO",
        "RTTIME",
        "SIGPENDING",
        "STACK",
    ]
)

# capabilities(7), in the kernel's order (include/uapi/linux/capability.h).
_CAPABILITIES = frozenset(
    "CAP_" + name
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
)


def parse_process(process: JsonValue) -> tuple[Process, tuple[Unsupported, ...]]:
    """The process, and the capabilities that no kernel knows: the spec wants those told, not refused.

    Errors: InputError for missing args, a relative cwd, an unknown or doubled rlimit.
    """
    capabilities, unknown = _parse_capabilities(process)
    return (
        Process(
            args=_parse_args(process),
            env=process.optional_texts("env"),
            cwd=process.required("cwd").container_path(),
            user=_parse_user(process),
            rlimits=_parse_rlimits(process),
            capabilities=capabilities,
            no_new_privs=process.optional_flag("noNewPrivileges"),
            terminal=process.optional_flag("terminal"),
            oom_score_adj=process.optional_whole("oomScoreAdj", -1000, 1000),
        ),
        unknown,
    )


def _parse_args(process: JsonValue) -> tuple[str, ...]:
    field = process.required("args")
    args = field.texts()
    if not args or not args[0]:
        raise field.wrong("at least the name of a program")
    return args


def _parse_user(process: JsonValue) -> User:
    user = process.member("user")
    if user is None:
        return User()
    return User(
        uid=user.optional_whole("uid", 0, ID_MAX) or 0,
        gid=user.optional_whole("gid", 0, ID_MAX) or 0,
        groups=tuple(group.whole(0, ID_MAX) for group in user.optional_elements("additionalGids")),
        umask=user.optional_whole("umask", 0, 0o777),
    )


def _parse_rlimits(process: JsonValue) -> tuple[Rlimit, ...]:
    rlimits: dict[str, Rlimit] = {}
    for entry in process.optional_elements("rlimits"):
        name = entry.required("type").text()
        if name not in _RLIMITS:
            raise entry.required("type").wrong("the name of a limit, such as RLIMIT_NOFILE")
        if name in rlimits:
            raise InputError(f"{entry.path}.type is {quote(name)} a second time, expected each limit once")
        soft, hard = (entry.required(key).whole(0, _RLIM_MAX) for key in ("soft", "hard"))
        if soft > hard:
            raise InputError(f"{entry.path}.soft is {soft}, expected at most the hard limit {hard}")
        rlimits[name] = Rlimit(name, soft, hard)
    return tuple(rlimits.values())


def _parse_capabilities(process: JsonValue) -> tuple[Capabilities | None, tuple[Unsupported, ...]]:
    field = process.member("capabilities")
    if field is None:
        return None, ()
    unknown: list[Unsupported] = []

    def known(key: str) -> tuple[str, ...]:
        names: list[str] = []
        for index, name in enumerate(field.optional_texts(key)):
            if name in _CAPABILITIES:
                names.append(name)
            else:
                unknown.append(Unsupported(f"{field.path}.{key}[{index}]", f"the capability {quote(name)}"))
        return tuple(names)

    capabilities = Capabilities(
        known("bounding"), known("effective"), known("inheritable"), known("permitted"), known("ambient")
    )
    return capabilities, tuple(unknown)
