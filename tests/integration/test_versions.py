"""Versions of objects in the database: what policies govern, what plain SQL does, races, and locks against psql."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from gateway.blobs.protocol import new_blob_id
from gateway.errors import StorageError
from gateway.metadata import buckets, engine, keyspace, listings, objects
from gateway.metadata.embedded import Databases
from gateway.metadata.records import (
    Attributes,
    DeleteOutcome,
    Deletion,
    Doomed,
    Headers,
    ListedVersion,
    NewObject,
    VersioningStatus,
)
from gateway.metadata.session import Session
from gateway.wire.conditions import WriteCondition
from tests.integration.conftest import ANON, SERVICE, user

ALICE = user("6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0001")
BOB = user("6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0002")
ANY = WriteCondition()

Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
async def bucket(session: Session) -> None:
    await buckets.create_bucket(session, SERVICE, "docs", None, public=False)
    await buckets.set_versioning(session, SERVICE, "docs", VersioningStatus.ENABLED)


def new(key: str, text: str = "v", **fields: Any) -> NewObject:
    values: dict[str, Any] = {"content": text.encode(), **fields}
    return NewObject("docs", key, secrets.token_hex(16), None, Headers(), len(text), text, **values)


async def put(session: Session, key: str, text: str = "v", scope: Any = SERVICE, **fields: Any) -> str:
    written = await objects.put_object(session, scope, new(key, text, **fields), ANY)
    return written.version_id or "null"


async def delete(session: Session, key: str, version_id: str | None = None, scope: Any = SERVICE) -> Deletion:
    return await objects.delete_object(session, scope, "docs", Doomed(key, version_id))


async def listed(session: Session, page_size: int = 100, scope: Any = SERVICE) -> list[ListedVersion]:
    return await listings.list_versions(session, scope, "docs", keyspace.within(""), None, "", None, page_size)


async def suspend(session: Session) -> None:
    await buckets.set_versioning(session, SERVICE, "docs", VersioningStatus.SUSPENDED)


def shown(entries: list[ListedVersion]) -> list[str]:
    return [("marker" if entry.is_delete_marker else entry.etag) + "*" * entry.is_latest for entry in entries]


class TestKeeping:
    async def test_every_column_of_an_overwritten_row_is_kept(self, session: Session, owner: Connection) -> None:
        await put(
            session,
            "k",
            attributes=Attributes(tags={"a": "b"}),
            checksum=None,
        )
        before = owner.execute("SELECT to_jsonb(o) FROM storage.objects AS o").fetchone()
        await put(session, "k", "second")
        after = owner.execute("SELECT to_jsonb(o) FROM storage.objects AS o WHERE archived_at IS NOT NULL").fetchone()
        assert before is not None
        assert after is not None
        own = {"id", "archived_at", "archived_version"}
        assert {k: v for k, v in after[0].items() if k not in own} == {
            k: v for k, v in before[0].items() if k not in own
        }

    async def test_keep_version_names_every_column(self, owner: Connection) -> None:
        [definition] = owner.execute("SELECT prosrc FROM pg_proc WHERE proname = 'keep_version'").fetchone() or ("",)
        columns = owner.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'storage.objects'::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' AND attname NOT IN ('id', 'archived_at', 'archived_version')"
        ).fetchall()
        assert [name for (name,) in columns if f"p_old.{name}" not in definition] == []

    async def test_blobs_of_archived_versions_are_not_garbage(self, session: Session, owner: Connection) -> None:
        epoch = await engine.begin_epoch(session, "test", 1)
        blobs = [new_blob_id(epoch) for _ in range(3)]
        ids = [await put(session, "k", blob, content=None, epoch=epoch, backend="file", blob_id=blob) for blob in blobs]
        assert owner.execute("SELECT count(*) FROM rowlock.garbage").fetchone() == (0,)
        assert await engine.owned_blobs(session, blobs) == set(blobs)
        await delete(session, "k", ids[1])
        assert owner.execute("SELECT blob_id FROM rowlock.garbage").fetchall() == [(blobs[1],)]

    async def test_repeated_write_counts_once_although_it_is_archived(self, session: Session) -> None:
        epoch = await engine.begin_epoch(session, "test", 1)
        first = new("k", content=None, epoch=epoch, backend="file", blob_id=new_blob_id(epoch))
        written = await objects.put_object(session, SERVICE, first, ANY)
        await put(session, "k", "second")
        assert await objects.put_object(session, SERVICE, first, ANY) == written
        assert shown(await listed(session)) == ["second*", "v"]

    async def test_suspended_bucket_has_one_null_version(self, session: Session) -> None:
        kept = await put(session, "k", "kept")
        await suspend(session)
        for text in ("n1", "n2"):
            assert await put(session, "k", text) == "null"
        assert shown(await listed(session)) == ["n2*", "kept"]
        await buckets.set_versioning(session, SERVICE, "docs", VersioningStatus.ENABLED)
        await put(session, "k", "later")
        assert shown(await listed(session)) == ["later*", "n2", "kept"]
        await suspend(session)
        await put(session, "k", "n3")
        assert shown(await listed(session)) == ["n3*", "later", "kept"]
        marker = await delete(session, "k")
        assert marker == Deletion(DeleteOutcome.DELETED, "null", True)
        assert shown(await listed(session)) == ["marker*", "later", "kept"]
        await put(session, "k", "n4")
        assert shown(await listed(session)) == ["n4*", "later", "kept"]
        assert (await delete(session, "k", kept)).outcome is DeleteOutcome.DELETED

    async def test_deleting_the_current_version_brings_the_one_before_back(self, session: Session) -> None:
        ids = [await put(session, "k", text) for text in ("a", "b", "c")]
        await delete(session, "k", ids[2])
        assert shown(await listed(session)) == ["b*", "a"]
        await put(session, "k", "d")
        assert shown(await listed(session)) == ["d*", "b", "a"]

    async def test_plain_delete_of_the_current_version_brings_the_one_before_back(
        self, session: Session, owner: Connection
    ) -> None:
        for text in ("a", "b"):
            await put(session, "k", text)
        owner.execute("DELETE FROM storage.objects WHERE archived_at IS NULL")
        assert shown(await listed(session)) == ["a*"]
        owner.execute("DELETE FROM storage.objects WHERE bucket_id = 'docs'")
        assert await listed(session) == []

    async def test_bucket_with_only_a_marker_is_not_empty(self, session: Session) -> None:
        await delete(session, "k")
        with pytest.raises(StorageError, match="BucketNotEmpty"):
            await buckets.delete_bucket(session, SERVICE, "docs")


class TestPolicies:
    @pytest.fixture(autouse=True)
    def policies(self, owner: Connection) -> None:
        """Everybody in a folder of their own; the read policy knows nothing but current objects."""
        mine = "bucket_id = 'docs' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text)"
        owner.execute(f"""
            CREATE POLICY own_read ON storage.objects FOR SELECT TO authenticated
                USING ({mine} AND archived_at IS NULL AND NOT is_delete_marker);
            CREATE POLICY own_insert ON storage.objects FOR INSERT TO authenticated WITH CHECK ({mine});
            CREATE POLICY own_update ON storage.objects FOR UPDATE TO authenticated USING ({mine}) WITH CHECK ({mine});
            CREATE POLICY own_delete ON storage.objects FOR DELETE TO authenticated USING ({mine});
            CREATE POLICY drop_box ON storage.objects FOR INSERT TO anon WITH CHECK (name LIKE 'drop/%')
        """)  # type: ignore[arg-type]

    async def test_owner_overwrites_deletes_and_puts_again(self, session: Session) -> None:
        key = f"{ALICE.subject}/k"
        for text in ("a", "b"):
            await put(session, key, text, ALICE)
        assert (await delete(session, key, scope=ALICE)).is_marker
        await put(session, key, "c", ALICE)
        assert shown(await listed(session)) == ["c*", "marker", "b", "a"]
        assert shown(await listed(session, scope=ALICE)) == ["c*"]

    async def test_archived_version_is_governed_by_the_same_policies(self, session: Session) -> None:
        key = f"{ALICE.subject}/k"
        first = await put(session, key, "a", ALICE)
        await put(session, key, "b", ALICE)
        assert await objects.find_object(session, ALICE, "docs", key, first) is None
        assert (await delete(session, key, first, ALICE)).outcome is DeleteOutcome.DENIED
        assert shown(await listed(session)) == ["b*", "a"]

    async def test_others_neither_overwrite_nor_mark_nor_delete(self, session: Session) -> None:
        key = f"{ALICE.subject}/k"
        first = await put(session, key, "a", ALICE)
        with pytest.raises(StorageError, match="AccessDenied"):
            await put(session, key, "b", BOB)
        assert (await delete(session, key, scope=BOB)).outcome is DeleteOutcome.DENIED
        assert (await delete(session, key, first, BOB)).outcome is DeleteOutcome.DENIED
        done = await objects.delete_objects(session, BOB, "docs", [Doomed(key), Doomed(key, first), Doomed("none")])
        assert [one.outcome for one in done] == [DeleteOutcome.DENIED, DeleteOutcome.DENIED, DeleteOutcome.ABSENT]
        assert shown(await listed(session)) == ["a*"]

    async def test_marker_on_a_missing_key_needs_the_right_to_insert(self, session: Session) -> None:
        assert (await delete(session, "none", scope=BOB)).outcome is DeleteOutcome.ABSENT
        assert (await delete(session, f"{BOB.subject}/none", scope=BOB)).is_marker
        assert shown(await listed(session)) == ["marker*"]

    async def test_insert_alone_puts_above_a_marker_and_not_over_a_null_version(self, session: Session) -> None:
        await suspend(session)
        await put(session, "drop/k", "null")
        await buckets.set_versioning(session, SERVICE, "docs", VersioningStatus.ENABLED)
        await delete(session, "drop/k")
        await suspend(session)
        with pytest.raises(StorageError, match="AccessDenied"):
            await put(session, "drop/k", "other", ANON)
        await buckets.set_versioning(session, SERVICE, "docs", VersioningStatus.ENABLED)
        await put(session, "drop/k", "above", ANON)
        assert shown(await listed(session)) == ["above*", "marker", "null"]
        with pytest.raises(StorageError, match="AccessDenied"):
            await put(session, "drop/k", "over", ANON)


class TestRaces:
    async def test_fifty_writers_of_one_key_lose_no_version(self, session: Session, database: Databases) -> None:
        other = Session(database.gateway_url, pool_size=4, pool_timeout_seconds=30, statement_timeout_seconds=30)
        await other.open()
        texts = [f"t{number:02}" for number in range(50)]
        ids = await asyncio.gather(
            *(put(session if number % 2 else other, "k", text) for number, text in enumerate(texts))
        )
        await other.close()
        found = await listed(session)
        assert sorted(entry.etag for entry in found) == texts
        assert {entry.version_id for entry in found} == set(ids)
        assert [entry.is_latest for entry in found] == [True] + [False] * 49
        times = [entry.updated_at for entry in found]
        assert times == sorted(times, reverse=True)  # type: ignore[type-var]

    async def test_writers_and_deleters_leave_one_current_row(self, session: Session, owner: Connection) -> None:
        async def work(number: int) -> None:
            for turn in range(10):
                if turn % 3 == 2:
                    await delete(session, "k")
                elif turn % 5 == 4:
                    versions = await listed(session)
                    await delete(session, "k", versions[0].version_id)
                else:
                    await put(session, "k", f"{number}-{turn}")

        await asyncio.gather(*(work(number) for number in range(6)))
        found = await listed(session, 1000)
        assert [entry.is_latest for entry in found] == [True] + [False] * (len(found) - 1)
        stored = owner.execute("SELECT count(*), count(DISTINCT version) FROM storage.objects").fetchone()
        assert stored == (len(found), len(found))

    async def test_concurrent_deletes_place_one_marker_each(self, session: Session) -> None:
        await put(session, "k")
        done = await asyncio.gather(*(delete(session, "k") for _ in range(10)))
        assert len({one.version_id for one in done}) == 10
        assert shown(await listed(session)) == ["marker*"] + ["marker"] * 9 + ["v"]


class TestLocks:
    @pytest.fixture(autouse=True)
    async def locked(self, session: Session) -> None:
        await buckets.put_lock_configuration(session, SERVICE, "docs", {"mode": "GOVERNANCE", "days": 1})

    async def test_psql_neither_deletes_nor_changes_nor_truncates(self, session: Session, owner: Connection) -> None:
        await put(session, "k")
        for statement in (
            "DELETE FROM storage.objects",
            "UPDATE storage.objects SET content = 'x', size_bytes = 1",
            "UPDATE storage.objects SET name = 'other'",
            "UPDATE storage.objects SET lock_until = NULL",
            "UPDATE storage.objects SET lock_until = lock_until - interval '1 hour'",
            "TRUNCATE storage.objects",
            "DELETE FROM storage.bucket_configurations",
            "UPDATE storage.buckets SET versioning_status = 'SUSPENDED'",
        ):
            with pytest.raises(psycopg.DatabaseError) as refused:
                owner.execute(statement)  # type: ignore[arg-type]
            assert refused.value.sqlstate in ("RL010", "RL012")
        assert shown(await listed(session)) == ["v*"]

    async def test_compliance_yields_to_no_bypass(self, session: Session) -> None:
        version = await put(session, "k")
        record = await objects.find_object(session, SERVICE, "docs", "k")
        assert record is not None
        assert record.attributes.lock_until is not None
        changed = await objects.put_retention(
            session, SERVICE, "docs", "k", version, mode="COMPLIANCE", until=record.attributes.lock_until,
            bypass_governance=True,
        )  # fmt: skip
        assert changed == "set"
        with pytest.raises(StorageError, match="AccessDenied"):
            await objects.delete_object(session, SERVICE, "docs", Doomed("k", version), bypass_governance=True)

    async def test_overwriting_keeps_the_locked_version(self, session: Session) -> None:
        first = await put(session, "k", "a")
        await put(session, "k", "b")
        await delete(session, "k")
        assert shown(await listed(session)) == ["marker*", "b", "a"]
        record = await objects.find_object(session, SERVICE, "docs", "k", first)
        assert record is not None
        assert record.attributes.lock_mode == "GOVERNANCE"
        with pytest.raises(StorageError, match="AccessDenied"):
            await delete(session, "k", first)

    async def test_bypass_belongs_to_the_service_role_and_the_owner_of_the_bucket(
        self, session: Session, owner: Connection
    ) -> None:
        owner.execute("CREATE POLICY everything ON storage.objects TO authenticated USING (true) WITH CHECK (true)")
        version = await put(session, "k")
        with pytest.raises(StorageError, match="AccessDenied"):
            await objects.delete_object(session, ALICE, "docs", Doomed("k", version), bypass_governance=True)
        owner.execute("UPDATE storage.buckets SET owner_id = %s", [ALICE.subject])
        done = await objects.delete_object(session, ALICE, "docs", Doomed("k", version), bypass_governance=True)
        assert done.outcome is DeleteOutcome.DELETED

    async def test_setting_of_another_login_is_no_bypass(
        self, session: Session, owner: Connection, database: Databases
    ) -> None:
        await put(session, "k")
        owner.execute("DO $$ BEGIN CREATE ROLE intruder LOGIN PASSWORD 'intruder'; EXCEPTION WHEN duplicate_object "
                      "THEN NULL; END $$; GRANT service_role TO intruder")  # fmt: skip
        url = psycopg.conninfo.make_conninfo(database.owner_url, user="intruder", password="intruder")
        with psycopg.connect(url, autocommit=True) as intruder:
            intruder.execute("SET ROLE service_role; SET rowlock.bypass_governance = 'on'")
            with pytest.raises(psycopg.DatabaseError) as refused:
                intruder.execute("DELETE FROM storage.objects")
            assert refused.value.sqlstate == "RL010"
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                intruder.execute("UPDATE storage.objects SET lock_until = NULL")

    async def test_bucket_without_lock_takes_none(self, session: Session) -> None:
        await buckets.create_bucket(session, SERVICE, "plain", None, public=False)
        held = replace(new("k"), bucket="plain", attributes=Attributes(legal_hold=True))
        with pytest.raises(StorageError, match="InvalidRequest"):
            await objects.put_object(session, SERVICE, held, ANY)
