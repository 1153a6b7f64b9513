"""Lifecycle in the database: the rules of a bucket as gateway processes remember them, and the steps of the engine."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import structlog

from gateway import statements
from gateway.context import system_scope
from gateway.metadata import lifecycle_rules
from gateway.metadata.keyspace import KeyRange
from gateway.metadata.lifecycle_rules import CurrentVersion, NoncurrentVersion, Rule
from gateway.metadata.session import Session

_log = structlog.get_logger(__name__)
_SQL: Final = statements.load("lifecycle")
_SCOPE: Final = system_scope("rowlock.lifecycle")
_REMEMBERED_BUCKETS: Final = 1024


class RuleMemory:
    """The rules of the buckets this process has met, each with its revision; bounded, the least used is forgotten.

    Statements that read or write an object also say the revision of its bucket's rules, so what is remembered is
    never older than the object, in whichever process the rules were changed.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, tuple[Rule, ...]]] = OrderedDict()

    async def rules(self, session: Session, bucket: str, revision: int) -> tuple[Rule, ...]:
        """The rules of this revision or a later one. Raises StorageError."""
        known = self._known.get(bucket)
        if known is None or known[0] != revision:
            known = self._known[bucket] = await _rules_of_bucket(session, bucket) or (revision, ())
            if len(self._known) > _REMEMBERED_BUCKETS:
                self._known.popitem(last=False)
        self._known.move_to_end(bucket)
        return known[1]


async def _rules_of_bucket(session: Session, bucket: str) -> tuple[int, tuple[Rule, ...]] | None:
    rows = await session.fetch(_SCOPE, _SQL["rules_of_bucket"], bucket=bucket)
    return (int(rows[0][0]), read_rules(bucket, rows[0][1])) if rows else None


def read_rules(bucket: str, document: Any) -> tuple[Rule, ...]:
    """The enabled rules of a stored document. One that cannot be read, which only SQL can have put there, does nothing
    and is reported."""
    try:
        return lifecycle_rules.read(_json(document) or {})
    except ValueError as error:
        _log.error("lifecycle_unreadable", bucket=bucket, reason=str(error))
        return ()


# --- the engine ----------------------------------------------------------------------------------------------


class Step(StrEnum):
    """What a run does, in this order: a delete marker is alone once the versions behind it are gone."""

    NONCURRENT = "noncurrent"
    CURRENT = "current"
    UPLOADS = "uploads"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has come within its step: everything up to this key, and within it this time and id, is done."""

    step: Step = Step.NONCURRENT
    key: str = ""
    time: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A bucket this process has claimed, its enabled rules, and where to go on."""

    bucket: str
    worker: UUID
    revision: int
    position: Position
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """A multipart upload nobody has completed yet."""

    id: str
    key: str
    started: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """What to do in one transaction. ``noncurrent`` pairs a version with how many newer ones must be left."""

    noncurrent: Sequence[tuple[NoncurrentVersion, int]] = ()
    current: Sequence[CurrentVersion] = ()
    markers: Sequence[UUID] = ()
    uploads: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a batch, or of several: how many of each."""

    expired: int = 0
    noncurrent: int = 0
    markers: int = 0
    uploads: int = 0

    def __add__(self, other: "Done") -> "Done":
        return Done(
            self.expired + other.expired,
            self.noncurrent + other.noncurrent,
            self.markers + other.markers,
            self.uploads + other.uploads,
        )


async def database_now(session: Session) -> datetime:
    """The instant by the clock that dated the objects."""
    [row] = await session.fetch(_SCOPE, _SQL["now"])
    instant: datetime = row[0]
    return instant


async def claim_run(session: Session, worker: UUID, midnight: datetime, claim_seconds: float) -> Run | None:
    """Claim a bucket whose run of this midnight, or of changed rules, is due, or that somebody left unfinished."""
    rows = await session.fetch(_SCOPE, _SQL["claim_run"], worker=worker, midnight=midnight, claim_seconds=claim_seconds)
    if not rows:
        return None
    bucket, revision, step, key, time, id, document = rows[0]
    return Run(bucket, worker, int(revision), Position(Step(step), key, time, id), read_rules(bucket, document))


async def page_of_current(
    session: Session, bucket: str, keys: KeyRange, after: Position, before: datetime, page_size: int
) -> tuple[list[CurrentVersion], bool]:
    """Current versions last modified before an instant and delete markers, of a page of keys in byte order; the last
    entry is the page's last key whatever it is. True: there may be more."""
    rows = await session.fetch(
        _SCOPE,
        _SQL["page_of_current"],
        bucket=bucket,
        lower=keys.lower,
        upper=keys.upper,
        after_key=after.key,
        before=before,
        page_size=page_size,
    )
    found = [
        CurrentVersion(
            id=row[0],
            key=row[1],
            version=row[2],
            modified=row[3],
            size_bytes=row[4],
            tags=_json(row[5]),
            is_delete_marker=row[6],
            is_alone=row[7],
        )
        for row in rows
    ]
    return found, bool(rows) and rows[0][8] == page_size


