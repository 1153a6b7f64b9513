"""What every HTTP edge owes, as checks that need no credentials.

Each check is a function of a :class:`Target`. ``test_wire.py`` runs them against ``ROWLOCK_ENDPOINT``,
``tests/integration/test_edge.py`` against small apps behind hypercorn and uvicorn. A PUT that is not
signed by a known key must be refused with 403 before its body is read.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Final

from conformance.wire.client import Answer, Target, Wire

Check = Callable[[Target], None]
CHECKS: Final[list[Check]] = []
# Those that hold on any server behind the drain guard; the others need our own connection class.
PORTABLE: Final[list[Check]] = []

# Signed with a key nobody has: refused by every S3 server at once, whether the bucket exists or not.
KEY: Final = (
    "/rowlock-wire-check/key?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    f"&X-Amz-Credential=NOSUCHKEY%2F{time.strftime('%Y%m%d', time.gmtime())}%2Fus-east-1%2Fs3%2Faws4_request"
    f"&X-Amz-Date={time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}&X-Amz-Expires=86400"
    f"&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}"
)
PIECE: Final = b"x" * 65536
LINGER_SECONDS: Final = 2.0


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def portable(function: Check) -> Check:
    PORTABLE.append(function)
    return check(function)


def assert_alive(target: Target) -> None:
    """The server still answers a fresh connection, quickly."""
    with target.connect(timeout_seconds=5.0) as wire:
        assert_serves(wire)


def assert_serves(wire: Wire) -> None:
    wire.head("GET", KEY)
    assert wire.answer().status in (200, 403, 404)


def refused(wire: Wire, status: int = 400) -> Answer:
    answer = wire.answer()
    assert answer.status == status, answer
    return answer


# --- early answers ------------------------------------------------------------------------------------------------


@portable
def early_403_to_a_PUT_of_forty_pieces(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, f"Content-Length: {40 * len(PIECE)}")
        for _ in range(40):
            wire.send(PIECE)
        answer = refused(wire, 403)
        assert answer.complete
        assert answer.closes
        assert wire.closed_within(LINGER_SECONDS + 3)
        assert wire.unread == b""
    assert_alive(target)


@portable
def early_403_to_a_small_body_keeps_the_connection(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, f"Content-Length: {5 * len(PIECE)}")
        for _ in range(5):
            wire.send(PIECE)
        assert not refused(wire, 403).closes
        assert_serves(wire)


@portable
def early_403_to_eleven_one_byte_chunks(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Transfer-Encoding: chunked")
        for _ in range(11):
            wire.send(b"1\r\nx\r\n")
            time.sleep(0.005)
        assert refused(wire, 403).closes
        assert wire.closed_within(LINGER_SECONDS + 3)
    assert_alive(target)


@portable
def early_403_to_a_hundred_chunks_at_once(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Transfer-Encoding: chunked")
        wire.send(b"1\r\nx\r\n" * 100 + b"0\r\n\r\n")
        refused(wire, 403)
        assert wire.closed_within(LINGER_SECONDS + 3)
    assert_alive(target)


@portable
def early_403_to_a_stalled_client(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Content-Length: 10000000")
        wire.send(b"x" * 1000)
        started = time.monotonic()
        answer = refused(wire, 403)
        assert answer.complete
        assert time.monotonic() - started < 1.5
        assert wire.closed_within(LINGER_SECONDS + 3)
    assert_alive(target)


@portable
def early_403_to_an_endless_upload(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Content-Length: 1000000000")
        deadline = time.monotonic() + 15
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                wire.send(PIECE)
        assert time.monotonic() < deadline, "the server takes a refused body for ever"
        with contextlib.suppress(ConnectionError):
            refused(wire, 403)
    assert_alive(target)


@portable
def an_unread_body_is_never_the_next_request(target: Target) -> None:
    inner = f"GET /smuggled HTTP/1.1\r\nHost: {target.authority}\r\n\r\n".encode("ascii")
    with target.connect() as wire:
        wire.head("PUT", KEY, f"Content-Length: {len(inner)}")
        wire.send(inner)
        refused(wire, 403)
        assert not wire.closed_within(0.3)
        assert wire.unread == b""


@portable
def many_requests_on_one_connection(target: Target) -> None:
    with target.connect() as wire:
        for _ in range(1100):
            assert_serves(wire)


@portable
def pipelined_requests_are_answered_in_order(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Content-Length: 3")
        wire.send(b"abc")
        wire.head("GET", KEY)
        wire.head("HEAD", KEY)
        refused(wire, 403)
        assert wire.answer().status in (200, 403, 404)
        assert wire.answer("HEAD").status in (200, 403, 404)


# --- framing ------------------------------------------------------------------------------------------------------


@portable
def content_length_with_transfer_encoding(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Content-Length: 4", "Transfer-Encoding: chunked")
        wire.send(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        refused(wire)
        assert wire.closed_within(LINGER_SECONDS + 3)
        assert wire.unread == b""


@check
def transfer_encodings_other_than_chunked(target: Target) -> None:
    for lines in (
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ):
        with target.connect() as wire:
            wire.head("PUT", KEY, *lines)
            wire.send(b"0\r\n\r\n")
            refused(wire)
            assert wire.closed_within(LINGER_SECONDS + 3), lines


@check
def content_lengths_that_are_no_number(target: Target) -> None:
    for value in ("+1", "0x1", "1_0", "-1", "9" * 30, "1 1", "1;2", "\u00b2"):
        with target.connect() as wire:
            wire.head("PUT", KEY, f"Content-Length: {value}")
            refused(wire)
            assert wire.closed_within(LINGER_SECONDS + 3), value


@check
def two_content_lengths(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Content-Length: 3", "Content-Length: 4")
        refused(wire)
        assert wire.closed_within(LINGER_SECONDS + 3)


@check
def malformed_header_lines(target: Target) -> None:
    for line in ("X-Test : a", "X\0Test: a", "X-Test: a\0b", " X-Test: a", "X Test: a", ": a"):
        with target.connect() as wire:
            wire.send(f"GET {KEY} HTTP/1.1\r\n{line}\r\nHost: {target.authority}\r\n\r\n".encode("latin-1"))
            refused(wire)


@check
def bare_line_ends_and_folded_lines(target: Target) -> None:
    host = f"Host: {target.authority}"
    for head in (
        f"GET {KEY} HTTP/1.1\n{host}\n\n",
        f"GET {KEY} HTTP/1.1\r\n{host}\nX-Test: a\r\n\r\n",
        f"GET {KEY} HTTP/1.1\r\n{host}\r\nX-Test: a\rX-Evil: b\r\n\r\n",
        f"GET {KEY} HTTP/1.1\r\n{host}\r\nX-Test: a\r\n b\r\n\r\n",
    ):
        with target.connect() as wire:
            wire.send(head.encode("ascii"))
            refused(wire)
            assert wire.closed_within(LINGER_SECONDS + 3), head
    with target.connect() as wire:
        for byte in f"GET {KEY} HTTP/1.1\r\n{host}\r\n\r\n".encode("ascii"):
            wire.send(bytes([byte]))
        assert wire.answer().status in (200, 403, 404)


@portable
def unusable_hosts(target: Target) -> None:
    for value in ("a/b?x", "a@b", "a#", "user:pass@a", "a b", "", "a\\b", "a:port"):
        with target.connect() as wire:
            wire.send(f"GET {KEY} HTTP/1.1\r\nHost: {value}\r\n\r\n".encode("latin-1"))
            refused(wire)


@check
def missing_and_repeated_hosts(target: Target) -> None:
    for lines in ("", "Host: a\r\nHost: a\r\n", "Host: a\r\nHost: b\r\n"):
        with target.connect() as wire:
            wire.send(f"GET {KEY} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            refused(wire)


@portable
def repeated_authorization_fields(target: Target) -> None:
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"):
        with target.connect() as wire:
            wire.head("GET", KEY, f"{name}: a", f"{name}: a")
            refused(wire)


@check
def absolute_form_of_another_host(target: Target) -> None:
    with target.connect() as wire:
        wire.head("GET", "http://elsewhere.example/rowlock-wire-check/key")
        refused(wire)
    with target.connect() as wire:
        wire.head("GET", f"http://{target.authority}{KEY}")
        assert wire.answer().status in (200, 403, 404)


@check
def targets_that_are_no_path(target: Target) -> None:
    for path in ("*", "key", "/rowlock-wire-check/a%zz", "/rowlock-wire-check/%ff", "/rowlock-wire-check/%c0%ae",
                 "/rowlock-wire-check/a%00b", "/rowlock-wire-check/a#b"):  # fmt: skip
        with target.connect() as wire:
            wire.head("GET", path)
            refused(wire)


@portable
def too_many_headers(target: Target) -> None:
    with target.connect() as wire:
        wire.head("GET", KEY, *(f"X-Test-{number}: a" for number in range(120)))
        assert b"RequestHeaderSectionTooLarge" in refused(wire).body


@portable
def a_header_section_of_twenty_kilobytes(target: Target) -> None:
    with target.connect() as wire:
        wire.head("GET", KEY, *(f"X-Test-{number}: {'a' * 2000}" for number in range(10)))
        assert b"RequestHeaderSectionTooLarge" in refused(wire).body


@check
def a_header_section_of_a_megabyte(target: Target) -> None:
    with target.connect() as wire:
        wire.send(f"GET {KEY} HTTP/1.1\r\nHost: {target.authority}\r\n".encode("ascii"))
        with contextlib.suppress(ConnectionError):
            for number in range(16):
                wire.send(f"X-Test-{number}: ".encode("ascii") + PIECE[:65000] + b"\r\n")
        with contextlib.suppress(ConnectionError):
            refused(wire)
    assert_alive(target)


@portable
def methods_nobody_knows(target: Target) -> None:
    for method in ("__class__", "PROPFIND", "M" * 1024):
        with target.connect() as wire:
            wire.head(method, KEY)
            assert wire.answer().status in (400, 405), method


# --- expectations and upgrades ------------------------------------------------------------------------------------


@portable
def no_100_Continue_for_a_refused_upload(target: Target) -> None:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Content-Length: 10000000", "Expect: 100-continue")
        answer = wire.answer(interim=True)
        assert answer.status == 403
        assert answer.closes
        assert answer.complete


@portable
def unknown_expectations(target: Target) -> None:
    with target.connect() as wire:
        wire.head("GET", KEY, "Expect: 200-ok")
        refused(wire, 403)


@portable
def no_upgrade_to_h2c(target: Target) -> None:
    with target.connect() as wire:
        wire.head("GET", KEY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
        assert wire.answer(interim=True).status in (200, 400, 403, 404)
        assert_serves(wire)


@check
def no_http2_with_prior_knowledge(target: Target) -> None:
    with target.connect() as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        refused(wire)
        assert wire.closed_within(LINGER_SECONDS + 3)


@check
def no_websocket(target: Target) -> None:
    with target.connect() as wire:
        wire.head(
            "GET", KEY, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        assert wire.answer(interim=True).status in (200, 400, 403, 404)
    assert_alive(target)


# --- slow and broken clients --------------------------------------------------------------------------------------


@check
def a_slow_head_is_closed(target: Target) -> None:
    with target.connect() as wire:
        wire.send(f"GET {KEY} HTTP/1.1\r\nHost: ".encode("ascii"))
        started = time.monotonic()
        closed = False
        while not closed and time.monotonic() - started < target.header_timeout_seconds + 5:
            with contextlib.suppress(OSError):
                wire.send(b"a")
            closed = wire.closed_within(0.2)
        assert closed
        assert time.monotonic() - started >= target.header_timeout_seconds * 0.9


@check
def a_slow_second_head_is_closed(target: Target) -> None:
    with target.connect() as wire:
        assert_serves(wire)
        wire.send(b"GET ")
        assert wire.closed_within(target.header_timeout_seconds + 3)


@check
def a_refused_upload_cut_in_the_middle(target: Target) -> None:
    for _ in range(20):
        with target.connect() as wire:
            wire.head("PUT", KEY, "Content-Length: 10000000")
            wire.send(PIECE)
    assert_alive(target)


@portable
def HEAD_errors_have_no_body(target: Target) -> None:
    with target.connect() as wire:
        wire.head("HEAD", KEY)
        assert wire.answer("HEAD").status in (200, 403, 404)
        assert_serves(wire)
        assert wire.unread == b""
