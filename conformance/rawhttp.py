"""Send requests no SDK would send: odd paths, headers, bodies and signatures, over plain ``http.client``.

Signatures are botocore's own arithmetic; only the moment, the payload word and what is signed can be chosen.
"""

import hashlib
import hmac
import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree

from conformance.target import Target

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
TIMEOUT_SECONDS: Final = 30.0

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request exactly as it goes on the wire, apart from ``Host`` (and ``Content-Length``) which sending adds."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    timestamp: str = ""

    def header(self, name: str) -> str:
        """The first value of a header."""
        return next(value for key, value in self.headers if key.lower() == name.lower())

    def with_headers(self, headers: Headers) -> "RawRequest":
        """The same request with more headers, after signing: the signature does not know them."""
        more = headers.items() if isinstance(headers, Mapping) else headers
        return replace(self, headers=(*self.headers, *more))

    def without_header(self, name: str) -> "RawRequest":
        """The same request with a header left out."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() != name.lower()))

    def replacing_header(self, name: str, value: str) -> "RawRequest":
        """The same request with another value of a header."""
        return self.without_header(name).with_headers({name: value})


@dataclass(frozen=True, slots=True)
class RawResponse:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage = field(repr=False)
    body: bytes

    @property
    def xml(self) -> Any:
        """The body as an XML element without namespaces."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        root = etree.fromstring(self.body, parser)
        for element in root.iter(etree.Element):
            element.tag = etree.QName(element).localname
        return root

    @property
    def code(self) -> str | None:
        """The S3 error code, or None for an answer that is no error document."""
        if not self.body.lstrip().startswith(b"<"):
            return None
        root = self.xml
        return root.findtext("Code") if root.tag == "Error" else None

    def refusal(self) -> tuple[int, str | None]:
        """Status and code, in the form the tests compare."""
        return self.status, self.code


@dataclass(frozen=True, slots=True)
class RawClient:
    """Signs and sends raw requests to one target."""

    endpoint: Target

    def __call__(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", **options: Any
    ) -> RawResponse:
        """Sign with the header method and send; ``options`` are those of :meth:`sign`."""
        return self.send(self.sign(method, target, headers, body, **options))

    def sign(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        payload: str | None = None,
        now: datetime | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        region: str | None = None,
        service: str = "s3",
    ) -> RawRequest:
        """Sign by the Authorization header. ``target`` is the percent-encoded path and query, taken literally.

        ``payload`` replaces the body's SHA-256 in ``x-amz-content-sha256``.
        """
        timestamp = (now or datetime.now(UTC)).strftime(TIMESTAMP)
        request = self._aws_request(method, target, headers, timestamp)
        signer = S3SigV4Auth(
            self._credentials(access_key_id, secret_access_key), service, region or self.endpoint.region
        )
        request.headers["X-Amz-Date"] = timestamp
        request.headers["X-Amz-Content-SHA256"] = payload or hashlib.sha256(body).hexdigest()
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        signer._inject_signature_to_request(request, signature)
        return RawRequest(method, target, tuple(request.headers.items()), body, timestamp)

    def presign(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        *,
        expires: str = "600",
        now: datetime | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        region: str | None = None,
    ) -> RawRequest:
        """Sign by query parameters; any text may be given as ``expires``."""
        timestamp = (now or datetime.now(UTC)).strftime(TIMESTAMP)
        request = self._aws_request(method, target, headers, timestamp)
        credentials = self._credentials(access_key_id, secret_access_key)
        signer = S3SigV4QueryAuth(credentials, "s3", region or self.endpoint.region, expires=expires)
        signer._modify_request_before_signing(request)
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        signer._inject_signature_to_request(request, signature)
        return RawRequest(method, request.url.partition(self.endpoint.host)[2], tuple(request.headers.items()))

    def anonymous(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> RawResponse:
        """Send without any credentials."""
        return self.send(RawRequest(method, target, body=body).with_headers(headers))

    def send(self, request: RawRequest, *, content_length: int | None = -1, ends: bool = True) -> RawResponse:
        """Send and read the whole answer.

        ``content_length``: -1 the body's own, None no such header, else what is claimed; after a short body the
        sending side is closed, so that the server sees the end. Not so with ``ends`` false: an early answer is awaited.
        """
        connection = self._connection()
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            names = {name.lower() for name, _ in request.headers}
            if "host" not in names:
                connection.putheader("Host", self.endpoint.host)
            for name, value in request.headers:
                connection.putheader(name, value.encode("utf-8", "surrogateescape"))
            claimed = len(request.body) if content_length == -1 else content_length
            if claimed is not None and not names & {"content-length", "transfer-encoding"}:
                connection.putheader("Content-Length", str(claimed))
            connection.endheaders(request.body or None)
            if ends and claimed is not None and claimed > len(request.body) and connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_WR)
            response = connection.getresponse()
            return RawResponse(response.status, response.headers, response.read())
        finally:
            connection.close()

    def chunk_signature(self, request: RawRequest, previous: str, data: bytes) -> str:
        """The signature of one chunk of an ``aws-chunked`` body (AWS: "Transferring payload in multiple chunks")."""
        scope = f"{request.timestamp[:8]}/{self.endpoint.region}/s3/aws4_request"
        return self._derived(
            request,
            "\n".join(
                [
                    "AWS4-HMAC-SHA256-PAYLOAD",
                    request.timestamp,
                    scope,
                    previous,
                    EMPTY_SHA256,
                    hashlib.sha256(data).hexdigest(),
                ]
            ),
        )

    def trailer_signature(self, request: RawRequest, previous: str, trailer: str) -> str:
        """The signature of the trailer lines of an ``aws-chunked`` body with signed trailer."""
        scope = f"{request.timestamp[:8]}/{self.endpoint.region}/s3/aws4_request"
        digest = hashlib.sha256(trailer.encode()).hexdigest()
        return self._derived(
            request, "\n".join(["AWS4-HMAC-SHA256-TRAILER", request.timestamp, scope, previous, digest])
        )

    def _derived(self, request: RawRequest, string_to_sign: str) -> str:
        key = f"AWS4{self.endpoint.secret_access_key}".encode()
        for word in (request.timestamp[:8], self.endpoint.region, "s3", "aws4_request"):
            key = hmac.digest(key, word.encode(), "sha256")
        return hmac.new(key, string_to_sign.encode(), "sha256").hexdigest()

    def _credentials(self, access_key_id: str | None, secret_access_key: str | None) -> Credentials:
        return Credentials(
            access_key_id or self.endpoint.access_key_id, secret_access_key or self.endpoint.secret_access_key
        )

    def _aws_request(self, method: str, target: str, headers: Headers, timestamp: str) -> AWSRequest:
        request = AWSRequest(
            method=method, url=f"{urlsplit(self.endpoint.endpoint_url).scheme}://{self.endpoint.host}{target}"
        )
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            request.headers[name] = value
        request.context["timestamp"] = timestamp
        return request

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.endpoint.endpoint_url)
        host, port = parts.hostname or "", parts.port
        if not self.endpoint.secure:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=self.endpoint.ca_bundle)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
