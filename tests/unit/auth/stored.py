"""Access keys as their registry keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.auth.credentials import Credential


@dataclass(frozen=True)
class Stored:
    """A ``StoredKey``."""

    access_key_id: str
    secret: str
    role: str
    subject: str | None
    display_name: str | None
    claims: Any
    expires_at: datetime | None
    tenant_id: str = "default"
    buckets: tuple[str, ...] | None = None
    prefix: str | None = None
    read_only: bool = False


def stored(key: Credential | None, **limits: Any) -> Stored | None:
    """The key as it is stored; ``limits`` narrow it."""
    if key is None:
        return None
    facts = (key.access_key_id, key.secret, key.role, key.subject, key.display_name, key.claims, key.expires_at)
    return Stored(*facts, tenant_id=key.tenant_id, **limits)
