"""A proxy on loopback between lodepack and an S3 server that spoils, request by request, what it is told to.

Requests are numbered as they come; what befalls one is decided by its number, so that a seed gives the same faults to
the same order of requests. Everything else, Host and signed headers too, passes unchanged.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.messages import Message, read_body, read_head, refusal

LIMIT_BYTES = 1 << 20
ANSWERS = {
    "500": ("HTTP/1.1 500 Internal Server Error", "InternalError", "We encountered an internal error."),
    "503": ("HTTP/1.1 503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "expired": ("HTTP/1.1 403 Forbidden", "ExpiredToken", "The provided token has expired."),
    "denied": ("HTTP/1.1 403 Forbidden", "AccessDenied", "Access Denied."),
    "full": ("HTTP/1.1 507 Insufficient Storage", "InsufficientStorage", "No space left."),
}
"""Given in the server's place. Beside them: `reset` before the request is passed on, `lost` after the server did the
work, `short` bodies that end early, `trimmed` ones whose length says so too, and `stall`."""
BODY_FAULTS = ("short", "trimmed")


@dataclass(frozen=True)
class Asked:
    """A request as far as it decides what befalls it."""

    number: int
    """From 0."""
    method: str
    target: str
    """Path and query."""


Choose = Callable[[Asked], str | None]


def seeded(seed: int, shares: Mapping[str, float]) -> Choose:
    """Faults by their shares of all requests; those of bodies befall GETs alone."""

    def choose(asked: Asked) -> str | None:
        drawn = random.Random(f"{seed}/{asked.number}").random()
        for fault, share in shares.items():
            drawn -= share
            if drawn < 0:
                return fault if asked.method == "GET" or fault not in BODY_FAULTS else None
        return None

    return choose


class Proxy:
    """A running proxy. `choose` may be replaced while it runs."""

    def __init__(self, server: str, choose: Choose, stall_seconds: float) -> None:
        self.choose = choose
        self.address = ""
        self.injected: Counter[str] = Counter()
        """Faults by kind."""
        self.asked: list[Asked] = []
        self._stall_seconds = stall_seconds
        self._server = urlsplit(server)

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=LIMIT_BYTES)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        await stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = None
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # the last: the proxy ends
            upstream = await asyncio.open_connection(self._server.hostname, self._server.port, limit=LIMIT_BYTES)
            while (request := await read_head(reader)) is not None:
                if request.header("expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    request.headers = [(name, value) for name, value in request.headers if name.lower() != "expect"]
                request.body = await read_body(reader, request)
                if not await self._exchange(request, upstream, writer):
                    break
        for one in (writer, upstream[1] if upstream else None):
            if one is not None:
                one.close()

    async def _exchange(
        self,
        request: Message,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answers one request; whether another may follow on its connection."""
        method, target, _ = request.first.split(" ", 2)
        asked = Asked(len(self.asked), method, target)
        self.asked.append(asked)
        fault = self.choose(asked)
        if fault in ANSWERS:
            self.injected[fault] += 1
            writer.write(refusal(*ANSWERS[fault], has_body=method != "HEAD"))
            await writer.drain()
            return True
        if fault == "reset":
            self.injected[fault] += 1
            return _reset(writer)
        if fault == "stall":
            self.injected[fault] += 1
            await asyncio.sleep(self._stall_seconds)
        answer = await _pass_on(request, upstream, method)
        if fault == "lost":
            self.injected[fault] += 1
            return _reset(writer)
        if fault in BODY_FAULTS and len(answer.body) > 1 and answer.header("content-length"):
            self.injected[fault] += 1
            answer.body = answer.body[: len(answer.body) // 2]
            if fault == "short":
                writer.write(answer.head() + answer.body)
                await writer.drain()
                return False
            kept = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
            answer.headers = [*kept, ("Content-Length", str(len(answer.body)))]
        writer.write(answer.head() + answer.body)
        await writer.drain()
        return not (request.is_last() or answer.is_last())


async def _pass_on(
    request: Message, upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter], method: str
) -> Message:
    reader, writer = upstream
    writer.write(request.head() + request.body)
    await writer.drain()
    answer = await read_head(reader)
    while answer is not None and answer.first.split(" ")[1] == "100":
        answer = await read_head(reader)
    if answer is None:
        raise ConnectionResetError("the server closed")
    if method != "HEAD" and answer.first.split(" ")[1] not in {"204", "304"}:
        answer.body = await read_body(reader, answer)
    return answer


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Ends a connection with RST: without an answer, and without a proper end."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


@contextmanager
def proxy_before(server: str, choose: Choose = lambda _: None, *, stall_seconds: float = 30) -> Iterator[Proxy]:
    """A proxy before the server at an address, in a thread of its own."""
    proxy = Proxy(server, choose, stall_seconds)
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(proxy.serve(started, stop))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=serve, name="fault-proxy", daemon=True)
    thread.start()
    try:
        assert started.wait(10)
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
