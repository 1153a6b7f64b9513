"""The tenants that are open in this worker: opened when somebody asks for them, bounded, closed when nobody does.

At most ``most_open`` are open at a time, those that are being closed included, so whatever one of them holds (its
connections, threads, descriptors) is bounded for all together. One that is closed first lets its requests end; one
whose settings have changed is replaced by a new one, and ends when its last request has.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from gateway.errors import StorageError
from gateway.telemetry import metrics
from gateway.tenants.directory import StoredTenant
from gateway.wire.drain import Receive, Send

_log = structlog.get_logger(__name__)

_ROOM_SECONDS: Final = 5.0
_TEND_SECONDS: Final = 1.0
_ATTEMPTS: Final = 5


class OpenTenant(Protocol):
    """An application for one tenant's requests, started."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None: ...
    async def close(self) -> None: ...


# The tenant, unless it is unknown or suspended; seldom more than a look into a cache.
Find = Callable[[str], Awaitable[StoredTenant | None]]
# Opens a tenant. Raises StorageError when it cannot be.
Open = Callable[[StoredTenant], Awaitable[OpenTenant]]


@dataclass(slots=True, eq=False)
class _Entry:
    revision: int
    application: OpenTenant
    used_at: float
    running: int = 0
    retired: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Fleet:
    """Open tenants by id, the least recently used first. Belongs to one event loop."""

    def __init__(
        self,
        find: Find,
        open_tenant: Open,
        *,
        most_open: int,
        idle_seconds: float,
        room_seconds: float = _ROOM_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find: Final = find
        self._open_tenant: Final = open_tenant
        self._most_open: Final = most_open
        self._idle_seconds: Final = idle_seconds
        self._room_seconds: Final = room_seconds
        self._monotonic: Final = monotonic
        self._entries: Final[OrderedDict[str, _Entry]] = OrderedDict()
        self._opening: Final[dict[str, asyncio.Task[_Entry]]] = {}
        # who waits for a tenant that is being opened: it must not be closed again before they get it
        self._awaited: Final[Counter[str]] = Counter()
        self._closing: Final[set[asyncio.Task[None]]] = set()
        self._room: Final = asyncio.Event()
        self._occupied = 0
        self._freeing = 0
        self._tending: asyncio.Task[None] | None = None

    @property
    def occupied(self) -> int:
        """How many places are taken: open, opening and closing tenants."""
        return self._occupied

    def start(self) -> None:
        """Begin to close what is idle."""
        self._tending = asyncio.create_task(self._tend_for_ever(), name="fleet")

    async def close(self) -> None:
        """Close every tenant; requests that still run are waited for."""
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        if self._opening:
            await asyncio.wait(list(self._opening.values()))
        for tenant_id in list(self._entries):
            self._retire(tenant_id)
        if self._closing:
            await asyncio.wait(list(self._closing))

    @asynccontextmanager
    async def lease(self, tenant_id: str) -> AsyncIterator[OpenTenant | None]:
        """The tenant, open for as long as the block runs; None when it is unknown or suspended.

        Raises StorageError: ServiceUnavailable when it cannot be opened, SlowDown when there is no room for it.
        """
        entry = await self._entry(tenant_id)
        if entry is None:
            yield None
            return
        entry.running += 1
        entry.idle.clear()
        try:
            yield entry.application
        finally:
            entry.running -= 1
            entry.used_at = self._monotonic()
            if not entry.running:
                entry.idle.set()
                self._room.set()

    async def _entry(self, tenant_id: str) -> _Entry | None:
        for _ in range(_ATTEMPTS):
            entry = await self._find_entry(tenant_id)
            if entry is None or not entry.retired:
                return entry
        raise StorageError("SlowDown")

    async def _find_entry(self, tenant_id: str) -> _Entry | None:
        """The entry. One that was opened for several may be closed again before the last of them gets here."""
        tenant = await self._find(tenant_id)
        entry = self._entries.get(tenant_id)
        if tenant is None:
            if entry is not None:
                self._retire(tenant_id)
            return None
        if entry is not None:
            if entry.revision == tenant.revision:
                self._entries.move_to_end(tenant_id)
                return entry
            self._retire(tenant_id)
        task = self._opening.get(tenant_id)
        if task is None:
            task = asyncio.create_task(self._open(tenant), name=f"open-{tenant_id}")
            self._opening[tenant_id] = task
            task.add_done_callback(lambda done: self._opened(tenant_id, done))
        # Shielded: others wait for it too, and what was begun is of use to the next request.
        self._awaited[tenant_id] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._awaited[tenant_id] -= 1
            if not self._awaited[tenant_id]:
                del self._awaited[tenant_id]

    def _opened(self, tenant_id: str, task: asyncio.Task[_Entry]) -> None:
        del self._opening[tenant_id]
        if not task.cancelled():
            task.exception()

    async def _open(self, tenant: StoredTenant) -> _Entry:
        await self._take_place()
        try:
            application = await self._open_tenant(tenant)
        except BaseException as error:
            self._occupied -= 1
            self._room.set()
            if isinstance(error, OSError):
                _log.error("tenant_not_opened", tenant=tenant.id, error=str(error))
                raise StorageError("ServiceUnavailable") from error
            raise
        entry = self._entries[tenant.id] = _Entry(tenant.revision, application, self._monotonic())
        entry.idle.set()
        return entry

    async def _take_place(self) -> None:
        """Wait for a place, making one out of the least recently used tenant that is idle. Raises SlowDown."""
        try:
            async with asyncio.timeout(self._room_seconds):
                while self._occupied >= self._most_open:
                    self._evict()
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            metrics.refused("tenant_room")
            raise StorageError("SlowDown") from None
        self._occupied += 1

    def _evict(self) -> None:
        """Close the least recently used idle tenant, unless there will be a place for everybody who waits anyway."""
        if self._freeing >= len(self._opening):
            return
        for tenant_id, entry in self._entries.items():
            if not entry.running and tenant_id not in self._awaited:
                self._retire(tenant_id)
                return

    def _retire(self, tenant_id: str) -> None:
        entry = self._entries.pop(tenant_id)
        entry.retired = True
        if not entry.running:
            self._freeing += 1
        task = asyncio.create_task(self._close(tenant_id, entry), name=f"close-{tenant_id}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, tenant_id: str, entry: _Entry) -> None:
        waits = bool(entry.running)
        try:
            while entry.running:
                await entry.idle.wait()
            await entry.application.close()
        except Exception:
            _log.exception("tenant_not_closed", tenant=tenant_id)
        finally:
            self._occupied -= 1
            self._freeing -= 0 if waits else 1
            self._room.set()

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(_TEND_SECONDS, self._idle_seconds))
            before = self._monotonic() - self._idle_seconds
            for tenant_id, entry in list(self._entries.items()):
                if not entry.running and entry.used_at < before:
                    self._retire(tenant_id)
