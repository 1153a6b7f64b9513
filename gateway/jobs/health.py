"""Is this process ready for requests: do its database and its backends answer?

Asked as often as anybody likes: an answer is good for a second, whoever asks meanwhile waits for the same one, and a
check that hangs is not begun a second time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from gateway import statements
from gateway.blobs.locator import BlobStores
from gateway.blobs.protocol import BlobStore, ProbedStore
from gateway.context import system_scope
from gateway.metadata.session import Session

_log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 1.0
CHECK_SECONDS: Final = 2.0
DATABASE: Final = "postgres"

_SQL: Final = statements.load("engine")

Check = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Report:
    """What answered and what did not, by name."""

    checks: Mapping[str, bool]

    @property
    def is_ready(self) -> bool:
        """Everything answers."""
        return all(self.checks.values())

    @property
    def document(self) -> dict[str, Any]:
        """As JSON: names, never reasons, which may hold addresses."""
        return {
            "ready": self.is_ready,
            "down": sorted(name for name, is_up in self.checks.items() if not is_up),
            "checks": {name: "up" if is_up else "down" for name, is_up in self.checks.items()},
        }


class Readiness:
    """Asks each of the checks. Belongs to one event loop."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        check_seconds: float = CHECK_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks: Final = dict(checks)
        self._check_seconds: Final = check_seconds
        self._fresh_seconds: Final = fresh_seconds
        self._monotonic: Final = monotonic
        self._pending: Final[dict[str, asyncio.Future[object]]] = {}
        self._asking: asyncio.Task[Report] | None = None
        self._report: Report | None = None
        self._reported_at = 0.0

    async def report(self) -> Report:
        """What is up, as of a second ago at most."""
        if self._report is not None and self._monotonic() - self._reported_at < self._fresh_seconds:
            return self._report
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="readiness")
        # Shielded: one who asks and goes away must not take the answer from the others.
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Report:
        try:
            names = list(self._checks)
            answers = await asyncio.gather(*map(self._is_up, names))
            before, self._report = self._report, Report(dict(zip(names, answers, strict=True)))
            self._reported_at = self._monotonic()
            for name, is_up in self._report.checks.items():
                if is_up != (before is None or before.checks[name]):
                    if is_up:
                        _log.info("ready", check=name)
                    else:
                        _log.error("not_ready", check=name)
            return self._report
        finally:
            self._asking = None

    async def _is_up(self, name: str) -> bool:
        check = self._pending.get(name)
        if check is None:
            check = self._pending[name] = asyncio.ensure_future(_checked(self._checks[name]))
        done, _ = await asyncio.wait([check], timeout=self._check_seconds)
        if not done:
            return False
        del self._pending[name]
        return check.exception() is None


async def _checked(check: Check) -> None:
    await check()


def database_check(session: Session) -> Check:
    """Does the database answer a statement?"""
    return lambda: session.fetch(system_scope("rowlock.health"), _SQL["ping"])


def store_check(store: BlobStore) -> Check:
    """Can the store be used? One that has no cheap way to say is asked to prove it."""
    return store.probe if isinstance(store, ProbedStore) else store.check


def readiness_of(session: Session, stores: BlobStores) -> Readiness:
    """Of one tenant: its database and every backend that something is served from."""
    checks = {f"backend:{name}": store_check(store) for name, store in stores.stores.items()}
    return Readiness({DATABASE: database_check(session), **checks})
