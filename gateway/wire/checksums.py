"""The checksum algorithms S3 knows, their digests, and the hash objects that compute them.

Names are lower-case, as in ``x-amz-checksum-<name>``
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from awscrt.checksums import XXHash, crc32, crc32c, crc64nvme


class Hash(Protocol):
    """What :mod:`hashlib`'s objects can do, as far as it is needed here."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, function: Callable[[bytes, int], int], size_bytes: int) -> None:
        self._function = function
        self._size_bytes = size_bytes
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size_bytes, "big")


class _XXHash:
    """awscrt finalises on the first digest; this one may be asked again."""

    def __init__(self, state: XXHash) -> None:
        self._state = state
        self._digest: bytes | None = None

    def update(self, data: bytes, /) -> None:
        self._state.update(data)

    def digest(self) -> bytes:
        if self._digest is None:
            self._digest = bytes(self._state.finalize())
        return self._digest


_NEW: Final[Mapping[str, Callable[[], Hash]]] = {
    "crc32": lambda: _Crc(crc32, 4),
    "crc32c": lambda: _Crc(crc32c, 4),
    "crc64nvme": lambda: _Crc(crc64nvme, 8),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "xxhash128": lambda: _XXHash(XXHash.new_xxhash3_128()),
    "xxhash3": lambda: _XXHash(XXHash.new_xxhash3_64()),
    "xxhash64": lambda: _XXHash(XXHash.new_xxhash64()),
}

# Algorithm -> size of its digest in bytes.
CHECKSUM_ALGORITHMS: Final[Mapping[str, int]] = {
    "crc32": 4,
    "crc32c": 4,
    "crc64nvme": 8,
    "md5": 16,
    "sha1": 20,
    "sha256": 32,
    "sha512": 64,
    "xxhash128": 16,
    "xxhash3": 8,
    "xxhash64": 8,
}


def new_hash(name: str) -> Hash:
    """A fresh hash object. Raises KeyError for an unknown algorithm."""
    return _NEW[name]()
