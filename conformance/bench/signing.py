"""A Signature Version 4 signer that is cheap enough not to be what a benchmark measures.

Everything that does not change between requests is computed once: the signing key, the credential scope, the header
lines. A request costs two SHA-256 and one HMAC. Keys and query values must be given already percent-encoded.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
from datetime import datetime
from typing import Final

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_SIGNED_HEADERS: Final = "host;x-amz-content-sha256;x-amz-date"


class Signer:
    """Signs requests to one host, at one moment: AWS accepts a signature for 15 minutes around it."""

    def __init__(self, *, access_key_id: str, secret_access_key: str, region: str, host: str, moment: datetime) -> None:
        day, timestamp = moment.strftime("%Y%m%d"), moment.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{day}/{region}/s3/aws4_request"
        key = b"AWS4" + secret_access_key.encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key
        self._string_to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n"
        self._canonical_host = f"host:{host}\nx-amz-content-sha256:"
        self._canonical_date = f"\nx-amz-date:{timestamp}\n\n{_SIGNED_HEADERS}\n"
        self._head = f" HTTP/1.1\r\nHost: {host}\r\nX-Amz-Date: {timestamp}\r\nX-Amz-Content-SHA256: "
        self._authorization = (
            f"\r\nAuthorization: AWS4-HMAC-SHA256 Credential={access_key_id}/{scope}, "
            f"SignedHeaders={_SIGNED_HEADERS}, Signature="
        )

    def signature(self, method: str, path: str, query: str, payload_sha256: str) -> str:
        """The signature alone, as hexadecimal digits."""
        canonical = (
            f"{method}\n{path}\n{query}\n{self._canonical_host}{payload_sha256}{self._canonical_date}{payload_sha256}"
        )
        text = self._string_to_sign + hashlib.sha256(canonical.encode()).hexdigest()
        return hmac.digest(self._key, text.encode(), "sha256").hex()

    def head(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        payload_sha256: str = EMPTY_SHA256,
        length_bytes: int | None = None,
    ) -> bytes:
        """A whole request head. ``query`` must be in canonical order, every name with its ``=``."""
        signature = self.signature(method, path, query, payload_sha256)
        target = f"{path}?{query}" if query else path
        length = "" if length_bytes is None else f"\r\nContent-Length: {length_bytes}"
        return (
            f"{method} {target}{self._head}{payload_sha256}{self._authorization}{signature}{length}\r\n\r\n"
        ).encode()
