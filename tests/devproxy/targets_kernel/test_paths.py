"""What kernels can that are not this one: the errors that they give are taken for what they mean."""

from __future__ import annotations

import errno
import os

import pytest

from devproxy.linux import mounts
from devproxy.targets.kernel import paths

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    "refusal",
    [errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP],
    ids=["before 6.15", "before 6.13", "before 6.5"],
)
def test_an_overlay_that_takes_no_descriptor_gets_paths(refusal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """EBADF was seen on Linux 6.12 (`make lab`), EOPNOTSUPP on 6.1: every root with an overlay failed there."""

    def refuse(context: int, key: str, descriptor: int) -> None:
        raise OSError(refusal, os.strerror(refusal), key)

    monkeypatch.setattr(mounts, "fsconfig_descriptor", refuse)
    monkeypatch.setattr(paths, "_found", None)
    assert not paths.kernel_paths().layers_by_fd


def test_another_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(context: int, key: str, descriptor: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), key)

    monkeypatch.setattr(mounts, "fsconfig_descriptor", refuse)
    monkeypatch.setattr(paths, "_found", None)
    with pytest.raises(PermissionError):
        paths.kernel_paths()
