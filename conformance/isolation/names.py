"""What is asked for: names that are another's, and their twins, which are nobody's. Twins are as long as each other, so
that answers about them can be the same to the byte.
"""

from dataclasses import dataclass, fields
from typing import Final

SHARED_BUCKET: Final = "in-both"
SHARED_KEY: Final = "common/key"
SHARED_BODY: Final = b"what everybody stores"


@dataclass(frozen=True, slots=True)
class Names:
    """One of each thing a request can name."""

    tenant: str
    bucket: str
    key: str
    shared_key: str
    """A key of the bucket that both sides have; one side has no such key in it."""
    upload_id: str
    version_id: str
    canonical_id: str
    subject: str
    email: str
    continuation_token: str
    download_token: str
    upload_token: str
    pending_id: str
    pending_token: str
    user_token: str

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each name with its label, the longest first: one may be part of another."""
        found = [(getattr(self, field.name), f"<{field.name}>") for field in fields(self)]
        return tuple(sorted(found, key=lambda pair: -len(pair[0])))
