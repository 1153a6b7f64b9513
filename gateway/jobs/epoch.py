"""The life of a process that writes blobs: a row it keeps alive, by which others know what it left behind."""

import asyncio
import os
from collections import defaultdict
from contextlib import suppress

import structlog

from gateway.blobs.locator import Epoch
from gateway.blobs.protocol import epoch_of
from gateway.errors import StorageError
from gateway.metadata import engine
from gateway.metadata.session import Session

_log = structlog.get_logger(__name__)


class EpochKeeper:
    """Begins an epoch, says at every interval that it lives, and ends it. Declared dead by a sweeper, it begins a new
    one: writes of the old number are refused at their commit, so nothing is lost but those requests.

    At every beat it also settles the blobs that requests had to leave in doubt.
    """

    def __init__(self, session: Session, host: str, interval_seconds: float) -> None:
        self._session = session
        self._host = host
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None
        self.epoch = Epoch(0)

    async def start(self) -> Epoch:
        """Begin. Raises StorageError when the database cannot be reached."""
        self.epoch.number = await engine.begin_epoch(self._session, self._host, os.getpid())
        self._task = asyncio.create_task(self._beat_for_ever(), name="epoch-heartbeat")
        return self.epoch

    async def stop(self) -> None:
        """End in order, so that the sweeper need not wait for silence. A database that is away is no obstacle."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(StorageError):
            await engine.end_epoch(self._session, self.epoch.number)

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                if not await engine.beat(self._session, self.epoch.number):
                    lost = self.epoch.number
                    self.epoch.number = await engine.begin_epoch(self._session, self._host, os.getpid())
                    _log.warning("epoch_lost", epoch=lost, next_epoch=self.epoch.number)
                await self._settle_doubts()
            except StorageError as error:
                _log.warning("heartbeat_failed", epoch=self.epoch.number, code=error.code.name)
            except Exception:
                # Whatever it is: without a heartbeat no write of this process would ever be let in again.
                _log.exception("heartbeat_failed", epoch=self.epoch.number)

    async def _settle_doubts(self) -> None:
        doubtful = list(self.epoch.doubtful)
        members: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        for backend, blob_id in doubtful:
            members[epoch_of(blob_id), backend].append(blob_id)
        for (epoch, backend), blob_ids in members.items():
            await engine.abandon_blobs(self._session, epoch, backend, blob_ids)
        for _ in doubtful:
            self.epoch.doubtful.popleft()
