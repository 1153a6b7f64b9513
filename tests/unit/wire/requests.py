"""Builders shared by the wire tests."""

from typing import Any

from gateway.wire.request import RawRequest


def scope(
    method: str = "GET", target: bytes = b"/bucket/key", *headers: tuple[bytes, bytes], **extra: Any
) -> dict[str, Any]:
    path, _, query = target.partition(b"?")
    given = [(name.lower(), value) for name, value in headers]
    if not any(name == b"host" for name, _ in given):
        given.insert(0, (b"host", b"localhost:9000"))
    return {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": query,
        "scheme": "http",
        "client": ("192.0.2.1", 4711),
        "headers": given,
        **extra,
    }


def request(method: str = "GET", target: bytes = b"/bucket/key", *headers: tuple[bytes, bytes]) -> RawRequest:
    return RawRequest.from_scope(scope(method, target, *headers), "request-1")
