"""Requests before they are signed, answers in the form they are compared in, and a connection that is kept."""

import http.client
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

_TIMEOUT_SECONDS: Final = 30.0
# What differs between any two answers; Date and the ids are the only ones in a refusal.
_REQUEST_IDS: Final = ("x-amz-request-id", "x-amzn-requestid", "x-request-id")
_MOMENTARY: Final = frozenset({"date", *_REQUEST_IDS})
_GENERATED: Final = frozenset({"x-amz-version-id", "last-modified", "x-amz-copy-source-version-id"})
_UUID: Final = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX_ID: Final = re.compile(rb"\b[0-9a-f]{32}\b")
_MOMENT: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_TOKEN: Final = re.compile(rb"eyJ[A-Za-z0-9_.=/+-]{14,}")
_ISSUED: Final = re.compile(rb"(?<=<)(AccessKeyId|SecretAccessKey|SessionToken|AssumedRoleId)>[^<]+")


@dataclass(frozen=True, slots=True)
class Request:
    """A request without credentials. ``target`` is path and query as they are sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_headers(self, **headers: str) -> "Request":
        """The same with more headers."""
        more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return replace(self, headers=(*self.headers, *more))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def holds(self, text: str) -> bool:
        """Whether a text is anywhere in it, as it is or encoded for a URL."""
        everything = self.body + repr(self.headers).encode()
        return any(form.encode() in everything for form in _forms(text))

    def comparable(self, names: Sequence[tuple[str, str]]) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """The answer without what differs between any two, each name that was asked for replaced by its label."""
        headers, body = dict(self.headers), self.body
        for name in _REQUEST_IDS:
            if request_id := headers.get(name):
                body = body.replace(request_id.encode(), b"ID")
        succeeded = self.status < 300
        if succeeded:
            for pattern in (_UUID, _HEX_ID, _MOMENT, _TOKEN, _ISSUED):
                body = pattern.sub(b"GENERATED", body)
            headers.pop("content-length", None)
        kept = []
        for name, value in headers.items():
            if name in _MOMENTARY or (succeeded and name in _GENERATED):
                continue
            kept.append((name, _labelled(value.encode(), names).decode()))
        return self.status, tuple(sorted(kept)), _labelled(body, names)


def _labelled(content: bytes, names: Sequence[tuple[str, str]]) -> bytes:
    for name, label in names:
        for form in _forms(name):
            content = content.replace(form.encode(), label.encode())
    return content


def _forms(text: str) -> set[str]:
    return {text, quote(text), quote(text, safe="")}


class Wire:
    """One connection to a server, opened again when it was closed."""

    def __init__(self, port: int) -> None:
        self._connection: Final = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)

    def send(self, request: Request) -> Answer:
        """Send as it is and read the whole answer. ``request`` has a Host header."""
        connection = self._connection
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            connection.putheader(name, value)
        if not any(name.lower() == "content-length" for name, _ in request.headers):
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        response = connection.getresponse()
        body = response.read()
        headers = tuple((name.lower(), value) for name, value in response.getheaders())
        return Answer(response.status, headers, body)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
