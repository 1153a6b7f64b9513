"""Imports the objects of a source into a bucket, through the operations that serve S3 itself.

So limits, quotas, encryption defaults, triggers and backends are those of any other write; the role is service_role.
There is no state: what is here already is skipped, so that an import that was stopped is simply started again. What a
client wrote here in the meantime is newer than the source's and stays.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.importing.source import Source, SourceFacts, SourceObject, Unusable
from gateway.importing.transfer import Arrived, Transfer, modified_text
from gateway.jobs.throttle import Throttle
from gateway.metadata import storage_api
from gateway.metadata.storage_api import ObjectRow
from gateway.operations.services import Services
from gateway.wire.addressing import validate_key

_LISTED: Final = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes where. Patterns are fnmatch's, of relative keys; no ``include`` is everything."""

    bucket: str
    prefix: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    overwrite: bool = False
    dry_run: bool = False

    def takes(self, key: str) -> bool:
        """Whether an object of this relative key is wanted."""
        wanted = not self.include or any(fnmatchcase(key, pattern) for pattern in self.include)
        return wanted and not any(fnmatchcase(key, pattern) for pattern in self.exclude)


@dataclass(slots=True)
class ImportReport:
    """What was done so far. ``newer_here``: written here since, and kept. ``unverified``: the source says nothing its
    bytes could be compared with. ``notes`` name those that are not simply there now; they are cut at a hundred."""

    objects: int = 0
    size_bytes: int = 0
    there_before: int = 0
    newer_here: int = 0
    unverified: int = 0
    unusable: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True if everything wanted is here."""
        return not (self.failed or self.unusable)

    def note(self, name: str, reason: str) -> None:
        """Remember one for the reader."""
        if len(self.notes) < _LISTED:
            self.notes.append(f"{printable(name)}: {reason}")


@dataclass(frozen=True, slots=True)
class ImportPace:
    """How hard to work. ``stopping``: begin nothing more. ``would_import`` is told each key of a dry run."""

    concurrency: int = 8
    bytes_per_second: float | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    report: Callable[[ImportReport], None] = lambda report: None
    would_import: Callable[[str, int], None] = lambda key, size_bytes: None


class Importer:
    """One source, one bucket."""

    def __init__(self, services: Services, call: Call, source: Source, plan: Plan, pace: ImportPace) -> None:
        self._services = services
        self._call = call
        self._source = source
        self._plan = plan
        self._pace = pace
        self._transfer = Transfer(services, call, source, plan.bucket, Throttle(pace.bytes_per_second))
        self._limit = asyncio.Semaphore(pace.concurrency)
        self.report: Final = ImportReport()

    async def run(self) -> ImportReport:
        """Import everything that is wanted and not here. Raises StorageError when the source cannot be listed or the
        database cannot be asked; what is wrong with single objects is in the report."""
        async with aclosing(self._source.pages()) as listed:
            async for page in listed:
                if self._pace.stopping.is_set():
                    break
                await self._import_page(page)
                self._pace.report(self.report)
        return self.report

    async def _import_page(self, page: Sequence[SourceObject | Unusable]) -> None:
        wanted: dict[str, SourceObject] = {}
        for found in page:
            if isinstance(found, Unusable):
                self._unusable(found.name, found.reason)
            elif self._plan.takes(found.key):
                key = self._plan.prefix + found.key
                try:
                    validate_key(key)
                except StorageError as error:
                    self._unusable(found.name, error.message)
                else:
                    wanted[key] = found
        rows = await storage_api.find_rows(self._services.session, self._call.scope, self._plan.bucket, list(wanted))
        here = {row.name: row for row in rows}
        async with asyncio.TaskGroup() as group:
            for key, found in wanted.items():
                await self._limit.acquire()
                if self._pace.stopping.is_set():
                    self._limit.release()
                    return
                group.create_task(self._one(key, found, here.get(key)))

    def _unusable(self, name: str, reason: str) -> None:
        self.report.unusable += 1
        self.report.note(name, f"cannot be an object here: {reason}")

    async def _one(self, key: str, found: SourceObject, row: ObjectRow | None) -> None:
        report = self.report
        try:
            if row is not None and _is_same(row, found, None):
                report.there_before += 1
                return
            facts = await self._source.facts(found)
            if row is not None:
                if _is_same(row, found, facts):
                    report.there_before += 1
                    return
                if not self._plan.overwrite and row.updated_at is not None and row.updated_at > found.modified:
                    report.newer_here += 1
                    report.note(found.name, "what is here is newer, and was kept")
                    return
            if self._plan.dry_run:
                self._pace.would_import(key, found.size_bytes)
            else:
                await self._store(key, found, facts, row)
            report.objects += 1
            report.size_bytes += facts.size_bytes
        except FileNotFoundError:
            report.note(found.name, "was deleted meanwhile")
        except StorageError as error:
            report.failed += 1
            report.note(found.name, f"{error.code.name}: {error.message}")
        finally:
            self._limit.release()
        self._pace.report(report)

    async def _store(self, key: str, found: SourceObject, facts: SourceFacts, row: ObjectRow | None) -> None:
        arrived = await self._transfer.store(key, found, facts, None if row is None else row.etag)
        if arrived is Arrived.UNVERIFIED:
            self.report.unverified += 1
            self.report.note(found.name, "imported; the source gives no checksum its bytes could be compared with")


def printable(text: str) -> str:
    """A name of somebody else's for a terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _is_same(row: ObjectRow, found: SourceObject, facts: SourceFacts | None) -> bool:
    """The same size, and the same ETag or the same modification time, which an import keeps in the metadata."""
    if row.size_bytes != found.size_bytes:
        return False
    if found.etag and row.etag == found.etag:
        return True
    kept = (row.user_metadata or {}).get("mtime")
    theirs = modified_text(found.modified) if facts is None else facts.user_metadata.get("mtime")
    return kept is not None and kept == theirs
