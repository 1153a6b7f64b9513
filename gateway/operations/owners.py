"""Canonical ids: how S3 names an owner. 64 hex digits derived from the tenant and the subject, stable and unguessable
only as far as subjects are."""

from functools import lru_cache
from hashlib import sha256

from gateway.context import Call
from gateway.operations.shapes import Initiator, Owner


@lru_cache(maxsize=4096)
def canonical_id(tenant_id: str, subject: str) -> str:
    """The canonical id of a subject; the empty subject is the tenant itself."""
    return sha256(f"{tenant_id}\0{subject}".encode()).hexdigest()


def owner(call: Call, owner_id: str | None) -> Owner:
    """The owner element of a row's ``owner_id``."""
    subject = owner_id or ""
    return Owner(id=canonical_id(call.tenant.id, subject), display_name=_display_name(call, subject))


def initiator(call: Call, owner_id: str | None) -> Initiator:
    """Who began an upload."""
    found = owner(call, owner_id)
    return Initiator(id=found.id, display_name=found.display_name)


def _display_name(call: Call, subject: str) -> str:
    if subject == (call.principal.subject or "") and call.principal.display_name:
        return call.principal.display_name
    return subject or call.tenant.id
