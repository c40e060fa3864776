"""/proc/devices and /proc/misc: which lines count, and that no other is lost in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.facts import Host, MajorLine, MiscLine
from devproxy.host.proc_devices import parse_majors, read_majors, read_misc
from devproxy.host.root import HostRoot
from tests.hosts.machine import Machine


def host_of(text: str) -> Host:
    root = HostRoot(Machine().file("/proc/devices", text))
    character, block = read_majors(root)
    return Host("live", False, "", "", character, block, (), (), (), None, root.unseen)


def character(*lines: str) -> str:
    return "".join(f"{line}\n" for line in ("Character devices:", *lines))


def test_both_sections_in_their_order() -> None:
    host = host_of("Character devices:\n  1 mem\n 10 misc\n195 nvidia\n195 nvidiactl\n\nBlock devices:\n  7 loop\n")
    assert [(line.major, line.name) for line in host.character] == [
        (1, "mem"),
        (10, "misc"),
        (195, "nvidia"),
        (195, "nvidiactl"),
    ]
    assert host.block == (MajorLine(7, "loop"),)
    assert host.unseen == ()


@pytest.mark.parametrize("name", ["nvidia-caps", "nvidia", "nvidia-uvm"])
def test_a_name_is_matched_whole(name: str) -> None:
    text = character(f"234 {name}-imex-channels", f"235 {name}", f"236 not-{name}")
    assert host_of(text).major_of(name) == 235


def test_a_longer_name_is_no_match() -> None:
    assert host_of(character("195 not-nvidia-frontend", "196 nvidia-frontend-x")).major_of("nvidia") is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["195 nvidia-frontend"], 195),
        (["  195 nvidia-frontend"], 195),
        (["195 nvidia", "196 nvidia-frontend"], 195),
        (["196 nvidia-frontend", "195 nvidia"], 195),
        (["Not a valid line:", "195 nvidia"], 195),
        ([], None),
        (["notint nvidia"], None),
        (["0"], None),
        (["195"], None),
        (["195 "], None),
        (["-1 nvidia"], None),
        (["4096 nvidia"], None),
        (["99999999999999999999 nvidia"], None),
        (["\u0661\u0669\u0665 nvidia"], None),
        (["195\tnvidia"], None),
    ],
)
def test_the_nvidia_major_by_either_name(lines: list[str], expected: int | None) -> None:
    host = host_of(character(*lines))
    assert host.major_of("nvidia") == host.major_of("nvidia-frontend") == expected


@pytest.mark.parametrize(
    "text",
    [
        character("1 mem", "", "195 nvidia"),
        "195 nvidia\n" + character("1 mem"),
        "Block devices:\n195 nvidia\n",
        "character devices:\n195 nvidia\n",
    ],
)
def test_only_the_character_section_counts_and_a_blank_line_ends_it(text: str) -> None:
    assert host_of(text).major_of("nvidia") is None


def test_a_line_that_is_not_understood_is_unseen() -> None:
    (unseen,) = host_of(character("1 mem", "what", "7 vcs", "ever")).unseen
    assert unseen.path == "/proc/devices"
    assert unseen.why.startswith("2 lines")
    assert "'what'" in unseen.why


def test_a_missing_file_has_no_lines_and_is_not_unseen() -> None:
    root = HostRoot(Machine())
    assert (read_majors(root), read_misc(root), root.unseen) == (((), ()), (), ())


def test_misc_drivers_may_lack_a_name() -> None:
    root = HostRoot(Machine().file("/proc/misc", "229 fuse\n  5 \n1048575 last\n1048576 beyond\nnone\n"))
    assert read_misc(root) == (MiscLine(229, "fuse"), MiscLine(5, ""), MiscLine(1048575, "last"))
    (unseen,) = root.unseen
    assert unseen.why.startswith("2 lines")
    assert "1048576 beyond" in unseen.why


NAMES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=63)
MAJORS = st.lists(st.tuples(st.integers(0, 4095), NAMES))


@pytest.mark.property
@given(MAJORS, MAJORS)
def test_what_the_kernel_prints_is_what_is_read(character: list[tuple[int, str]], block: list[tuple[int, str]]) -> None:
    def section(title: str, lines: list[tuple[int, str]]) -> str:
        # seq_printf(f, "%3d %s\n", ...) in chrdev_show() and blkdev_show()
        return f"{title} devices:\n" + "".join(f"{major:3d} {name}\n" for major, name in lines)

    sections, bad = parse_majors(section("Character", character) + "\n" + section("Block", block))
    assert [(line.major, line.name) for line in sections["Character devices:"]] == character
    assert [(line.major, line.name) for line in sections["Block devices:"]] == block
    assert bad == []


@pytest.mark.property
@given(st.lists(st.one_of(st.text(), st.sampled_from(["Character devices:", "Block devices:", "", "195 nvidia"]))))
def test_every_line_is_read_or_reported(lines: list[str]) -> None:
    text = "\n".join(lines)
    sections, bad = parse_majors(text)
    plain = [line for line in text.split("\n") if line not in ("", *sections)]
    assert sum(map(len, sections.values())) + len(bad) == len(plain)
