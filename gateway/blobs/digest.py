"""Hashes and checksums of bytes on their way to a store, and S3's rules for those of a multipart object.

The algorithms are the ones S3 knows (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html).
Digests are raw bytes in the order S3 encodes as base64: CRCs and XXHash big-endian.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from awscrt import checksums

from gateway.wire.checksums import CHECKSUM_ALGORITHMS, Data, new_hash

_COMBINE: Final[Mapping[str, Callable[[int, int, int], int]]] = {
    "crc32": checksums.combine_crc32,
    "crc32c": checksums.combine_crc32c,
    "crc64nvme": checksums.combine_crc64nvme,
}


class Digester:
    """Several digests of one stream. All of them release the GIL for big updates, so threads hash in parallel.

    Not safe for concurrent updates. Raises ValueError for an unknown algorithm.
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        names = tuple(dict.fromkeys(algorithms))
        for name in names:
            if name not in CHECKSUM_ALGORITHMS:
                raise ValueError(f"unknown digest algorithm: {name}")
        self._hashes = {name: new_hash(name) for name in names}
        self.size_bytes = 0

    def update(self, data: Data) -> None:
        """Append the bytes of ``data``."""
        for running in self._hashes.values():
            running.update(data)
        self.size_bytes += data.nbytes if isinstance(data, memoryview) else len(data)

    def digests(self) -> Mapping[str, bytes]:
        """The digests of everything so far, by algorithm; more may be appended afterwards."""
        return {name: running.digest() for name, running in self._hashes.items()}


def digest(algorithm: str, data: Data) -> bytes:
    """The digest of bytes at hand. Raises ValueError for an unknown algorithm."""
    digester = Digester((algorithm,))
    digester.update(data)
    return digester.digests()[algorithm]


def combine_crc(algorithm: str, parts: Sequence[tuple[bytes, int]]) -> bytes:
    """The CRC of a whole object from its parts' (digest, length in bytes): S3's ``FULL_OBJECT`` checksum type.

    Raises ValueError for an algorithm that cannot be combined, a digest of the wrong length or no parts.
    """
    combine = _COMBINE.get(algorithm)
    if combine is None:
        raise ValueError(f"{algorithm} has no full-object form for multipart uploads")
    if not parts:
        raise ValueError("no parts to combine")
    size_bytes = CHECKSUM_ALGORITHMS[algorithm]
    whole = 0
    for part, length_bytes in parts:
        if len(part) != size_bytes:
            raise ValueError(f"a {algorithm} digest has {size_bytes} bytes")
        whole = combine(whole, int.from_bytes(part, "big"), length_bytes)
    return whole.to_bytes(size_bytes, "big")


def composite(algorithm: str, parts: Sequence[bytes]) -> bytes:
    """The digest of the parts' digests: S3's ``COMPOSITE`` checksum type, shown as base64 and ``-N``."""
    return digest(algorithm, b"".join(parts))


def multipart_etag(part_md5s: Sequence[bytes]) -> str:
    """The ETag, without quotes, of a multipart object: MD5 of the parts' MD5s and the number of parts."""
    return f"{composite('md5', part_md5s).hex()}-{len(part_md5s)}"
