"""JSON Web Tokens: signature first, then claims (RFC 7515, RFC 7519, RFC 8725). Pure; ``now`` is an argument.

Claims become settings of a Postgres transaction, so a token is refused whose claims Postgres could not hold.
"""

import base64
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from gateway.auth.jwk import ALGORITHMS, MAX_KEY_ID_CHARACTERS, VerificationKey, candidates
from gateway.context import ANONYMOUS_ROLE
from gateway.errors import StorageError

MAX_TOKEN_BYTES: Final = 16 * 1024
MAX_CLAIM_CHARACTERS: Final = 256
# How far the clocks of issuer and gateway may be apart.
LEEWAY_SECONDS: Final = 10
# 9999-12-31: a later date fits no clock, and is a mistake in the unit.
_MAX_DATE: Final = 253_402_300_799

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# RFC 8725 §3.11: a token that says it is of another kind is no access token. RFC 9068 §2.1: at+jwt.
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What claims must say. ``roles`` are the Postgres roles a token may name; None leaves a claim unchecked."""

    roles: frozenset[str]
    audiences: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TokenPrincipal:
    """Whom a verified token speaks for. ``claims`` are the whole payload, as policies read it."""

    role: str
    subject: str | None
    claims: Mapping[str, Any] = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed token: nothing in it is proven. ``key_id`` and ``algorithm`` say which key to ask for."""

    key_id: str | None
    algorithm: str
    signed: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def is_shared(self) -> bool:
        """Whether it says that a shared secret signed it."""
        return self.algorithm.startswith("HS")


def parse(token: str) -> UnverifiedToken:
    """Split a compact token and read its header. Raises StorageError(InvalidToken)."""
    found = _COMPACT.fullmatch(token) if len(token) <= MAX_TOKEN_BYTES else None
    if found is None:
        raise invalid_token()
    header = _object(_decoded(found.group(1)))
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise invalid_token()
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= MAX_KEY_ID_CHARACTERS):
        raise invalid_token()
    # RFC 7515 §4.1.11: an extension that must be understood, and none is.
    if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise invalid_token()
    signed = f"{found.group(1)}.{found.group(2)}".encode("ascii")
    return UnverifiedToken(key_id, algorithm, signed, _decoded(found.group(2)), _decoded(found.group(3)))


def payload_of(token: UnverifiedToken, keys: Iterable[VerificationKey]) -> Mapping[str, Any]:
    """The payload, if one of the keys signed it. Raises StorageError(InvalidToken)."""
    if not any(_is_signed_by(token, key) for key in candidates(keys, token.key_id, token.algorithm)):
        raise invalid_token()
    return _object(token.payload)


def _is_signed_by(token: UnverifiedToken, key: VerificationKey) -> bool:
    algorithm = JWSRegistry.algorithms[key.algorithms[token.algorithm]]
    try:
        return algorithm.verify(token.signed, token.signature, key.key)
    except (JoseError, ValueError, TypeError):
        return False


def principal_of(claims: Mapping[str, Any], rules: TokenRules, now: datetime) -> TokenPrincipal:
    """Whom verified claims speak for; without ``role`` they are ``anon``, as Supabase has it.

    Raises StorageError: ExpiredToken, InvalidToken (a claim of the wrong type, no expiry, not valid yet, meant for
    another audience, from another issuer), AccessDenied (a role outside the allow-list).
    """
    moment = now.timestamp()
    expires = _date(claims, "exp")
    if expires is None:
        raise invalid_token()
    if expires + LEEWAY_SECONDS <= moment:
        raise StorageError("ExpiredToken")
    for name in ("nbf", "iat"):
        if (date := _date(claims, name)) is not None and date - LEEWAY_SECONDS > moment:
            raise invalid_token()
    if rules.issuers and _text(claims, "iss") not in rules.issuers:
        raise invalid_token()
    if rules.audiences and rules.audiences.isdisjoint(_audiences(claims)):
        raise invalid_token()
    subject = _text(claims, "sub")
    role = claims.get("role", ANONYMOUS_ROLE)
    if not isinstance(role, str):
        raise invalid_token()
    if role not in rules.roles:
        raise StorageError("AccessDenied")
    return TokenPrincipal(role, subject, claims, datetime.fromtimestamp(expires, UTC))


def mint(secret: str, claims: Mapping[str, Any]) -> str:
    """A token of these claims, signed with a shared secret (HS256)."""
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    signed = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode("utf-8")) for part in parts)
    return f"{signed}.{_encoded(hmac.digest(secret.encode('utf-8'), signed.encode('ascii'), 'sha256'))}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def invalid_token() -> StorageError:
    """The refusal of a token. It never says what was wrong: that is the issuer's business, and a forger's."""
    return StorageError("InvalidToken")


def _date(claims: Mapping[str, Any], name: str) -> int | None:
    """A NumericDate in whole seconds."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_DATE:
        raise invalid_token()
    return value


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= MAX_CLAIM_CHARACTERS):
        raise invalid_token()
    return value


def _audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    """RFC 7519 §4.1.3: one text, or an array of texts."""
    value = claims.get("aud", [])
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise invalid_token()
    return frozenset(texts)


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise invalid_token() from None


def _object(content: bytes) -> Mapping[str, Any]:
    """A JSON object, with every name once (RFC 7519 §4), that Postgres can hold: no NUL, no half surrogate pair."""
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise invalid_token() from None
    if not isinstance(found, dict) or b"\\u0000" in content:
        raise invalid_token()
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
