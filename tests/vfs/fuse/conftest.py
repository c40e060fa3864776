"""A fake server for each test."""

from __future__ import annotations

import pytest

from tests.vfs.fuse.fake import Server


@pytest.fixture
def server() -> Server:
    return Server()
