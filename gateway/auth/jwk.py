"""Keys that may sign tokens. A key's own type decides which algorithms it verifies, never the token's header.

JWK and JWKS: RFC 7517; algorithms: RFC 7518 §3, RFC 8037 and RFC 9864; why a key must pin its algorithm: RFC 8725 §3.1.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

# RFC 7518 §3.2: as long as the hash it is used with, at the least.
MIN_SECRET_BYTES: Final = 32
MAX_KEY_ID_CHARACTERS: Final = 256
MAX_KEYS: Final = 64

_HMAC: Final = frozenset({"HS256", "HS384", "HS512"})
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EC: Final[Mapping[str, str]] = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_OKP: Final = frozenset({"Ed25519", "Ed448"})
# RFC 9864 gave each curve of EdDSA (RFC 8037) a name of its own; tokens carry either.
_EDDSA: Final = "EdDSA"
ALGORITHMS: Final = _HMAC | _RSA | frozenset(_EC.values()) | _OKP | {_EDDSA}

_SECRET_BITS: Final = range(8 * MIN_SECRET_BYTES, 8 * 1024 + 1)
# RFC 7518 §3.3 asks for 2048 bits; an upper bound keeps one verification cheap.
_RSA_BITS: Final = range(2048, 8193)
_NO_SECRETS: Final = ("-----BEGIN", "ssh-", "{")
_TYPES: Final[Mapping[str, type[OctKey | RSAKey | ECKey | OKPKey]]] = {
    "oct": OctKey,
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}


class UnusableKey(ValueError):
    """A key that must not verify tokens. The text is one line and holds nothing of the key."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key, the name tokens call it by, and for each algorithm it serves the one that is computed."""

    id: str | None
    key: Key = field(repr=False)
    algorithms: Mapping[str, str]

    @property
    def is_shared(self) -> bool:
        """Whether it is a secret, which signs as well as it verifies."""
        return isinstance(self.key, OctKey)


def of_secret(secret: str) -> VerificationKey:
    """The key of a shared secret, for HMAC alone. Raises UnusableKey for one under 32 bytes, and for one that looks
    like a key of another kind: whoever knows a public key could sign with it."""
    if secret.lstrip().startswith(_NO_SECRETS):
        raise UnusableKey("a JWT secret is not a key in PEM, SSH or JSON form; give those as JWKS")
    encoded = base64.urlsafe_b64encode(secret.encode("utf-8")).rstrip(b"=").decode()
    return of_jwk({"kty": "oct", "k": encoded})


def of_jwk(jwk: Any) -> VerificationKey:
    """The key of one JWK; of a private key only its public half is used. Raises UnusableKey."""
    if not isinstance(jwk, dict):
        raise UnusableKey("a JWK is a JSON object")
    kind = _TYPES.get(jwk.get("kty", "")) if isinstance(jwk.get("kty", ""), str) else None
    if kind is None:
        raise UnusableKey("the key type of a JWK is oct, RSA, EC or OKP")
    key_id = jwk.get("kid")
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= MAX_KEY_ID_CHARACTERS):
        raise UnusableKey(f"the kid of a JWK is a text of 1 to {MAX_KEY_ID_CHARACTERS} characters")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKey("the JWK is not for signatures")
    _require_size(jwk)
    # What a private key is for says nothing about its public half, so key_ops stays out.
    members = {name: value for name, value in jwk.items() if name not in ("key_ops", "alg", "use")}
    try:
        key = kind.import_key(members)
        algorithms = _algorithms(key)
    except UnusableKey:
        raise
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, Warning) as error:
        raise UnusableKey("the JWK cannot be read") from error
    if (pinned := jwk.get("alg")) is not None:
        if not isinstance(pinned, str) or pinned not in algorithms:
            raise UnusableKey("the algorithm of the JWK does not go with its key type")
        algorithms = {pinned: algorithms[pinned]}
    return VerificationKey(key_id, key, algorithms)


def of_jwks(document: Any, *, shared: bool) -> Iterator[VerificationKey]:
    """The usable keys of a JWKS, the others left out (RFC 7517 §5). Secrets only if ``shared``: a published document
    must not hold any. Raises UnusableKey when the document is no JWKS."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise UnusableKey(f"a JWKS is a JSON object with at most {MAX_KEYS} keys in 'keys'")
    for each in keys:
        try:
            key = of_jwk(each)
        except UnusableKey:
            continue
        if shared or not key.is_shared:
            yield key


def _require_size(jwk: Mapping[str, Any]) -> None:
    """Refuse a short secret or an RSA key of an unfit size before the library sees it."""
    member, bits = {"oct": ("k", _SECRET_BITS), "RSA": ("n", _RSA_BITS)}.get(jwk["kty"], ("", range(0)))
    if not member:
        return
    value = jwk.get(member)
    # Six bits a character; the last one may hold fewer, and a modulus starts with a one.
    if not isinstance(value, str) or len(value.rstrip("=")) * 6 // 8 * 8 not in bits:
        raise UnusableKey(f"a key of type {jwk['kty']} has {bits.start} to {bits.stop - 1} bits")


def _algorithms(key: Key) -> Mapping[str, str]:
    if isinstance(key, OctKey):
        return {name: name for name in _HMAC}
    if isinstance(key, RSAKey):
        return {name: name for name in _RSA}
    if isinstance(key, ECKey) and key.curve_name in _EC:
        name = _EC[key.curve_name]
        return {name: name}
    if isinstance(key, OKPKey) and key.curve_name in _OKP:
        return {_EDDSA: key.curve_name, key.curve_name: key.curve_name}
    raise UnusableKey("the curve of the JWK is none that signs")


def candidates(keys: Iterable[VerificationKey], key_id: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
    """The keys a token may have been signed with.

    A ``kid`` means the keys of that name, else those without one (a secret has none). Without it, the keys without a
    name, else the only key of that algorithm: to try several would make the name worthless.
    """
    fitting = [key for key in keys if algorithm in key.algorithms]
    unnamed = tuple(key for key in fitting if key.id is None)
    if key_id is not None:
        return tuple(key for key in fitting if key.id == key_id) or unnamed
    return unnamed or (tuple(fitting) if len(fitting) == 1 else ())
