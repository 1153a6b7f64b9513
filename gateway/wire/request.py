"""The request as the core sees it: raw bytes checked for ambiguity once, before anything is trusted.

Two parsers that disagree are the most repeated hole of S3 servers (DESIGN §2), so framing, Host and target are judged
here and nowhere else. Nothing in this module reads the body.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from gateway.errors import StorageError
from gateway.frozen import quick

MAX_HEADER_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 100
MAX_SECURITY_TOKEN_BYTES: Final = 64 * 1024

_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"})
_UNIQUE: Final = frozenset(
    {
        b"authorization", b"content-length", b"expect", b"host", b"transfer-encoding", b"x-amz-content-sha256",
        b"x-amz-date",
    }
)  # fmt: skip
# Fields whose definition is a list (RFC 9110 §5.3): repeats mean the same as one line joined with commas.
_LISTS: Final = frozenset(
    {
        b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"access-control-request-headers",
        b"cache-control", b"connection", b"content-encoding", b"content-language", b"forwarded", b"if-match",
        b"if-none-match", b"te", b"trailer", b"upgrade", b"vary", b"via", b"x-amz-object-attributes", b"x-amz-trailer",
        b"x-forwarded-for",
    }
)  # fmt: skip
_USER_METADATA: Final = b"x-amz-meta-"

_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._~-]{1,253})(?::[0-9]{0,5})?", re.IGNORECASE)
_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e]*")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)(/.*)?", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@quick
@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request head. ``host`` has no port and is lower-case; ``raw_path`` and ``raw_query`` are as sent.

    ``content_length`` is None when absent; a request with neither length nor chunked coding has no body. ``mount`` is
    what ``raw_path`` begins with that only says which front is meant (ASGI's ``root_path``).
    """

    method: str
    raw_path: bytes
    raw_query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    host: str
    client_address: str
    secure: bool
    request_id: str
    content_length: int | None
    is_chunked: bool
    mount: bytes = b""
    _query: list[tuple[tuple[str, str], ...]] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def from_scope(cls, scope: Any, request_id: str) -> "RawRequest":
        """Read an ASGI ``http`` scope.

        Raises StorageError: MethodNotAllowed, InvalidURI, InvalidHost, InvalidRequest (ambiguous framing, repeated
        single-value fields), RequestHeaderSectionTooLarge. The length of the security token counts against its own
        limit, because session tokens are JWTs. An expectation other than 100-continue is ignored, as AWS does
        (RFC 9110 §10.1.1 allows 417, asks for nothing).
        """
        method = scope["method"]
        if method not in _METHODS:
            raise StorageError("MethodNotAllowed")
        headers = tuple(scope["headers"])
        unique = _read_headers(headers)
        host = _host_name(unique.get(b"host"))
        raw_path, raw_query = scope["raw_path"], scope["query_string"]
        if not raw_path.startswith(b"/"):
            raw_path = _from_absolute_form(raw_path, unique[b"host"])
        if _TARGET.fullmatch(raw_path) is None or (raw_query and _TARGET.fullmatch(raw_query) is None):
            raise StorageError("InvalidURI")
        content_length, is_chunked = _framing(unique)
        client = scope.get("client")
        return cls(
            method,
            raw_path,
            raw_query,
            headers,
            host,
            client[0] if client else "",
            scope["scheme"] == "https",
            request_id,
            content_length,
            is_chunked,
            scope.get("root_path", "").encode("ascii"),
        )

    @property
    def has_body(self) -> bool:
        """Whether the head announces content (RFC 9112 §6.3)."""
        return self.is_chunked or bool(self.content_length)

    def header_bytes(self, name: bytes) -> bytes | None:
        """The value of one field; ``name`` in lower case. Repeats of list-valued fields and of user metadata are
        joined with commas, as SigV4 does; repeats of any other field raise StorageError(InvalidRequest)."""
        found: bytes | None = None
        for key, value in self.headers:
            if key == name:
                if found is None:
                    found = value
                elif name in _LISTS or name.startswith(_USER_METADATA):
                    found = found + b"," + value
                else:
                    raise _repeated(name)
        return found

    def header(self, name: bytes) -> str | None:
        """:meth:`header_bytes` as text: UTF-8, or Latin-1 where it is not UTF-8."""
        value = self.header_bytes(name)
        if value is None:
            return None
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """Decoded query pairs in the order sent, repeats kept; ``?acl`` is ``("acl", "")``. A plus is a space, as S3
        reads it. Raises StorageError(InvalidURI) for bad escapes, invalid UTF-8 or NUL."""
        if not self._query:
            self._query.append(_decode_query(self.raw_query) if self.raw_query else ())
        return self._query[0]

    def query_value(self, name: str) -> str | None:
        """The value of one parameter, None when absent. Raises StorageError(InvalidArgument) when it is repeated."""
        found: str | None = None
        for key, value in self.query:
            if key == name:
                if found is not None:
                    raise StorageError(
                        "InvalidArgument", "A query parameter was given more than once.", ArgumentName=name
                    )
                found = value
        return found


