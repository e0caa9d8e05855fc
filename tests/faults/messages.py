"""HTTP/1.1 messages as they stand on the wire: passed on byte by byte, since a signature covers their headers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"


@dataclass
class Message:
    """A request or an answer: its first line, its headers as they came, and its body with whatever framing it has."""

    first: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def head(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1") + HEAD_END

    def is_last(self) -> bool:
        """Whether the connection ends with it."""
        return self.header("connection").lower() == "close" or self.first.endswith("HTTP/1.0")


async def read_head(reader: asyncio.StreamReader) -> Message | None:
    """None where the peer has closed."""
    try:
        lines = (await reader.readuntil(HEAD_END)).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    pairs = (line.partition(":") for line in lines[1:] if line)
    return Message(lines[0], [(name, value.strip()) for name, _, value in pairs])


async def read_body(reader: asyncio.StreamReader, message: Message) -> bytes:
    """As it is framed: chunks keep their sizes. An answer that has neither length nor chunks ends with its peer."""
    if message.header("transfer-encoding").lower() == "chunked":
        return await _read_chunks(reader)
    if length := message.header("content-length"):
        return await reader.readexactly(int(length))
    return b"" if not message.first.startswith("HTTP/") else await reader.read()


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        parts += [line, await reader.readexactly(size + 2)]
        if size:
            continue
        while parts[-1] != b"\r\n":  # trailers
            parts.append(await reader.readuntil(b"\r\n"))
        return b"".join(parts)


def refusal(first: str, code: str, text: str, *, has_body: bool = True) -> bytes:
    """An error as S3 gives it; to a HEAD without its body."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'.encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    return Message(first, headers).head() + (body if has_body else b"")
