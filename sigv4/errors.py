"""The one exception this package raises: a refusal that carries the *name* of an S3 error code.

Messages and extra XML elements are AWS's own where AWS publishes or sends them
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). A refusal never holds a secret, a signing
key or a signature this package computed: everything in it may be shown to the caller.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SIGNATURE_DOES_NOT_MATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)

# XML 1.0 cannot carry these at all; a refusal that echoes request bytes must still be renderable.
_UNPRINTABLE: Final = {code: "\ufffd" for code in (*range(0x20), 0x7F, 0xFFFE, 0xFFFF) if code not in (0x09, 0x0A)}


class SignatureError(Exception):
    """The request is refused. ``fields`` are the elements S3 puts beside ``Code`` and ``Message``."""

    def __init__(self, code: str, message: str, fields: Mapping[str, str] | None = None) -> None:
        self.code: Final = code
        self.message: Final = message
        self.fields: Final[Mapping[str, str]] = MappingProxyType(dict(fields or {}))
        super().__init__(f"{code}: {message}")


def shown(data: bytes, limit_bytes: int = 256) -> str:
    """Request bytes as text that is safe inside an XML error: UTF-8 or replaced, no control characters, cut."""
    return data[:limit_bytes].decode("utf-8", "replace").translate(_UNPRINTABLE)


def invalid_argument(name: str, message: str, value: bytes | None = None) -> SignatureError:
    """``InvalidArgument`` with S3's ``ArgumentName`` and, where it is no secret, ``ArgumentValue``."""
    fields = {"ArgumentName": name}
    if value is not None:
        fields["ArgumentValue"] = shown(value)
    return SignatureError("InvalidArgument", message, fields)
