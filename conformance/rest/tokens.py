"""Tokens as an issuer makes them: HS256 with the secret the server was started with."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any, Final

# The secret of Supabase's local development, which the keys in its clients' own tests are signed with.
SECRET: Final = "super-secret-jwt-token-with-at-least-32-characters-long"
ALICE: Final = "317eadce-631a-4429-a0bb-f19a7a517b4a"
BOB: Final = "4d56e902-f0a0-4662-8448-a4d9e643c142"


def mint(claims: dict[str, Any], secret: str = SECRET, *, algorithm: str = "HS256") -> str:
    """A signed token; ``exp`` is an hour from now unless it is given."""
    payload = {"iss": "supabase-demo", "exp": int(time.time()) + 3600} | claims
    signed = f"{_encoded({'alg': algorithm, 'typ': 'JWT'})}.{_encoded(payload)}"
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def user(subject: str) -> str:
    """A user's token."""
    return mint({"role": "authenticated", "sub": subject})


def payload(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _encoded(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
