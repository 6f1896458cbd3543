"""A connection that speaks HTTP/2 (RFC 9113) frame by frame, as no gRPC client would."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM = 11
SECONDS = 10.0


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def error(self) -> int:
        """The code of an RST_STREAM or a GOAWAY."""
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload[:4])


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field as HPACK has it without table and Huffman code (RFC 7541, 6.2.2)."""
    return b"\x00" + b"".join(bytes([len(each)]) + each.encode() for each in (name, value))


def call_headers(path: str) -> bytes:
    """The fields of a gRPC call."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "gateway",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(literal(name, value) for name, value in fields.items())


class RawConnection:
    """What was opened, and what came back so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *data: bytes) -> None:
        self._writer.write(b"".join(data))

    async def frames(self, *, answers_pings: bool = True) -> AsyncIterator[Frame]:
        """What the server sends, until it ends the connection."""
        while True:
            try:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            got = Frame(head[3], head[4], int.from_bytes(head[5:]) & (2**31 - 1), payload)
            if got.kind == PING and not got.flags & ACK and answers_pings:
                self.send(frame(PING, got.payload, flags=ACK))
            yield got

    async def first(self, *kinds: int) -> Frame:
        """The next frame of one of the kinds."""
        async with asyncio.timeout(SECONDS):
            async for got in self.frames():
                if got.kind in kinds:
                    return got
        raise AssertionError(f"the connection ended without a frame of {kinds}")

    async def ended(self, *, answers_pings: bool = True) -> Sequence[Frame]:
        """All frames up to the end of the connection, which is waited for."""
        async with asyncio.timeout(SECONDS):
            return [got async for got in self.frames(answers_pings=answers_pings)]


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[RawConnection]:
    """A TCP connection on which nothing was said yet."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()
