"""A scripted FUSE server in a thread: a small tree, and whatever a test wants to be answered instead.

An answer is the bytes after the header, the number of an error, `Raw` packets that are sent as they are, or None for silence.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from vfs import (
    ROOT,
    Credentials,
    File,
    FuseOptions,
    FuseType,
    Mount,
    MountOptions,
    OpenOptions,
    PathOperation,
    VirtualDentry,
    VirtualFilesystem,
)
from vfs.fs.fuse.filesystem import FuseFilesystem
from vfs.fuse.abi import COUNTED, WITHOUT_REPLY, Notify, Opcode
from vfs.fuse.messages import Listed, pack_attributes, pack_entry, pack_listed, split_strings
from vfs.fuse.records import (
    BATCH_FORGET_IN,
    CREATE_IN,
    DATA_IN,
    ENTRY_OUT,
    FORGET_IN,
    FORGET_ONE,
    IN_HEADER,
    INIT_IN,
    INIT_OUT,
    KSTATFS,
    OPEN_OUT,
    OUT_HEADER,
    WRITE_OUT,
    Attr,
    AttrOut,
    EntryOut,
    InHeader,
    InitOut,
)

DIRECTORY, FILE, LINK, INNER = 1, 2, 3, 4
CONTENTS = b"contents"
REQUIRED = "rootmode=40755,user_id=0,group_id=0"


class Raw(NamedTuple):
    """Packets, sent as they are."""

    packets: tuple[bytes, ...]


Answer = bytes | int | Raw | None
Handler = Callable[[InHeader, bytes], Answer]


class Transport(Protocol):
    """The server's end of the conversation: a socket, or what does as one."""

    def recv(self, size: int, /) -> bytes: ...

    def send(self, data: bytes, /) -> int: ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


