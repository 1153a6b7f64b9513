"""An S3 store that keeps nothing: it counts the bytes it is sent and answers as a store does that has them.

So that uploads larger than any disk can be measured. It computes no digest: the ETag it answers with is the Content-MD5
the client sent. ``GET /counts`` tells how many bytes came in objects and parts, and how many uploads were completed.
"""

import asyncio
import hashlib
import json
import re
import sys
from base64 import b64decode
from dataclasses import asdict, dataclass, field
from typing import Final, cast

import uvloop

_READ_BUFFER_BYTES: Final = 256 * 1024
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CONTENT_MD5: Final = re.compile(rb"\r\ncontent-md5: *([^\r]+)", re.IGNORECASE)
_PART: Final = re.compile(rb"[?&]partNumber=(\d+)")
_UPLOAD: Final = re.compile(rb"[?&]uploadId=([^& ]+)")
_EMPTY_LISTING: Final = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@dataclass(slots=True)
class Counts:
    """What was sent to it."""

    bytes_received: int = 0
    objects: int = 0
    parts: int = 0
    completed: int = 0


@dataclass(slots=True)
class Store:
    """The MD5s of the parts of uploads that are open, and the counts."""

    counts: Counts = field(default_factory=Counts)
    uploads: dict[bytes, dict[int, bytes]] = field(default_factory=dict)

    def answer(self, head: bytes, length: int) -> bytes:
        """The response to a request of this head, whose body of this length was read and forgotten."""
        method, _, rest = head.partition(b" ")
        target = rest.partition(b" ")[0]
        md5 = b64decode(found.group(1)) if (found := _CONTENT_MD5.search(head)) else b""
        upload = found.group(1) if (found := _UPLOAD.search(target)) else None
        part = _PART.search(target)
        if method == b"PUT" and upload is not None and part is not None:
            self.counts.parts += 1
            self.counts.bytes_received += length
            self.uploads[upload][int(part.group(1))] = md5
            return _response(200, etag=md5.hex())
        if method == b"PUT":
            self.counts.objects += 1
            self.counts.bytes_received += length
            return _response(200, etag=md5.hex())
        if method == b"POST" and upload is not None:
            parts = self.uploads.pop(upload)
            self.counts.completed += 1
            digest = hashlib.md5(b"".join(parts[number] for number in sorted(parts)), usedforsecurity=False)
            etag = f"{digest.hexdigest()}-{len(parts)}"
            return _response(
                200, b"<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>" % etag.encode()
            )
        if method == b"POST" and b"uploads" in target:
            name = b"%d" % (self.counts.completed + len(self.uploads) + 1)
            while name in self.uploads:
                name += b"0"
            self.uploads[name] = {}
            return _response(
                200, b"<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>" % name
            )
        if method == b"GET" and target == b"/counts":
            return _response(200, json.dumps(asdict(self.counts)).encode())
        if method == b"GET":
            return _response(200, _EMPTY_LISTING)
        return _response(204 if method == b"DELETE" else 200 if method == b"POST" else 404)


def _response(status: int, body: bytes = b"", *, etag: str | None = None) -> bytes:
    tag = b"" if etag is None else b'ETag: "%s"\r\n' % etag.encode()
    return b"HTTP/1.1 %d -\r\n%sContent-Length: %d\r\n\r\n%s" % (status, tag, len(body), body)


class _DiscardingProtocol(asyncio.BufferedProtocol):
    def __init__(self, store: Store) -> None:
        self._store = store
        self._buffer = memoryview(bytearray(_READ_BUFFER_BYTES))
        self._head = bytearray()
        self._request = b""
        self._length = 0
        self._left = 0
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
            self._request = bytes(self._head[: end + 2])
            found = _CONTENT_LENGTH.search(self._request)
            self._length = int(found.group(1)) if found else 0
            self._left = self._length - (len(self._head) - end - 4)
            self._head.clear()
        if self._left == 0 and self._transport is not None:
            self._transport.write(self._store.answer(self._request, self._length))


def serve(port: int) -> None:
    """Serve on 127.0.0.1 until the process is ended."""

    async def run() -> None:
        store = Store()
        server = await asyncio.get_running_loop().create_server(lambda: _DiscardingProtocol(store), "127.0.0.1", port)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    serve(int(sys.argv[1]))
