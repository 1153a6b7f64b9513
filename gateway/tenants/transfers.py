"""Moves and replications of buckets that operators asked for: the rows of ``control.transfers``.

A worker holds one for a while at a time (a lease); one that is silent for longer has lost it to the next.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from gateway import statements
from gateway.tenants.errors import RegistryError, TakenError, UnknownError
from gateway.tenants.registry import PAGE_LIMIT, ControlDatabase

LEASE_SECONDS: Final = 30.0
MAX_ERROR_LENGTH: Final = 500
_NEWEST: Final = 2**63 - 1

Kind = Literal["move", "replicate"]
Status = Literal["running", "paused", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """What is wanted. ``move``: the bucket's bytes go to this backend, new ones at once; ``replicate``: they are copied
    to this replica. ``bytes_per_second`` counts reading and writing together; None is no limit."""

    kind: Kind
    bucket: str
    backend: str
    concurrency: int = 4
    bytes_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer and how far it is. ``objects_left`` is None until a worker has counted."""

    id: int
    tenant_id: str
    kind: Kind
    bucket: str
    backend: str
    status: Status
    concurrency: int
    bytes_per_second: int | None
    objects: int
    size_bytes: int
    failed_objects: int
    objects_left: int | None
    error: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a worker is, over all its runs."""

    objects: int
    size_bytes: int
    failed_objects: int
    objects_left: int | None


class Transfers:
    """Every method may raise StorageError (ServiceUnavailable)."""

    def __init__(self, database: ControlDatabase) -> None:
        self._database: Final = database
        self._statements: Final = statements.load("transfers")

    async def create(self, tenant_id: str, new: NewTransfer) -> Transfer:
        """Ask for one; a background worker begins it within seconds. Raises RegistryError when that bucket has one that
        is not over."""
        try:
            rows = await self._fetch("create_transfer", tenant=tenant_id, **asdict(new))
        except TakenError:
            raise RegistryError(f"there is a {new.kind} of bucket {new.bucket} already that is not over") from None
        return Transfer(*rows[0])

    async def page(self, tenant_id: str, *, before: int = _NEWEST, limit: int = PAGE_LIMIT) -> Sequence[Transfer]:
        """Those of a tenant older than ``before``, the newest first."""
        rows = await self._fetch("transfer_page", tenant=tenant_id, before=before, limit=min(limit, PAGE_LIMIT))
        return [Transfer(*row) for row in rows]

    async def read(self, tenant_id: str, transfer_id: int) -> Transfer:
        """One of a tenant. Raises UnknownError."""
        rows = await self._fetch("find_transfer", tenant=tenant_id, id=transfer_id)
        if not rows:
            raise UnknownError("there is no such transfer")
        return Transfer(*rows[0])

    async def pause(self, tenant_id: str, transfer_id: int) -> Transfer:
        """Let it rest; objects at work are finished. Raises UnknownError, RegistryError."""
        return await self._set(tenant_id, transfer_id, "paused", ("running", "paused"))

    async def resume(self, tenant_id: str, transfer_id: int) -> Transfer:
        """Go on, also after a failure. Raises UnknownError, RegistryError."""
        return await self._set(tenant_id, transfer_id, "running", ("paused", "failed", "running"))

    async def cancel(self, tenant_id: str, transfer_id: int) -> Transfer:
        """End it; what was moved stays where it is now. Raises UnknownError, RegistryError."""
        return await self._set(tenant_id, transfer_id, "cancelled", ("running", "paused", "failed", "cancelled"))

    async def claim(self, worker: str, *, many_tenants: bool) -> Transfer | None:
        """One that nobody works on, for this worker."""
        rows = await self._fetch(
            "claim_transfer", worker=worker, lease_seconds=LEASE_SECONDS, many_tenants=many_tenants
        )
        return Transfer(*rows[0]) if rows else None

    async def report(self, transfer_id: int, worker: str, reached: Reached) -> Status | None:
        """Tell how far it is and keep it; returns what the operator wants, None if the worker has lost it."""
        rows = await self._fetch(
            "report_transfer", id=transfer_id, worker=worker, lease_seconds=LEASE_SECONDS, **asdict(reached)
        )
        return rows[0][0] if rows else None

    async def release(self, transfer_id: int, worker: str) -> None:
        """Leave it to the next worker."""
        await self._fetch("release_transfer", id=transfer_id, worker=worker)

    async def end(self, transfer_id: int, worker: str, error: str | None) -> None:
        """It is over: done, or failed for this reason."""
        await self._fetch(
            "end_transfer",
            id=transfer_id,
            worker=worker,
            status="done" if error is None else "failed",
            error=None if error is None else error[:MAX_ERROR_LENGTH],
        )

    async def _set(self, tenant_id: str, transfer_id: int, status: Status, before: tuple[Status, ...]) -> Transfer:
        rows = await self._fetch(
            "set_transfer_status", tenant=tenant_id, id=transfer_id, status=status, before=list(before)
        )
        if not rows:
            found = await self.read(tenant_id, transfer_id)
            raise RegistryError(f"the transfer is {found.status} and cannot become {status}")
        return Transfer(*rows[0])

    async def _fetch(self, statement_name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self._database.fetch(self._statements[statement_name], parameters)
