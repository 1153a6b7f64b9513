"""The request body, which can only be read through its verifier (DESIGN §2, rule 3).

:func:`open_body` judges every announcement of the head before the first byte is read; :class:`BodyStream` is the only
caller of ``receive()``; :meth:`BodyStream.verify` is the last word before an object may commit.
"""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.errors import CATALOGUE, StorageError
from gateway.wire.announced import Announced, announcements, checksum_value, decoded_length, required, trailer_names
from gateway.wire.checksums import CHECKSUM_ALGORITHMS, new_hash
from gateway.wire.request import RawRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_RATE_WINDOW_SECONDS: Final = 60.0
_LOCAL_IDLE_SECONDS: Final = 600.0
_CHECKSUM_PREFIX: Final = "x-amz-checksum-"
_CHECKSUM_HEADERS: Final = {f"{_CHECKSUM_PREFIX}{name}".encode("ascii"): name for name in CHECKSUM_ALGORITHMS}


class ClientDisconnected(Exception):
    """The client went away inside its body. There is nobody to answer; the log says 499."""


class ChunkDecoder(Protocol):
    """A sans-IO decoder of aws-chunked content (``sigv4.chunked``)."""

    def feed(self, data: bytes) -> list[bytes]: ...

    def finish(self) -> None: ...

    @property
    def trailers(self) -> Mapping[str, str]: ...