def percent_decode(raw: bytes) -> str:
    """Decode percent escapes exactly once, then UTF-8. Raises StorageError(InvalidURI) for bad escapes, invalid UTF-8
    and NUL, which neither Postgres text nor XML can hold."""
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw) is not None:
            raise StorageError("InvalidURI")
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise StorageError("InvalidURI") from None
    if "\0" in text:
        raise StorageError("InvalidURI")
    return text


def _decode_query(raw: bytes) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in raw.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            pairs.append((percent_decode(name), percent_decode(value)))
    return tuple(pairs)


def _read_headers(headers: tuple[tuple[bytes, bytes], ...]) -> dict[bytes, bytes]:
    """The fields that must be unique, after the limits were checked."""
    if len(headers) > MAX_HEADERS:
        raise StorageError("RequestHeaderSectionTooLarge")
    unique: dict[bytes, bytes] = {}
    size = 0
    for name, value in headers:
        size += len(name) + len(value) + 4
        if name in _UNIQUE:
            if name in unique:
                raise _repeated(name)
            unique[name] = value
    if size > MAX_HEADER_BYTES:
        token = sum(len(value) for name, value in headers if name == b"x-amz-security-token")
        if token > MAX_SECURITY_TOKEN_BYTES or size - token > MAX_HEADER_BYTES:
            raise StorageError("RequestHeaderSectionTooLarge")
    return unique


def _repeated(name: bytes) -> StorageError:
    return StorageError("InvalidRequest", f"The header {name.decode('latin-1')} was given more than once.")


def _framing(unique: dict[bytes, bytes]) -> tuple[int | None, bool]:
    length, coding = unique.get(b"content-length"), unique.get(b"transfer-encoding")
    if coding is not None:
        # RFC 9112 §6.1 lets a server refuse this pair, the carrier of request smuggling; hypercorn accepts it.
        if length is not None:
            raise StorageError("InvalidRequest", "Content-Length and Transfer-Encoding exclude each other.")
        if coding.lower() != b"chunked":
            raise StorageError("InvalidRequest", "Transfer-Encoding can only be chunked.")
        return None, True
    if length is None:
        return None, False
    if not length.isdigit() or len(length) > 19:
        raise StorageError("InvalidRequest", "Content-Length is not valid.")
    return int(length), False


@lru_cache(maxsize=1024)
def _host_name(value: bytes | None) -> str:
    authority = value.decode("latin-1") if value is not None else ""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise StorageError("InvalidHost")
    return match.group(1).lower()


def _from_absolute_form(target: bytes, host: bytes) -> bytes:
    """The path of an absolute-form target (RFC 9112 §3.2.2), whose authority must be the Host that was signed."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise StorageError("InvalidURI")
    if match.group(1).lower() != host.lower():
        raise StorageError("InvalidHost", "The request target and the Host header name different hosts.")
    return match.group(2) or b"/"
