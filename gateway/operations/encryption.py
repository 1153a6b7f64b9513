"""Server-side encryption as requests ask for it: SSE-S3, SSE-KMS with local named keys, SSE-C, and bucket defaults.

Sources of the rules: "Protecting data with server-side encryption" of the S3 user guide and its pages on each method
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html); messages are AWS's.
"""

import asyncio
import hashlib
import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Any, Final

import structlog

from gateway.context import Call
from gateway.encryption.keys import KEY_BYTES, SSE_C, SSE_KMS, SSE_S3, DataKey, StoredEncryption, WrongKey
from gateway.encryption.vault import UnknownMasterKey, Vault
from gateway.errors import StorageError
from gateway.metadata.records import Attributes

_ALGORITHM: Final = "AES256"
_METHODS: Final = frozenset({SSE_S3, SSE_KMS})
# What S3 has besides.
NOT_OFFERED: Final = frozenset({"aws:backup", "aws:fsx", "aws:kms:dsse"})
_KMS_KEY_ID: Final = re.compile(r"[\x21-\x7e]{1,2048}")
_MAX_CONTEXT_BYTES: Final = 8192
_HINTED_BUCKETS: Final = 1000
_NOT_SECURE: Final = (
    "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
)
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


def requested(encryption: Encryption, call: Call, asked: Any) -> Wanted | None:
    """The encryption that the headers of a writing request ask for. Raises StorageError: InvalidArgument,
    InvalidRequest, InvalidEncryptionAlgorithmError, KMS.NotFoundException, NotImplemented."""
    customer = customer_key(encryption, call, asked)
    method = asked.server_side_encryption
    if customer is not None:
        if method is not None or asked.sse_kms_key_id is not None:
            raise StorageError(
                "InvalidArgument",
                "Server Side Encryption with Customer provided key is incompatible with the encryption method "
                "specified",
                ArgumentName="x-amz-server-side-encryption",
                ArgumentValue=method or "",
            )
        return Wanted(SSE_C, customer=customer)
    if method != SSE_KMS and (asked.sse_kms_key_id is not None or asked.sse_kms_encryption_context is not None):
        raise StorageError(
            "InvalidArgument",
            "Server Side Encryption with AWS KMS managed key requires HTTP header "
            "x-amz-server-side-encryption : aws:kms",
            ArgumentName="x-amz-server-side-encryption",
            ArgumentValue=method or "null",
        )
    if method is None:
        return None
    if method not in _METHODS:
        if method in NOT_OFFERED:
            raise StorageError("NotImplemented", Header="x-amz-server-side-encryption")
        raise StorageError(
            "InvalidArgument",
            "The encryption method specified is not supported",
            ArgumentName="x-amz-server-side-encryption",
            ArgumentValue=method[:100],
        )
    if method == SSE_S3:
        return Wanted(SSE_S3)
    return Wanted(
        SSE_KMS,
        kms_key_id(encryption, asked.sse_kms_key_id),
        _context(asked.sse_kms_encryption_context),
        asked.bucket_key_enabled,
    )


def kms_key_id(encryption: Encryption, name: str | None) -> str:
    """The named key to write with. Raises StorageError(KMS.NotFoundException) for one that may not be used."""
    name = name or encryption.kms_default_key_id
    known = encryption.kms_key_ids is None or name in encryption.kms_key_ids
    if not known or _KMS_KEY_ID.fullmatch(name) is None:
        raise StorageError("KMS.NotFoundException", f"Invalid keyId '{name[:256]}'")
    return name


def customer_key(encryption: Encryption, call: Call, asked: Any, *, source: bool = False) -> CustomerKey | None:
    """The key of the SSE-C headers, or (``source``) of those about a copy's source, if there are any. Raises
    StorageError: InvalidArgument, InvalidRequest, InvalidEncryptionAlgorithmError."""
    prefix = "copy_source_" if source else ""
    algorithm = getattr(asked, f"{prefix}sse_customer_algorithm")
    key = getattr(asked, f"{prefix}sse_customer_key")
    md5 = getattr(asked, f"{prefix}sse_customer_key_md5")
    if algorithm is None and key is None and md5 is None:
        return None
    if not call.secure and not encryption.customer_keys_over_http:
        raise StorageError("InvalidRequest", _NOT_SECURE)
    if algorithm is None:
        raise _invalid_customer_key("must provide a valid encryption algorithm.")
    if algorithm != _ALGORITHM:
        raise StorageError("InvalidEncryptionAlgorithmError", ArgumentValue=algorithm[:256])
    if not key:
        raise _invalid_customer_key("must provide an appropriate secret key.")
    if not md5:
        raise _invalid_customer_key("must provide the client calculated MD5 of the secret key.")
    try:
        secret = b64decode(key, validate=True)
    except (Base64Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise StorageError("InvalidArgument", "The secret key was invalid for the specified algorithm.")
    digest = hashlib.md5(secret, usedforsecurity=False).digest()
    try:
        matches = compare_digest(b64decode(md5, validate=True), digest)
    except (Base64Error, ValueError):
        matches = False
    if not matches:
        raise StorageError(
            "InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided."
        )
    return CustomerKey(secret, md5)


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


def refuse_method_on_read(asked: Any) -> None:
    """S3 knows how the object is encrypted; a reader must not say it."""
    if asked.server_side_encryption is not None:
        raise StorageError(
            "InvalidArgument",
            "x-amz-server-side-encryption header is not supported for this operation.",
            ArgumentName="x-amz-server-side-encryption",
            ArgumentValue=asked.server_side_encryption,
        )


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


def _context(text: str | None) -> str | None:
    """The encryption context: base64 of a JSON object of texts. Raises InvalidArgument."""
    if text is None:
        return None
    try:
        document = json.loads(b64decode(text, validate=True)) if len(text) <= _MAX_CONTEXT_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise StorageError(
            "InvalidArgument",
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON "
            "which represents a string-string map",
        )
    return text


def _invalid_customer_key(message: str) -> StorageError:
    return StorageError(
        "InvalidArgument", f"Requests specifying Server Side Encryption with Customer provided keys {message}"
    )
