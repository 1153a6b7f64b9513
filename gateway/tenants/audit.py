"""The audit of the control database: written by its triggers, read here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway import statements
from gateway.tenants.registry import PAGE_LIMIT, ControlDatabase

_NEWEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change: who did what to which tenant's thing, and the names of the columns that changed."""

    id: int
    at: datetime
    actor: str
    client_address: str | None
    request_id: str | None
    tenant_id: str | None
    action: str
    target: str
    changed: list[str]


async def page(
    database: ControlDatabase, *, tenant_id: str | None = None, before: int = _NEWEST, limit: int = PAGE_LIMIT
) -> Sequence[AuditEntry]:
    """Entries older than ``before``, the newest first. Raises StorageError (ServiceUnavailable)."""
    parameters = {"tenant": tenant_id, "before": before, "limit": min(limit, PAGE_LIMIT)}
    return [AuditEntry(*row) for row in await database.fetch(statements.load("tenants")["audit_page"], parameters)]


async def record(database: ControlDatabase, tenant_id: str | None, action: str, target: str) -> None:
    """Note an act that changes no row by itself. Raises StorageError (ServiceUnavailable)."""
    parameters = {"tenant": tenant_id, "action": action, "target": target}
    await database.fetch(statements.load("tenants")["record_act"], parameters)
