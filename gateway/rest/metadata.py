"""User metadata as the JSON API takes it: a JSON object, in a form's field or as base64 in a header."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from gateway.errors import StorageError

MAX_METADATA_BYTES: Final = 1024 * 1024


def header_metadata(value: str | None) -> Mapping[str, Any]:
    """The same out of the header ``x-metadata``: base64."""
    if not value:
        return {}
    try:
        return metadata(base64.b64decode(value, validate=True))
    except binascii.Error:
        raise _bad_metadata() from None


def metadata(content: bytes) -> Mapping[str, Any]:
    """User metadata: a JSON object. Raises EntityTooLarge, InvalidParameter."""
    if len(content) > MAX_METADATA_BYTES:
        raise StorageError("EntityTooLarge", "The metadata exceeded the maximum allowed size")
    try:
        document = from_json(content, allow_inf_nan=False)
    except ValueError:
        raise _bad_metadata() from None
    if not isinstance(document, dict):
        raise _bad_metadata()
    return document


def _bad_metadata() -> StorageError:
    return StorageError("InvalidParameter", "The metadata must be a JSON object.", ArgumentName="metadata")
