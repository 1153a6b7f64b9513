"""Where a blob and what describes it are in an S3 bucket, and how a description becomes user metadata.

``<prefix>blobs/<epoch, 8 hex>/<blob id>``; a description that is too big for metadata, or of a blob whose ETag was
not known when its upload began, is an object of its own: ``<prefix>descriptions/<epoch>/<blob id>.json``.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

from gateway.blobs.descriptions import decode, encode
from gateway.blobs.protocol import EPOCH_HEX_DIGITS, BlobDescription, check_blob_id

DESCRIPTION: Final = "rowlock"
WRITE: Final = "rowlock-write"
"""A random number of the writer: by it a repeated request sees that the one before had arrived."""
PART_BYTES: Final = "rowlock-part-bytes"

# S3 allows 2 KB of names and values altogether.
_METADATA_MAX_BYTES: Final = 1800


class Keys:
    """The keys below one prefix. Raises ValueError for a malformed id."""

    def __init__(self, prefix: str) -> None:
        self.blobs: Final = f"{prefix}blobs/"
        self.descriptions: Final = f"{prefix}descriptions/"
        self.quarantine: Final = f"{prefix}quarantine/"
        self.check: Final = f"{prefix}check/"

    def blob(self, blob_id: str) -> str:
        """The blob itself."""
        return f"{self.blobs}{check_blob_id(blob_id)[:EPOCH_HEX_DIGITS]}/{blob_id}"

    def description(self, blob_id: str) -> str:
        """The object that describes it, if there is one."""
        return f"{self.descriptions}{check_blob_id(blob_id)[:EPOCH_HEX_DIGITS]}/{blob_id}.json"

    def epoch(self, epoch: int) -> str:
        """What the keys of an epoch's blobs begin with."""
        return f"{self.blobs}{epoch:0{EPOCH_HEX_DIGITS}x}/"

    def epoch_descriptions(self, epoch: int) -> str:
        """The same of their descriptions."""
        return f"{self.descriptions}{epoch:0{EPOCH_HEX_DIGITS}x}/"


def to_metadata(description: BlobDescription) -> dict[str, str] | None:
    """User metadata, in characters every store keeps; None if it does not fit."""
    text = b64encode(encode(description)).decode()
    return {DESCRIPTION: text} if len(text) <= _METADATA_MAX_BYTES else None


def from_metadata(metadata: Mapping[str, str]) -> BlobDescription | None:
    """The description, if these have one that can be read."""
    try:
        return decode(b64decode(metadata[DESCRIPTION], validate=True))
    except (KeyError, ValueError):
        return None
