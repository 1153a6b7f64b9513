"""S3's names of checksum algorithms, and the fields of inputs and outputs that carry their values."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

from gateway.blobs.digest import combine_crc, composite
from gateway.errors import StorageError
from gateway.metadata.records import Checksum

FULL_OBJECT: Final = "FULL_OBJECT"
COMPOSITE: Final = "COMPOSITE"

# What AWS computes for an object whose client sent no checksum.
DEFAULT_ALGORITHM: Final = "crc64nvme"

_S3_NAMES: Final = {
    "crc32": "CRC32",
    "crc32c": "CRC32C",
    "crc64nvme": "CRC64NVME",
    "sha1": "SHA1",
    "sha256": "SHA256",
    "sha512": "SHA512",
    "md5": "MD5",
    "xxhash64": "XXHASH64",
    "xxhash3": "XXHASH3",
    "xxhash128": "XXHASH128",
}
# Digest name -> member of an input record.
_FIELDS: Final = {name: f"checksum_{name}" for name in _S3_NAMES}
_COMBINABLE: Final = frozenset({"crc32", "crc32c", "crc64nvme"})


def s3_name(algorithm: str) -> str:
    """``crc32`` → ``CRC32``."""
    return _S3_NAMES[algorithm]


def digest_name(algorithm: str) -> str:
    """``CRC32`` → ``crc32``."""
    return algorithm.lower()


def fields(checksum: Checksum | None) -> dict[str, Any]:
    """The output members of a checksum: ``checksum_crc32`` and ``checksum_type``."""
    if checksum is None:
        return {}
    return {f"checksum_{checksum.algorithm.lower()}": checksum.value, "checksum_type": checksum.type}


def value_field(algorithm: str | None, value: str | None) -> dict[str, Any]:
    """The one output member of a part's checksum."""
    return {f"checksum_{algorithm.lower()}": value} if algorithm and value else {}


def sent(document: Any) -> tuple[str, str] | None:
    """The (digest name, base64 value) a client gave in an input record, or None."""
    for name, field in _FIELDS.items():
        value = getattr(document, field, None)
        if value is not None:
            return name, value
    return None


def full_object(algorithm: str, digest: bytes) -> Checksum:
    """The stored form of a digest over all bytes."""
    return Checksum(s3_name(algorithm), FULL_OBJECT, b64encode(digest).decode())


def upload_type(algorithm: str | None, requested: str | None) -> str | None:
    """The checksum type of a multipart upload. Raises InvalidRequest for a combination S3 does not have
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html)."""
    if algorithm is None:
        if requested is not None:
            raise StorageError(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        return None
    name = algorithm.lower()
    if requested is None:
        return FULL_OBJECT if name == "crc64nvme" else COMPOSITE
    if (requested == FULL_OBJECT and name not in _COMBINABLE) or (requested == COMPOSITE and name == "crc64nvme"):
        raise StorageError(
            "InvalidRequest",
            f"The {requested} checksum type cannot be used with the {name} checksum algorithm.",
        )
    return requested


def of_parts(algorithm: str, kind: str, parts: Sequence[tuple[str, int]]) -> Checksum:
    """The checksum of a multipart object from its parts' (base64 value, size)."""
    name = algorithm.lower()
    digests = [b64decode(value) for value, _ in parts]
    if kind == FULL_OBJECT:
        sizes = [size for _, size in parts]
        whole = combine_crc(name, list(zip(digests, sizes, strict=True)))
        return Checksum(algorithm, FULL_OBJECT, b64encode(whole).decode())
    return Checksum(algorithm, COMPOSITE, f"{b64encode(composite(name, digests)).decode()}-{len(parts)}")
