"""Jobs in a bounded thread pool that belong to one file descriptor."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec

P = ParamSpec("P")


class Serial:
    """At most one job at a time, and a last one that runs after it whatever happens to the caller.

    A cancelled caller must not close a descriptor that a thread still uses: its number would go to the next file
    opened, and the bytes of one object would land in another.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._job: Future[Any] | None = None

    def start(self, job: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start a job; the one before must have been waited for."""
        self._job = self._executor.submit(job, *args, **kwargs)

    async def result(self) -> Any:
        """Wait for the job, if there is one, and return or raise what it did."""
        job = self._job
        if job is None:
            return None
        try:
            return job.result() if job.done() else await asyncio.wrap_future(job)
        finally:
            if job.done():
                self._job = None

    async def close(self, last: Callable[[], None]) -> None:
        """Run ``last`` after the running job; it runs even if the wait for it is cancelled."""
        finished: Future[None] = Future()

        def run() -> None:
            try:
                last()
            finally:
                finished.set_result(None)

        def submit(_: Future[Any] | None = None) -> None:
            try:
                self._executor.submit(run)
            except RuntimeError:  # the pool was closed meanwhile
                run()

        if self._job is None:
            submit()
        else:
            self._job.add_done_callback(submit)
        await asyncio.shield(asyncio.wrap_future(finished))
