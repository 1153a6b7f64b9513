"""What objects can be imported from."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SourceObject:
    """An object as a listing shows it. ``key`` is relative to what is imported; ``name`` is the source's own."""

    key: str
    name: str
    size_bytes: int
    modified: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something in the source that cannot become an object, and why, in words."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What the source says of an object. ``md5`` and ``checksum`` (algorithm in lower case, digest) are of all its
    bytes; ``part_sizes`` are given where its ETag is one of parts, in their order."""

    size_bytes: int
    etag: str | None = None
    content_type: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    expires: str | None = None
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    md5: bytes | None = None
    checksum: tuple[str, bytes] | None = None
    part_sizes: Sequence[int] = ()


class Source(Protocol):
    """A bucket or directory. Methods raise StorageError when it cannot be read, FileNotFoundError for what is gone."""

    def pages(self) -> AsyncGenerator[Sequence[SourceObject | Unusable], None]:
        """Everything there is, a bounded number at a time."""
        ...

    async def facts(self, found: SourceObject) -> SourceFacts:
        """What describes one object."""
        ...

    def open(
        self, found: SourceObject, facts: SourceFacts, offset_bytes: int, length_bytes: int
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of a range, which is not empty. Raises StorageError if they are not those of ``facts``."""
        ...

    async def close(self) -> None:
        """Let go of threads and connections."""
        ...
