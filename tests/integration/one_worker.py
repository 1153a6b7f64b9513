"""A whole worker inside the test's process, without a socket: what it does for a request can be counted.

Everything is the product's own, from the HTTP edge to Postgres and the file store; only the transport is a fake, which
takes an answer and forgets its body.
"""

import asyncio
import hashlib
import logging
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from conformance.bench.signing import Signer
from gateway.app import logged
from gateway.auth.credentials import CredentialStore
from gateway.auth.identify import Identify
from gateway.blobs.file import FileStore
from gateway.blobs.locator import BlobStores, Epoch
from gateway.context import SERVICE_ROLE, Tenant
from gateway.metadata import engine
from gateway.metadata.session import Session
from gateway.operations.services import Limits, Services
from gateway.operations.table import OPERATIONS
from gateway.s3.front import FrontLimits, S3Front
from gateway.telemetry.logging import _JsonLines
from gateway.wire.body import BodyLimits
from gateway.wire.drain import DrainGuard
from gateway.wire.http1.connection import EdgeConnection
from gateway.wire.http1.edge import READ_BYTES, Edge, EdgeLimits
from gateway.wire.inflight import InFlight

MEBIBYTE: Final = 1024 * 1024
INLINE_MAX_BYTES: Final = 4096
_KEY: Final = "AKIAONEWORKER0000001"
_SECRET: Final = "secret/of+one/worker=0123456789/abcdefgh"


@dataclass(frozen=True, slots=True)
class _StoredKey:
    access_key_id: str = _KEY
    secret: str = _SECRET
    role: str = SERVICE_ROLE
    subject: str | None = None
    display_name: str | None = None
    claims: Any = None
    expires_at: datetime | None = None
    tenant_id: str = "default"
    buckets: tuple[str, ...] | None = None
    prefix: str | None = None
    read_only: bool = False


class _Keys:
    async def find_key(self, access_key_id: str) -> _StoredKey | None:
        return _StoredKey(claims={}) if access_key_id == _KEY else None


class _Nowhere:
    """A log that is written to, and kept nowhere."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


class ForgetfulTransport(asyncio.Transport):
    """Keeps the first piece written, counts the rest. Says that it is TLS, so that no file goes by sendfile."""

    def __init__(self) -> None:
        super().__init__()
        self.first = b""
        self.written_bytes = 0
        self.reading = asyncio.Event()
        self.reading.set()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"ssl_object": self, "peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.first:
            self.first = bytes(data[:4096])
        self.written_bytes += len(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self.write(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is held here."""

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()


class OneWorker:
    """One connection to one worker. Made by :func:`one_worker`."""

    def __init__(self, edge: Edge) -> None:
        self._transport = ForgetfulTransport()
        self._connection = EdgeConnection(edge, self._transport)
        self._signer = Signer(
            access_key_id=_KEY,
            secret_access_key=_SECRET,
            region="us-east-1",
            host="localhost:9000",
            moment=datetime.now(UTC),
        )

    def head(self, method: str, path: str, query: str = "", *, piece: bytes = b"", pieces: int = 0) -> bytes:
        """A signed head for a body of ``piece`` that many times."""
        digest = hashlib.sha256()
        for _ in range(pieces):
            digest.update(piece)
        length = len(piece) * pieces if pieces or method == "PUT" else None
        return self._signer.head(method, path, query, payload_sha256=digest.hexdigest(), length_bytes=length)

    async def exchange(self, head: bytes, piece: bytes = b"", pieces: int = 0) -> int:
        """One request and its whole answer, of which the number of bytes is returned; it must be a success.

        The body is read as a socket's bytes are: into the edge's buffer, while reading is not held.
        """
        transport = self._transport
        transport.first, transport.written_bytes = b"", 0
        for sent in (head, *[piece] * pieces):
            for start in range(0, len(sent), READ_BYTES):
                await transport.reading.wait()
                part = sent[start : start + READ_BYTES]
                self._connection.get_buffer(-1)[: len(part)] = part
                self._connection.buffer_updated(len(part))
                if pieces > 1:
                    await asyncio.sleep(0)
        while (task := self._connection._task) is not None:
            await asyncio.wait([task])
        assert transport.first.startswith(b"HTTP/1.1 20"), transport.first
        return transport.written_bytes

    def close(self) -> None:
        """End the connection."""
        self._connection.connection_lost(None)


@asynccontextmanager
async def one_worker(session: Session, directory: Path, bucket: str = "docs") -> AsyncIterator[OneWorker]:
    """A worker that writes its request lines, serves one bucket and stores files below ``directory``."""
    store = FileStore(directory, name="file")
    epoch = Epoch(await engine.begin_epoch(session, "test", 1))
    limits = Limits(1024 * MEBIBYTE, 1024 * MEBIBYTE, INLINE_MAX_BYTES)
    tenant = Tenant("default", "us-east-1")
    front = S3Front(
        OPERATIONS,
        Services(session, BlobStores({"file": store}, store, epoch), limits),
        Identify(tenant, CredentialStore(_Keys())),
        tenant=tenant,
        domain=None,
        limits=FrontLimits(1024 * MEBIBYTE, BodyLimits(), 60.0),
    )
    edge = Edge(InFlight(DrainGuard(logged(front))), EdgeLimits())
    worker = OneWorker(edge)
    handler = _JsonLines(_Nowhere())  # type: ignore[arg-type]
    root, lines = logging.getLogger(), logging.getLogger("gateway")
    level = lines.level
    root.addHandler(handler)
    lines.setLevel(logging.INFO)
    try:
        await worker.exchange(worker.head("PUT", f"/{bucket}"))
        yield worker
    finally:
        root.removeHandler(handler)
        lines.setLevel(level)
        worker.close()
        edge.shutdown()
        await store.close()


class PythonCalls:
    """Counts calls of Python functions in this thread; coroutines count each time they go on."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "PythonCalls":
        sys.setprofile(self._observe)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(None)

    def _observe(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self.count += 1
