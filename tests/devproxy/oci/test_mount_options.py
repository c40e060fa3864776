"""The table of OCI mount options (config.md, "Linux mount options")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.mount_options import ATIME, Attribute, Change, MountOptions, Propagation
from tests.devproxy.oci.parsing import parse, parse_mount, parse_options

A = Attribute

PAIRS = [
    ("ro", "rw", A.RDONLY),
    ("nosuid", "suid", A.NOSUID),
    ("nodev", "dev", A.NODEV),
    ("noexec", "exec", A.NOEXEC),
    ("nodiratime", "diratime", A.NODIRATIME),
    ("nosymfollow", "symfollow", A.NOSYMFOLLOW),
]
SUPERBLOCK_PAIRS = [
    ("sync", "async"),
    ("mand", "nomand"),
    ("lazytime", "nolazytime"),
]
ATIMES = ["noatime", "strictatime", "relatime", "atime", "nostrictatime", "norelatime"]


@pytest.mark.parametrize(("sets", "clears", "attribute"), PAIRS)
@pytest.mark.rows("S24", oracle="specification")
def test_s24_every_attribute_is_set_and_cleared_and_the_last_wins(sets: str, clears: str, attribute: A) -> None:
    is_set, is_cleared = Change(set=attribute), Change(clear=attribute)
    assert parse_options(sets).change == is_set
    assert parse_options(clears).change == is_cleared
    assert parse_options(sets, clears).change == is_cleared
    assert parse_options(clears, sets).change == is_set
    assert parse_options(sets, sets).change == is_set


@pytest.mark.parametrize(("sets", "clears", "attribute"), PAIRS)
def test_recursive_attributes_are_apart_from_the_mounts_own(sets: str, clears: str, attribute: A) -> None:
    assert parse_options(f"r{sets}", clears) == MountOptions(
        change=Change(clear=attribute), recursive=Change(set=attribute)
    )
    assert parse_options(f"r{clears}").recursive == Change(clear=attribute)


@pytest.mark.rows("S27", oracle="specification")
def test_s27_rw_alone_does_not_set_read_only() -> None:
    assert not parse_options("rw").change.set


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (["noatime"], A.NOATIME),
        (["strictatime"], A.STRICTATIME),
        (["relatime"], A(0)),
        (["noatime", "strictatime"], A.STRICTATIME),
        (["strictatime", "noatime"], A.NOATIME),
        (["noatime", "relatime"], A(0)),
        (["noatime", "atime"], A(0)),
        (["noatime", "nostrictatime"], A.NOATIME),
        (["strictatime", "nostrictatime"], A(0)),
        (["noatime", "norelatime"], A.NOATIME),
        (["norelatime"], A(0)),
    ],
)
def test_access_times_are_one_field(options: list[str], value: A) -> None:
    assert parse_options(*options).change == Change(set=value, atime=True)
    assert parse_options(*(f"r{option}" for option in options)).recursive == Change(set=value, atime=True)


@given(st.lists(st.sampled_from(ATIMES)))
def test_the_atime_field_never_holds_two_values(options: list[str]) -> None:
    change = parse_options(*options).change
    assert change.set & ATIME in (0, A.NOATIME, A.STRICTATIME)
    assert change.atime == bool(options)


@given(st.lists(st.sampled_from([word for pair in PAIRS for word in pair[:2]])))
def test_of_a_pair_the_last_decides_whatever_stands_between(options: list[str]) -> None:
    change = parse_options(*options).change
    for sets, clears, attribute in PAIRS:
        last = next((word for word in reversed(options) if word in (sets, clears)), None)
        assert bool(change.set & attribute) == (last == sets)
        assert bool(change.clear & attribute) == (last == clears)


@pytest.mark.parametrize(("sets", "clears"), SUPERBLOCK_PAIRS)
def test_flags_of_the_superblock_are_kept_apart(sets: str, clears: str) -> None:
    assert parse_options(sets).superblock == (sets,)
    assert parse_options(sets, clears).superblock == ()
    assert parse_options(clears, sets, sets).superblock == (sets,)


@pytest.mark.parametrize("options", [["silent"], ["loud"], ["silent", "loud", "defaults"], ["iversion", "noiversion"]])
def test_what_nobody_could_see_says_nothing(options: list[str]) -> None:
    spec = parse(mounts=[{"destination": "/d", "type": "tmpfs", "options": options}])
    assert spec.mounts[0].options.superblock == ()
    assert [each for each in spec.unsupported if each.where.startswith("mounts")] == []


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        (["iversion"], ["iversion"]),
        (["bind", "sync", "lazytime"], ["sync", "lazytime"]),
        (["bind", "sync", "async"], []),
    ],
)
def test_flags_that_a_file_system_cannot_be_given_are_told(options: list[str], left_out: list[str]) -> None:
    spec = parse(mounts=[{"destination": "/d", "type": "tmpfs", "source": "/s", "options": options}])
    assert spec.mounts[0].options.superblock == ()
    told = [each.what for each in spec.unsupported if each.where == "mounts[0].options"]
    assert told == [f"the mount option {name}" for name in left_out]


def test_dirsync_has_no_opposite_and_defaults_says_nothing() -> None:
    assert parse_options("defaults", "dirsync") == MountOptions(superblock=("dirsync",))


def test_propagation_keeps_its_order() -> None:
    assert parse_options("rslave", "shared", "runbindable", "private").propagation == (
        (Propagation.SLAVE, True),
        (Propagation.SHARED, False),
        (Propagation.UNBINDABLE, True),
        (Propagation.PRIVATE, False),
    )


@pytest.mark.parametrize("fstype", ["bind", "none", "tmpfs", "ext4", ""])
@pytest.mark.parametrize(("option", "recursive"), [("bind", False), ("rbind", True)])
@pytest.mark.rows("S31", oracle="specification")
def test_s31_bind_and_rbind_make_any_type_a_bind(fstype: str, option: str, recursive: bool) -> None:
    mount = parse_mount(type=fstype, source="/s", options=[option])
    assert (mount.type, mount.options.bind, mount.options.recursive_bind) == ("bind", True, recursive)


@pytest.mark.rows("S18", oracle="specification")
def test_s18_type_bind_needs_no_option() -> None:
    mount = parse_mount(type="bind", source="/s")
    assert (mount.type, mount.options) == ("bind", MountOptions(bind=True))


@pytest.mark.parametrize(
    ("fstype", "option"),
    [
        ("tmpfs", "size=64k"),
        ("tmpfs", "size=50%"),
        ("tmpfs", "mode=9"),
        ("tmpfs", "mode"),
        ("tmpfs", "gid="),
        ("tmpfs", "nr_inodes=3"),
        ("tmpfs", "noswap"),
        ("tmpfs", "huge=always"),
        ("tmpfs", "inode64"),
        ("tmpfs", "mpol=bind=static:0,2"),
        ("devtmpfs", "mode=755"),
        ("devpts", "newinstance"),
        ("devpts", "ptmxmode=0666"),
        ("devpts", "max=5"),
        ("proc", "hidepid=2"),
        ("proc", "subset=pid"),
        ("cgroup", "memory"),
        ("cgroup", "name=systemd"),
        ("cgroup2", "nsdelegate"),
        ("foofs", "anything=goes=here"),
    ],
)
@pytest.mark.rows("S22", "S23", oracle="specification")
def test_s22_s23_data_goes_to_the_file_system_unchanged(fstype: str, option: str) -> None:
    """Its values are for the file system to check (S54), none is lost on the way there."""
    assert parse_options("nosuid", option, fstype=fstype).data == (option,)


@pytest.mark.rows("S54", oracle="specification")
def test_s54_repeated_data_keeps_its_order() -> None:
    assert parse_options("size=1m", "ro", "mode=700", "size=2m").data == ("size=1m", "mode=700", "size=2m")


@pytest.mark.parametrize(
    ("fstype", "option", "message"),
    [
        ("bind", "foo", 'mounts[0].options[1] is "foo", which is no mount option of bind'),
        ("bind", "size=5", "no mount option of bind"),
        ("tmpfs", "foo", "no mount option of tmpfs; tmpfs takes gid, huge, inode32, inode64, mode, mpol"),
        ("tmpfs", "a=b=c", "no mount option of tmpfs"),
        ("tmpfs", "size=1=2", "expected size=VALUE with one ="),
        ("tmpfs", "size=1m,mode=700", "options are separate strings"),
        ("tmpfs", "", "no mount option of tmpfs"),
        ("sysfs", "foo", "no mount option of sysfs"),
        ("mqueue", "size=5", "no mount option of mqueue"),
        ("none", "foo", "no mount option of none"),
        ("devpts", "size=5", "no mount option of devpts"),
        ("proc", "foo", "no mount option of proc"),
        ("cgroup", "foo", "no mount option of cgroup"),
        ("tmpfs", "idmap", "id-mapped mounts are not supported yet"),
        ("bind", "ridmap", "id-mapped mounts are not supported yet"),
        ("bind", "remount", "expected an option of a new mount"),
        ("tmpfs", "rbogus", "no mount option of tmpfs"),
        ("tmpfs", "RO", "no mount option of tmpfs"),
    ],
)
@pytest.mark.rows("S26", oracle="specification")
def test_s26_an_unknown_option_is_refused_by_name(fstype: str, option: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_options("ro", option, fstype=fstype)
    assert message in str(error.value)


def test_tmpcopyup_is_told_not_done() -> None:
    spec = parse(mounts=[{"destination": "/m", "type": "tmpfs", "options": ["tmpcopyup", "size=1m"]}])
    assert spec.mounts[0].options == MountOptions(data=("size=1m",))
    assert ("mounts[0].options", "the mount option tmpcopyup") in [(u.where, u.what) for u in spec.unsupported]
