"""A proxy between gateway and Postgres that can cut a connection at an exact moment of the protocol."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

SYNC: Final = b"S\x00\x00\x00\x04"
"""The message that ends a pipeline; outside a transaction block the server commits there."""


class Cut(Enum):
    """Where to cut once ``trigger`` was seen in what the gateway sends."""

    NEVER = "never"
    BEFORE = "before the statement reaches the server"
    AFTER = "after the server has answered, before the gateway hears it"


class Proxy:
    """Listens on a Unix socket beside ``target``, Postgres' own. Runs in a thread of its own.

    ``arm(trigger, cut)`` cuts the connection that sends ``trigger`` next, once.
    """

    def __init__(self, target: Path, directory: Path) -> None:
        self.directory = directory
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._trigger = b""
        self._cut = Cut.NEVER
        self._on_cut: Callable[[], None] | None = None
        self.cuts = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def arm(self, trigger: bytes, cut: Cut, on_cut: Callable[[], None] | None = None) -> None:
        """Cut the next connection that sends ``trigger``; ``on_cut`` runs right after, before any other bytes."""
        self._trigger, self._cut, self._on_cut = trigger, cut, on_cut

    async def _listen(self) -> None:
        path = self.directory / ".s.PGSQL.5432"
        self._server = await asyncio.start_unix_server(self._serve, str(path))
        path.chmod(0o777)

    async def _end(self) -> None:
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_unix_connection(str(self._target))
        except OSError:
            writer.close()
            return
        armed = False
        answer = asyncio.create_task(self._copy(upstream_reader, writer))
        try:
            while data := await reader.read(1 << 16):
                if self._cut is not Cut.NEVER and self._trigger in data:
                    armed, cut = True, self._cut
                    self._cut = Cut.NEVER
                    self.cuts += 1
                    answer.cancel()
                    await asyncio.wait([answer])
                    if cut is Cut.AFTER:
                        while SYNC not in data and not data.startswith(b"Q"):
                            more = await reader.read(1 << 16)
                            if not more:
                                break
                            data += more
                        upstream_writer.write(data)
                        await upstream_writer.drain()
                        await self._until_ready(upstream_reader)
                    if self._on_cut is not None:
                        await asyncio.to_thread(self._on_cut)
                    break
                upstream_writer.write(data)
                await upstream_writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for stream in (writer, upstream_writer):
                with contextlib.suppress(OSError, RuntimeError):
                    (stream.transport.abort if armed else stream.close)()
            answer.cancel()

    async def _until_ready(self, reader: asyncio.StreamReader) -> None:
        """Read the answer up to ReadyForQuery, which follows the commit of the pipeline's Sync."""
        tail = b""
        while b"Z\x00\x00\x00\x05I" not in tail:
            data = await asyncio.wait_for(reader.read(1 << 16), 10)
            if not data:
                return
            tail = (tail + data)[-(1 << 17) :]

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.close()
