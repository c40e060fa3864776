"""One boot of the guest under QEMU, with what it may see and what it says in the end.

It sees /usr, read-only by 9p, copies of the Python that runs this, its packages and this tree, and nothing else of the
host; no network. Its results come through a port of virtio-serial: the host's files are never written by the guest.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from devproxy.errors import DevproxyError
from devproxy.process import find_program, run
from hwtests.lab import initrd
from hwtests.lab.kernel import Kernel
from hwtests.lab.python_files import TREE

# The machine that the guest is: three GPUs, an NVSwitch that no stub binds, two TPUs of each kind of node, a network
# card, an NPU. Slots are counted from 1, in domain 1.
FUNCTIONS: Final = (
    "10de:2330:030200", "10de:2330:030200", "10de:2330:030200", "10de:22a3:068000",
    "1ae0:005e:120000", "1ae0:005e:120000", "1ae0:0063:120000", "1ae0:0063:120000",
    "15b3:1021:020000", "8086:7d1d:120000",
)  # fmt: skip
_BOOT_SECONDS: Final = 60
_RESULTS_LIMIT: Final = 64 << 20
# A processor that TCG emulates with little effort, and no work on its flaws.
_APPEND: Final = "console=ttyS0 panic=-1 quiet nokaslr mitigations=off"


class Outcome(NamedTuple):
    """What a boot came to: tests that passed, and all that ran; what the console said; the files of /results."""

    passed: int
    total: int
    console: str
    results: dict[str, bytes]

    @property
    def ok(self) -> bool:
        """Whether the guest reached its end, ran tests, and all of them passed: a skipped one did not."""
        return "LAB-END rc=0 " in self.console and 0 < self.passed == self.total


def boot(kernel: Kernel, stubs: Path | None, *, timeout: float, arguments: str = "") -> Outcome:
    """Boot, run the tests, power off. `arguments` are more words for the guest's pytest. Without stubs it has no accelerators, and
    runs the project's own tests.

    Raises:
        DevproxyError: QEMU is missing, or did not end within `timeout` seconds.
    """
    settings = {
        "LAB_TREE": str(TREE),
        "LAB_VENV": sys.prefix,
        "LAB_FUNCTIONS": ",".join(FUNCTIONS) if stubs else "",
        "LAB_TIMEOUT": str(int(max(timeout - _BOOT_SECONDS, timeout / 2))),
        "LAB_ARGUMENTS": arguments,
        "LAB_JOBS": os.environ.get("DEVPROXY_LAB_JOBS", "20"),
        "LAB_SEED": os.environ.get("DEVPROXY_SEED", "1"),
    }
    directory = Path(tempfile.mkdtemp(prefix="devproxy-lab."))
    try:
        (directory / "initrd").write_bytes(initrd.make(kernel, stubs, settings))
        console = directory / "console"
        try:
            run(_command(kernel, directory), timeout=timeout)
        except DevproxyError as error:
            said = console.read_text(errors="replace") if console.exists() else ""
            raise DevproxyError(f"{error}; the guest's last words:\n{said[-2000:]}") from None
        return read_outcome(console.read_text(errors="replace"), directory / "results", may_skip=stubs is None)
    finally:
        shutil.rmtree(directory)


def _command(kernel: Kernel, directory: Path) -> list[str]:
    qemu = find_program("qemu-system-x86_64")
    if qemu is None:
        raise DevproxyError("the lab needs qemu-system-x86_64", hint="hwtests/lab/packages, as root")
    # Whoever kills this process kills QEMU with it.
    command = ["setpriv", "--pdeathsig", "KILL", "--", qemu]
    # KVM is never used: a nested one that only looks usable stops the guest for good.
    command += ["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2", "-m", "1024"]
    command += ["-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{directory}/console"]
    command += ["-kernel", str(kernel.image), "-initrd", f"{directory}/initrd", "-append", _APPEND]
    command += ["-chardev", f"file,id=results,path={directory}/results", "-device", "virtio-serial-pci"]
    command += ["-device", "virtserialport,chardev=results,name=results"]
    command += ["-virtfs", "local,path=/usr,mount_tag=usr,security_model=none,readonly=on,multidevs=remap"]
    return command


def read_outcome(console: str, results: Path, *, may_skip: bool = False) -> Outcome:
    """What the guest said on its console, and sent: a tar, which may be cut off where the guest was. With `may_skip`, what an older
    kernel cannot do is not counted.
    """
    files: dict[str, bytes] = {}
    if results.exists() and 0 < os.path.getsize(results) <= _RESULTS_LIMIT:
        with (
            contextlib.suppress(tarfile.TarError),
            tarfile.open(fileobj=io.BytesIO(results.read_bytes()), mode="r:") as archive,
        ):
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    files[os.path.normpath(member.name)] = content.read()
    total = passed = 0
    if "junit.xml" in files:
        for suite in ET.fromstring(files["junit.xml"]).iter("testsuite"):
            total += int(suite.get("tests", 0)) - (int(suite.get("skipped", 0)) if may_skip else 0)
            passed += int(suite.get("tests", 0)) - sum(int(suite.get(k, 0)) for k in ("errors", "failures", "skipped"))
    return Outcome(passed, total, console, files)
