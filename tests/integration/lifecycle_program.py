"""The lifecycle engine in a process of its own, so that a failpoint may kill it: arguments are the database's URL, the
failpoints, and the instant it takes for now."""

import asyncio
import sys
from datetime import datetime

from gateway.jobs.lifecycle import LifecycleEngine
from gateway.metadata.lifecycle_rules import Calendar
from gateway.metadata.session import Session
from gateway.telemetry import failpoints


async def main(url: str, specification: str, instant: str) -> None:
    """One round of the engine, in pages of three."""
    failpoints.arm(specification)
    session = Session(url, pool_size=4, pool_timeout_seconds=5, statement_timeout_seconds=30)
    await session.open()

    async def now() -> datetime:
        return datetime.fromisoformat(instant)

    await LifecycleEngine(session, Calendar(), now=now, page_size=3).run()
    await session.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
