"""What the head of a request may look like, and what it is refused for."""

import pytest

from gateway.errors import StorageError
from gateway.wire.request import RawRequest, percent_decode
from tests.unit.wire.requests import request, scope


def code_of(*headers: tuple[bytes, bytes], method: str = "GET", target: bytes = b"/b/k") -> str:
    with pytest.raises(StorageError) as refusal:
        request(method, target, *headers)
    return refusal.value.code.name


def test_plain_GET() -> None:
    made = request("GET", b"/bucket/a%20b?versionId=1", (b"Host", b"S3.Example.com:9000"))
    assert made.host == "s3.example.com"
    assert made.header(b"host") == "S3.Example.com:9000"
    assert (made.raw_path, made.raw_query) == (b"/bucket/a%20b", b"versionId=1")
    assert (made.client_address, made.secure, made.request_id) == ("192.0.2.1", False, "request-1")
    assert (made.content_length, made.is_chunked, made.has_body) == (None, False, False)


def test_https_and_missing_client() -> None:
    made = RawRequest.from_scope(scope(scheme="https", client=None), "r")
    assert made.secure
    assert made.client_address == ""


def test_body_by_length_and_by_chunks() -> None:
    assert request("PUT", b"/b/k", (b"content-length", b"12")).content_length == 12
    assert request("PUT", b"/b/k", (b"content-length", b"0")).has_body is False
    chunked = request("PUT", b"/b/k", (b"transfer-encoding", b"Chunked"))
    assert (chunked.is_chunked, chunked.has_body) == (True, True)


class TestFraming:
    def test_content_length_with_transfer_encoding(self) -> None:
        assert code_of((b"content-length", b"1"), (b"transfer-encoding", b"chunked"), method="PUT") == "InvalidRequest"

    @pytest.mark.parametrize("value", [b"+1", b"0x1", b"1_0", b"-1", b" 1", b"", b"9" * 30, b"1,1", "²".encode()])
    def test_content_length_that_is_no_number(self, value: bytes) -> None:
        assert code_of((b"content-length", value)) == "InvalidRequest"

    @pytest.mark.parametrize("value", [b"xchunked", b"chunked, identity", b"gzip, chunked", b"identity", b""])
    def test_transfer_encoding_other_than_chunked(self, value: bytes) -> None:
        assert code_of((b"transfer-encoding", value)) == "InvalidRequest"

    @pytest.mark.parametrize(
        "name",
        [b"host", b"authorization", b"content-length", b"transfer-encoding", b"x-amz-date", b"x-amz-content-sha256"],
    )
    def test_repeated_single_field(self, name: bytes) -> None:
        value = b"a" if name not in (b"content-length",) else b"1"
        assert code_of((name, value), (name, value)) == "InvalidRequest"


class TestHost:
    @pytest.mark.parametrize(
        "value", [b"", b"a/b?x", b"a@b", b"user:pw@a", b"a#", b"a b", b"a\\b", b"a:port", b"a:1:2", b"\xff", b"a" * 300]
    )
    def test_unusable(self, value: bytes) -> None:
        assert code_of((b"host", value)) == "InvalidHost"

    def test_missing(self) -> None:
        with pytest.raises(StorageError, match="InvalidHost"):
            RawRequest.from_scope(scope() | {"headers": []}, "r")

    @pytest.mark.parametrize(
        ("value", "host"),
        [(b"[::1]:9000", "[::1]"), (b"127.0.0.1", "127.0.0.1"), (b"my_bucket.S3.local:80", "my_bucket.s3.local")],
    )
    def test_usable(self, value: bytes, host: str) -> None:
        assert request("GET", b"/", (b"host", value)).host == host


