"""What the head of a request promises about its content, judged before the first byte is read."""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

from gateway.errors import StorageError
from gateway.wire.checksums import CHECKSUM_ALGORITHMS
from gateway.wire.request import RawRequest

_CHECKSUM_PREFIX: Final = "x-amz-checksum-"
_CHECKSUM_HEADERS: Final = {f"{_CHECKSUM_PREFIX}{name}".encode("ascii"): name for name in CHECKSUM_ALGORITHMS}


@dataclass(frozen=True, slots=True)
class Announced:
    """What the head promises about the content. A checksum without value comes in a trailer, or is only computed."""

    sha256: bytes | None
    md5: bytes | None
    algorithm: str | None
    value: bytes | None
    in_trailer: bool


def announcements(request: RawRequest, sha256: bytes | None, trailer_names: tuple[str, ...]) -> Announced:
    """Content-MD5, the signed hash and the checksum of the content.

    Raises StorageError: InvalidDigest (Content-MD5), BadDigest (a checksum that no content has), InvalidRequest.
    """
    given = [(name, value) for key, value in request.headers if (name := _CHECKSUM_HEADERS.get(key)) is not None]
    trailing = [name.removeprefix(_CHECKSUM_PREFIX) for name in trailer_names]
    if any(name not in CHECKSUM_ALGORITHMS for name in trailing):
        raise StorageError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    if len(given) + len(trailing) > 1:
        raise StorageError("InvalidRequest", "Expecting a single x-amz-checksum- header")
    algorithm = value = None
    if given:
        algorithm = given[0][0]
        value = checksum_value(algorithm, given[0][1].decode("latin-1"))
    elif trailing:
        algorithm = trailing[0]
    wanted = request.header(b"x-amz-sdk-checksum-algorithm")
    if wanted is not None:
        wanted = wanted.lower()
        if wanted not in CHECKSUM_ALGORITHMS or algorithm not in (None, wanted):
            raise StorageError("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    return Announced(sha256, _content_md5(request), algorithm or wanted, value, bool(trailing))


def decoded_length(request: RawRequest) -> int:
    """Bytes of a streaming payload's content. Raises StorageError: MissingContentLength, InvalidArgument."""
    text = request.header_bytes(b"x-amz-decoded-content-length")
    if text is None:
        raise StorageError("MissingContentLength")
    if not text.isdigit() or len(text) > 19:
        raise StorageError(
            "InvalidArgument",
            "x-amz-decoded-content-length is not a valid length.",
            ArgumentName="x-amz-decoded-content-length",
        )
    return int(text)


def trailer_names(request: RawRequest) -> tuple[str, ...]:
    """The trailers the client announces, in lower case."""
    value = request.header(b"x-amz-trailer")
    if value is None:
        return ()
    return tuple(name.strip().lower() for name in value.split(",") if name.strip())


def required(announced: Announced) -> frozenset[str]:
    """The digests that have to be computed."""
    names = set()
    if announced.sha256 is not None:
        names.add("sha256")
    if announced.md5 is not None:
        names.add("md5")
    if announced.algorithm is not None:
        names.add(announced.algorithm)
    return frozenset(names)


def _content_md5(request: RawRequest) -> bytes | None:
    value = request.header_bytes(b"content-md5")
    if value is None:
        return None
    try:
        digest = b64decode(value, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise StorageError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest


def checksum_value(algorithm: str, text: str) -> bytes:
    """The digest a header or a trailer gives. Raises StorageError(BadDigest) for what no content has."""
    try:
        value = b64decode(text.encode("latin-1"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        value = b""
    if len(value) != CHECKSUM_ALGORITHMS[algorithm]:
        raise StorageError("BadDigest", f"Value for {_CHECKSUM_PREFIX}{algorithm} header is invalid.")
    return value
