"""A server that does nothing: it answers every request from memory, without reading more than it must.

What the load generator reaches against it is the ceiling of what it can measure. One process, one loop, no checks.
"""

import asyncio
import re
from typing import Final, cast

import uvloop

from conformance.bench.scripts import KEYS_A_DIRECTORY, listing_key

_CONTENT_LENGTH: Final = re.compile(rb"\r\nContent-Length: (\d+)")
_SIZE: Final = re.compile(rb"^\w+ /[^/ ]+/get/(\d+)/")
_BLOCK: Final = bytes(1024 * 1024)
_READ_BUFFER_BYTES: Final = 256 * 1024
_PAGE: Final = (
    "<ListBucketResult>"
    + "".join(
        f"<Contents><Key>{listing_key(number)}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;c4ca4238a0b923820dcc509a6f75849b&quot;</ETag><Size>1</Size></Contents>"
        for number in range(KEYS_A_DIRECTORY)
    )
    + "</ListBucketResult>"
).encode()
_UPLOAD: Final = b"<InitiateMultipartUploadResult><UploadId>null</UploadId></InitiateMultipartUploadResult>"


def answer(head: bytes) -> tuple[bytes, int]:
    """The response to a request head: its bytes, and how many zero bytes follow them."""
    method = head.partition(b" ")[0]
    if method == b"DELETE":
        return b"HTTP/1.1 204 No Content\r\n\r\n", 0
    body, size = b"", 0
    if (sized := _SIZE.match(head)) is not None:
        size = int(sized.group(1))
    elif method == b"GET":
        body = _PAGE
    elif b"?uploads=" in head.partition(b"\r\n")[0]:
        body = _UPLOAD
    first = b'HTTP/1.1 200 OK\r\nETag: "null"\r\nContent-Length: %d\r\n\r\n' % (len(body) or size)
    if method == b"HEAD":
        return first, 0
    return first + body, size


class _NullProtocol(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_READ_BUFFER_BYTES))
        self._head = bytearray()
        self._left = 0
        self._pending = b""
        self._zeros = 0
        self._may_write = True
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        # The client waits for each answer, so what follows a head belongs to its body.
        if self._left:
            self._left -= nbytes
        else:
            self._head += self._buffer[:nbytes]
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._head[: end + 2])
            length = _CONTENT_LENGTH.search(head)
            self._left = (int(length.group(1)) if length else 0) - (len(self._head) - end - 4)
            self._head.clear()
            self._pending, self._zeros = answer(head)
        if self._left == 0 and self._transport is not None:
            self._transport.write(self._pending)
            self._send_zeros()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._send_zeros()

    def _send_zeros(self) -> None:
        while self._zeros and self._may_write and self._transport is not None:
            size = min(self._zeros, len(_BLOCK))
            self._zeros -= size
            self._transport.write(_BLOCK if size == len(_BLOCK) else _BLOCK[:size])


def serve(port: int) -> None:
    """Serve on 127.0.0.1 until the process is ended."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_NullProtocol, "127.0.0.1", port)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
