"""What narrows a principal: an access key's own limits and a session policy. Pure.

A restriction never gives a right, it only takes some away: row-level security still decides about the rest. What is
asked is S3's action, the bucket and the key (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.context import Attempt, Restriction

_READS: Final = ("s3:Get", "s3:List")
_LISTINGS: Final = frozenset({"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"})


@dataclass(frozen=True, slots=True)
class KeyRestriction:
    """The limits of an access key: to some ``buckets`` (None: all), to keys under ``prefix``, to reading.

    With a prefix, listings must ask for a prefix within it, and what is about a bucket as a whole may only be read.
    With buckets or a prefix, the list of all buckets is refused.
    """

    buckets: frozenset[str] | None = None
    prefix: str = ""
    read_only: bool = False

    def permits(self, attempt: Attempt) -> bool:
        reading = attempt.action.startswith(_READS)
        if self.read_only and not reading:
            return False
        if attempt.bucket is None:
            return self.buckets is None and not self.prefix
        if self.buckets is not None and attempt.bucket not in self.buckets:
            return False
        if attempt.key is not None:
            return attempt.key.startswith(self.prefix)
        if attempt.action in _LISTINGS:
            return (attempt.prefix or "").startswith(self.prefix)
        return reading or not self.prefix


def key_restriction(document: Mapping[str, Any]) -> KeyRestriction | None:
    """From ``{"buckets": […], "prefix": "…", "read_only": true}``; None for one that narrows nothing.

    Raises ValueError, one line, for unknown names and wrong types: a limit that is not understood must not be lost.
    """
    if unknown := document.keys() - {"buckets", "prefix", "read_only"}:
        raise ValueError(f"unknown restriction {min(unknown)!r}")
    buckets, prefix, read_only = document.get("buckets"), document.get("prefix"), document.get("read_only", False)
    if buckets is not None and not (isinstance(buckets, list) and all(isinstance(name, str) for name in buckets)):
        raise ValueError("buckets must be a list of names")
    if prefix is not None and not isinstance(prefix, str):
        raise ValueError("prefix must be a text")
    if not isinstance(read_only, bool):
        raise ValueError("read_only must be true or false")
    made = KeyRestriction(None if buckets is None else frozenset(buckets), prefix or "", read_only)
    return None if made == KeyRestriction() else made


__all__ = ["Attempt", "KeyRestriction", "Restriction", "key_restriction"]
