"""Hears of changes in the control database (LISTEN), so that a revoked key or a suspended tenant ends at once.

What happened while nobody listened is unknown, so whoever follows forgets everything at each (re)connect. A connection
can die without a word; a small question every two seconds finds out.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

_log = structlog.get_logger(__name__)

KEYS_CHANNEL: Final = "control_access_keys"
TENANTS_CHANNEL: Final = "control_tenants"

_PROBE_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 2.0

# (channel, payload)
OnChange = Callable[[str, str], None]
# whether changes are told from now on; whatever is known is old at this moment
OnConnection = Callable[[bool], None]


class ControlListener:
    """Listens until it is stopped, and connects again for ever. Belongs to one event loop."""

    def __init__(self, url: str, on_change: OnChange, on_connection: OnConnection) -> None:
        self._url: Final = url
        self._on_change: Final = on_change
        self._on_connection: Final = on_connection
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, without waiting for the database."""
        self._task = asyncio.create_task(self._run(), name="control-listener")

    async def stop(self) -> None:
        """End; nothing is told any more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause = 0.0
        while True:
            connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    connection = await psycopg.AsyncConnection.connect(
                        self._url, autocommit=True, application_name="rowlock-listener"
                    )
                    await connection.execute("LISTEN control_access_keys")
                    await connection.execute("LISTEN control_tenants")
                self._on_connection(True)
                pause = 0.0
                await self._listen(connection)
            except (psycopg.Error, OSError, TimeoutError) as error:
                if not pause:
                    _log.warning("control_listener_lost", error=str(error) or type(error).__name__)
            finally:
                self._on_connection(False)
                if connection is not None:
                    with contextlib.suppress(psycopg.Error, OSError):
                        await connection.close()
            pause = min(max(pause * 2, 0.1), _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects

    async def _listen(self, connection: "psycopg.AsyncConnection[tuple[object, ...]]") -> None:
        while True:
            async for notice in connection.notifies(timeout=_PROBE_SECONDS):
                self._on_change(notice.channel, notice.payload)
            async with asyncio.timeout(_ANSWER_SECONDS):
                await connection.execute("SELECT 1")
