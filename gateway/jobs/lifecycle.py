"""The lifecycle engine: removes what the rules of buckets say has had its time.

A bucket's run is due after every midnight and when its rules have changed. It goes through the keys the rules name in
pages, decides by the pure functions of ``metadata/lifecycle_rules.py``, and has each page's decisions carried out by
one statement, which looks again at everything the decision rests on: an object that was overwritten, retagged, locked
or is being written is left alone, and nothing happens under rules that have changed. The same statement notes how far
the run has come, so that another process goes on there. Between two pages it rests as long as the last one took.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import structlog

from gateway.metadata import lifecycle, lifecycle_rules
from gateway.metadata.keyspace import KeyRange
from gateway.metadata.lifecycle import Batch, Done, Position, Run, Step
from gateway.metadata.lifecycle_rules import Calendar, Rule, key_ranges
from gateway.metadata.session import Session
from gateway.telemetry.failpoints import failpoint_async

_log = structlog.get_logger(__name__)

_PAGE: Final = 500
_CLAIM_SECONDS: Final = 60.0
_LONGEST_REST_SECONDS: Final = 1.0
# Of a shorter day it looks for work this often, so that a test need not wait for the interval of the settings.
_LOOKS_A_DAY: Final = 20
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


def interval_seconds(day_seconds: float, sweep_interval_seconds: float) -> float:
    """How often to look for runs that are due."""
    return min(sweep_interval_seconds, day_seconds / _LOOKS_A_DAY)


class LifecycleEngine:
    """Any number of them may work beside each other: a bucket is claimed by one at a time.

    ``now`` is asked once a page; without it the database's clock counts, which is the one that dated the objects.
    """

    def __init__(
        self,
        session: Session,
        calendar: Calendar,
        *,
        now: Callable[[], Awaitable[datetime]] | None = None,
        page_size: int = _PAGE,
    ) -> None:
        self._session = session
        self._calendar = calendar
        self._page_size = page_size
        self._worker = uuid4()
        self._now = now or self._database_now

    async def run(self, stopping: asyncio.Event | None = None) -> Done:
        """Everything that is due. Raises StorageError; what was done until then stays done, and the next run goes on.

        Stops after the page under way when ``stopping`` is set.
        """
        total = Done()
        while not _is_set(stopping):
            midnight = self._calendar.midnight(await self._now())
            run = await lifecycle.claim_run(self._session, self._worker, midnight, _CLAIM_SECONDS)
            if run is None:
                break
            total += await self._run_bucket(run, stopping)
        return total

    async def _run_bucket(self, run: Run, stopping: asyncio.Event | None) -> Done:
        total = Done()
        pages = 0
        started = time.monotonic()
        outcome = "finished"
        try:
            async for batch, reached in self._batches(run):
                await failpoint_async("lifecycle.after_scan")
                began = time.monotonic()
                done = await lifecycle.act(self._session, run, batch, reached, _CLAIM_SECONDS)
                await failpoint_async("lifecycle.after_batch")
                if done is None:
                    outcome = "rules_changed"
                    return total
                total += done
                pages += 1
                if _is_set(stopping):
                    outcome = "stopped"
                    return total
                await asyncio.sleep(min(time.monotonic() - began, _LONGEST_REST_SECONDS))
            end = Position(Step.UPLOADS)
            if await lifecycle.act(self._session, run, Batch(), end, _CLAIM_SECONDS, finished=True) is None:
                outcome = "rules_changed"
            return total
        except BaseException:
            outcome = "failed"
            raise
        finally:
            _log.info(
                "lifecycle_run",
                bucket=run.bucket,
                outcome=outcome,
                expired=total.expired,
                noncurrent=total.noncurrent,
                delete_markers=total.markers,
                uploads=total.uploads,
                pages=pages,
                seconds=round(time.monotonic() - started, 3),
            )

    async def _batches(self, run: Run) -> AsyncIterator[tuple[Batch, Position]]:
        """What to do, page by page, from the run's position to its end."""
        steps = list(Step)
        scans = {
            Step.NONCURRENT: self._noncurrent,
            Step.CURRENT: self._current,
            Step.UPLOADS: self._uploads,
        }
        for step in steps[steps.index(run.position.step) :]:
            start = run.position if step is run.position.step else Position(step)
            async for found in scans[step](run, start):
                yield found

    async def _current(self, run: Run, after: Position) -> AsyncIterator[tuple[Batch, Position]]:
        rules = [rule for rule in run.rules if rule.expires_current or rule.expired_delete_markers]
        for keys in _ranges(rules, after):
            more = True
            while more:
                now = await self._now()
                page, more = await lifecycle.page_of_current(
                    self._session, run.bucket, keys, after, self._latest(rules, now), self._page_size
                )
                if not page:
                    break
                after = replace(after, key=page[-1].key)
                expired = [seen for seen in page if lifecycle_rules.is_expired(rules, self._calendar, seen, now)]
                markers = [
                    seen.id for seen in page if lifecycle_rules.is_expired_marker(rules, self._calendar, seen, now)
                ]
                yield Batch(current=expired, markers=markers), after

    async def _noncurrent(self, run: Run, after: Position) -> AsyncIterator[tuple[Batch, Position]]:
        rules = [rule for rule in run.rules if rule.noncurrent_days is not None]
        most_kept = max((rule.newer_noncurrent_versions for rule in rules), default=0)
        for keys in _ranges(rules, after):
            while True:
                now = await self._now()
                page = await lifecycle.page_of_noncurrent(
                    self._session, run.bucket, keys, after, most_kept, self._page_size
                )
                if not page:
                    break
                after = Position(Step.NONCURRENT, page[-1].key, page[-1].archived)
                decided = [(seen, lifecycle_rules.noncurrent_keep(rules, self._calendar, seen, now)) for seen in page]
                yield Batch(noncurrent=[(seen, keep) for seen, keep in decided if keep is not None]), after
                if len(page) < self._page_size:
                    break

    async def _uploads(self, run: Run, after: Position) -> AsyncIterator[tuple[Batch, Position]]:
        rules = [rule for rule in run.rules if rule.abort_upload_days is not None]
        for keys in _ranges(rules, after):
            while True:
                now = await self._now()
                page = await lifecycle.page_of_uploads(self._session, run.bucket, keys, after, self._page_size)
                if not page:
                    break
                after = Position(Step.UPLOADS, page[-1].key, page[-1].started, page[-1].id)
                yield (
                    Batch(
                        uploads=[
                            seen.id
                            for seen in page
                            if lifecycle_rules.is_abandoned_upload(rules, self._calendar, seen.key, seen.started, now)
                        ]
                    ),
                    after,
                )
                if len(page) < self._page_size:
                    break

    def _latest(self, rules: Iterable[Rule], now: datetime) -> datetime:
        """An object modified at this instant or later is expired by no rule, whatever its key."""
        cutoffs = [
            self._calendar.cutoff(now, rule.expiration_days) if rule.expiration_days is not None else _END_OF_TIME
            for rule in rules
            if rule.expiration_days is not None or (rule.expiration_date is not None and rule.expiration_date <= now)
        ]
        return max(cutoffs, default=datetime.fromtimestamp(0, UTC))

    async def _database_now(self) -> datetime:
        return await lifecycle.database_now(self._session)


def _ranges(rules: Iterable[Rule], after: Position) -> Iterable[KeyRange]:
    """The keys of these rules that are left to do."""
    return (keys for keys in key_ranges(rule.prefix for rule in rules) if keys.upper > after.key)


def _is_set(stopping: asyncio.Event | None) -> bool:
    return stopping is not None and stopping.is_set()
