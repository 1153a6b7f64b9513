"""From a user's token to whom it speaks for: the keys of one tenant, and a memory of tokens already judged."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from gateway.auth import jwk, jwt
from gateway.auth.jwks import Fetch, PublishedKeys
from gateway.auth.jwt import TokenPrincipal, TokenRules
from gateway.errors import StorageError

MAX_REMEMBERED: Final = 4096
# The generation of keys that never change; those of fetched keys count from zero.
_FIXED: Final = -1


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """What may have signed a tenant's tokens: shared secrets (UTF-8, at least 32 bytes; all are tried, so that one can
    follow another), JWKS documents, and the URL of a published JWKS."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    jwks: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    jwks_url: str | None = None

    def __bool__(self) -> bool:
        return bool(self.secrets or self.jwks or self.jwks_url)


class TokenVerifier:
    """Verifies the tokens of one tenant. Belongs to one event loop; without keys it refuses every token.

    Raises ``jwk.UnusableKey`` for a secret that is too short or a document that is no JWKS.
    """

    def __init__(
        self,
        keys: TokenKeys,
        rules: TokenRules,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        fetch: Fetch | None = None,
    ) -> None:
        self._fixed: Final = (
            *(jwk.of_secret(secret) for secret in keys.secrets),
            *(key for document in keys.jwks for key in jwk.of_jwks(document, shared=True)),
        )
        self._published: Final = None if keys.jwks_url is None else PublishedKeys(keys.jwks_url, fetch)
        self._rules: Final = rules
        self._clock: Final = clock
        self._judged: Final[OrderedDict[bytes, tuple[int, Mapping[str, Any]]]] = OrderedDict()

    async def verify(self, token: str) -> TokenPrincipal:
        """Whom a token speaks for.

        Raises StorageError: InvalidToken, ExpiredToken, AccessDenied (a role outside the allow-list),
        ServiceUnavailable (the issuer's keys are needed and cannot be had).
        """
        claims = await self._claims(token)
        return jwt.principal_of(claims, self._rules, self._clock())

    async def _claims(self, token: str) -> Mapping[str, Any]:
        """The verified payload. Only the signature's verdict is remembered: the clock is asked every time."""
        if len(token) > jwt.MAX_TOKEN_BYTES:
            raise jwt.invalid_token()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        generation, claims = self._judged.get(digest, (None, {}))
        if generation == _FIXED:
            self._judged.move_to_end(digest)
            return claims
        parsed = jwt.parse(token)
        try:
            return self._remember(digest, _FIXED, jwt.payload_of(parsed, self._fixed))
        except StorageError:
            if self._published is None or parsed.is_shared:
                raise
        held = await self._published.keys(parsed.key_id)
        if generation == held.generation:
            return claims
        return self._remember(digest, held.generation, jwt.payload_of(parsed, held.keys))

    def _remember(self, digest: bytes, generation: int, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        self._judged[digest] = (generation, claims)
        self._judged.move_to_end(digest)
        if len(self._judged) > MAX_REMEMBERED:
            self._judged.popitem(last=False)
        return claims
