"""The canonical request: one byte string out of method, path, query, signed headers and payload word.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. S3 encodes the path once and
never normalises it: ``//``, ``.`` and ``..`` are part of the key. Every form built here decodes to exactly the path
and the query that were received, so a signature never vouches for another resource than the one served.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, Protocol

UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
HEX_DIGITS: Final = b"0123456789abcdefABCDEF"

_ESCAPES: Final = {b"%02x" % code: code for code in range(256)} | {
    bytes((high, low)): int(bytes((high, low)), 16) for high in HEX_DIGITS for low in HEX_DIGITS
}
# What a decoded byte becomes; a slash that came as %2F stays %2F, so the form still says what was on the wire.
_ENCODED: Final = tuple(bytes((code,)) if code in UNRESERVED else b"%%%02X" % code for code in range(256))
_LITERAL_PATH: Final = tuple(b"/" if code == 0x2F else piece for code, piece in enumerate(_ENCODED))
# S3 reads a plus in a query as a space.
_LITERAL_QUERY: Final = tuple(b"%20" if code == 0x2B else piece for code, piece in enumerate(_ENCODED))
_CANONICAL_ESCAPES: Final = frozenset(b"%02X" % code for code in range(256) if code not in UNRESERVED)
_PATH_SAFE: Final = UNRESERVED + b"/"


class HttpRequest(Protocol):
    """What is signed. ``raw_path`` and ``raw_query`` are as on the wire; header names are lower-case, values trimmed,
    in wire order with repeats kept."""

    @property
    def method(self) -> str: ...
    @property
    def raw_path(self) -> bytes: ...
    @property
    def raw_query(self) -> bytes: ...
    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...


class PathStyle(Enum):
    """How a service canonicalises the path."""

    S3 = "encoded once, never normalised"
    GENERIC = "normalised (RFC 3986 §5.2.4, empty segments dropped), then encoded again"


def percent_decode(data: bytes) -> bytes:
    """Decode ``%XX`` once; a ``%`` that starts no escape stays as it is."""
    if b"%" not in data:
        return data
    head, *rest = data.split(b"%")
    out = bytearray(head)
    for piece in rest:
        code = _ESCAPES.get(piece[:2])
        if code is None:
            out += b"%" + piece
        else:
            out.append(code)
            out += piece[2:]
    return bytes(out)


def query_decode(data: bytes) -> bytes:
    """Decode a name or value of a query once: a plus is a space, then ``%XX``."""
    return percent_decode(data.replace(b"+", b" ") if b"+" in data else data)


def _encode_once(raw: bytes, safe: bytes, literals: Sequence[bytes]) -> bytes:
    """Decode ``raw`` once and encode it again as RFC 3986 wants it: unreserved bytes plain, upper-case hex."""
    rest = raw.translate(None, safe)
    if not rest:
        return raw
    head, *escaped = raw.split(b"%")
    if rest.count(b"%") == len(rest) and all(piece[:2] in _CANONICAL_ESCAPES for piece in escaped):
        return raw
    out = [literals[code] for code in head]
    for piece in escaped:
        escape = _ESCAPES.get(piece[:2])
        if escape is None:
            out.append(b"%25")
        else:
            out.append(_ENCODED[escape])
            piece = piece[2:]
        out.extend(literals[code] for code in piece)
    return b"".join(out)


def canonical_path(raw_path: bytes, style: PathStyle = PathStyle.S3) -> bytes:
    """The canonical URI. The empty path is ``/``."""
    if style is PathStyle.S3:
        return _encode_once(raw_path, _PATH_SAFE, _LITERAL_PATH) or b"/"
    return b"".join(_LITERAL_PATH[code] for code in _normalised(raw_path))


def _normalised(path: bytes) -> bytes:
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    slash = b"/" if segments and path.endswith((b"/", b"/.", b"/..")) else b""
    return b"/" + b"/".join(segments) + slash


def split_query(raw_query: bytes) -> list[tuple[bytes, bytes]]:
    """The pairs of a raw query, still encoded, in wire order: only ``&`` separates, ``?acl`` is empty."""
    pairs = []
    for piece in raw_query.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((name, value))
    return pairs


def canonical_query(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The canonical query of raw pairs: each re-encoded, sorted by encoded name then value, duplicates kept."""
    return sorted_query(
        (_encode_once(name, UNRESERVED, _LITERAL_QUERY), _encode_once(value, UNRESERVED, _LITERAL_QUERY))
        for name, value in pairs
    )


def sorted_query(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The pairs as they were sent, only sorted: what botocore signs."""
    return b"&".join([name + b"=" + value for name, value in sorted(pairs)])


def header_value(value: bytes) -> bytes:
    """A value with inner runs of white space collapsed to one space."""
    if b"  " in value or b"\t" in value:
        return b" ".join(value.split())
    return value


def canonical_request(
    method: str,
    path: bytes,
    query: bytes,
    headers: Mapping[bytes, bytes],
    signed_headers: Sequence[bytes],
    payload_word: bytes,
) -> bytes:
    """Join canonical parts. ``headers`` maps lower-case names to joined values; a signed header that is absent counts
    as empty here (the verifier refuses it)."""
    lines = [method.encode("ascii", "replace"), path, query]
    lines.extend([name + b":" + header_value(headers.get(name, b"")) for name in signed_headers])
    lines.append(b"")
    lines.append(b";".join(signed_headers))
    lines.append(payload_word)
    return b"\n".join(lines)
