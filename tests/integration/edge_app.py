"""A small app that uses the whole of ``gateway.wire``, and a program that serves it by our edge, hypercorn or uvicorn.

``python -m tests.integration.edge_app rowlock|hypercorn|uvicorn-httptools|uvicorn-h11 FD`` with a listening socket as
file descriptor FD.
"""

import asyncio
import logging
import os
import random
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.blobs.readers import FileReader
from gateway.config import Settings
from gateway.context import ObjectAddress
from gateway.errors import StorageError
from gateway.server import run_worker
from gateway.wire.addressing import resolve
from gateway.wire.body import BodyLimits, ClientDisconnected, open_body
from gateway.wire.drain import DrainGuard
from gateway.wire.request import RawRequest
from gateway.wire.response import Response, send_response


@dataclass(frozen=True)
class PlainPayload:
    sha256: bytes | None = None
    is_streaming: bool = False

    def decoder(self, *, decoded_length: int, trailer_names: Collection[str]) -> None:
        return None


class Zeros:
    """A body of ``size_bytes`` zero bytes; with ``fails_after`` the reader breaks in the middle."""

    def __init__(self, size_bytes: int, fails_after: int | None = None, pause_seconds: float = 0.0) -> None:
        self.size_bytes = size_bytes
        self._fails_after = fails_after
        self._pause_seconds = pause_seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        given = 0
        while given < self.size_bytes:
            if self._fails_after is not None and given >= self._fails_after:
                raise OSError("input/output error")
            piece = bytes(min(65536, self.size_bytes - given))
            given += len(piece)
            yield piece
            await asyncio.sleep(self._pause_seconds)

    async def close(self) -> None:
        _note("closed")


def _note(text: str) -> None:
    """Tell the test what happened inside."""
    with Path(os.environ["EDGE_NOTES"]).open("a") as notes:
        notes.write(text + "\n")


class NotingReader(FileReader):
    """A reader of a file that tells when it was closed."""

    async def close(self) -> None:
        await super().close()
        _note("closed")


FILE_BYTES = 8_000_000
FILE_SEED = 7


def file_content() -> bytes:
    """What ``/file`` gives a range of."""
    return random.Random(FILE_SEED).randbytes(FILE_BYTES)


class EdgeApp:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(2)
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(file_content())
        self._path = file.name
        self._limits = BodyLimits(settings.body_idle_seconds, settings.body_min_bytes_per_second)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        head = scope["method"] == "HEAD"
        try:
            response = await self._respond(scope, receive)
        except StorageError as error:
            body = f"<Error><Code>{error.code.name}</Code></Error>".encode()
            response = Response(error.code.status, ((b"content-type", b"application/xml"),), body)
        except ClientDisconnected:
            _note("disconnected")
            return
        extensions = scope.get("extensions") or ()
        await send_response(
            response, send, idle_seconds=self._settings.send_idle_seconds, head=head, extensions=extensions
        )

    async def _respond(self, scope: Any, receive: Any) -> Response:
        request = RawRequest.from_scope(scope, "request-1")
        address = resolve(request, None)
        if not isinstance(address, ObjectAddress):
            return Response(503 if scope.get("state", {}).get("draining") else 200, (), b"ok")
        if request.has_body or request.method == "PUT":
            if request.header(b"authorization") is None:
                raise StorageError("AccessDenied")
            if address.key == "crash":
                raise RuntimeError("a defect")
            body = open_body(request, receive, PlainPayload(), self._limits, 1 << 30)
            size = 0
            async for piece in body:
                size += len(piece)
            body.verify({}, size)
            return Response(200, (), b"%d" % size)
        return await self._read(request, address.key)

    async def _read(self, request: RawRequest, key: str) -> Response:
        size = int(request.query_value("size") or 0)
        match key:
            case "stream":
                return Response(200, (), Zeros(size, pause_seconds=float(request.query_value("pause") or 0)))
            case "file":
                offset = int(request.query_value("offset") or 0)
                extra = int(request.query_value("extra") or 0)  # announced, but not in the file
                if repeat := int(request.query_value("repeat") or 0):
                    os.truncate(self._path, repeat * FILE_BYTES)  # sparse: as many zeros as a slow reader needs
                fd = os.open(self._path, os.O_RDONLY)
                return Response(200, (), NotingReader(self._threads, fd, offset, size + extra, size + extra))
            case "broken":
                return Response(200, (), Zeros(size, fails_after=size // 2))
            case "unreadable":
                return Response(200, (), Zeros(size, fails_after=0))
            case "slow":
                _note("slow began")
                await asyncio.sleep(float(request.query_value("seconds") or 0))
                return Response(200, (), b"done")
            case "unchanged":
                return Response(304, ((b"etag", b'"a"'),), b"")
            case _:
                raise StorageError("AccessDenied")


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    if os.environ.get("EDGE_START") == "crash":
        raise RuntimeError("no database")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    _note("lifespan ended")
    await send({"type": "lifespan.shutdown.complete"})


def _serve_with_uvicorn(settings: Settings, sock: socket.socket, http: str) -> int:
    import uvicorn

    config = uvicorn.Config(
        DrainGuard(EdgeApp(settings)),
        http=http,
        log_level="error",
        timeout_graceful_shutdown=3,  # type: ignore[arg-type]
    )
    uvicorn.Server(config).run(sockets=[sock])
    return 0


def main() -> int:
    server, descriptor = sys.argv[1], int(sys.argv[2])
    logging.basicConfig(level=logging.INFO)
    settings = Settings()
    sock = socket.socket(fileno=descriptor)
    if server.startswith("uvicorn"):
        return _serve_with_uvicorn(settings, sock, server.removeprefix("uvicorn-"))
    settings = settings.model_copy(update={"edge": server})
    return run_worker(settings, sock, EdgeApp, on_ready=lambda: _note("ready"))


if __name__ == "__main__":
    raise SystemExit(main())
