"""Requests to the JSON API as they go over the wire: one connection each, nothing normalised."""

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names) and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str, str]:
        """Of an error: HTTP status, the real status, the code."""
        document = self.json
        assert set(document) == {"statusCode", "error", "message", "code"}, document
        assert all(isinstance(value, str) and value for value in document.values()), document
        return self.status, document["statusCode"], document["code"]


@dataclass(frozen=True, slots=True)
class Api:
    """One caller of one server. ``token`` None sends no Authorization."""

    host: str
    port: int
    token: str | None = None
    prefix: str = "/storage/v1"

    def by(self, token: str | None) -> "Api":
        """The same server, another caller."""
        return replace(self, token=token)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; ``path`` is below the prefix and already encoded."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, self.prefix + path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def send(self, method: str, path: str, document: Any = None, **headers: str) -> Answer:
        """Send a JSON document, or nothing."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if document is None:
            return self.request(method, path, None, named)
        return self.request(method, path, json.dumps(document), {"content-type": "application/json"} | named)

    def make_bucket(self, name: str, **settings: Any) -> str:
        """A new bucket; its name."""
        answer = self.send("POST", "/bucket", {"name": name, **settings})
        assert answer.status == 200, answer.body
        return name

    def upload(self, bucket: str, key: str, content: bytes = b"content", **headers: str) -> Answer:
        """Store an object by a raw body."""
        named = {"content-type": "text/plain"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", f"/object/{bucket}/{quote(key)}", content, named)


def form(parts: Iterable[tuple[str, str | None, str | None, bytes]], boundary: str = "cut-here") -> bytes:
    """A multipart/form-data body of (name, file name, type, content)."""
    lines: list[bytes] = []
    for name, file_name, kind, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
        lines.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\n".encode())
        if kind is not None:
            lines.append(f"Content-Type: {kind}\r\n".encode())
        lines += [b"\r\n", content, b"\r\n"]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()
