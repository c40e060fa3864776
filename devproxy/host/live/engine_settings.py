"""Settings of container engines that decide about devices, out of their configuration files.

dockerd(8) daemon.json, containerd's config.toml, crio.conf(5), containers.conf(5), the NVIDIA toolkit's config.toml. A
setting that may be in several files has the value of the last one.
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.json_text import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

_MOST_BYTES: Final = 1 << 20
_MOST_FILES: Final = 40
_LONGEST: Final = 500
_FILES: Final = (
    ("docker", "/etc/docker/daemon.json"),
    ("docker", "/var/snap/docker/current/config/daemon.json"),
    ("containerd", "/etc/containerd/config.toml"),
    ("containerd", "/etc/containerd/conf.d/"),
    ("containerd", "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"),
    ("cri-o", "/etc/crio/crio.conf"),
    ("cri-o", "/etc/crio/crio.conf.d/"),
    ("podman", "/usr/share/containers/containers.conf"),
    ("podman", "/etc/containers/containers.conf"),
    ("podman", "/etc/containers/containers.conf.d/"),
    ("nvidia-container-runtime", "/etc/nvidia-container-runtime/config.toml"),
    ("nvidia-container-runtime", "/usr/local/nvidia/toolkit/.config/nvidia-container-runtime/config.toml"),
)


def read_configurations() -> list[object]:
    """The document's `configurations`: what could not be read or understood says `why`."""
    found: list[object] = []
    for name, path in _expanded():
        settings, why = {}, ""
        try:
            settings = settings_in(name, _read(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            why = f"{errno.errorcode.get(error.errno or 0, 'error')}: {error.strerror}"
        except (ValueError, RecursionError) as error:
            why = f"not understood: {error}"[:_LONGEST]
        found.append({"name": name, "path": path, "settings": settings, "why": why})
    return found


def settings_in(name: str, text: str) -> dict[str, str]:
    """The settings that a configuration of the engine `name` has.

    Errors: ValueError for what is neither JSON nor TOML, as the engine wants it.
    """
    if name == "docker":
        document = loads(text) if text.strip() else {}
        if not isinstance(document, dict):
            raise ValueError("no JSON object")
    else:
        import tomllib

        document = tomllib.loads(text)
    return {key: value[:_LONGEST] for key, value in sorted(_PICK[name](document)) if value}


def _docker(document: dict[str, object]) -> Iterator[tuple[str, str]]:
    yield from _plain(document, ("default-runtime", "cdi-spec-dirs", "selinux-enabled", "default-shm-size"))
    runtimes = _table(document, "runtimes")
    yield "runtimes", ",".join(sorted(runtimes))
    yield "runtimes.nvidia.path", _shown(_table(runtimes, "nvidia").get("path"))
    yield "features.cdi", _shown(_table(document, "features").get("cdi"))
    options = document.get("exec-opts")
    for option in options if isinstance(options, list) else ():
        if isinstance(option, str) and option.startswith("native.cgroupdriver="):
            yield "cgroup-driver", option.partition("=")[2]


def _containerd(document: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Both layouts: `io.containerd.grpc.v1.cri` until version 2, `io.containerd.cri.v1.runtime` since version 3."""
    plugins = _table(document, "plugins")
    for name in ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"):
        plugin = _table(plugins, name)
        yield from _plain(plugin, ("enable_cdi", "cdi_spec_dirs", "enable_selinux"))
        engine = _table(plugin, "containerd")
        yield from _plain(engine, ("default_runtime_name",))
        runtimes = _table(engine, "runtimes")
        yield "runtimes", ",".join(sorted(runtimes))
        for runtime in sorted(runtimes):
            options = _table(_table(runtimes, runtime), "options")
            for key in ("SystemdCgroup", "BinaryName"):
                yield f"runtimes.{runtime}.{key}", _shown(options.get(key))


def _crio(document: dict[str, object]) -> Iterator[tuple[str, str]]:
    runtime = _table(_table(document, "crio"), "runtime")
    keys = ("default_runtime", "cgroup_manager", "cdi_spec_dirs", "hooks_dir", "selinux", "allowed_devices")
    yield from _plain(runtime, keys)
    yield "runtimes", ",".join(sorted(_table(runtime, "runtimes")))


def _podman(document: dict[str, object]) -> Iterator[tuple[str, str]]:
    engine = _table(document, "engine")
    yield from _plain(engine, ("runtime", "cgroup_manager", "cdi_spec_dirs", "hooks_dir"))
    yield "runtimes", ",".join(sorted(_table(engine, "runtimes")))
    yield from _plain(_table(document, "containers"), ("devices", "shm_size", "label"))


def _toolkit(document: dict[str, object], prefix: str = "", depth: int = 4) -> Iterator[tuple[str, str]]:
    """All of it: the file holds nothing but how devices are given to containers."""
    for key, value in document.items():
        if isinstance(value, dict):
            if depth:
                yield from _toolkit(value, f"{prefix}{key}.", depth - 1)
        else:
            yield f"{prefix}{key}", _shown(value)


_PICK: Final[dict[str, Callable[[dict[str, object]], Iterator[tuple[str, str]]]]] = {
    "docker": _docker,
    "containerd": _containerd,
    "cri-o": _crio,
    "podman": _podman,
    "nvidia-container-runtime": _toolkit,
}


def _plain(table: dict[str, object], keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    return ((key, _shown(table.get(key))) for key in keys)


def _table(table: dict[str, object], key: str) -> dict[str, object]:
    found = table.get(key)
    return found if isinstance(found, dict) else {}


def _shown(value: object) -> str:
    """A value as the file writes it, without quotes; lists with commas."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_shown(each) for each in value)
    return str(value) if isinstance(value, str | int | float) else ""


def _expanded() -> Iterator[tuple[str, str]]:
    for name, path in _FILES:
        if not path.endswith("/"):
            yield name, path
            continue
        try:
            inside = sorted(os.listdir(path))[:_MOST_FILES]
        except OSError:
            continue
        yield from ((name, path + file) for file in inside if file.endswith((".conf", ".toml")))


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no regular file", path)
        data = os.read(fd, _MOST_BYTES)
    finally:
        os.close(fd)
    return data.decode("utf-8", "replace")
