"""Requests to judge, and two signers that are not ours: botocore, and some hmac for what botocore cannot make."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import sigv4

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
NOW = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
STAMP = "20261121T093015Z"
HOST = "s3.example.test:9000"
SCOPE = f"20261121/{REGION}/s3/aws4_request"


@dataclass(frozen=True)
class Request:
    method: str = "GET"
    raw_path: bytes = b"/bucket/key"
    raw_query: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()

    def with_header(self, name: str, value: str) -> "Request":
        return replace(self, headers=(*self.headers, (name.encode(), value.encode())))

    def replacing(self, name: str, value: str | None) -> "Request":
        kept = tuple(pair for pair in self.headers if pair[0] != name.encode())
        return replace(self, headers=kept if value is None else (*kept, (name.encode(), value.encode())))

    def header(self, name: str) -> str:
        return dict(self.headers)[name.encode()].decode()


def from_aws(signed: AWSRequest) -> Request:
    parts = urlsplit(signed.url)
    headers = [(b"host", parts.netloc.encode())]
    for name, value in signed.headers.items():
        raw = value if isinstance(value, bytes) else value.encode()
        if name.lower() != "host":
            headers.append((name.lower().encode(), raw.strip()))
    return Request(signed.method, parts.path.encode(), parts.query.encode(), tuple(headers))


def botocore_signed(method="GET", target="/bucket/key", headers=None, body=b"", *, when=NOW, region=REGION, token=None):
    """Signed in the Authorization header by botocore's S3 signer; ``target`` goes on the wire as it is."""
    request = AWSRequest(method=method, url=f"http://{HOST}{target}", headers=headers or {}, data=body)
    with patch("botocore.auth.get_current_datetime", return_value=when):
        S3SigV4Auth(Credentials(KEY, SECRET, token), "s3", region).add_auth(request)
    return from_aws(request)


def botocore_presigned(method="GET", target="/bucket/key", headers=None, *, expires=600, when=NOW, region=REGION):
    """A presigned URL by botocore's S3 signer."""
    request = AWSRequest(method=method, url=f"http://{HOST}{target}", headers=headers or {})
    with patch("botocore.auth.get_current_datetime", return_value=when):
        S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", region, expires=expires).add_auth(request)
    return from_aws(request)


def mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def derived_key(secret=SECRET, scope=SCOPE) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = mac(key, part)
    return key


def hand_signed(
    method="GET", path="/bucket/key", query="", headers=None, *, word="UNSIGNED-PAYLOAD", stamp=STAMP, scope=SCOPE,
    signed=None, key=KEY, extra=(),
) -> Request:  # fmt: skip
    """Signed by hand: canonical path and query are given, so any scope, date, word or header list can be made."""
    values = {"host": HOST, "x-amz-content-sha256": word, "x-amz-date": stamp, **(headers or {})}
    names = sorted(values) if signed is None else signed
    lines = [method, path, query, *(f"{name}:{values.get(name, '')}" for name in names), "", ";".join(names), word]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, digest))
    signature = mac(derived_key(scope=scope), text).hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    pairs = [*values.items(), ("authorization", authorization), *extra]
    return Request(method, path.encode(), query.encode(), tuple((n.encode(), v.encode()) for n, v in pairs))


def judge(request, *, now=NOW, region=REGION, secret=SECRET) -> sigv4.Payload:
    """What a server with one access key says. An unknown key is refused as the server would."""
    signed = sigv4.parse(request, region=region, now=now)
    assert signed is not None, "read as anonymous"
    if signed.access_key_id != KEY:
        raise sigv4.SignatureError("InvalidAccessKeyId", "unknown")
    return sigv4.verify(request, signed, secret)


def refused(code: str, request, **options) -> sigv4.SignatureError:
    """Assert that the request is refused with this code."""
    with pytest.raises(sigv4.SignatureError) as caught:
        judge(request, **options)
    assert caught.value.code == code, caught.value
    return caught.value
