"""Browser forms for the suites: written by hand, so that anything can be wrong with them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from conformance.rawhttp import RawClient, RawResponse
from conformance.target import Target

FILE_TYPE: Final = "application/x-browser"
BOUNDARY: Final = "----RowlockFormBoundary7MA4YWxk"

Fields = Mapping[str, str] | Sequence[tuple[str, str]]


def document(expires: timedelta, conditions: Sequence[Any]) -> str:
    """A policy, base64."""
    expiration = (datetime.now(UTC) + expires).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return base64.b64encode(json.dumps({"expiration": expiration, "conditions": list(conditions)}).encode()).decode()


def signed(
    target: Target,
    conditions: Sequence[Any],
    *,
    expires: timedelta = timedelta(minutes=5),
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
) -> dict[str, str]:
    """The fields of AWS4-HMAC-SHA256 over a policy of these conditions and of the fields themselves."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{target.region}/s3/aws4_request"
    fields = {
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{access_key_id or target.access_key_id}/{scope}",
        "x-amz-date": stamp,
    }
    policy = document(expires, [*conditions, *({name: value} for name, value in fields.items())])
    key = f"AWS4{secret_access_key or target.secret_access_key}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return {**fields, "policy": policy, "x-amz-signature": hmac.new(key, policy.encode(), "sha256").hexdigest()}


def signed_sigv2(target: Target, conditions: Sequence[Any]) -> dict[str, str]:
    """The fields of the old way: HMAC-SHA1 over the policy."""
    policy = document(timedelta(minutes=5), conditions)
    mac = hmac.digest(target.secret_access_key.encode(), policy.encode(), hashlib.sha1)
    return {
        "AWSAccessKeyId": target.access_key_id,
        "policy": policy,
        "signature": base64.b64encode(mac).decode(),
    }


def part(name: str, content: bytes, *, file_name: str | None = None, content_type: str | None = None) -> bytes:
    """One part with its opening boundary."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    if file_name is not None:
        head += f'; filename="{file_name}"'
    if content_type is not None:
        head += f"\r\nContent-Type: {content_type}"
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


def body(
    fields: Fields, file: bytes | None, *, file_name: str = "file.bin", after: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A whole form; ``after`` are fields that follow the file."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    parts = [part(name, value.encode()) for name, value in pairs]
    if file is not None:
        parts.append(part("file", file, file_name=file_name, content_type=FILE_TYPE))
    parts += [part(name, value.encode()) for name, value in after]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(raw: RawClient, path: str, content: bytes, headers: Mapping[str, str] | None = None) -> RawResponse:
    """Send a form as a browser does, without any signature of its own."""
    given = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **(headers or {})}
    return raw.anonymous("POST", path, given, content)
