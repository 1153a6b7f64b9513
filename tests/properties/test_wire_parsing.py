"""Properties of the wire parsers: whatever arrives is either refused with a 4xx or means exactly one thing."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_from_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.context import ObjectAddress
from gateway.errors import ErrorCode, StorageError
from gateway.wire.addressing import CopySource, parse_copy_source, resolve
from gateway.wire.conditions import WriteCondition, parse_read_conditions, write_condition
from gateway.wire.headers import attachment, safe_value, stored_content_encoding
from gateway.wire.ranges import parse_copy_source_range, parse_range
from gateway.wire.request import RawRequest
from tests.unit.wire.requests import request, scope

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=256).filter(
    lambda key: len(key.encode()) <= 1024
)
BYTES = st.binary(max_size=200)


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, or the code it is refused with."""
    try:
        return function(*arguments)
    except StorageError as error:
        return error.code


@given(key=KEYS)
@example(key="..")
@example(key="a\n")
@example(key="//")
@example(key="%2e%2e")
def test_every_key_survives_the_path(key: str) -> None:
    for safe in ("", "/~"):
        target = b"/bucket/" + quote(key, safe=safe).encode()
        assert resolve(request("GET", target), None) == ObjectAddress("bucket", key)


@given(key=KEYS, version=st.none() | st.text("abc123._-", min_size=1))
def test_every_key_survives_the_copy_source(key: str, version: str | None) -> None:
    suffix = f"?versionId={version}" if version is not None else ""
    assert parse_copy_source(f"bucket/{quote(key)}{suffix}".encode()) == CopySource("bucket", key, version)


@given(raw=BYTES)
def test_any_target_is_refused_or_read(raw: bytes) -> None:
    made = attempt(request, "GET", b"/bucket/" + raw)
    if isinstance(made, ErrorCode):
        assert 400 <= made.status < 500
        return
    query = attempt(lambda: made.query)
    assert not isinstance(query, ErrorCode) or query.name == "InvalidURI"
    address = attempt(resolve, made, "s3.example.com")
    if isinstance(address, ErrorCode):
        assert 400 <= address.status < 500
    elif isinstance(address, ObjectAddress):
        assert "\0" not in address.key
        assert len(address.key.encode()) <= 1024


@given(raw=BYTES)
def test_any_copy_source_is_refused_or_read(raw: bytes) -> None:
    source = attempt(parse_copy_source, raw)
    assert isinstance(source, CopySource) or source.status == 400


HEADER_NAMES = [
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"authorization",
    b"x-amz-meta-a",
    b"range",
]
HEADER_VALUES = [b"", b"0", b"5", b"chunked", b"a", b"100-continue"]


@given(headers=st.lists(st.tuples(st.sampled_from(HEADER_NAMES), st.sampled_from(HEADER_VALUES) | BYTES), max_size=8))
def test_any_head_is_refused_or_has_one_framing(headers: list[tuple[bytes, bytes]]) -> None:
    made = attempt(RawRequest.from_scope, scope("PUT") | {"headers": headers}, "r")
    if isinstance(made, ErrorCode):
        assert 400 <= made.status < 500
        return
    assert sum(name == b"host" for name, _ in headers) == 1
    assert made.content_length is None or not made.is_chunked
    assert sum(name in (b"content-length", b"transfer-encoding") for name, _ in headers) <= 1


@given(
    pairs=st.lists(
        st.tuples(KEYS, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)), max_size=5
    )
)
def test_query_round_trip(pairs: list[tuple[str, str]]) -> None:
    raw = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    assert request("GET", b"/b?" + raw.encode()).query == tuple(pairs)


@given(size=st.integers(0, 1000), first=st.none() | st.integers(0, 1200), last=st.none() | st.integers(0, 1200))
def test_ranges_agree_with_slices(size: int, first: int | None, last: int | None) -> None:
    content = bytes(n % 256 for n in range(size))
    value = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None:
        expected = content[-last:] if last else b""
    else:
        expected = content[first : None if last is None else last + 1]
    found = attempt(parse_range, value, size)
    if isinstance(found, ErrorCode):
        assert (found.name, expected) == ("InvalidRange", b"")
    elif found is None:
        assert (first is None and last is None) or (first is not None and last is not None and last < first)
    else:
        assert content[found.first : found.last + 1] == expected != b""
        assert len(expected) == found.length_bytes


@given(value=st.text(max_size=50) | st.from_regex(r"bytes=[0-9,\- ]*", fullmatch=True), size=st.integers(0, 10**15))
def test_any_range_is_refused_ignored_or_inside(value: str, size: int) -> None:
    for parse in (parse_range, parse_copy_source_range):
        found = attempt(parse, value, size)
        if isinstance(found, ErrorCode):
            assert found.status in (400, 416)
        else:
            assert found is None or 0 <= found.first <= found.last < size


@given(value=st.text(max_size=60))
def test_any_condition_is_refused_or_read(value: str) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    parse_read_conditions(request("GET", b"/b/k", (b"if-modified-since", raw), (b"if-match", raw)))
    condition = attempt(write_condition, value, None)
    assert isinstance(condition, WriteCondition) or condition.name == "NotImplemented"


@given(value=st.text(max_size=60))
def test_no_value_ever_splits_a_header(value: str) -> None:
    sent = attachment(value).encode("latin-1")
    assert not set(sent) & {0, 10, 13}
    try:
        sent = safe_value(value)
    except (StorageError, UnicodeEncodeError):
        return
    assert not set(sent) & {0, 10, 13}


@given(tokens=st.lists(st.sampled_from(["gzip", "aws-chunked", "br", " AWS-CHUNKED ", ""])))
def test_aws_chunked_is_never_stored(tokens: list[str]) -> None:
    stored = stored_content_encoding(",".join(tokens))
    assert stored is None or "aws-chunked" not in stored.lower()
    assert (stored or "").split(", ") == ([token for token in tokens if token in ("gzip", "br")] or [""])


@given(raw=BYTES)
def test_percent_encoding_every_byte_is_the_same_key(raw: bytes) -> None:
    every = "".join(f"%{byte:02x}" for byte in raw).encode()
    plain = quote_from_bytes(raw, safe="").encode()
    every_address, plain_address = (
        attempt(resolve, request("GET", b"/bucket/" + form), None) for form in (every, plain)
    )
    assert every_address == plain_address
