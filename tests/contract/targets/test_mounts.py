"""Mounting, sealing and masking, as devproxy/targets/target.py says it for every target."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devproxy.mount_options import Attribute, Change, Propagation
from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.target import Target
from tests.contract.targets.rig import NO_CHANGE, Build, bind_root, overlay_root, tmpfs, tmpfs_root, told

NULL = DeviceNumber(1, 3)


# sources


def test_a_source_is_opened_as_the_machine_finds_it(build: Build, image: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(image)

    def work(target: Target) -> list[str]:
        source = target.open_source(str(tmp_path / "link"))
        file = target.open_source(f"{image}/file")
        target.attach(target.bind(source, recursive=True), "/")
        target.attach(target.bind(file, recursive=False), "/etc/name")
        missing = told(target.open_source, f"{image}/missing")
        return [str(source.is_directory), str(file.is_directory), source.path, missing]

    with build(work) as (root, result):
        assert result == ["True", "False", str(tmp_path / "link"), f"ENOENT {image}/missing"]
        assert root.read_bytes("/etc/name") == b"a file\n"


@pytest.mark.rows("S30", oracle="specification")
def test_a_source_that_is_left_over_is_an_error_that_names_it(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        tmpfs_root(target)
        file = target.open_source(f"{image}/file")
        refused = told(target.finish)
        target.make_mount_point("/f", directory=False)
        target.attach(target.bind(file, recursive=False), "/f")
        return [refused, told(target.bind, file, recursive=False)]

    with build(work) as (_, result):
        assert result == [f"EBUSY {image}/file", f"EBADF {image}/file"]


# file systems


@pytest.mark.rows("S48", "S54", oracle="kernel")
@pytest.mark.parametrize(
    ("fstype", "data", "expected"),
    [
        ("nothing", (), "ENODEV"),
        ("tmpfs", ("colour=red",), "EINVAL"),
        ("tmpfs", ("size=lots",), "EINVAL"),
        ("sysfs", ("mode=0755",), "EINVAL"),
        ("mqueue", ("mode=0755",), "EINVAL"),
        ("proc", ("hidepid=9",), "EINVAL"),
        ("devpts", ("mode=9",), "EINVAL"),
    ],
)
def test_a_type_or_an_option_that_is_unknown(build: Build, fstype: str, data: tuple[str, ...], expected: str) -> None:
    def work(target: Target) -> str:
        tmpfs_root(target)
        return told(target.filesystem, fstype, "none", NO_CHANGE, (), data)

    with build(work) as (_, result):
        assert result.split()[0] == expected


def test_devtmpfs_is_an_empty_tmpfs_of_its_own(build: Build) -> None:
    def work(target: Target) -> None:
        tmpfs_root(target)
        for path, data in (("/dev", ()), ("/dev/other", ("mode=0711", "size=4k"))):
            target.make_mount_point(path, directory=True)
            target.attach(target.filesystem("devtmpfs", "devtmpfs", NO_CHANGE, (), data), path)

    with build(work) as (root, _):
        assert root.listdir("/dev") == ["other"]
        assert root.listdir("/dev/other") == []
        assert [stat.S_IMODE(root.stat(path).st_mode) for path in ("/dev", "/dev/other")] == [0o755, 0o711]


def test_what_is_mounted_has_the_flags_asked_for_and_relatime(build: Build) -> None:
    changes = [
        NO_CHANGE,
        Change(Attribute.RDONLY | Attribute.NOSUID | Attribute.NODEV | Attribute.NOEXEC),
        Change(Attribute.NOATIME | Attribute.NODIRATIME),
        Change(Attribute.STRICTATIME, atime=True),
        Change(Attribute.NOSYMFOLLOW),
    ]

    def work(target: Target) -> None:
        tmpfs_root(target)
        for index, change in enumerate(changes):
            target.make_mount_point(f"/{index}", directory=True)
            target.attach(tmpfs(target, change=change), f"/{index}")

    with build(work) as (root, _):
        lines = {line.mount_point: line for line in root.mountinfo()}
        assert [lines[f"/{index}"].options for index in range(len(changes))] == [
            ("rw", "relatime"),
            ("ro", "nosuid", "nodev", "noexec", "relatime"),
            ("rw", "noatime", "nodiratime"),
            ("rw",),
            ("rw", "relatime", "nosymfollow"),
        ]
        assert {lines[f"/{index}"].fstype for index in range(len(changes))} == {"tmpfs"}
        assert lines["/1"].parent_id == lines["/"].mount_id


def test_change_sets_and_clears(build: Build) -> None:
    def work(target: Target) -> None:
        tmpfs_root(target)
        mount = tmpfs(target, change=Change(Attribute.NODEV | Attribute.NOATIME))
        target.change(mount, Change(Attribute.NOEXEC, Attribute.NODEV), recursive=False)
        target.change(mount, Change(atime=True), recursive=True)
        target.make_mount_point("/m", directory=True)
        target.attach(mount, "/m")

    with build(work) as (root, _):
        assert root.mountinfo()[-1].options == ("rw", "noexec", "relatime")


def test_proc_and_its_like_are_mounted_with_their_modes(build: Build) -> None:
    def work(target: Target) -> None:
        tmpfs_root(target)
        for fstype, data in (("proc", ()), ("sysfs", ()), ("mqueue", ()), ("devpts", ("ptmxmode=0666", "mode=0620"))):
            target.make_mount_point(f"/{fstype}", directory=True)
            target.attach(target.filesystem(fstype, fstype, NO_CHANGE, (), data), f"/{fstype}")

    with build(work) as (root, _):
        modes = {name: oct(root.stat(f"/{name}").st_mode) for name in root.listdir("/")}
        assert modes == {"proc": "0o40555", "sysfs": "0o40555", "mqueue": "0o41777", "devpts": "0o40755"}
        ptmx = root.stat("/devpts/ptmx")
        assert (oct(ptmx.st_mode), ptmx.st_rdev) == ("0o20666", os.makedev(5, 2))
        assert root.mountinfo()[-1].super_options == ("rw", "mode=620", "ptmxmode=666")


# overlay and bind


@pytest.mark.rows("S43", "S46", oracle="kernel")
def test_an_overlay_shows_the_image_and_keeps_changes_from_it(build: Build, image: str) -> None:
    os.chmod(image, 0o751)
    before = sorted(os.listdir(image))

    def work(target: Target) -> str:
        overlay_root(target, image)
        target.make_directory("/srv/deep/new", 0o700)
        target.make_node("/etc/null", NodeKind.CHARACTER, NULL, 0o666, 0, 0)
        return told(target.make_node, "/whiteout", NodeKind.CHARACTER, DeviceNumber(0, 0), 0o666, 0, 0)

    with build(work) as (root, result):
        assert result == "EPERM /whiteout"
        assert stat.S_IMODE(root.stat("/").st_mode) == 0o751
        assert root.listdir("/etc") == ["name", "null"]
        assert root.listdir("/srv/deep") == ["new"]
        assert root.read_bytes("/etc/name") == b"of the image\n"
        assert root.mountinfo()[0].fstype == "overlay"
        assert root.mountinfo()[0].options == ("rw", "relatime")
    assert sorted(os.listdir(image)) == before
    assert os.listdir(f"{image}/etc") == ["name"]
    assert os.listdir(f"{image}/srv/deep") == []


def test_a_bind_can_be_read_only(build: Build, image: str) -> None:
    def work(target: Target) -> str:
        source = target.open_source(f"{image}/etc")
        overlay_root(target, image)
        mount = target.bind(source, recursive=True)
        target.change(mount, Change(Attribute.RDONLY), recursive=False)
        target.attach(mount, "/mnt")
        return told(target.make_directory, "/mnt/new", 0o755)

    with build(work) as (root, result):
        assert result == "EROFS /mnt/new"
        assert root.read_bytes("/mnt/name") == b"of the image\n"
        assert root.mountinfo()[-1].options[0] == "ro"


# attaching


@pytest.mark.rows("S52", "H23", oracle="kernel")
def test_attach_says_what_is_wrong_with_the_place(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        file = target.open_source(f"{image}/file")
        early = told(target.attach, tmpfs(target), "/mnt")
        overlay_root(target, image)
        places = ("/missing", "/file", "/file/below", "/nowhere", "/loop", "/to-file")
        refused = [told(target.attach, tmpfs(target), place) for place in places]
        mount = target.bind(file, recursive=False)
        refused.append(told(target.attach, mount, "/mnt"))
        target.attach(mount, "/etc/name")
        return [early, *refused]

    with build(work) as (_, result):
        assert result == [
            "EINVAL /mnt",
            "ENOENT /missing",
            "ENOTDIR /file",
            "ENOTDIR /file/below",
            "ENOENT /nowhere",
            "ELOOP /loop",
            "ENOTDIR /to-file",
            "EISDIR /mnt",
        ]


@pytest.mark.rows("S52", "H23", oracle="kernel")
def test_a_final_link_is_followed_inside_the_root(build: Build, image: str) -> None:
    def work(target: Target) -> str:
        overlay_root(target, image)
        target.attach(tmpfs(target, "mode=0701"), "/to-mnt")
        target.attach(tmpfs(target, "mode=0702"), "/up")
        return told(target.attach, tmpfs(target), "/out")

    with build(work) as (root, result):
        assert result == "ENOENT /out"
        assert [line.mount_point for line in root.mountinfo()] == ["/", "/mnt", "/mnt"]
        # The second one is on top of the first.
        assert stat.S_IMODE(root.stat("/mnt").st_mode) == 0o702


@pytest.mark.rows("S50", oracle="kernel")
def test_mounting_in_a_read_only_place_writes_nothing(build: Build, image: str) -> None:
    def work(target: Target) -> None:
        overlay_root(target, image)
        target.seal("/")
        target.attach(tmpfs(target, "mode=0701"), "/mnt")

    with build(work) as (root, _):
        assert stat.S_IMODE(root.stat("/mnt").st_mode) == 0o701
        assert [line.options[0] for line in root.mountinfo()] == ["ro", "rw"]


# propagation


@pytest.mark.rows("H24", oracle="kernel")
def test_shared_mounts_are_tagged_and_private_ones_not(build: Build, image: str) -> None:
    def work(target: Target) -> str:
        overlay_root(target, image)
        target.attach(tmpfs(target), "/mnt")
        target.propagate("/mnt", Propagation.SHARED, recursive=False)
        target.make_directory("/mnt/below", 0o755)
        target.attach(tmpfs(target), "/mnt/below")
        target.attach(tmpfs(target), "/dev")
        target.propagate("/dev", Propagation.UNBINDABLE, recursive=True)
        target.attach(tmpfs(target), "/etc")
        target.propagate("/etc", Propagation.SLAVE, recursive=True)
        return told(target.propagate, "/srv", Propagation.SHARED, recursive=False)

    with build(work) as (root, result):
        assert result == "EINVAL /srv"
        tags = {line.mount_point: [tag.partition(":")[0] for tag in line.tags] for line in root.mountinfo()}
        assert tags == {
            "/": [],
            "/mnt": ["shared"],
            "/mnt/below": ["shared"],
            "/dev": ["unbindable"],
            "/etc": [],
        }


# sealing and masking


def test_seal_makes_the_topmost_mount_read_only(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        target.attach(tmpfs(target), "/mnt")
        target.attach(tmpfs(target), "/mnt")
        refused = told(target.seal, "/etc")
        target.seal("/to-mnt")
        return [refused, told(target.make_directory, "/mnt/x", 0o755), told(target.seal, "/missing")]

    with build(work) as (root, result):
        assert result == ["EINVAL /etc", "EROFS /mnt/x", "ENOENT /missing"]
        assert [line.options[0] for line in root.mountinfo()] == ["rw", "rw", "ro"]


def test_seal_path_binds_a_tree_on_itself_read_only(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        target.attach(tmpfs(target), "/srv/deep")
        answers = [told(target.seal_path, path) for path in ("/srv", "/etc/name", "/missing", "/file/x", "/nowhere")]
        writes = [told(target.make_directory, path, 0o755) for path in ("/srv/x", "/srv/deep/x", "/etc/x")]
        return [*answers, *writes]

    with build(work) as (root, result):
        assert result == ["True", "True", "False", "False", "False", "EROFS /srv/x", "EROFS /srv/deep/x", "True"]
        points = [(line.mount_point, line.options[0]) for line in root.mountinfo()]
        assert points[:2] == [("/", "rw"), ("/srv/deep", "rw")]
        assert sorted(points[2:]) == [("/etc/name", "ro"), ("/srv", "ro"), ("/srv/deep", "ro")]


def test_mask_hides_directories_and_files(build: Build, image: str) -> None:
    def work(target: Target) -> list[str]:
        overlay_root(target, image)
        paths = ("/etc", "/to-file", "/missing", "/file/x")
        return [*(told(target.mask, path) for path in paths), told(target.make_directory, "/etc/x", 0o755)]

    with build(work) as (root, result):
        assert result == ["True", "True", "False", "False", "EROFS /etc/x"]
        assert root.listdir("/etc") == []
        masked = root.stat("/file")
        assert (stat.S_IFMT(masked.st_mode), masked.st_rdev) == (stat.S_IFCHR, NULL.rdev)
        assert [line.mount_point for line in root.mountinfo()] == ["/", "/etc", "/file"]


def test_the_root_can_be_the_image_itself(build: Build, image: str) -> None:
    def work(target: Target) -> str:
        bind_root(target, image)
        target.attach(tmpfs(target), "/mnt")
        target.seal("/")
        return told(target.make_directory, "/new", 0o755)

    with build(work) as (root, result):
        assert result == "EROFS /new"
        assert "new" not in root.listdir("/")


@pytest.mark.rows("S35", "S37", oracle="kernel")
def test_rights_are_taken_from_the_mount_that_was_attached_wherever_its_path_leads(build: Build) -> None:
    """An image has links to one place where two mounts go: the later one lies over the earlier one then."""

    def work(target: Target) -> None:
        tmpfs_root(target)
        target.make_directory("/place", 0o755)
        target.make_symlink("/a", "/place")
        target.make_symlink("/b", "/place")
        target.attach(tmpfs(target, "size=8k"), "/a")
        target.attach(tmpfs(target, "size=4k"), "/b")
        target.seal("/a")

    with build(work) as (root, _):
        lines = [line for line in root.mountinfo() if line.mount_point == "/place"]
        read_only = {word for line in lines if "ro" in line.options for word in line.super_options if "size" in word}
    assert len(lines) == 2
    assert read_only == {"size=8k"}


@pytest.mark.rows("S35", "S52", oracle="kernel")
def test_paths_are_taken_where_two_mounts_meet_and_where_a_link_leads_out_of_one(build: Build, tmp_path: Path) -> None:
    """As /run and /var/run meet in most images: it is the later mount that is seen."""
    for name in ("one", "two"):
        (tmp_path / name / "secret").mkdir(parents=True)
        (tmp_path / name / "link").symlink_to("secret")
        (tmp_path / name / "out").symlink_to("/etc")
        (tmp_path / name / "up").symlink_to("../srv")

    def work(target: Target) -> list[str]:
        sources = [target.open_source(str(tmp_path / name)) for name in ("one", "two")]
        first, second = (target.bind(source, recursive=False) for source in sources)
        tmpfs_root(target)
        for path in ("/run", "/var", "/etc/x", "/srv/x"):
            target.make_directory(path, 0o755)
        target.make_symlink("/var/run", "/run")
        target.attach(first, "/run")
        target.attach(second, "/var/run")
        taken = [told(target.mask, path) for path in ("/run/secret", "/run/out", "/run/nothing")]
        taken += [told(target.seal_path, path) for path in ("/var/run/link", "/run/up", "/run")]
        writes = [told(target.make_directory, path, 0o755) for path in ("/run/y", "/var/run/secret/y", "/srv/y")]
        return [*taken, *writes]

    with build(work) as (root, result):
        assert result[:6] == ["True", "True", "False", "True", "True", "True"]
        assert result[6:] == ["EROFS /run/y", "EROFS /var/run/secret/y", "EROFS /srv/y"]
        assert [root.listdir(path) for path in ("/run/secret", "/etc", "/srv")] == [[], [], ["x"]]
        assert root.listdir("/run") == ["link", "out", "secret", "up"]


@pytest.mark.rows("S50", "S52", oracle="kernel")
def test_nothing_is_mounted_over_the_root_itself(build: Build, image: str) -> None:
    """Over the same directory in another mount of it something may be."""

    def work(target: Target) -> list[str]:
        bind_root(target, image)
        target.make_symlink("/to-root", "/")
        target.make_symlink("/mnt/to-root", "..")
        target.make_symlink("/to-srv", "/srv")
        again = target.bind(target.open_source(image), recursive=False)
        target.attach(again, "/srv")
        paths = ("/to-root", "/mnt/to-root", "/")
        refused = [
            told(verb, *more, path)
            for path in paths
            for verb, more in ((target.mask, ()), (target.attach, (tmpfs(target),)))
        ]
        return [*refused, told(target.attach, tmpfs(target), "/to-srv"), told(target.seal_path, "/to-root")]

    with build(work) as (root, result):
        busy = [f"EBUSY {path}" for path in ("/to-root", "/mnt/to-root", "/")]
        assert result == [each for each in busy for _ in range(2)] + ["None", "True"]
        points = [(line.mount_point, line.options[0]) for line in root.mountinfo()]
        assert points == [("/", "ro"), ("/srv", "rw"), ("/srv", "rw")]