def attr(nodeid: int, mode: int, size: int = 0, **changes: int) -> Attr:
    made = Attr(nodeid, size, (size + 511) >> 9, 1, 2, 3, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
    return made._replace(**changes)


def entry(nodeid: int, attributes: Attr, *, ttl: int = 0, generation: int = 0) -> bytes:
    return pack_entry(EntryOut(nodeid, generation, ttl, ttl, 0, 0), attributes)


def packet(unique: int, payload: bytes = b"", error: int = 0) -> bytes:
    """A whole answer; a notification with unique 0 and its code as the error."""
    return OUT_HEADER.pack(OUT_HEADER.size + len(payload), error, unique) + payload


class Server:
    """`/file` with contents, `/link` to it, and `/inner`, an empty directory; `answers` replaces single opcodes.

    `log` has what was asked, `counts` what is looked up and not yet forgotten. `client` is for who is to ask, unless the
    server was given another way to hear of it.
    """

    def __init__(self, transport: Transport | None = None, flags: int = 0xFFFF_FFFF) -> None:
        self.client, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket: Transport = ours if transport is None else transport
        self.answers: dict[Opcode, Handler] = {}
        self.log: list[tuple[Opcode, InHeader, bytes]] = []
        self.counts: Counter[int] = Counter()
        self.ttl = 0
        self.init = InitOut(7, 38, flags=flags, max_write=1 << 17, max_pages=32)
        self.nodes = {
            DIRECTORY: attr(DIRECTORY, stat.S_IFDIR | 0o755, nlink=3),
            FILE: attr(FILE, stat.S_IFREG | 0o644, len(CONTENTS)),
            LINK: attr(LINK, stat.S_IFLNK | 0o777, 4),
            INNER: attr(INNER, stat.S_IFDIR | 0o700, nlink=2),
        }
        self.names = {"file": FILE, "link": LINK, "inner": INNER}
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    # the loop

    def _serve(self) -> None:
        while True:
            try:
                request = self._socket.recv(1 << 20)
            except OSError:
                return
            if not request:
                return
            header = IN_HEADER.unpack(request)
            payload = request[IN_HEADER.size :]
            opcode = Opcode(header.opcode)
            self.log.append((opcode, header, payload))
            handler = self.answers.get(opcode) or getattr(self, f"on_{opcode.name.lower()}", None)
            answer = errno.ENOSYS if handler is None else handler(header, payload)
            try:
                self._answer(opcode, header, answer)
            except OSError:
                return

    def _answer(self, opcode: Opcode, header: InHeader, answer: Answer) -> None:
        if isinstance(answer, Raw):
            for each in answer.packets:
                self._socket.send(each)
        elif answer is not None and opcode not in WITHOUT_REPLY:
            if isinstance(answer, int):
                self._socket.send(packet(header.unique, error=-answer))
                return
            if opcode in COUNTED and len(answer) >= ENTRY_OUT.size:
                self.counts[ENTRY_OUT.unpack(answer).nodeid] += 1
            self._socket.send(packet(header.unique, answer))

    def notify(self, code: Notify, payload: bytes) -> None:
        self._socket.send(packet(0, payload, code))

    def die(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.die()
        self.thread.join(60)
        assert not self.thread.is_alive()
        self._socket.close()
        self.client.close()

    def asked(self) -> list[str]:
        """What was asked since this was called last, without what has no answer."""
        names = [opcode.name for opcode, _, _ in self.log if opcode not in WITHOUT_REPLY]
        self.log.clear()
        return names

    # the answers

    def on_init(self, header: InHeader, payload: bytes) -> Answer:
        wanted = INIT_IN.unpack(payload)
        return INIT_OUT.pack(*self.init._replace(flags=self.init.flags & wanted.flags))

    def on_lookup(self, header: InHeader, payload: bytes) -> Answer:
        (name,), _ = split_strings(payload, 1)
        nodeid = self.names.get(name) if header.nodeid == DIRECTORY else None
        if nodeid is None:
            return errno.ENOENT
        return entry(nodeid, self.nodes[nodeid], ttl=self.ttl)

    def on_forget(self, header: InHeader, payload: bytes) -> Answer:
        self.counts[header.nodeid] -= FORGET_IN.unpack(payload)
        return None

    def on_batch_forget(self, header: InHeader, payload: bytes) -> Answer:
        for number in range(BATCH_FORGET_IN.unpack(payload)):
            one = FORGET_ONE.unpack(payload, BATCH_FORGET_IN.size + number * FORGET_ONE.size)
            self.counts[one.nodeid] -= one.nlookup
        return None

    def on_getattr(self, header: InHeader, payload: bytes) -> Answer:
        return pack_attributes(AttrOut(self.ttl, 0), self.nodes[header.nodeid])

    on_setattr = on_getattr

    def on_readlink(self, header: InHeader, payload: bytes) -> Answer:
        return b"file"

    def on_open(self, header: InHeader, payload: bytes) -> Answer:
        return OPEN_OUT.pack(7, 0)

    on_opendir = on_open

    def on_create(self, header: InHeader, payload: bytes) -> Answer:
        (name,), _ = split_strings(payload[CREATE_IN.size :], 1)
        nodeid = max(self.nodes) + 1
        self.names[name] = nodeid
        self.nodes[nodeid] = attr(nodeid, CREATE_IN.unpack(payload).mode)
        return entry(nodeid, self.nodes[nodeid], ttl=self.ttl) + OPEN_OUT.pack(8, 0)

    def on_read(self, header: InHeader, payload: bytes) -> Answer:
        wanted = DATA_IN.unpack(payload)
        return CONTENTS[wanted.offset :][: wanted.size]

    def on_write(self, header: InHeader, payload: bytes) -> Answer:
        return WRITE_OUT.pack(DATA_IN.unpack(payload).size)

    def on_readdir(self, header: InHeader, payload: bytes) -> Answer:
        if header.nodeid != DIRECTORY:
            return b""
        listed = [Listed(1, 1, stat.S_IFDIR, "."), Listed(1, 2, stat.S_IFDIR, "..")]
        for name, nodeid in self.names.items():
            listed.append(Listed(nodeid, len(listed) + 1, stat.S_IFMT(self.nodes[nodeid].mode), name))
        return b"".join(pack_listed(each) for each in listed[DATA_IN.unpack(payload).offset :])

    def on_readdirplus(self, header: InHeader, payload: bytes) -> Answer:
        if header.nodeid != DIRECTORY or DATA_IN.unpack(payload).offset:
            return b""
        parts: list[bytes] = []
        for name, nodeid in self.names.items():
            self.counts[nodeid] += 1
            listed = Listed(nodeid, len(parts) + 1, stat.S_IFMT(self.nodes[nodeid].mode), name)
            parts.append(entry(nodeid, self.nodes[nodeid], ttl=self.ttl) + pack_listed(listed))
        return b"".join(parts)

    def on_statfs(self, header: InHeader, payload: bytes) -> Answer:
        return KSTATFS.pack(1000, 600, 500, 100, 50, 4096, 255, 4096)

    def nothing(self, header: InHeader, payload: bytes) -> Answer:
        return b""

    on_unlink = on_rmdir = on_rename = on_flush = on_release = on_releasedir = on_fsync = on_destroy = nothing
    on_access = on_interrupt = on_notify_reply = nothing


class Client:
    """A VFS with the server mounted, and short names for its calls."""

    def __init__(self, server: Server, data: str = "", timeout: float = 30.0) -> None:
        self.vfs = VirtualFilesystem()
        self.vfs.register_filesystem_type(FuseType())
        internal = FuseOptions(server.client.fileno(), timeout=timeout)
        options = MountOptions(data=f"{REQUIRED}{data}", internal=internal)
        self.mount: Mount = self.vfs.mount_disconnected(ROOT, "server", "fuse", options)
        self.root = VirtualDentry(self.mount, self.mount.root)

    @property
    def fs(self) -> FuseFilesystem:
        fs = self.mount.fs
        assert isinstance(fs, FuseFilesystem)
        return fs

    def at(self, path: str, *, follow: bool = True) -> PathOperation:
        return PathOperation(self.root, self.root, path, follow)

    def stat(self, path: str, creds: Credentials = ROOT) -> os.stat_result:
        return self.vfs.stat_at(creds, self.at(path))

    def open(self, path: str, flags: int = os.O_RDONLY, creds: Credentials = ROOT) -> File:
        return self.vfs.open_at(creds, self.at(path), OpenOptions(flags, 0o644))

    def listdir(self, path: str = "/") -> list[str]:
        return self.vfs.listdir_at(ROOT, self.at(path))


@contextmanager
def mounted(server: Server, data: str = "", timeout: float = 30.0) -> Iterator[Client]:
    """The server, mounted; afterwards it is told goodbye, and everything is closed."""
    try:
        client = Client(server, data, timeout)
        try:
            yield client
        finally:
            client.vfs.discard_mount(client.mount)
    finally:
        server.close()
