"""Where the databases of the tenants stand: what has run, what failed and when it is tried again.

The truth about a database is in itself (``rowlock.migrations``); this is the fleet's picture of it, so that a worker
knows without asking every database, and a failure of one is neither forgotten nor tried again at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway import statements
from gateway.tenants.errors import UnknownError
from gateway.tenants.registry import PAGE_LIMIT, ControlDatabase

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
MAX_ERROR_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class MigrationState:
    """``status`` is running, current, failed, or None for a database nobody has looked at."""

    status: str | None
    fingerprint: str | None
    version: str | None
    attempts: int
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    retry_at: datetime | None

    def is_current(self, fingerprint: str) -> bool:
        """Whether the database has what this program wants it to have."""
        return self.status == "current" and self.fingerprint == fingerprint


class MigrationStates:
    """The rows of ``control.tenant_migrations``. Every method may raise StorageError (ServiceUnavailable)."""

    def __init__(self, database: ControlDatabase) -> None:
        self._database: Final = database
        self._statements: Final = statements.load("tenants")

    async def find(self, tenant_id: str) -> tuple[MigrationState, bool] | None:
        """Where a database stands, and whether it may be tried (again) now."""
        rows = await self._fetch("migration_state", tenant=tenant_id)
        return (MigrationState(*rows[0][:-1]), bool(rows[0][-1])) if rows else None

    async def page(self, *, after: str = "", limit: int = PAGE_LIMIT) -> Sequence[tuple[str, MigrationState]]:
        """A page of tenants with where they stand, in order of their ids, from the first above ``after``."""
        rows = await self._fetch("migration_states", after=after, limit=min(limit, PAGE_LIMIT))
        return [(row[0], MigrationState(*row[1:])) for row in rows]

    async def begin(self, tenant_id: str, fingerprint: str) -> int:
        """Note that a migrator works; returns which attempt in a row this is."""
        rows = await self._fetch("begin_migration", tenant=tenant_id, fingerprint=fingerprint)
        return int(rows[0][0])

    async def finish(self, tenant_id: str, fingerprint: str, version: str) -> None:
        """Note that the database is up to date."""
        await self._fetch("finish_migration", tenant=tenant_id, fingerprint=fingerprint, version=version)

    async def fail(self, tenant_id: str, fingerprint: str, error: str, attempt: int) -> None:
        """Note a failure; the next attempt is due after a pause that doubles each time."""
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 20), LONGEST_PAUSE_SECONDS)
        await self._fetch(
            "fail_migration",
            tenant=tenant_id,
            fingerprint=fingerprint,
            error=error[:MAX_ERROR_LENGTH],
            pause_seconds=pause,
        )

    async def retry(self, tenant_id: str) -> None:
        """A failed migration is due now. Raises UnknownError when it has not failed."""
        if not await self._fetch("retry_migration", tenant=tenant_id):
            raise UnknownError(f"the migration of tenant {tenant_id} has not failed")

    async def _fetch(self, statement_name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self._database.fetch(self._statements[statement_name], parameters)
