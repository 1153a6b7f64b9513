"""Temporary credentials: nothing is stored, the session token carries everything and only this server can write it.

The token is ``version (1) | key id (8) | nonce (12, random) | ciphertext and tag`` in base64url: AES-256-GCM (NIST SP
800-38D) over compressed JSON, with the access key id as additional data, so it serves no other key. The secret is an
HMAC of the access key id. Both keys are derived from a master key by HKDF (RFC 5869).
"""

import base64
import hmac
import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import StorageError

PREFIX: Final = "ASRL"
ID_CHARACTERS: Final = 20
MAX_TOKEN_CHARACTERS: Final = 32 * 1024

_VERSION: Final = b"\x01"
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(_VERSION) + _ID_BYTES + _NONCE_BYTES
_SECRET_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class TemporarySession:
    """What temporary credentials stand for.

    ``parent`` is the access key they were asked for with; without one they are of a user's token, whose role, subject
    and claims they carry. ``role`` is None when they act as their parent does, whatever it may be by then.
    """

    tenant_id: str
    name: str
    expires_at: datetime
    parent: str | None = None
    role: str | None = None
    subject: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class TemporaryKey:
    """The three parts a client is given."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Keys:
    id: bytes
    sealing: AESGCM = field(repr=False)
    deriving: bytes = field(repr=False)

    @classmethod
    def of(cls, master: bytes) -> "_Keys":
        derived = HKDF(SHA256(), 64, None, b"rowlock temporary credentials").derive(master)
        return cls(
            sha256(b"rowlock temporary credentials id" + master).digest()[:_ID_BYTES],
            AESGCM(derived[:32]),
            derived[32:],
        )

    def secret(self, access_key_id: str) -> str:
        digest = hmac.digest(self.deriving, access_key_id.encode("ascii"), "sha256")
        return base64.urlsafe_b64encode(digest)[:_SECRET_CHARACTERS].decode("ascii")


class TemporaryKeys:
    """Issues and opens temporary credentials, of every tenant. The first master key issues; all of them open."""

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        self._keys: Final = tuple(_Keys.of(master) for master in master_keys)

    def issue(self, session: TemporarySession) -> TemporaryKey:
        """New credentials for a session. The expiry is kept in whole seconds."""
        access_key_id = PREFIX + base64.b32encode(secrets.token_bytes(10)).decode("ascii")
        expires = int(session.expires_at.timestamp())
        content = {
            "tenant": session.tenant_id,
            "name": session.name,
            "exp": expires,
            "parent": session.parent,
            "role": session.role,
            "sub": session.subject,
            "claims": dict(session.claims),
            "policy": session.policy,
        }
        packed = zlib.compress(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
        keys, nonce = self._keys[0], secrets.token_bytes(_NONCE_BYTES)
        sealed = keys.sealing.encrypt(nonce, packed, _place(access_key_id, keys.id))
        token = base64.urlsafe_b64encode(b"".join((_VERSION, keys.id, nonce, sealed))).decode("ascii")
        return TemporaryKey(access_key_id, keys.secret(access_key_id), token, datetime.fromtimestamp(expires, UTC))

    def open(self, access_key_id: str, session_token: str) -> tuple[TemporarySession, str]:
        """The session of a token and the secret of its access key. It may be another tenant's and may have expired:
        both are for the caller to judge.

        Raises StorageError(InvalidToken): not written here, for another key, changed.
        """
        sealed = _decoded(session_token)
        key_id = sealed[len(_VERSION) : len(_VERSION) + _ID_BYTES]
        keys = next((each for each in self._keys if each.id == key_id), None)
        if keys is None or not sealed.startswith(_VERSION):
            raise StorageError("InvalidToken")
        nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
        try:
            packed = keys.sealing.decrypt(nonce, sealed[_HEAD_BYTES:], _place(access_key_id, keys.id))
        except InvalidTag:
            raise StorageError("InvalidToken") from None
        content = json.loads(zlib.decompress(packed))
        session = TemporarySession(
            content["tenant"],
            content["name"],
            datetime.fromtimestamp(content["exp"], UTC),
            content["parent"],
            content["role"],
            content["sub"],
            content["claims"],
            content["policy"],
        )
        return session, keys.secret(access_key_id)


def _decoded(token: str) -> bytes:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise StorageError("InvalidToken")
    try:
        sealed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        raise StorageError("InvalidToken") from None
    if len(sealed) <= _HEAD_BYTES:
        raise StorageError("InvalidToken")
    return sealed


def _place(access_key_id: str, key_id: bytes) -> bytes:
    return b"|".join((b"session token", access_key_id.encode("utf-8"), key_id))


def is_temporary(access_key_id: str) -> bool:
    """Whether an id is one that only a session token makes usable."""
    return len(access_key_id) == ID_CHARACTERS and access_key_id.startswith(PREFIX)