async def page_of_noncurrent(
    session: Session, bucket: str, keys: KeyRange, after: Position, most_kept: int, page_size: int
) -> list[NoncurrentVersion]:
    """A page of noncurrent versions, by key, newest first; newer ones are counted up to ``most_kept``."""
    rows = await session.fetch(
        _SCOPE,
        _SQL["page_of_noncurrent"],
        bucket=bucket,
        lower=keys.lower,
        upper=keys.upper,
        after_key=after.key,
        after_time=after.time,
        most_kept=most_kept,
        page_size=page_size,
    )
    return [
        NoncurrentVersion(id=row[0], key=row[1], archived=row[2], size_bytes=row[3], tags=_json(row[4]), newer=row[5])
        for row in rows
    ]


async def page_of_uploads(
    session: Session, bucket: str, keys: KeyRange, after: Position, page_size: int
) -> list[OpenUpload]:
    """A page of open uploads, by key and the time they began."""
    rows = await session.fetch(
        _SCOPE,
        _SQL["page_of_uploads"],
        bucket=bucket,
        lower=keys.lower,
        upper=keys.upper,
        after_key=after.key,
        after_time=after.time,
        after_id=after.id,
        page_size=page_size,
    )
    return [OpenUpload(*row) for row in rows]


async def act(
    session: Session, run: Run, batch: Batch, reached: Position, claim_seconds: float, *, finished: bool = False
) -> Done | None:
    """Do what of a batch still holds, and note how far the run has come, in one transaction.

    None: the rules have changed or another process has the bucket; nothing was done.
    """
    rows = await session.fetch(
        _SCOPE,
        _SQL["act"],
        bucket=run.bucket,
        worker=run.worker,
        revision=run.revision,
        claim_seconds=claim_seconds,
        step=reached.step.value,
        after_key=reached.key,
        after_time=reached.time,
        after_id=reached.id,
        finished=finished,
        noncurrent=_documents(
            {"id": str(seen.id), "archived": seen.archived.isoformat(), "keep": keep, **_tags(seen.tags)}
            for seen, keep in batch.noncurrent
        ),
        current=_documents(
            {"id": str(seen.id), "version": seen.version, "modified": seen.modified.isoformat(), **_tags(seen.tags)}
            for seen in batch.current
        ),
        markers=list(batch.markers),
        uploads=list(batch.uploads),
    )
    if not rows:
        return None
    noncurrent, expired, markers, uploads = rows[0]
    return Done(expired=expired, noncurrent=noncurrent, markers=markers, uploads=uploads)


def _documents(entries: Any) -> str:
    return json.dumps(list(entries), ensure_ascii=False)


def _tags(tags: Mapping[str, str] | None) -> dict[str, Any]:
    """Left out where there are none: a JSON null would be compared with the column's NULL."""
    return {} if tags is None else {"tags": dict(tags)}


def _json(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str | bytes):
        value = json.loads(value)
    return value if isinstance(value, dict) else None