class TestTarget:
    def test_absolute_form_of_the_same_host(self) -> None:
        assert request("GET", b"http://LOCALHOST:9000/b/k?acl").raw_path == b"/b/k"
        assert request("GET", b"http://localhost:9000").raw_path == b"/"

    @pytest.mark.parametrize("target", [b"http://elsewhere/b", b"http://localhost:9001/b", b"http:///b"])
    def test_absolute_form_of_another_host(self, target: bytes) -> None:
        assert code_of(target=target) == "InvalidHost"

    @pytest.mark.parametrize("target", [b"*", b"b/k", b"", b"/a b", b"/a#b", b"/a\x00", b"/\xff", b"ftp://localhost/b"])
    def test_no_path(self, target: bytes) -> None:
        assert code_of(target=target) == "InvalidURI"

    @pytest.mark.parametrize("method", ["__class__", "PROPFIND", "get", "M" * 1024, ""])
    def test_unknown_method(self, method: str) -> None:
        assert code_of(method=method) == "MethodNotAllowed"

    def test_unknown_expectation_is_ignored(self) -> None:
        for value in (b"100-Continue", b"200-ok", b""):
            assert request("PUT", b"/b/k", (b"expect", value)).header_bytes(b"expect") == value


class TestHeaderSection:
    def test_too_many_fields(self) -> None:
        assert request("GET", b"/b", *((b"x-%d" % n, b"a") for n in range(99))).host
        assert code_of(*((b"x-%d" % n, b"a") for n in range(101))) == "RequestHeaderSectionTooLarge"

    def test_too_many_bytes(self) -> None:
        assert code_of((b"x-a", b"a" * 16_384)) == "RequestHeaderSectionTooLarge"

    def test_a_session_token_has_its_own_limit(self) -> None:
        assert request("GET", b"/b", (b"x-amz-security-token", b"t" * 60_000)).header(b"x-amz-security-token")
        assert code_of((b"x-amz-security-token", b"t" * 66_000)) == "RequestHeaderSectionTooLarge"
        big_elsewhere = ((b"x-amz-security-token", b"t" * 30_000), (b"x-a", b"a" * 17_000))
        assert code_of(*big_elsewhere) == "RequestHeaderSectionTooLarge"


class TestHeader:
    def test_repeats(self) -> None:
        made = request(
            "GET",
            b"/b",
            (b"x-amz-meta-a", b"1"),
            (b"x-amz-meta-a", b"2"),
            (b"if-match", b'"a"'),
            (b"if-match", b'"b"'),
            (b"range", b"bytes=0-1"),
            (b"range", b"bytes=2-3"),
        )
        assert made.header(b"x-amz-meta-a") == "1,2"
        assert made.header(b"if-match") == '"a","b"'
        with pytest.raises(StorageError, match="InvalidRequest"):
            made.header(b"range")

    def test_text_is_utf8_or_latin1(self) -> None:
        made = request("GET", b"/b", (b"x-amz-meta-a", "grün".encode()), (b"x-amz-meta-b", "grün".encode("latin-1")))
        assert made.header(b"x-amz-meta-a") == made.header(b"x-amz-meta-b") == "grün"
        assert made.header(b"x-amz-meta-c") is None


class TestQuery:
    def test_pairs_in_order_with_repeats(self) -> None:
        made = request("GET", b"/b?acl&a=1&a=2&b=x%3Dy&c=a+b%2B;d&&e=%F0%9F%98%80")
        assert made.query == (
            ("acl", ""),
            ("a", "1"),
            ("a", "2"),
            ("b", "x=y"),
            ("c", "a b+;d"),
            ("e", "😀"),
        )
        assert made.query is made.query
        assert made.query_value("acl") == ""
        assert made.query_value("zzz") is None
        with pytest.raises(StorageError, match="InvalidArgument"):
            made.query_value("a")

    def test_none(self) -> None:
        assert request("GET", b"/b").query == ()

    @pytest.mark.parametrize("query", [b"a=%", b"a=%zz", b"a=%ff", b"a=%00", b"%c0%ae=1", b"a=%ed%a0%80"])
    def test_undecodable(self, query: bytes) -> None:
        with pytest.raises(StorageError, match="InvalidURI"):
            _ = request("GET", b"/b?" + query).query


def test_percent_decode_decodes_once() -> None:
    assert percent_decode(b"%252e%2e+") == "%2e.+"
