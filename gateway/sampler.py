"""Once a second a worker says how its connections, tenants and backends are: gauges, which no request pays for."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from gateway.blobs.locator import BlobStores
from gateway.blobs.protocol import BreakingStore
from gateway.metadata.session import Session, Statistics
from gateway.telemetry import metrics
from gateway.telemetry.metrics import Recorder

_INTERVAL_SECONDS: Final = 1.0


class Sampled(Protocol):
    """A tenant that is open in this process."""

    @property
    def session(self) -> Session: ...
    @property
    def blobs(self) -> BlobStores: ...


class Sampler:
    """Looks at the open tenants while it is started. Without a recorder it does nothing at all."""

    def __init__(self, recorder: Recorder | None, tenants: Callable[[], Iterable[Sampled]]) -> None:
        self._recorder: Final = recorder
        self._tenants: Final = tenants
        self._seen: Final[WeakKeyDictionary[Session, Statistics]] = WeakKeyDictionary()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of_process(cls, tenants: Callable[[], Iterable[Sampled]]) -> "Sampler":
        """Counts where this process counts."""
        return cls(metrics.recorder(), tenants)

    def start(self) -> None:
        """Begin to look."""
        if self._recorder is not None:
            self._task = asyncio.create_task(self._sample_for_ever(self._recorder), name="sampler")

    async def stop(self) -> None:
        """Look a last time."""
        if self._recorder is None or self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.sample(self._recorder)

    def sample(self, recorder: Recorder) -> None:
        """Say how everything is now."""
        most = opened = busy = waiting = number = 0
        open_circuits: Counter[str] = Counter()
        for tenant in self._tenants():
            number += 1
            connections = tenant.session.connections
            most += connections.most
            opened += connections.open
            busy += connections.busy
            waiting += connections.waiting
            self._count(recorder, tenant.session)
            for store in tenant.blobs.stores.values():
                if isinstance(store, BreakingStore):
                    open_circuits[store.name] |= store.circuit_open
        recorder.set("rowlock_tenants_open", number)
        recorder.set("rowlock_database_connections_max", most)
        recorder.set("rowlock_database_connections_open", opened)
        recorder.set("rowlock_database_connections_busy", busy)
        recorder.set("rowlock_database_waiting", waiting)
        for backend in recorder.backends:
            recorder.set("rowlock_blob_circuit_open", open_circuits[backend], (backend,))

    def _count(self, recorder: Recorder, session: Session) -> None:
        now, before = session.statistics, self._seen.get(session, Statistics(0, 0))
        self._seen[session] = now
        recorder.add("rowlock_database_statements", now.statements - before.statements)
        recorder.add("rowlock_database_round_trips", now.round_trips - before.round_trips)

    async def _sample_for_ever(self, recorder: Recorder) -> None:
        while True:
            self.sample(recorder)
            await asyncio.sleep(_INTERVAL_SECONDS)
