"""The shape of what the NVIDIA driver says in text: which fields and names there are. The lab's stub has to have no other than the
real driver has.
"""

from __future__ import annotations

from devproxy.host.recorded import Recording

DRIVER = "/proc/driver/nvidia"


def shapes(recording: Recording) -> dict[str, set[str]]:
    """The names of the fields of each kind of file, and NVIDIA's names in /proc/devices."""
    found: dict[str, set[str]] = {}
    for path, kept in recording.files.items():
        kind = _kind(path)
        if kind and kept.data:
            lines = kept.data.decode("utf-8", "replace").splitlines()
            found.setdefault(kind, set()).update(line.partition(":")[0].strip() for line in lines if ":" in line)
    devices = recording.files.get("/proc/devices")
    text = devices.data.decode() if devices is not None else ""
    words = [line.split() for line in text.partition("\n\n")[0].splitlines()]
    found["majors"] = {each[1] for each in words if len(each) == 2 and each[1].startswith("nvidia")}
    return found


def unknown_to(real: Recording, stub: Recording) -> dict[str, set[str]]:
    """What the stub says and the real driver does not, by kind of file; kinds that the machine has not are left out."""
    there = shapes(real)
    wrong = {kind: names - there[kind] for kind, names in shapes(stub).items() if kind in there}
    return {kind: names for kind, names in wrong.items() if names}


def _kind(path: str) -> str:
    if path in (f"{DRIVER}/version", f"{DRIVER}/params"):
        return path.rpartition("/")[2]
    if path.startswith(f"{DRIVER}/gpus/") and path.endswith("/information"):
        return "information"
    return "capability" if path.startswith(f"{DRIVER}/capabilities/") else ""
