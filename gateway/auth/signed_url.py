"""Signed URLs of the JSON API: a token that opens one object, or lets one be uploaded, until it expires.

The token is a JWT as Supabase has it: ``url`` is the bucket and the key, ``scope`` what it is good for. It is signed
with keys of its own, which are derived from the master key for each tenant and generation and stored nowhere, so that
no user's token is ever one of these, and a new generation ends all URLs at once. Tokens of a tenant's JWT secret, as
storage-api signed them before it had such keys, are read as well.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.auth import jwk, jwt
from gateway.auth.jwk import VerificationKey
from gateway.errors import StorageError

DOWNLOAD: Final = "download"
UPLOAD: Final = "upload"
_KEY_BYTES: Final = 32
_MAX_DATE: Final = 253_402_300_799
_API_KEY_SECONDS: Final = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class DownloadGrant:
    """What a URL for reading allows: one object, or one version of it, until then; ``transformations`` if it is to be
    rendered."""

    expires_at: datetime
    transformations: str | None
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """What a URL for writing allows: one object, on behalf of ``owner``; with ``upsert`` in the place of another. With
    ``pending_id`` the bytes wait under that id to be confirmed."""

    expires_at: datetime
    owner: str | None
    upsert: bool
    pending_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The generations of one tenant's keys that URLs may be signed with; the newest signs."""

    keys: tuple[tuple[str, bytes], ...]

    @classmethod
    def derive(cls, master_key: bytes, tenant: str, *, oldest: int, newest: int) -> "SigningKeys":
        """From 32 secret bytes (RFC 5869). Raises ValueError unless 1 <= oldest <= newest."""
        if not 1 <= oldest <= newest:
            raise ValueError("the oldest generation of URL keys comes before the newest")
        return cls(
            tuple(
                (f"url-{number}", _derived(master_key, f"rowlock signed urls|{tenant}|{number}"))
                for number in range(newest, max(oldest, newest - 15) - 1, -1)
            )
        )


class UrlSigner:
    """Signs and verifies the URLs of one tenant. ``secrets`` are its JWT secrets."""

    def __init__(
        self,
        keys: SigningKeys,
        secrets: Sequence[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._newest: Final = keys.keys[0]
        own = [jwk.of_jwk({"kty": "oct", "k": _encoded(key), "kid": name, "alg": "HS256"}) for name, key in keys.keys]
        self._keys: Final[tuple[VerificationKey, ...]] = (*own, *map(jwk.of_secret, secrets))
        self._clock: Final = clock

    def sign_download(
        self,
        bucket: str,
        key: str,
        *,
        lifetime_seconds: int,
        transformations: str | None = None,
        version_id: str | None = None,
    ) -> str:
        """A token that opens an object, or one version of it."""
        extra = {"transformations": transformations} if transformations else {}
        extra |= {"versionId": version_id} if version_id is not None else {}
        return self._sign(bucket, key, DOWNLOAD, lifetime_seconds, extra)

    def sign_upload(
        self,
        bucket: str,
        key: str,
        *,
        owner: str | None,
        upsert: bool,
        lifetime_seconds: int,
        pending_id: UUID | None = None,
    ) -> str:
        """A token by which an object may be uploaded."""
        waits = {} if pending_id is None else {"pending": str(pending_id)}
        return self._sign(bucket, key, UPLOAD, lifetime_seconds, {"owner": owner, "upsert": upsert, **waits})

    def verify_download(self, token: str, bucket: str, key: str) -> DownloadGrant:
        """Raises StorageError: InvalidJWT, ExpiredToken, InvalidSignature (for another object or purpose)."""
        claims, expires_at = self._verify(token, bucket, key, DOWNLOAD)
        return DownloadGrant(expires_at, _text(claims, "transformations"), _text(claims, "versionId"))

    def verify_upload(self, token: str, bucket: str, key: str) -> UploadGrant:
        """The same for a token to upload by."""
        claims, expires_at = self._verify(token, bucket, key, UPLOAD)
        waits = claims.get("pending")
        try:
            pending_id = None if waits is None else UUID(waits)
        except (ValueError, AttributeError, TypeError):
            raise StorageError("InvalidJWT") from None
        return UploadGrant(expires_at, _text(claims, "owner"), claims.get("upsert") is True, pending_id)

    def _sign(self, bucket: str, key: str, scope: str, lifetime_seconds: int, extra: Mapping[str, Any]) -> str:
        now = int(self._clock().timestamp())
        name, secret = self._newest
        claims = {"url": f"{bucket}/{key}", "scope": scope, **extra, "iat": now, "exp": now + lifetime_seconds}
        return _token({"alg": "HS256", "typ": "JWT", "kid": name}, claims, secret)

    def _verify(self, token: str, bucket: str, key: str, scope: str) -> tuple[Mapping[str, Any], datetime]:
        try:
            claims = jwt.payload_of(jwt.parse(token), self._keys)
        except StorageError:
            raise StorageError("InvalidJWT") from None
        expires = claims.get("exp")
        if type(expires) is not int or not 0 <= expires <= _MAX_DATE:
            raise StorageError("InvalidJWT")
        if expires <= self._clock().timestamp():
            raise StorageError("ExpiredToken")
        # before there was a scope, only tokens to upload by said whether they may replace
        meant = claims.get("scope", UPLOAD if "upsert" in claims else DOWNLOAD)
        if claims.get("url") != f"{bucket}/{key}" or meant != scope:
            raise StorageError("InvalidSignature")
        return claims, datetime.fromtimestamp(expires, UTC)


def api_key(secret: str, role: str, now: datetime) -> str:
    """A key of Supabase's kind: a token that speaks for a role alone, for ten years."""
    issued = int(now.timestamp())
    claims = {"iss": "rowlock", "role": role, "iat": issued, "exp": issued + _API_KEY_SECONDS}
    return _token({"alg": "HS256", "typ": "JWT"}, claims, secret.encode())


def _token(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes) -> str:
    signed = f"{_encoded(_json(header))}.{_encoded(_json(claims))}"
    signature = hmac.HMAC(secret, hashes.SHA256())
    signature.update(signed.encode("ascii"))
    return f"{signed}.{_encoded(signature.finalize())}"


def _derived(master_key: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=purpose.encode()).derive(master_key)


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) else None


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
