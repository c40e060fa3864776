"""What is compiled for the guest: the stub drivers, for one kernel; `ask`, which speaks to them in a container; and the NVML of
the tests.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

from devproxy.process import run
from hwtests.lab.kernel import Kernel
from hwtests.lab.python_files import TREE

_HERE: Final = Path(__file__).parent
_SOURCES: Final = _HERE / "stub"
_PROGRAM: Final = _HERE / "guest" / "ask.c"
_NVML: Final = TREE / "tests" / "nvml" / "fakenvml.c"
_LIBRARY: Final = "libnvidia-ml.so.1"


def build(kernel: Kernel) -> Path:
    """A directory with the stubs (`nvidia.ko`, ...), `ask` and NVML, made anew when a source has changed."""
    ready = kernel.directory / f"stub-{_fingerprint()}"
    if ready.exists():
        return ready
    work = kernel.directory / f"stub.{os.getpid()}"
    shutil.copytree(_SOURCES, work)
    try:
        run(["make", "-s", f"-j{os.cpu_count()}", "-C", str(kernel.headers), f"M={work}", "modules"], timeout=180)
        modules = sorted(work.glob("*.ko"))
        run(["strip", "--strip-debug", *map(str, modules)])
        program, library = work / "ask", work / _LIBRARY
        compiler = ["gcc", "-Wall", "-Werror", "-O1"]
        run([*compiler, "-static", "-I", str(work), "-o", str(program), str(_PROGRAM)], timeout=60)
        shared = ["-shared", "-fPIC", f"-Wl,-soname,{_LIBRARY}"]
        run([*compiler, *shared, "-o", str(library), str(_NVML)], timeout=60)
        whole = kernel.directory / f"stub-whole.{os.getpid()}"
        whole.mkdir()
        for made in (*modules, program, library):
            shutil.move(made, whole)
        os.rename(whole, ready)
    finally:
        shutil.rmtree(work)
    return ready


def _fingerprint() -> str:
    """Of everything that is compiled."""
    digest = hashlib.sha256()
    for path in sorted([*_SOURCES.iterdir(), _PROGRAM, _NVML]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
