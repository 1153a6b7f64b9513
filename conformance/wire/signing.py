"""Requests signed by botocore, sent byte by byte. botocore stays the client here, so it never proves itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conformance.wire.client import Answer, Target, Wire


class _UnsignedPayload(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Leaves the body out of the signature also on plain http, where botocore would insist."""

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Signer:
    """A pair of keys and a region."""

    access_key_id: str
    secret_access_key: str
    region: str

    def fields(
        self, target: Target, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> list[str]:
        """Header lines, signed ones included, of a request whose path is already percent-encoded."""
        scheme = "https" if target.secure else "http"
        given = {"Host": target.authority, **headers}
        request = AWSRequest(method, f"{scheme}://{target.authority}{path}", headers=given, data=body or b"")
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        auth = S3SigV4Auth if body is not None else _UnsignedPayload
        auth(credentials, "s3", self.region).add_auth(request)
        return [f"{name}: {value}" for name, value in request.headers.items() if name.lower() != "host"]


@dataclass(frozen=True, slots=True)
class Account:
    """What a check needs to act: the server and a signer."""

    target: Target
    signer: Signer

    def start(
        self, wire: Wire, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = b""
    ) -> None:
        """Send a signed head. ``body`` is what the signature covers; None leaves it unsigned."""
        wire.head(method, path, *self.signer.fields(self.target, method, path, headers or {}, body))

    def call(
        self, wire: Wire, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One whole request and its answer."""
        given = dict(headers or {})
        if body or method in ("PUT", "POST"):
            given["Content-Length"] = str(len(body))
        self.start(wire, method, path, given, body)
        wire.send(body)
        return wire.answer(method)

    def once(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """The same on a connection of its own."""
        with self.target.connect() as wire:
            return self.call(wire, method, path, body, headers)
