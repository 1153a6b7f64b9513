"""A range of a file to a plain TCP connection by the kernel, without copying it through Python.

uvloop has no ``loop.sendfile`` and lets nobody watch a socket that its transport owns, so this works on a duplicate of
the descriptor. The duplicate also stays ours if the transport closes meanwhile: its number cannot become the socket of
another client while a thread still writes to it.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

AVAILABLE: Final = sys.platform == "linux"

# What one job in a thread sends at most before the loop may look at the connection again.
_JOB_BYTES: Final = 16 * 1024 * 1024
_CALL_BYTES: Final = 1024 * 1024


class FileTooShort(Exception):
    """The file ended before the range did."""


class FileSender:
    """Sends one range. ``on_blocked`` and ``on_progress`` are called around every wait for the client."""

    def __init__(
        self,
        executor: Executor,
        sock: socket.socket,
        *,
        on_blocked: Callable[[], None],
        on_progress: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._executor = executor
        self._fd = os.dup(sock.fileno())
        self._on_blocked = on_blocked
        self._on_progress = on_progress
        self._writable: asyncio.Future[None] | None = None
        self._lost = False

    def connection_lost(self) -> None:
        """The client has gone: end the wait for it."""
        self._lost = True
        self._wake()

    async def send(self, fd: int, offset_bytes: int, count_bytes: int) -> None:
        """Send the range of the file ``fd``, which stays open until this returns or raises. Call it once.

        Raises ConnectionResetError, other OSErrors of the file, and FileTooShort.
        """
        end_bytes = offset_bytes + count_bytes
        try:
            while offset_bytes < end_bytes:
                if self._lost:
                    raise ConnectionResetError("the client has gone")
                offset_bytes, blocked = await self._job(fd, offset_bytes, end_bytes)
                if blocked:
                    await self._wait()
        finally:
            os.close(self._fd)

    async def _job(self, fd: int, offset_bytes: int, end_bytes: int) -> tuple[int, bool]:
        job = asyncio.wrap_future(self._executor.submit(_push, self._fd, fd, offset_bytes, end_bytes))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            # Neither descriptor may be closed while the thread uses it; it never waits for the client.
            await _finished(job)
            raise

    async def _wait(self) -> None:
        self._on_blocked()
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._fd, self._wake)
        try:
            await self._writable
        finally:
            self._loop.remove_writer(self._fd)
            self._writable = None
            self._on_progress()

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)


def _push(to_fd: int, fd: int, offset_bytes: int, end_bytes: int) -> tuple[int, bool]:
    """Send until the socket is full, the range has ended, or enough for one job; returns where it is and whether the
    socket is full."""
    limit_bytes = min(end_bytes, offset_bytes + _JOB_BYTES)
    while offset_bytes < limit_bytes:
        try:
            sent = os.sendfile(to_fd, fd, offset_bytes, min(limit_bytes - offset_bytes, _CALL_BYTES))
        except BlockingIOError:
            return offset_bytes, True
        if not sent:
            raise FileTooShort
        offset_bytes += sent
    return offset_bytes, False


async def _finished(job: asyncio.Future[tuple[int, bool]]) -> None:
    while not job.done():
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError:
            continue
    if not job.cancelled():
        job.exception()
