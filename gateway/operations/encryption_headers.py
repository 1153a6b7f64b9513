"""What the headers of a request say about encryption: the method, the named key, the customer's own key.

Messages are AWS's
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html).
"""

import hashlib
import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from hmac import compare_digest
from typing import Any, Final

from gateway.context import Call
from gateway.encryption.keys import KEY_BYTES, SSE_C, SSE_KMS, SSE_S3
from gateway.errors import StorageError
from gateway.operations.encryption import CustomerKey, Encryption, Wanted

_ALGORITHM: Final = "AES256"
_METHODS: Final = frozenset({SSE_S3, SSE_KMS})
# What S3 has besides.
NOT_OFFERED: Final = frozenset({"aws:backup", "aws:fsx", "aws:kms:dsse"})
_KMS_KEY_ID: Final = re.compile(r"[\x21-\x7e]{1,2048}")
_MAX_CONTEXT_BYTES: Final = 8192
_NOT_SECURE: Final = (
    "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
)


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


def refuse_method_on_read(asked: Any) -> None:
    """S3 knows how the object is encrypted; a reader must not say it."""
    if asked.server_side_encryption is not None:
        raise StorageError(
            "InvalidArgument",
            "x-amz-server-side-encryption header is not supported for this operation.",
            ArgumentName="x-amz-server-side-encryption",
            ArgumentValue=asked.server_side_encryption,
        )


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
