"""Data keys: one a write, random, kept only wrapped; and what wraps them.

A wrapping key is derived for each data key with HKDF-SHA256 (RFC 5869) from a secret (a master key, or the key a
customer sends) and a random salt, so it encrypts once and its nonce may be constant. What the wrapped key is for
(tenant, method, named key, encryption context) goes into the derivation and the additional data: wrapped keys cannot be
moved between those. Named keys are therefore no stored thing: each name leads to other wrapping keys.
"""

import json
import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import digest as hmac_digest
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32

_SALT_BYTES: Final = 16
_WRAPPED_BYTES: Final = _SALT_BYTES + KEY_BYTES + 16
_NONCE: Final = bytes(12)
_WRAP: Final = "rowlock data key 1"
_STREAM: Final = b"rowlock stream 1|"

ROW_IDENTITY: Final = "row"
"""The identity of encrypted bytes that are kept in the row: they have no blob id."""

SSE_S3: Final = "AES256"
SSE_KMS: Final = "aws:kms"
SSE_C: Final = "SSE-C"


class WrongKey(Exception):
    """A wrapped key does not open with this secret, for this purpose."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """What the bytes of one object are encrypted with: its one blob, its parts, or the content in its row."""

    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "DataKey":
        """256 random bits."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def stream_key(self, identity: str) -> bytes:
        """The key of one stream. ``identity`` is the id of the blob it was first written as, which is never used
        again; so no two parts of an object share a key, and none opens in the place of another."""
        return derive(self.secret, b"", _STREAM + identity.encode())


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a data key is wrapped for. ``method`` is one of :data:`SSE_S3`, :data:`SSE_KMS`, :data:`SSE_C`."""

    tenant_id: str
    method: str
    kms_key_id: str | None = None
    kms_context: str | None = None

    @property
    def _text(self) -> bytes:
        parts = (_WRAP, self.tenant_id, self.method, self.kms_key_id, self.kms_context)
        return json.dumps(parts, separators=(",", ":")).encode()

    def wrap(self, secret: bytes, key: DataKey) -> str:
        """The data key under a secret, as base64."""
        salt = secrets.token_bytes(_SALT_BYTES)
        purpose = self._text
        sealed = AESGCM(derive(secret, salt, purpose)).encrypt(_NONCE, key.secret, purpose)
        return b64encode(salt + sealed).decode()

    def unwrap(self, secret: bytes, wrapped: str) -> DataKey:
        """Raises WrongKey."""
        try:
            data = b64decode(wrapped, validate=True)
        except (Base64Error, ValueError):
            raise WrongKey from None
        if len(data) != _WRAPPED_BYTES:
            raise WrongKey
        purpose = self._text
        try:
            opened = AESGCM(derive(secret, data[:_SALT_BYTES], purpose)).decrypt(_NONCE, data[_SALT_BYTES:], purpose)
        except InvalidTag:
            raise WrongKey from None
        return DataKey(opened)


@dataclass(frozen=True, slots=True)
class StoredEncryption:
    """How an object is encrypted, as its row keeps it. It holds no secret: the data key is wrapped.

    ``master_key_id`` names the master key that opens the wrapping (empty for a customer's key). ``origins`` are the
    blob ids the ciphertext was first written under, in order, where it is shared with the object it was copied from.
    """

    method: str
    data_key: str
    master_key_id: str | None = None
    kms_key_id: str | None = None
    kms_context: str | None = None
    bucket_key_enabled: bool | None = None
    origins: tuple[str, ...] = ()

    @property
    def document(self) -> Mapping[str, Any]:
        """The column ``storage.objects.encryption``."""
        fields = {
            "algorithm": self.method,
            "data_key": self.data_key,
            "master_key_id": self.master_key_id,
            "kms_key_id": self.kms_key_id,
            "kms_context": self.kms_context,
            "bucket_key_enabled": self.bucket_key_enabled,
            "origins": list(self.origins) or None,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "StoredEncryption":
        """Read ``document`` back. Raises KeyError for what is none."""
        return cls(
            method=document["algorithm"],
            data_key=document["data_key"],
            master_key_id=document.get("master_key_id"),
            kms_key_id=document.get("kms_key_id"),
            kms_context=document.get("kms_context"),
            bucket_key_enabled=document.get("bucket_key_enabled"),
            origins=tuple(document.get("origins", ())),
        )

    def purpose(self, tenant_id: str) -> Purpose:
        """What the data key was wrapped for."""
        return Purpose(tenant_id, self.method, self.kms_key_id, self.kms_context)


def derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) of 32 bytes: one block of output."""
    return hmac_digest(hmac_digest(salt or bytes(32), secret, "sha256"), info + b"\x01", "sha256")