class Payload(Protocol):
    """What ``x-amz-content-sha256`` said (``sigv4.payload``); ``sha256`` is the signed hash of the whole body."""

    @property
    def sha256(self) -> bytes | None: ...

    @property
    def is_streaming(self) -> bool: ...

    def decoder(self, *, decoded_length: int, trailer_names: Collection[str]) -> ChunkDecoder | None: ...


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How slow a client may be: the longest silence, and the least average rate over a minute of waiting for it."""

    idle_seconds: float = 20.0
    min_bytes_per_second: int = 1024


class BodyStream:
    """The decoded content of one request, readable once.

    ``length`` is the announced number of decoded bytes, None when unknown. ``required_digests`` names the algorithms
    (of :data:`~gateway.wire.checksums.CHECKSUM_ALGORITHMS`) whose digests :meth:`verify` will ask for. ``checksum``
    is (algorithm, base64) to store beside the object, known after :meth:`verify`.
    """

    __slots__ = (
        "_announced", "_decoded_bytes", "_decoder", "_ended", "_limits", "_max_bytes", "_more", "_pieces", "_rate",
        "_receive", "_received_bytes", "_started", "_transfer_length", "checksum", "length", "required_digests",
    )  # fmt: skip

    def __init__(
        self,
        receive: Receive,
        limits: BodyLimits,
        max_bytes: int,
        length: int | None,
        transfer_length: int | None,
        decoder: ChunkDecoder | None,
        announced: Announced,
    ) -> None:
        self._receive = receive
        self._limits = limits
        self._max_bytes = max_bytes
        self._transfer_length = transfer_length
        self._decoder = decoder
        self._announced = announced
        self._started = False
        self._ended = False
        self._more = transfer_length != 0
        self._pieces: deque[bytes] = deque()
        self._received_bytes = 0
        self._decoded_bytes = 0
        self._rate = _Rate(limits.min_bytes_per_second)
        self.length = length
        self.checksum: tuple[str, str] | None = None
        self.required_digests = required(announced)

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The decoded pieces, never empty ones.

        Raises StorageError (IncompleteBody, EntityTooLarge, RequestTimeout, and what the chunk decoder refuses) and
        :class:`ClientDisconnected`. Raises RuntimeError when the body is read a second time.
        """
        if self._started:
            raise RuntimeError("a body can be read only once")
        self._started = True
        return _Pieces(self)

    async def next_piece(self) -> bytes:
        """What iteration gives next. Raises StopAsyncIteration at the end, and what iteration raises."""
        while not self._pieces:
            if not self._more:
                self._finish()
                raise StopAsyncIteration
            await self._receive_more()
        piece = self._pieces.popleft()
        self._decoded_bytes += len(piece)
        if self.length is not None and self._decoded_bytes > self.length:
            raise StorageError("IncompleteBody")
        if self._decoded_bytes > self._max_bytes:
            raise _too_large(self._decoded_bytes, self._max_bytes)
        return piece

    async def _receive_more(self) -> None:
        message = await self._next_message()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        data = message.get("body", b"")
        if data:
            self._received_bytes += len(data)
            self._rate.count(len(data))
            self._pieces.extend(self._decode(data))
        self._more = message.get("more_body", False)

    def _finish(self) -> None:
        if self._ended:
            return
        if self._transfer_length is not None and self._received_bytes != self._transfer_length:
            raise StorageError("IncompleteBody")
        self._finish_decoding()
        if self.length is not None and self._decoded_bytes != self.length:
            raise StorageError("IncompleteBody")
        self._ended = True

    async def _next_message(self) -> MutableMapping[str, Any]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                message = await self._receive()
        except TimeoutError:
            raise StorageError("RequestTimeout") from None
        if not self._rate.wait(loop.time() - started):
            raise StorageError("RequestTimeout")
        return message

    def _decode(self, data: bytes) -> list[bytes]:
        if self._decoder is None:
            return [data]
        try:
            return [piece for piece in self._decoder.feed(data) if piece]
        except Exception as error:
            raise _refusal(error) from None

    def _finish_decoding(self) -> None:
        if self._decoder is None:
            return
        try:
            self._decoder.finish()
        except Exception as error:
            raise _refusal(error) from None

    async def read_all(self, max_bytes: int) -> bytes:
        """The whole verified content of a document. Raises what iteration and :meth:`verify` raise, and
        StorageError(MaxMessageLengthExceeded) beyond ``max_bytes``."""
        if self.length is not None and self.length > max_bytes:
            raise StorageError("MaxMessageLengthExceeded")
        hashes = {name: new_hash(name) for name in self.required_digests}
        content = bytearray()
        async for piece in self:
            content += piece
            if len(content) > max_bytes:
                raise StorageError("MaxMessageLengthExceeded")
            for running in hashes.values():
                running.update(piece)
        self.verify({name: running.digest() for name, running in hashes.items()}, len(content))
        return bytes(content)

    def verify(self, digests: Mapping[str, bytes], size_bytes: int) -> None:
        """Compare what arrived with everything that was announced. ``digests`` are of the decoded content and hold at
        least ``required_digests``; ``size_bytes`` is what the caller stored.

        Raises StorageError: IncompleteBody, XAmzContentSHA256Mismatch, BadDigest, MalformedTrailerError.
        Raises RuntimeError when the body was not read to its end.
        """
        if not self._ended:
            raise RuntimeError("a body is verified after its end")
        announced = self._announced
        if self.length is not None and size_bytes != self.length:
            raise StorageError("IncompleteBody")
        if announced.sha256 is not None and digests["sha256"] != announced.sha256:
            raise StorageError(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=announced.sha256.hex(),
                S3ComputedContentSHA256=digests["sha256"].hex(),
            )
        if announced.md5 is not None and digests["md5"] != announced.md5:
            raise StorageError(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=b64encode(announced.md5).decode("ascii"),
                CalculatedDigest=b64encode(digests["md5"]).decode("ascii"),
            )
        self._verify_checksum(digests)

    def _verify_checksum(self, digests: Mapping[str, bytes]) -> None:
        algorithm, expected = self._announced.algorithm, self._announced.value
        if algorithm is None:
            return
        if self._announced.in_trailer and self._decoder is not None:
            name = _CHECKSUM_PREFIX + algorithm
            text = self._decoder.trailers.get(name)
            if text is None:
                raise StorageError("MalformedTrailerError")
            expected = checksum_value(algorithm, text)
        if expected is not None and digests[algorithm] != expected:
            raise StorageError(
                "BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum."
            )
        self.checksum = algorithm, b64encode(digests[algorithm]).decode("ascii")


