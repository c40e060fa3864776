"""What a fake server agrees on, and what it was asked."""

from __future__ import annotations

from tests.vfs.fuse.fake import Server
from vfs.fuse.abi import InitFlags, Opcode


def flags(server: Server, *wanted: InitFlags, **changes: int) -> None:
    server.init = server.init._replace(flags=sum(wanted), **changes)


def payloads(server: Server, opcode: Opcode) -> list[bytes]:
    return [payload for asked, _, payload in server.log if asked == opcode]
