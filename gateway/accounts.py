"""Accounts in a tenant's database: where grants and principals look for the subjects of access keys."""

from gateway import statements
from gateway.operations.owners import canonical_id
from gateway.tenants.registry import ControlDatabase, NewAccessKey


async def register(database: ControlDatabase, tenant_id: str, key: NewAccessKey) -> None:
    """Let a key's subject be found in its tenant's database; nothing where it has none. Raises StorageError."""
    if not key.subject:
        return
    email = key.claims.get("email")
    account = {
        "subject": key.subject,
        "canonical_id": canonical_id(tenant_id, key.subject),
        "display_name": key.display_name,
        "email": email if isinstance(email, str) else None,
    }
    await database.fetch(statements.load("access")["register_account"], account)
