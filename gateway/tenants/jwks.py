"""Keys that the tokens of a tenant's users are verified with: kept here, used by who verifies tokens.

Each is a JWK (RFC 7517), sealed, because it may hold a symmetric secret. Private parts of asymmetric keys are not
taken: a verifier has no use for them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gateway import statements
from gateway.tenants.errors import RegistryError, TakenError, UnknownError
from gateway.tenants.registry import ControlDatabase
from gateway.tenants.secrets import MasterKey

MAX_JWK_BYTES: Final = 8 * 1024
MAX_KEYS: Final = 50
JWK_COLUMN: Final = "control.jwks.jwk"

_KID: Final = re.compile(r"[A-Za-z0-9_.=+@:-]{1,128}")
# RFC 7518 §3.1, RFC 8037 §3.1: which algorithms go with a type of key, and the members it must have.
_ALGORITHMS: Final[Mapping[str, frozenset[str]]] = {
    "oct": frozenset(("HS256", "HS384", "HS512")),
    "RSA": frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    "EC": frozenset(("ES256", "ES384", "ES512")),
    "OKP": frozenset(("EdDSA",)),
}
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "oct": ("k",),
    "RSA": ("n", "e"),
    "EC": ("crv", "x", "y"),
    "OKP": ("crv", "x"),
}
_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth"))


@dataclass(frozen=True, slots=True)
class JwkInfo:
    """A stored key without itself. ``signing`` marks the one that new tokens are signed with."""

    kid: str
    algorithm: str
    signing: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredJwk(JwkInfo):
    """A stored key."""

    jwk: Mapping[str, Any] = field(repr=False)


class JwkStore:
    """The keys of all tenants. Every method may raise StorageError (ServiceUnavailable)."""

    def __init__(self, database: ControlDatabase, master_key: MasterKey) -> None:
        self._database: Final = database
        self._master_key: Final = master_key
        self._statements: Final = statements.load("tenants")

    async def keys_of(self, tenant_id: str) -> Sequence[StoredJwk]:
        """The keys in the order they came. Raises SecretError."""
        rows = await self._database.fetch(self._statements["list_jwks"], {"tenant": tenant_id})
        return [
            StoredJwk(
                kid,
                algorithm,
                signing,
                created_at,
                json.loads(self._master_key.open(bytes(sealed), tenant=tenant_id, column=JWK_COLUMN, row=kid)),
            )
            for kid, algorithm, signing, created_at, sealed in rows
        ]

    async def add(self, tenant_id: str, jwk: Mapping[str, Any]) -> JwkInfo:
        """Store a key; the first one of a tenant is its signing key. Raises RegistryError."""
        kid, algorithm = check_jwk(jwk)
        if len(await self.keys_of(tenant_id)) >= MAX_KEYS:
            raise RegistryError(f"a tenant has at most {MAX_KEYS} keys")
        sealed = self._master_key.seal(
            json.dumps(dict(jwk), separators=(",", ":")), tenant=tenant_id, column=JWK_COLUMN, row=kid
        )
        parameters = {"tenant": tenant_id, "kid": kid, "algorithm": algorithm, "jwk": sealed}
        rows = await self._database.fetch(self._statements["add_jwk"], parameters)
        if not rows:
            raise TakenError(f"the key id {kid} is taken, or there is no tenant {tenant_id}")
        return JwkInfo(*rows[0])

    async def roll(self, tenant_id: str, kid: str) -> JwkInfo:
        """Make this the signing key; the one before verifies until it is removed. Raises UnknownError."""
        rows = await self._database.fetch(self._statements["roll_jwk"], {"tenant": tenant_id, "kid": kid})
        if not rows:
            raise UnknownError(f"tenant {tenant_id} has no key {kid}")
        return JwkInfo(*rows[0])

    async def remove(self, tenant_id: str, kid: str) -> None:
        """Tokens of this key are refused from now on. Raises UnknownError."""
        if not await self._database.fetch(self._statements["remove_jwk"], {"tenant": tenant_id, "kid": kid}):
            raise UnknownError(f"tenant {tenant_id} has no key {kid}")


def check_jwk(jwk: Mapping[str, Any]) -> tuple[str, str]:
    """The id and the algorithm of a key. Raises RegistryError for what cannot be one; holds no secret in its text."""
    kid, key_type, algorithm = (jwk.get(name) for name in ("kid", "kty", "alg"))
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise RegistryError("a JWK needs a kid of 1 to 128 of the characters A-Z a-z 0-9 _ . = + @ : -")
    if not isinstance(key_type, str) or key_type not in _ALGORITHMS:
        raise RegistryError(f"the kty of a JWK is one of {', '.join(_ALGORITHMS)}")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS[key_type]:
        raise RegistryError(f"the alg of a JWK of type {key_type} is one of {', '.join(sorted(_ALGORITHMS[key_type]))}")
    if not all(isinstance(jwk.get(member), str) and jwk[member] for member in _MEMBERS[key_type]):
        raise RegistryError(f"a JWK of type {key_type} needs the members {', '.join(_MEMBERS[key_type])}")
    if key_type != "oct" and _PRIVATE & set(jwk):
        raise RegistryError("this JWK has private members: only the public key is needed")
    try:
        size_bytes = len(json.dumps(dict(jwk), allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError):
        raise RegistryError("the JWK is not a JSON object") from None
    if size_bytes > MAX_JWK_BYTES:
        raise RegistryError(f"a JWK has at most {MAX_JWK_BYTES} bytes")
    return kid, algorithm
