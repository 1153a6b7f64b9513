"""Canonical ids: how S3 names an owner. 64 hex digits derived from the tenant and the subject, stable and unguessable
only as far as subjects are."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from gateway.context import Call
from gateway.metadata import access
from gateway.operations.services import Services
from gateway.operations.shapes import Initiator, Owner

# Display names of subjects.
Names = Mapping[str, str]
NOBODY: Final[Names] = MappingProxyType({})


@lru_cache(maxsize=4096)
def canonical_id(tenant_id: str, subject: str) -> str:
    """The canonical id of a subject; the empty subject is the tenant itself."""
    return sha256(f"{tenant_id}\0{subject}".encode()).hexdigest()


async def names(services: Services, call: Call, owner_ids: Iterable[str | None]) -> Names:
    """The display names of owners. Asks the database only for others than the caller."""
    others = sorted({owner_id for owner_id in owner_ids if owner_id and owner_id != call.principal.subject})
    found = await access.find_accounts(services.session, call.scope, subjects=others)
    return {account.subject: account.display_name for account in found if account.display_name}


def owner(call: Call, owner_id: str | None, known: Names = NOBODY) -> Owner:
    """The owner element of a row's ``owner_id``."""
    subject = owner_id or ""
    return Owner(id=canonical_id(call.tenant.id, subject), display_name=_display_name(call, subject, known))


def initiator(call: Call, owner_id: str | None, known: Names = NOBODY) -> Initiator:
    """Who began an upload."""
    found = owner(call, owner_id, known)
    return Initiator(id=found.id, display_name=found.display_name)


def _display_name(call: Call, subject: str, known: Names) -> str:
    if subject == (call.principal.subject or "") and call.principal.display_name:
        return call.principal.display_name
    return known.get(subject) or subject or call.tenant.id
