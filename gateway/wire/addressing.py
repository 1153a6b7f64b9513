"""What a request is about: the service, a bucket, or a key, read once from the raw path and the Host.

Keys are literal. They are percent-decoded exactly once and never normalised: ``..``, ``//`` and a trailing slash are
parts of a name (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gateway.context import Address, BucketAddress, ObjectAddress, ServiceAddress
from gateway.errors import StorageError
from gateway.wire.request import RawRequest, percent_decode

MAX_KEY_BYTES: Final = 1024
# The first segment of the JSON API's paths: while it is served, no bucket of this name is (DESIGN §8).
RESERVED_BUCKET: Final = "storage"

_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_VERSION_ID: Final = b"?versionId="


@dataclass(frozen=True, slots=True)
class CopySource:
    """The object named by ``x-amz-copy-source``; ``version_id`` None is the current version."""

    bucket: str
    key: str
    version_id: str | None


def resolve(request: RawRequest, domain: str | None) -> Address:
    """The address of a request, by host style (``bucket.<domain>``) or else by path style.

    Raises StorageError: InvalidURI (bad escapes, invalid UTF-8, NUL), KeyTooLongError, InvalidBucketName.
    """
    path = request.raw_path[len(request.mount) + 1 :]
    bucket = _bucket_of_host(request.host, domain)
    if bucket is None:
        if not path:
            return ServiceAddress()
        raw_bucket, _, path = path.partition(b"/")
        bucket = percent_decode(raw_bucket)
    validate_bucket_name(bucket, creating=False)
    if not path:
        return BucketAddress(bucket)
    key = percent_decode(path)
    validate_key(key)
    return ObjectAddress(bucket, key)


def _bucket_of_host(host: str, domain: str | None) -> str | None:
    if domain is None or not host.endswith(domain):
        return None
    prefix = host[: -len(domain)]
    return prefix[:-1] if len(prefix) > 1 and prefix.endswith(".") else None


def validate_key(key: str) -> None:
    """Raises StorageError: KeyTooLongError over 1,024 bytes of UTF-8, InvalidURI for NUL, InvalidArgument if empty."""
    if not key:
        raise StorageError("InvalidArgument", "A key cannot be empty.")
    if "\0" in key:
        raise StorageError("InvalidURI")
    # No character takes more than four bytes, so most keys need no encoding to be judged.
    if len(key) * 4 > MAX_KEY_BYTES and (size := len(key.encode("utf-8"))) > MAX_KEY_BYTES:
        raise StorageError("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(MAX_KEY_BYTES))


def validate_bucket_name(name: str, *, creating: bool) -> None:
    """Raises StorageError(InvalidBucketName) for names S3 does not allow; reserved ones only when ``creating``
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)."""
    _require_bucket_name(name)
    if creating and (name.startswith(_RESERVED_PREFIXES) or name.endswith(_RESERVED_SUFFIXES)):
        raise StorageError("InvalidBucketName", BucketName=name)


# Only good names, which are short, are remembered: an exception is not.
@lru_cache(maxsize=1024)
def _require_bucket_name(name: str) -> None:
    if _BUCKET.fullmatch(name) is None or ".." in name or ".-" in name or "-." in name or _IPV4.fullmatch(name):
        raise StorageError("InvalidBucketName", BucketName=name[:64])


def parse_copy_source(value: bytes) -> CopySource:
    """Read ``x-amz-copy-source``: ``[/]bucket/key[?versionId=id]``, percent-encoded. The version is split off before
    decoding, so that an encoded question mark stays part of the key.

    Raises StorageError: InvalidArgument, InvalidBucketName, InvalidURI, KeyTooLongError.
    """
    path, mark, version = value.removeprefix(b"/").partition(_VERSION_ID)
    raw_bucket, slash, raw_key = path.partition(b"/")
    if not raw_bucket and not slash:
        raise _bad_copy_source()
    # Some SDKs encode the slash between bucket and key as well.
    if not slash:
        bucket, slash_text, key = percent_decode(path).removeprefix("/").partition("/")
        if not slash_text:
            raise _bad_copy_source()
    else:
        bucket, key = percent_decode(raw_bucket).removeprefix("/"), percent_decode(raw_key)
    if not key or (mark and not version):
        raise _bad_copy_source()
    validate_bucket_name(bucket, creating=False)
    validate_key(key)
    return CopySource(bucket, key, percent_decode(version) if mark else None)


def _bad_copy_source() -> StorageError:
    return StorageError(
        "InvalidArgument",
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        ArgumentName="x-amz-copy-source",
    )
