"""The lifecycle engine against real Postgres, with a clock of the test's own."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from gateway.jobs.lifecycle import LifecycleEngine
from gateway.metadata import buckets, configurations, lifecycle
from gateway.metadata.configurations import Kind
from gateway.metadata.embedded import Databases
from gateway.metadata.lifecycle import Done
from gateway.metadata.lifecycle_rules import Calendar
from gateway.metadata.session import Session
from gateway.telemetry import failpoints
from tests.integration.conftest import SERVICE

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
NOON = MIDNIGHT + timedelta(hours=12)
DAY = timedelta(days=1)
LONG_AGO = NOON - 100 * DAY


class Clock:
    """An instant the test moves."""

    def __init__(self) -> None:
        self.instant = NOON

    async def __call__(self) -> datetime:
        return self.instant


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(session: Session, clock: Clock) -> LifecycleEngine:
    return LifecycleEngine(session, Calendar(), now=clock, page_size=3)


@pytest.fixture(autouse=True)
async def bucket(session: Session) -> None:
    await buckets.create_bucket(session, SERVICE, "b", None, public=False)


class Rows:
    """Rows of storage.objects as a test wants them, in the order and with the times it says."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def run(self, query: str, *values: Any) -> list[Any]:
        # A scope of its own, as every statement of the gateway has.
        cursor = self._connection.execute(query, values)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def put(
        self,
        key: str,
        modified: datetime = LONG_AGO,
        *,
        archived: datetime | None = None,
        marker: bool = False,
        versioned: bool = False,
        size: int | None = 10,
        tags: dict[str, str] | None = None,
        lock_until: datetime | None = None,
        legal_hold: bool | None = None,
    ) -> str:
        version = secrets.token_hex(16)
        self.run(
            """INSERT INTO storage.objects (bucket_id, name, created_at, updated_at, archived_at, is_delete_marker,
                       is_versioned, size_bytes, etag, content, tags, lock_mode, lock_until, legal_hold, version,
                   archived_version)
               VALUES ('b', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            key, modified, modified, archived, marker, versioned,
            None if marker else size, None if marker else "e", None if marker else b"x" * (size or 0),
            json.dumps(tags) if tags else None, "GOVERNANCE" if lock_until else None, lock_until, legal_hold, version,
            (version if versioned else "null") if archived else None,
        )  # fmt: skip
        return version

    def versioning(self, status: str) -> None:
        self.run("UPDATE storage.buckets SET versioning_status = %s WHERE id = 'b'", status)

    def upload(self, key: str, started: datetime) -> None:
        self.run(
            """INSERT INTO storage.s3_multipart_uploads (id, bucket_id, key, version, created_at)
               VALUES (%s, 'b', %s, 'v', %s)""",
            f"u-{key}", key, started,
        )  # fmt: skip

    def all(self) -> set[tuple[str, str]]:
        """(key, what): ``current``, ``noncurrent``, ``marker``, ``null marker``."""
        found = self.run(
            """SELECT name, CASE WHEN archived_at IS NOT NULL THEN 'noncurrent' WHEN NOT is_delete_marker THEN 'current'
                   WHEN is_versioned THEN 'marker' ELSE 'null marker' END FROM storage.objects ORDER BY 1, 2"""
        )
        return {(key, what) for key, what in found}

    def keys(self) -> list[str]:
        return [
            key for [key] in self.run("SELECT name FROM storage.objects ORDER BY name, archived_at DESC NULLS FIRST")
        ]

    def uploads(self) -> list[str]:
        return [key for [key] in self.run("SELECT key FROM storage.s3_multipart_uploads ORDER BY key")]


@pytest.fixture
def rows(owner: psycopg.Connection) -> Rows:
    return Rows(owner)


async def rules(session: Session, *entries: dict[str, Any]) -> None:
    """Put rules, each enabled and with an id."""
    document = {"Rules": [{"ID": f"r{n}", "Status": "Enabled", **entry} for n, entry in enumerate(entries)]}
    await configurations.put(session, SERVICE, "b", Kind.LIFECYCLE, document)


EXPIRE = {"Expiration": {"Days": 7}}
OLD, YOUNG = MIDNIGHT - 7 * DAY - timedelta(seconds=1), MIDNIGHT - 7 * DAY


class TestCurrentVersions:
    async def test_days_are_counted_from_the_midnight_after(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.put("old", OLD)
        rows.put("young", YOUNG)
        await rules(session, {"Filter": {}, **EXPIRE})
        assert await engine.run() == Done(expired=1)
        assert rows.keys() == ["young"]

    async def test_next_midnight_is_another_run(
        self, session: Session, engine: LifecycleEngine, rows: Rows, clock: Clock
    ) -> None:
        rows.put("young", YOUNG)
        await rules(session, {"Filter": {}, **EXPIRE})
        assert await engine.run() == Done()
        clock.instant = MIDNIGHT + DAY - timedelta(microseconds=1)
        assert await engine.run() == Done()
        clock.instant = MIDNIGHT + DAY
        assert await engine.run() == Done(expired=1)

    @pytest.mark.parametrize(
        ("filters", "kept"),
        [
            ({"Filter": {}}, []),
            ({"Prefix": "a/"}, ["big", "tagged", "twice"]),
            ({"Filter": {"Prefix": "a/"}}, ["big", "tagged", "twice"]),
            ({"Filter": {"Tag": {"Key": "k", "Value": "v"}}}, ["a/1", "a/2", "big"]),
            ({"Filter": {"Tag": {"Key": "k", "Value": "w"}}}, ["a/1", "a/2", "big", "tagged", "twice"]),
            (
                {"Filter": {"And": {"Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "m"}]}}},
                ["a/1", "a/2", "big", "tagged"],
            ),
            ({"Filter": {"ObjectSizeGreaterThan": 10}}, ["a/1", "a/2", "tagged", "twice"]),
            ({"Filter": {"ObjectSizeLessThan": 1000}}, ["big"]),
            (
                {"Filter": {"And": {"ObjectSizeGreaterThan": 10, "ObjectSizeLessThan": 1000}}},
                ["a/1", "a/2", "big", "tagged", "twice"],
            ),
            (
                {"Filter": {"And": {"Prefix": "t", "Tags": [{"Key": "l", "Value": "m"}]}}},
                ["a/1", "a/2", "big", "tagged"],
            ),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("versioning", ["DISABLED", "ENABLED", "SUSPENDED"])
    async def test_filter(
        self, session: Session, engine: LifecycleEngine, rows: Rows, versioning: str, filters: dict[str, Any],
        kept: list[str],
    ) -> None:  # fmt: skip
        rows.versioning(versioning)
        for key, size, tags in (
            ("a/1", 10, None), ("a/2", 10, None), ("big", 1000, None), ("tagged", 10, {"k": "v"}),
            ("twice", 10, {"k": "v", "l": "m"}),
        ):  # fmt: skip
            rows.put(key, size=size, tags=tags, versioned=versioning == "ENABLED")
        await rules(session, {**filters, **EXPIRE})
        done = await engine.run()
        current = sorted(key for key, what in rows.all() if what == "current")
        assert current == kept
        assert done == Done(expired=5 - len(kept))
        markers = {"DISABLED": None, "ENABLED": "marker", "SUSPENDED": "null marker"}[versioning]
        expected = sorted({"a/1", "a/2", "big", "tagged", "twice"} - set(kept)) if markers else []
        assert sorted(key for key, what in rows.all() if what == markers) == expected

    async def test_date(self, session: Session, engine: LifecycleEngine, rows: Rows, clock: Clock) -> None:
        rows.put("new", NOON)
        await rules(session, {"Filter": {}, "Expiration": {"Date": "2026-11-22T00:00:00Z"}})
        assert await engine.run() == Done()
        clock.instant = MIDNIGHT + DAY
        assert await engine.run() == Done(expired=1)

    async def test_disabled_rule(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        rows.put("old")
        await rules(session, {"Filter": {}, **EXPIRE, "Status": "Disabled"})
        assert await engine.run() == Done()
        assert rows.keys() == ["old"]

    async def test_many_pages_and_prefixes(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        for n in range(20):
            rows.put(f"{n % 4}/{n:02}", LONG_AGO if n % 2 else NOON)
        await rules(session, *({"Filter": {"Prefix": prefix}, **EXPIRE} for prefix in ("1/", "3/0", "0/", "3/")))
        assert await engine.run() == Done(expired=10)
        kept = rows.keys()
        assert all(int(key[2:]) % 2 == 0 for key in kept)

    async def test_enabled_versioning_keeps_the_version(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.versioning("ENABLED")
        version = rows.put("k", versioned=True)
        await rules(session, {"Filter": {}, **EXPIRE})
        assert await engine.run() == Done(expired=1)
        assert rows.all() == {("k", "marker"), ("k", "noncurrent")}
        [[kept, modified]] = rows.run("SELECT version, updated_at FROM storage.objects WHERE archived_at IS NOT NULL")
        assert (kept, modified) == (version, LONG_AGO)

    async def test_suspended_versioning_replaces_the_null_version(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.versioning("SUSPENDED")
        rows.put("null")
        rows.put("versioned", versioned=True)
        rows.put("versioned", archived=LONG_AGO)
        await rules(session, {"Filter": {}, **EXPIRE})
        assert await engine.run() == Done(expired=2)
        assert rows.all() == {
            ("null", "null marker"), ("versioned", "null marker"), ("versioned", "noncurrent")
        }  # fmt: skip
        assert rows.run("SELECT is_versioned FROM storage.objects WHERE archived_at IS NOT NULL") == [(True,)]


class TestHeldObjects:
    @pytest.mark.parametrize("hold", [{"legal_hold": True}, {"lock_until": datetime(2999, 1, 1, tzinfo=UTC)}])
    async def test_held_version_is_not_removed(
        self, session: Session, engine: LifecycleEngine, rows: Rows, hold: dict[str, Any]
    ) -> None:
        rows.versioning("ENABLED")
        rows.put("held", NOON, versioned=True)
        rows.put("held", archived=LONG_AGO, versioned=True, **hold)
        rows.put("held", archived=LONG_AGO - DAY, versioned=True)
        await rules(session, {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
        assert await engine.run() == Done(noncurrent=1)
        held = "SELECT lock_until IS NOT NULL OR legal_hold FROM storage.objects WHERE archived_at IS NOT NULL"
        assert rows.run(held) == [(True,)]

    async def test_held_object_of_an_unversioned_bucket(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.put("held", legal_hold=True)
        rows.put("over", lock_until=datetime(2020, 1, 1, tzinfo=UTC))
        await rules(session, {"Filter": {}, **EXPIRE})
        assert await engine.run() == Done(expired=1)
        assert rows.keys() == ["held"]

    async def test_held_current_version_gets_a_marker(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.versioning("ENABLED")
        rows.put("held", versioned=True, legal_hold=True)
        await rules(session, {"Filter": {}, **EXPIRE})
        assert await engine.run() == Done(expired=1)
        assert rows.all() == {("held", "marker"), ("held", "noncurrent")}


class TestNoncurrentVersions:
    async def test_days(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        rows.versioning("ENABLED")
        rows.put("k", versioned=True)
        for n in range(1, 10):
            rows.put("k", archived=MIDNIGHT - n * DAY, versioned=True)
        await rules(session, {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 4}})
        # archived at a midnight: the fifth midnight after it is that of the fifth day
        assert await engine.run() == Done(noncurrent=5)
        assert len(rows.keys()) == 1 + 4

    @pytest.mark.parametrize("keep", [1, 5, 9, 100])
    async def test_newer_versions_are_kept(
        self, session: Session, engine: LifecycleEngine, rows: Rows, keep: int
    ) -> None:
        rows.versioning("ENABLED")
        for key in ("j", "k"):
            rows.put(key, versioned=True)
            for n in range(9):
                rows.put(key, archived=LONG_AGO - n * DAY, versioned=True)
        noncurrent = {"NoncurrentDays": 1, "NewerNoncurrentVersions": keep}
        await rules(session, {"Filter": {}, "NoncurrentVersionExpiration": noncurrent})
        assert await engine.run() == Done(noncurrent=2 * max(0, 9 - keep))
        kept = rows.run(
            "SELECT archived_at FROM storage.objects WHERE name = 'k' AND archived_at IS NOT NULL ORDER BY 1 DESC"
        )
        assert [instant for [instant] in kept] == [LONG_AGO - n * DAY for n in range(min(keep, 9))]

    async def test_tags_and_size_are_the_versions_own(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.versioning("ENABLED")
        rows.put("k", versioned=True, tags={"k": "v"})
        rows.put("k", archived=LONG_AGO, versioned=True, tags={"k": "v"})
        rows.put("k", archived=LONG_AGO - DAY, versioned=True)
        noncurrent = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
        await rules(session, {"Filter": {"Tag": {"Key": "k", "Value": "v"}}, **noncurrent})
        assert await engine.run() == Done(noncurrent=1)
        assert rows.run("SELECT tags FROM storage.objects WHERE archived_at IS NOT NULL") == [(None,)]

    async def test_null_version_and_marker(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        rows.versioning("SUSPENDED")
        rows.put("k", versioned=True)
        rows.put("k", archived=LONG_AGO)
        rows.put("k", archived=LONG_AGO - DAY, versioned=True, marker=True)
        await rules(session, {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
        assert await engine.run() == Done(noncurrent=2)
        assert rows.all() == {("k", "current")}


class TestDeleteMarkers:
    async def test_expired_marker_goes_at_once(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        rows.versioning("ENABLED")
        rows.put("alone", NOON, marker=True, versioned=True)
        rows.put("behind", NOON, marker=True, versioned=True)
        rows.put("behind", archived=NOON, versioned=True)
        await rules(session, {"Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}})
        assert await engine.run() == Done(markers=1)
        assert rows.keys() == ["behind", "behind"]

    async def test_days_are_for_markers_too(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        rows.versioning("ENABLED")
        rows.put("old", OLD, marker=True, versioned=True)
        rows.put("young", YOUNG, marker=True, versioned=True)
        rows.put("behind", OLD, marker=True, versioned=True)
        rows.put("behind", archived=NOON, versioned=True)
        await rules(session, {"Filter": {}, **EXPIRE})
        assert await engine.run() == Done(markers=1)
        assert rows.keys() == ["behind", "behind", "young"]

    async def test_rule_by_size_is_not_about_markers(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.versioning("ENABLED")
        rows.put("old", marker=True, versioned=True)
        await rules(session, {"Filter": {"ObjectSizeLessThan": 5}, **EXPIRE})
        assert await engine.run() == Done()

    async def test_marker_goes_in_the_run_that_removes_the_last_version(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.versioning("ENABLED")
        rows.put("k", marker=True, versioned=True)
        rows.put("k", archived=LONG_AGO, versioned=True)
        await rules(
            session,
            {"Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
            {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        )
        assert await engine.run() == Done(noncurrent=1, markers=1)
        assert rows.keys() == []


class TestUploads:
    async def test_old_upload_is_aborted(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        for key, started in (("a/old", OLD), ("a/young", YOUNG), ("b/old", OLD)):
            rows.upload(key, started)
        await rules(session, {"Prefix": "a/", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}})
        assert await engine.run() == Done(uploads=1)
        assert rows.uploads() == ["a/young", "b/old"]

    async def test_completed_upload_is_not(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        rows.upload("k", OLD)
        rows.run("UPDATE storage.s3_multipart_uploads SET completed_at = now()")
        await rules(session, {"Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
        assert await engine.run() == Done()

    async def test_pages(self, session: Session, engine: LifecycleEngine, rows: Rows) -> None:
        for n in range(10):
            rows.upload(f"k{n}", OLD)
        await rules(session, {"Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
        assert await engine.run() == Done(uploads=10)


CHANGES = {
    "overwritten": "UPDATE storage.objects SET version = 'other', updated_at = now()",
    "retagged": 'UPDATE storage.objects SET tags = \'{"k": "w"}\'',
    "archived": "UPDATE storage.objects SET archived_at = now()",
    "moved": "UPDATE storage.objects SET name = 'elsewhere'",
    "held": "UPDATE storage.objects SET legal_hold = true",
}


@asynccontextmanager
async def before_each_batch(act: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Something happens after a page was read and before the engine acts on it."""
    original = lifecycle.act

    async def acting(*given: Any, **named: Any) -> Any:
        act()
        return await original(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "act", acting)
        yield


class TestRaces:
    @pytest.mark.parametrize("change", CHANGES)
    async def test_object_changed_between_scan_and_delete(
        self, session: Session, engine: LifecycleEngine, rows: Rows, monkeypatch: pytest.MonkeyPatch, change: str
    ) -> None:
        rows.put("k", tags={"k": "v"})
        await rules(session, {"Filter": {"Tag": {"Key": "k", "Value": "v"}}, **EXPIRE})
        async with before_each_batch(lambda: rows.run(CHANGES[change]), monkeypatch):
            assert await engine.run() == Done()
        assert len(rows.keys()) == 1

    async def test_unchanged_object_is_deleted_there(
        self, session: Session, engine: LifecycleEngine, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows.put("k", tags={"k": "v"})
        await rules(session, {"Filter": {"Tag": {"Key": "k", "Value": "v"}}, **EXPIRE})
        async with before_each_batch(lambda: None, monkeypatch):
            assert await engine.run() == Done(expired=1)

    @pytest.mark.parametrize("change", ["UPDATE storage.bucket_configurations SET document = '{\"Rules\": []}'",
                                        "DELETE FROM storage.bucket_configurations"])  # fmt: skip
    async def test_rules_changed_between_scan_and_delete(
        self, session: Session, engine: LifecycleEngine, rows: Rows, monkeypatch: pytest.MonkeyPatch, change: str
    ) -> None:
        rows.put("k")
        await rules(session, {"Filter": {}, **EXPIRE})
        async with before_each_batch(lambda: rows.run(change), monkeypatch):
            assert (
                await asyncio.wait_for(engine.run(asyncio.Event()) if "DELETE" in change else first(engine), 10)
                == Done()
            )
        assert await engine.run() == Done()
        assert rows.keys() == ["k"]

    async def test_object_being_written_is_left(
        self, session: Session, engine: LifecycleEngine, rows: Rows, database: Databases
    ) -> None:
        rows.put("busy")
        rows.put("idle")
        await rules(session, {"Filter": {}, **EXPIRE})
        with psycopg.connect(database.owner_url) as writer:
            writer.execute("UPDATE storage.objects SET metadata = '{}' WHERE name = 'busy'")
            assert await asyncio.wait_for(engine.run(), 10) == Done(expired=1)
        assert rows.keys() == ["busy"]

    async def test_version_gone_that_had_to_be_kept(
        self, session: Session, engine: LifecycleEngine, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows.versioning("ENABLED")
        rows.put("k", versioned=True)
        for n in range(2):
            rows.put("k", archived=LONG_AGO - n * DAY, versioned=True)
        keep = {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}
        await rules(session, {"Filter": {}, "NoncurrentVersionExpiration": keep})
        newest = "DELETE FROM storage.objects WHERE archived_at = (SELECT max(archived_at) FROM storage.objects)"
        done = iter([newest])
        async with before_each_batch(lambda: rows.run(next(done, "SELECT 1")), monkeypatch):
            assert await engine.run() == Done()
        assert rows.all() == {("k", "current"), ("k", "noncurrent")}

    async def test_two_engines_share_the_work(
        self, session: Session, engine: LifecycleEngine, rows: Rows, clock: Clock
    ) -> None:
        for n in range(30):
            rows.put(f"k{n:02}")
        await rules(session, {"Filter": {}, **EXPIRE})
        other = LifecycleEngine(session, Calendar(), now=clock, page_size=3)
        done = await asyncio.gather(engine.run(), other.run())
        assert sum((each.expired for each in done), 0) == 30
        assert rows.keys() == []


async def first(engine: LifecycleEngine) -> Done:
    """One bucket's run, because rules that change before each batch would make it begin anew for ever."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stopping.set)
    return await engine.run(stopping)


class TestInterruption:
    @pytest.mark.parametrize("point", ["lifecycle.after_scan", "lifecycle.after_batch"])
    async def test_another_engine_goes_on_where_one_died(
        self, session: Session, engine: LifecycleEngine, rows: Rows, clock: Clock, point: str
    ) -> None:
        for n in range(10):
            rows.put(f"k{n}")
        rows.put("stay", NOON)
        await rules(session, {"Filter": {}, **EXPIRE})
        failpoints.arm(f"{point}=error@2")
        try:
            with pytest.raises(failpoints.FailpointError):
                await engine.run()
        finally:
            failpoints.arm("")
        left = len(rows.keys())
        assert left == (8 if point.endswith("scan") else 5)
        other = LifecycleEngine(session, Calendar(), now=clock, page_size=3)
        assert await other.run() == Done()  # the claim of the dead one still holds
        rows.run("UPDATE rowlock.lifecycles SET claimed_until = now() - interval '1 second'")
        assert await other.run() == Done(expired=left - 1)
        assert rows.keys() == ["stay"]

    @pytest.mark.parametrize("point", ["lifecycle.after_scan", "lifecycle.after_batch"])
    async def test_killed_process_loses_nothing_and_deletes_nothing_else(
        self, session: Session, engine: LifecycleEngine, rows: Rows, database: Databases, point: str
    ) -> None:
        rows.versioning("ENABLED")
        for n in range(10):
            rows.put(f"k{n}", versioned=True)
            rows.put(f"stay{n}", NOON, versioned=True)
        await rules(session, {"Filter": {}, **EXPIRE})
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.lifecycle_program",
            database.gateway_url, f"{point}=kill@3", NOON.isoformat(),
        )  # fmt: skip
        assert await process.wait() == -signal.SIGKILL
        done = len([key for key, what in rows.all() if what == "marker"])
        assert 0 < done < 10
        rows.run("UPDATE rowlock.lifecycles SET claimed_until = now() - interval '1 second'")
        assert await engine.run() == Done(expired=10 - done)
        kept = {(f"stay{n}", "current") for n in range(10)}
        assert rows.all() == kept | {(f"k{n}", what) for n in range(10) for what in ("marker", "noncurrent")}

    async def test_unfinished_run_keeps_its_place_over_midnight(
        self, session: Session, engine: LifecycleEngine, rows: Rows, clock: Clock
    ) -> None:
        for n in range(10):
            rows.put(f"k{n}", NOON)
        await rules(session, {"Filter": {}, **EXPIRE})
        stopping = asyncio.Event()
        failpoints.arm("lifecycle.after_batch=error@2")
        try:
            with pytest.raises(failpoints.FailpointError):
                await engine.run(stopping)
        finally:
            failpoints.arm("")
        assert rows.run("SELECT step, after_key, run_finished FROM rowlock.lifecycles") == [("current", "k5", False)]
        clock.instant += DAY
        await engine.run()
        assert rows.run("SELECT run_finished, run_midnight FROM rowlock.lifecycles") == [(True, MIDNIGHT + DAY)]

    async def test_rules_that_cannot_be_read_do_nothing(
        self, session: Session, engine: LifecycleEngine, rows: Rows
    ) -> None:
        rows.put("k")
        broken = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": -1}}]}
        await configurations.put(session, SERVICE, "b", Kind.LIFECYCLE, broken)
        assert await engine.run() == Done()
        assert rows.keys() == ["k"]


class TestRevisions:
    async def test_revision_changes_with_the_rules_and_goes_with_them(self, session: Session, rows: Rows) -> None:
        memory = lifecycle.RuleMemory()
        revisions = []
        for days in (1, 2):
            await rules(session, {"Filter": {}, "Expiration": {"Days": days}})
            [[revision]] = rows.run("SELECT revision FROM rowlock.lifecycle_revisions")
            revisions.append(revision)
            assert [rule.expiration_days for rule in await memory.rules(session, "b", revision)] == [days]
        assert revisions[0] != revisions[1]
        await configurations.delete(session, SERVICE, "b", Kind.LIFECYCLE)
        assert rows.run("SELECT revision FROM rowlock.lifecycle_revisions") == []
        assert rows.run("SELECT bucket_id FROM rowlock.lifecycles") == []

    async def test_bucket_deleted_takes_its_rules_along(self, session: Session, rows: Rows) -> None:
        await rules(session, {"Filter": {}, **EXPIRE})
        await buckets.delete_bucket(session, SERVICE, "b")
        assert rows.run("SELECT FROM rowlock.lifecycles UNION ALL SELECT FROM rowlock.lifecycle_revisions") == []
