"""What people paste is diagnosed with the right code, and what is sound gives no error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.bugreport.report import read_report, read_text
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.check.finding import Finding, Severity
from devproxy.host.facts import Host
from tests.bugreports.reports import BROKEN, SOUND

_CAPTURED: Final = Path(__file__).parent / "captured"
# What was wrong there, and how it shows in the text. All others are sound, or show too little to say.
CAPTURED: Final[dict[str, str]] = {
    "cgroupv1-devices-list-before-after-reload": "cgroup-rule-missing",  # after the reload nothing but mknod is allowed
    "intel-npu-default-root": "node-mode-restrictive",  # 0600 root: the kernel's default without udev's rule
    "lxd-410-nvlink-perms": "uvm-not-loaded",  # lsmod has nvidia, and no nvidia_uvm
    "nvidia-gentoo-devicefilemode-decimal666": "node-mode-malformed",  # 666 given in decimal is 01232
    "nvidia-h20-procdevices-550plus": "uvm-not-loaded",  # grep nvidia found no nvidia-uvm
    "nvidia-lxd-rocky-selinux-f38-avc": "selinux-denies-device",  # enforcing, xserver_misc_device_t
    "nvidia-mig-a100-530-lxd-legacy-uuid": "mig-id-legacy",  # MIG-GPU-.../1/0 where MIG devices have UUIDs
    "nvidia-popos-dmesg-api-mismatch": "driver-library-mismatch",  # client 515.48.07, module 510.73.05
    "tpu-v6e-8-nodriver": "driver-not-loaded",  # eight chips that no driver is bound to
}


def findings(host: Host) -> list[Finding]:
    report = examine(Case(host), judge_what_is_there=True)
    return [each for each in report.findings if each.severity in (Severity.ERROR, Severity.WARNING)]


def errors(host: Host) -> set[str]:
    return {each.code for each in findings(host) if each.severity is Severity.ERROR}


@pytest.mark.parametrize("path", sorted(_CAPTURED.iterdir()), ids=lambda path: path.stem)
def test_what_was_captured_is_diagnosed(path: Path) -> None:
    host = read_report(os.fspath(path)).host
    expected = CAPTURED.get(path.stem)
    assert errors(host) <= {expected}
    assert expected is None or expected in {each.code for each in findings(host)}


def test_every_name_in_the_table_is_a_capture() -> None:
    assert CAPTURED.keys() <= {path.stem for path in _CAPTURED.iterdir()}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_diagnosed(name: str) -> None:
    text, code = BROKEN[name]
    assert code in {each.code for each in findings(read_text(text).host)}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_gives_no_error(name: str) -> None:
    assert not errors(read_text(SOUND[name]).host)


_PROSE: Final = (
    "Hello,",
    "Thanks for looking into this!",
    "I tried everything.",
    "Any idea?",
    "cheers",
    "This is on our cluster.",
    "",
)
_SURROUNDED: Final = (
    "{}", "```\n{}\n```", "~~~console\n{}\n~~~", "<details>\n<pre>\n{}\n</pre>\n</details>", "**Output**\n{}", "### Logs\n\n{}",
)  # fmt: skip


@pytest.mark.property
@given(
    st.sampled_from(sorted(BROKEN)), st.sampled_from(_SURROUNDED), st.sampled_from(_PROSE), st.sampled_from(_PROSE),
    st.sampled_from(("", "> ", ">> ", "  ", "\t")), st.sampled_from(("\n", "\r\n")),
)  # fmt: skip
def test_what_surrounds_a_report_changes_nothing(
    name: str, around: str, before: str, after: str, mark: str, end: str
) -> None:
    text, _ = BROKEN[name]
    mangled = f"{before}\n\n{around.format(text)}\n\n{after}\n"
    mangled = end.join(f"{mark}{line}" for line in mangled.split("\n"))
    assert errors(read_text(mangled).host) == errors(read_text(text).host)


@pytest.mark.property
@given(
    st.sampled_from(sorted(BROKEN)),
    st.sampled_from(("$ ", "# ", "root@gpu:~# ", "[me@box ~]$ ", "(base) me@box:/tmp$ ", "❯ ")),
)
def test_a_prompt_changes_nothing(name: str, prompt: str) -> None:
    text, _ = BROKEN[name]
    lines = [f"{prompt}{line[2:]}" if line.startswith("$ ") else line for line in text.split("\n")]
    assert errors(read_text("\n".join(lines)).host) == errors(read_text(text).host)
