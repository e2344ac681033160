"""Peers: who is at the other end of a socket, and the lines that are spoken on it.

Owns: the check of the peer's user, and the protocol: lines of ASCII, `follow` or a feed position.
Never: a line of unbounded length.
Reads as: holder.py, unix.py -> these.
"""

import os
import socket
import struct
from collections.abc import AsyncIterator

import anyio
from anyio.abc import SocketAttribute, SocketStream

from taskdock.adapters.unix_socket import receive

FOLLOW = b"follow"

_LINE_BYTES_MAX = 32
_CHUNK_BYTES = 4096
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid."""


def is_ours(stream: SocketStream) -> bool:
    """Whether the peer runs as this user. Where the system does not tell, the mode of the socket's file has to do."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's, not Django's
    _, uid, _ = _CREDENTIALS.unpack(raw.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return bool(uid == os.geteuid())


def line(position: int) -> bytes:
    """Write a position as it is sent."""
    return b"%d\n" % position


def newest(lines: list[bytes]) -> int | None:
    """Pick the highest position of some lines, None where there is none."""
    return max((int(spoken) for spoken in lines if spoken != FOLLOW), default=None)


async def chunks(stream: SocketStream) -> AsyncIterator[list[bytes]]:
    """Give the whole lines of each chunk that comes, until the peer is gone or speaks another language."""
    rest = b""
    while True:
        try:
            rest += await receive(stream, _CHUNK_BYTES)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return
        *lines, rest = rest.split(b"\n")
        if len(rest) > _LINE_BYTES_MAX or not all(spoken == FOLLOW or spoken.isdigit() for spoken in lines):
            return
        if lines:
            yield lines
