"""The edge as a caller with keys sees it."""

import base64
import hashlib
import secrets
import socket
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from conformance.wire.signing import Account, Signer

PIECE = b"x" * 65536


@pytest.fixture(scope="module")
def bucket(account: Account) -> Iterator[str]:
    path = f"/wire-{secrets.token_hex(6)}"
    assert account.once("PUT", path).status == 200
    yield path
    listing = account.once("GET", f"{path}?encoding-type=url&list-type=2").body.decode()
    for item in listing.split("<Key>")[1:]:
        encoded = item.split("</Key>")[0].replace("+", "%20")
        account.once("DELETE", f"{path}/{encoded}")
    account.once("DELETE", path)


KEYS = [
    "a/../b",
    "../b",
    "./a",
    "//a//b",
    "a/",
    "a",
    "a/b",
    "a b",
    "a+b",
    "a%2Fb",
    "%2e%2e",
    "%252e",
    "a\nb",
    "a\n",
    "a\tb",
    "C:\\x",
    "a?b#c",
    "a&b=c;d",
    "~'()*!",
    "con",
    "café",
    "cafe\u0301",
    "\u202egpj",
    "😀",
    "k" * 1024,
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: quote(key, safe="")[:24])
def test_PutObject_key_is_literal(account: Account, bucket: str, key: str) -> None:
    content = key.encode()
    path = f"{bucket}/{quote(key, safe='/~')}"
    assert account.once("PUT", path, content).status == 200
    assert account.once("GET", path).body == content
    assert account.once("GET", f"{bucket}/{quote(key, safe='~')}").body == content


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/a%00b", 400),
        ("/%ff", 400),
        ("/%c0%ae", 400),
        ("/%ed%a0%80", 400),
        ("/" + "k" * 1025, 400),
        ("/" + "%C3%A9" * 513, 400),
    ],
)
def test_PutObject_key_refused(account: Account, bucket: str, path: str, status: int) -> None:
    assert account.once("PUT", bucket + path, b"x").status == status


def test_PutObject_wrong_secret_is_refused_before_the_body(account: Account, bucket: str) -> None:
    stranger = Account(account.target, Signer(account.signer.access_key_id, "wrong", account.signer.region))
    with account.target.connect() as wire:
        stranger.start(wire, "PUT", f"{bucket}/refused", {"Content-Length": "50000000"}, None)
        wire.send(PIECE * 10)
        answer = wire.answer()
        assert answer.status == 403
        assert b"SignatureDoesNotMatch" in answer.body
    assert account.once("GET", f"{bucket}/refused").status == 404


def test_PutObject_expect_100_continue(account: Account, bucket: str) -> None:
    with account.target.connect() as wire:
        account.start(wire, "PUT", f"{bucket}/continued", {"Content-Length": "5", "Expect": "100-continue"}, b"abcde")
        assert wire.answer(interim=True).status == 100
        wire.send(b"abcde")
        assert wire.answer().status == 200
        assert account.call(wire, "GET", f"{bucket}/continued").body == b"abcde"


def test_PutObject_body_differs_from_signed_hash(account: Account, bucket: str) -> None:
    with account.target.connect() as wire:
        account.start(wire, "PUT", f"{bucket}/altered", {"Content-Length": "3"}, b"abc")
        wire.send(b"abd")
        answer = wire.answer()
        assert answer.status == 400
        assert b"XAmzContentSHA256Mismatch" in answer.body
    assert account.once("GET", f"{bucket}/altered").status == 404


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-MD5": "bad"}, b"InvalidDigest"),
        ({"Content-MD5": base64.b64encode(bytes(16)).decode()}, b"BadDigest"),
        ({"x-amz-checksum-crc32": "bad"}, b"BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, b"BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "A" * 27 + "="}, b"InvalidRequest"),
    ],
)
def test_PutObject_digest_refused(account: Account, bucket: str, headers: dict[str, str], code: bytes) -> None:
    answer = account.once("PUT", f"{bucket}/digest", b"abc", headers)
    assert answer.status == 400
    assert b"<Code>" + code + b"</Code>" in answer.body
    assert account.once("GET", f"{bucket}/digest").status == 404