class _Pieces:
    """The one iteration over a body: an object, because an async generator costs its registration with the loop."""

    __slots__ = ("_body",)

    def __init__(self, body: BodyStream) -> None:
        self._body = body

    def __aiter__(self) -> "_Pieces":
        return self

    def __anext__(self) -> Awaitable[bytes]:
        return self._body.next_piece()


class _Rate:
    """The average rate over windows of a minute. Only time spent waiting for the client counts, never our own."""

    __slots__ = ("_bytes", "_floor", "_waited_seconds")

    def __init__(self, bytes_per_second: int) -> None:
        self._floor = bytes_per_second
        self._bytes = 0
        self._waited_seconds = 0.0

    def count(self, size_bytes: int) -> None:
        self._bytes += size_bytes

    def wait(self, seconds: float) -> bool:
        """Add a wait. False when a full window stayed under the floor."""
        self._waited_seconds += seconds
        if self._waited_seconds < _RATE_WINDOW_SECONDS:
            return True
        fast_enough = self._bytes >= self._floor * self._waited_seconds
        self._bytes = 0
        self._waited_seconds = 0.0
        return fast_enough


def local_body(
    receive: Receive, length: int, *, md5: bytes | None = None, checksum: tuple[str, bytes] | None = None
) -> BodyStream:
    """A body that is no request's: so many bytes out of ASGI messages of this process, with what is known of them.

    ``checksum`` is an algorithm and its digest; BadDigest is raised for bytes that differ from it or from ``md5``.
    """
    algorithm, value = checksum or (None, None)
    announced = Announced(None, md5, algorithm, value, in_trailer=False)
    return BodyStream(
        receive,
        BodyLimits(idle_seconds=_LOCAL_IDLE_SECONDS, min_bytes_per_second=0),
        length,
        length,
        length,
        None,
        announced,
    )


def open_body(
    request: RawRequest,
    receive: Receive,
    payload: Payload,
    limits: BodyLimits,
    max_bytes: int,
    *,
    length_required: bool = False,
) -> BodyStream:
    """The body of an authenticated request. Nothing is read yet.

    ``max_bytes`` bounds the decoded content. ``length_required`` refuses a request that announces no body at all; a
    plain chunked one may be of any length.

    Raises StorageError: MissingContentLength, EntityTooLarge, InvalidDigest (Content-MD5), BadDigest (a checksum that
    no content has), InvalidRequest (checksum headers), InvalidArgument (x-amz-decoded-content-length), and what the
    payload's decoder refuses.
    """
    if length_required and request.content_length is None and not request.is_chunked:
        raise StorageError("MissingContentLength")
    transfer_length = None if request.is_chunked else request.content_length or 0
    names = trailer_names(request)
    decoder = None
    length = transfer_length
    if payload.is_streaming:
        length = decoded_length(request)
        try:
            decoder = payload.decoder(decoded_length=length, trailer_names=names)
        except Exception as error:
            raise _refusal(error) from None
    elif names:
        raise StorageError("InvalidRequest", "x-amz-trailer needs a streaming payload.")
    if length is not None and length > max_bytes:
        raise _too_large(length, max_bytes)
    announced = announcements(request, payload.sha256, names)
    return BodyStream(receive, limits, max_bytes, length, transfer_length, decoder, announced)


def _too_large(size_bytes: int, max_bytes: int) -> StorageError:
    return StorageError("EntityTooLarge", ProposedSize=str(size_bytes), MaxSizeAllowed=str(max_bytes))


def _refusal(error: Exception) -> Exception:
    """The one place where a refusal of ``sigv4``, which knows no catalogue, becomes a StorageError."""
    code = getattr(error, "code", None)
    if not isinstance(code, str) or code not in CATALOGUE:
        return error
    return StorageError(code, getattr(error, "message", None), **dict(getattr(error, "fields", None) or {}))
