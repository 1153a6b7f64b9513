"""Server-side encryption of objects: SSE-S3, SSE-KMS with local named keys, SSE-C, and bucket defaults.

Sources of the rules: "Protecting data with server-side encryption" of the S3 user guide and its pages on each method
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html); messages are AWS's.
"""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from gateway.encryption.keys import SSE_C, SSE_S3, DataKey, StoredEncryption, WrongKey
from gateway.encryption.vault import UnknownMasterKey, Vault
from gateway.errors import StorageError
from gateway.metadata.records import Attributes

_ALGORITHM: Final = "AES256"
_HINTED_BUCKETS: Final = 1000
_NOT_APPLICABLE: Final = "The encryption parameters are not applicable to this object."
_KEY_MISSING: Final = (
    "The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object."
)
_KEY_WRONG: Final = (
    "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."
)
_PART_KEY_MISSING: Final = (
    "The multipart upload initiate requested encryption. "
    "Subsequent part requests must include the appropriate encryption parameters."
)
_PART_NOT_ENCRYPTED: Final = (
    "The multipart upload initiate did not request encryption. "
    "Please resend the request without sending encryption parameters."
)
_PART_KEY_WRONG: Final = "The provided encryption parameters did not match the ones used originally."

_log = structlog.get_logger(__name__)


class BucketDefaults:
    """The default encryption of buckets as last heard, for this process only. A hint: the commit knows better."""

    def __init__(self) -> None:
        self._defaults: dict[str, Mapping[str, Any]] = {}

    def get(self, bucket: str) -> Mapping[str, Any] | None:
        """The default this bucket had; None if it had none, or nothing was heard of it."""
        return self._defaults.get(bucket)

    def note(self, bucket: str, default: Mapping[str, Any] | None) -> None:
        """Remember what the database said."""
        known = self._defaults.pop(bucket, None)
        if default is None:
            return
        if known is None and len(self._defaults) >= _HINTED_BUCKETS:
            del self._defaults[next(iter(self._defaults))]
        self._defaults[bucket] = default


@dataclass(frozen=True, slots=True)
class Encryption:
    """What encryption works with; without a vault, requests that need it are refused (NotImplemented).

    ``kms_key_ids`` are the names that may be written with, None for any. ``executor`` runs large pieces.
    """

    vault: Vault | None = None
    executor: Executor | None = None
    kms_key_ids: frozenset[str] | None = None
    kms_default_key_id: str = "aws/s3"
    customer_keys_over_http: bool = False
    defaults: BucketDefaults = field(default_factory=BucketDefaults)

    async def close(self) -> None:
        """Let go of the threads, after the pieces they are at."""
        if self.executor is not None:
            await asyncio.to_thread(self.executor.shutdown)


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """The key a request brings (SSE-C). It is used and forgotten."""

    secret: bytes = field(repr=False)
    md5: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an object is to be encrypted. ``bucket_default`` is set if that is what the bucket's default says."""

    method: str
    kms_key_id: str | None = None
    kms_context: str | None = None
    bucket_key_enabled: bool | None = None
    customer: CustomerKey | None = None
    bucket_default: Mapping[str, Any] | None = None

    @classmethod
    def by_default(cls, default: Mapping[str, Any] | None) -> "Wanted | None":
        """What a bucket's default encryption asks for; None asks for nothing."""
        if default is None:
            return None
        return cls(
            default["algorithm"],
            default.get("kms_key_id"),
            bucket_key_enabled=default.get("bucket_key_enabled"),
            bucket_default=default,
        )

    @classmethod
    def as_stored(cls, cipher: "Cipher | None") -> "Wanted | None":
        """What keeps an object encrypted as it is; nothing keeps it under a customer's key that was not sent."""
        if cipher is None or cipher.stored.method == SSE_C:
            return None
        stored = cipher.stored
        return cls(stored.method, stored.kms_key_id, stored.kms_context, stored.bucket_key_enabled)


@dataclass(frozen=True, slots=True)
class Cipher:
    """The open data key of one object, and what belongs to it."""

    key: DataKey
    stored: StoredEncryption
    executor: Executor
    customer: CustomerKey | None = None
    bucket_default: Mapping[str, Any] | None = None

    @property
    def has_md5_etag(self) -> bool:
        """Of these methods only SSE-S3 gives the MD5 as ETag (API_Object, "ETag")."""
        return self.stored.method == SSE_S3

    @property
    def description(self) -> str:
        """What is kept beside a blob."""
        return describe(self.stored)


def describe(stored: StoredEncryption) -> str:
    """How a blob is encrypted, to be kept beside it."""
    return json.dumps(stored.document, separators=(",", ":"))


def new_cipher(encryption: Encryption, wanted: Wanted | None) -> Cipher | None:
    """A fresh data key for a write; None for a plain one."""
    if wanted is None:
        return None
    vault, executor = _require_vault(encryption)
    purpose = vault.purpose(wanted.method, wanted.kms_key_id, wanted.kms_context)
    key, stored = vault.new_key(purpose, wanted.customer.secret if wanted.customer else None)
    stored = replace(stored, bucket_key_enabled=wanted.bucket_key_enabled or None)
    return Cipher(key, stored, executor, wanted.customer, wanted.bucket_default)


