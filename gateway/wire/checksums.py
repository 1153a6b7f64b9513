"""The checksum algorithms S3 knows, their digests, and the hash objects that compute them.

Names are lower-case, as in ``x-amz-checksum-<name>``
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html). Digests are raw bytes in the
order S3 encodes as base64: CRCs and XXHash big-endian.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from awscrt import checksums

Data = bytes | bytearray | memoryview

_XXHASH_COPY_BYTES: Final = 256 * 1024


class Hash(Protocol):
    """What :mod:`hashlib`'s objects can do, as far as it is needed here."""

    def update(self, data: Data, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A running CRC with hashlib's interface."""

    def __init__(self, function: Callable[[Data, int], int], size_bytes: int) -> None:
        self._function = function
        self._size_bytes = size_bytes
        self._value = 0

    def update(self, data: Data, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size_bytes, "big")


class _XXHash:
    """awscrt's XXHash with hashlib's interface; ``finalize`` leaves its state as it was and is big-endian."""

    def __init__(self, state: checksums.XXHash) -> None:
        self._state = state

    def update(self, data: Data, /) -> None:
        if isinstance(data, bytes):
            self._state.update(data)
            return
        with memoryview(data) as view, view.cast("B") as octets:
            for start in range(0, len(octets), _XXHASH_COPY_BYTES):  # awscrt's binding takes bytes only
                self._state.update(bytes(octets[start : start + _XXHASH_COPY_BYTES]))

    def digest(self) -> bytes:
        return bytes(self._state.finalize())


_FACTORIES: Final[Mapping[str, Callable[[], Hash]]] = {
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "crc32": lambda: _Crc(checksums.crc32, 4),
    "crc32c": lambda: _Crc(checksums.crc32c, 4),
    "crc64nvme": lambda: _Crc(checksums.crc64nvme, 8),
    "xxhash64": lambda: _XXHash(checksums.XXHash.new_xxhash64()),
    "xxhash3": lambda: _XXHash(checksums.XXHash.new_xxhash3_64()),
    "xxhash128": lambda: _XXHash(checksums.XXHash.new_xxhash3_128()),
}

CHECKSUM_ALGORITHMS: Final[Mapping[str, int]] = {name: len(factory().digest()) for name, factory in _FACTORIES.items()}
"""Every algorithm there is, and the length of its digest in bytes."""


def new_hash(name: str) -> Hash:
    """A fresh hash object. Raises KeyError for an unknown algorithm."""
    return _FACTORIES[name]()