def test_PutObject_stalled_body_is_RequestTimeout(account: Account, bucket: str) -> None:
    with account.target.connect(timeout_seconds=account.target.body_idle_seconds + 10) as wire:
        account.start(wire, "PUT", f"{bucket}/stalled", {"Content-Length": "100"}, None)
        wire.send(b"abc")
        answer = wire.answer()
        assert answer.status == 400
        assert b"RequestTimeout" in answer.body
        assert answer.closes
    assert account.once("GET", f"{bucket}/stalled").status == 404


@pytest.mark.parametrize("half_close", [True, False])
def test_PutObject_cut_in_the_middle_leaves_nothing(account: Account, bucket: str, half_close: bool) -> None:
    assert account.once("PUT", f"{bucket}/cut", b"before").status == 200
    with account.target.connect() as wire:
        account.start(wire, "PUT", f"{bucket}/cut", {"Content-Length": "5000000"}, None)
        wire.send(PIECE * 8)
        if half_close:
            wire.socket.shutdown(socket.SHUT_WR)
            answer = wire.answer()
            assert answer.status == 400
            assert b"IncompleteBody" in answer.body
    time.sleep(0.2)
    assert account.once("GET", f"{bucket}/cut").body == b"before"


def test_HeadObject_and_304_have_no_body(account: Account, bucket: str) -> None:
    path = f"{bucket}/framed"
    etag = f'"{hashlib.md5(b"abcdef", usedforsecurity=False).hexdigest()}"'
    with account.target.connect() as wire:
        assert account.call(wire, "PUT", path, b"abcdef").header("etag") == etag
        head = account.call(wire, "HEAD", path)
        assert (head.status, head.header("content-length")) == (200, "6")
        assert account.call(wire, "HEAD", path, headers={"Range": "bytes=1-2"}).status == 206
        unchanged = account.call(wire, "GET", path, headers={"If-None-Match": etag})
        assert (unchanged.status, unchanged.header("etag"), unchanged.body) == (304, etag, b"")
        assert account.call(wire, "HEAD", f"{bucket}/missing").status == 404
        assert account.call(wire, "DELETE", path).status == 204
        assert account.call(wire, "GET", path).status == 404
        assert wire.unread == b""


@pytest.mark.parametrize(
    ("value", "status", "body"),
    [
        ("bytes=0-0", 206, b"0"),
        ("bytes=5-", 206, b"56789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("bytes=10-", 416, None),
        ("bytes=--5", 200, b"0123456789"),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(1500)), 200, b"0123456789"),
        ("bytes=" + "9" * 500 + "-", 416, None),
    ],
)
def test_GetObject_range(account: Account, bucket: str, value: str, status: int, body: bytes | None) -> None:
    assert account.once("PUT", f"{bucket}/ranged", b"0123456789").status == 200
    answer = account.once("GET", f"{bucket}/ranged", headers={"Range": value})
    assert answer.status == status
    assert body is None or answer.body == body


def test_a_session_token_of_thirty_kilobytes_is_judged_not_cut(account: Account, bucket: str) -> None:
    answer = account.once("GET", f"{bucket}/a", headers={"x-amz-security-token": "t" * 30_000})
    assert answer.status in (400, 403)
    assert b"RequestHeaderSectionTooLarge" not in answer.body


def test_metadata_with_line_ends_never_splits_an_answer(account: Account, bucket: str) -> None:
    path = f"{bucket}/ranged?response-content-disposition={quote('a' + chr(13) + chr(10) + 'X-Evil: 1', safe='')}"
    answer = account.once("GET", path)
    assert answer.status == 400
    assert answer.header("x-evil") is None


def test_a_thousand_signed_requests_on_one_connection(account: Account, bucket: str) -> None:
    assert account.once("PUT", f"{bucket}/many", b"abc").status == 200
    with account.target.connect() as wire:
        for _ in range(1050):
            assert account.call(wire, "GET", f"{bucket}/many").body == b"abc"
