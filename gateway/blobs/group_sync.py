"""Group commit of directories: those who finish at the same time share one fsync."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

from gateway.blobs.directories import Directory
from gateway.blobs.os_errors import storage_error


class GroupSync:
    """Synchronises directories in rounds, one round at a time, in one thread.

    A round takes everybody who asked before it began; who asks later waits for the next. Each directory is
    synchronised once a round, and on a journalling file system the first fsync carries most of the others. A failed
    fsync fails everybody who waited for it and is not repeated: what it lost is unknown.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: list[tuple[Directory, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def synchronise(self, directory: Directory) -> None:
        """Return after an fsync of ``directory`` that began after this call. Raises StorageError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((directory, done))
        if self._running is None:
            self._running = asyncio.create_task(self._rounds())
        await done

    async def _rounds(self) -> None:
        loop = asyncio.get_running_loop()
        waiting: list[tuple[Directory, asyncio.Future[None]]] = []
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                directories = list(dict.fromkeys(directory for directory, _ in waiting))
                errors = await loop.run_in_executor(self._executor, _round, directories)
                outcomes = dict(zip(directories, errors, strict=True))
                for directory, done in waiting:
                    error = outcomes[directory]
                    if done.done():  # its caller was cancelled
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(storage_error(error))
        finally:
            self._running = None
            for _, done in (*waiting, *self._waiting):
                done.cancel()


def _round(directories: Sequence[Directory]) -> list[OSError | None]:
    outcomes: list[OSError | None] = []
    for directory in directories:
        try:
            directory.synchronise()
        except OSError as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    return outcomes