def unlock(encryption: Encryption, document: Mapping[str, Any] | None, customer: CustomerKey | None) -> Cipher | None:
    """The cipher of a stored object, None for a plain one. Raises StorageError: InvalidRequest for a customer's key
    that is missing or should not be there, AccessDenied for another than the object's."""
    return _unlock(encryption, document, customer, _OBJECT)


def unlock_upload(
    encryption: Encryption, document: Mapping[str, Any] | None, customer: CustomerKey | None
) -> Cipher | None:
    """The same for a multipart upload, whose parts must bring the key it began with."""
    return _unlock(encryption, document, customer, _UPLOAD)


def shared_cipher(encryption: Encryption, cipher: Cipher, wanted: Wanted, blob_ids: tuple[str, ...]) -> Cipher | None:
    """For a copy that takes over the ciphertext: possible where the copy is to be encrypted as its source is, by keys
    of ours. ``blob_ids`` are the source's."""
    vault, _ = _require_vault(encryption)
    stored = cipher.stored
    facts = (stored.method, stored.kms_key_id, stored.kms_context)
    if stored.method == SSE_C or facts != (wanted.method, wanted.kms_key_id, wanted.kms_context):
        return None
    again = replace(
        vault.wrap_again(cipher.key, stored),
        bucket_key_enabled=wanted.bucket_key_enabled or None,
        origins=stored.origins or blob_ids,
    )
    return replace(cipher, stored=again, bucket_default=wanted.bucket_default)


def with_encryption(attributes: Attributes, cipher: Cipher | None) -> Attributes:
    """The attributes of an object that is written with this cipher."""
    if cipher is None:
        return attributes
    return replace(attributes, encryption=cipher.stored.document, bucket_default=cipher.bucket_default)


def answer(document: Mapping[str, Any] | None, customer: CustomerKey | None = None) -> dict[str, Any]:
    """The output members that say how an object is encrypted."""
    if document is None:
        return {}
    method = document["algorithm"]
    if method == SSE_C:
        md5 = customer.md5 if customer else None
        return {"sse_customer_algorithm": _ALGORITHM, "sse_customer_key_md5": md5}
    if method == SSE_S3:
        return {"server_side_encryption": method}
    return {
        "server_side_encryption": method,
        "sse_kms_key_id": document.get("kms_key_id"),
        "bucket_key_enabled": document.get("bucket_key_enabled"),
    }


def answer_written(cipher: Cipher | None) -> dict[str, Any]:
    """The same for what was written just now, with the encryption context."""
    if cipher is None:
        return {}
    fields = answer(cipher.stored.document, cipher.customer)
    if cipher.stored.kms_context is not None:
        fields["sse_kms_encryption_context"] = cipher.stored.kms_context
    return fields


@dataclass(frozen=True, slots=True)
class _Refusals:
    """Codes and messages."""

    key_missing: tuple[str, str]
    not_applicable: tuple[str, str]
    key_wrong: tuple[str, str]


_OBJECT: Final = _Refusals(
    key_missing=("InvalidRequest", _KEY_MISSING),
    not_applicable=("InvalidRequest", _NOT_APPLICABLE),
    key_wrong=("AccessDenied", _KEY_WRONG),
)
_UPLOAD: Final = _Refusals(
    key_missing=("InvalidRequest", _PART_KEY_MISSING),
    not_applicable=("InvalidRequest", _PART_NOT_ENCRYPTED),
    key_wrong=("InvalidRequest", _PART_KEY_WRONG),
)


def _unlock(
    encryption: Encryption, document: Mapping[str, Any] | None, customer: CustomerKey | None, refusals: _Refusals
) -> Cipher | None:
    if document is None:
        if customer is not None:
            raise StorageError(*refusals.not_applicable)
        return None
    vault, executor = _require_vault(encryption)
    try:
        stored = StoredEncryption.of(document)
    except KeyError:
        raise StorageError("InternalError") from None
    if stored.method == SSE_C and customer is None:
        raise StorageError(*refusals.key_missing)
    if stored.method != SSE_C and customer is not None:
        raise StorageError(*refusals.not_applicable)
    try:
        key = vault.unlock(stored, customer.secret if customer else None)
    except WrongKey:
        if stored.method == SSE_C:
            raise StorageError(*refusals.key_wrong) from None
        _log.error("data_key_tampered", master_key_id=stored.master_key_id)
        raise StorageError("InternalError") from None
    except UnknownMasterKey:
        _log.error("master_key_missing", master_key_id=stored.master_key_id)
        raise StorageError("InternalError") from None
    return Cipher(key, stored, executor, customer)


def _require_vault(encryption: Encryption) -> tuple[Vault, Executor]:
    if encryption.vault is None or encryption.executor is None:
        raise StorageError("NotImplemented", Header="x-amz-server-side-encryption")
    return encryption.vault, encryption.executor
