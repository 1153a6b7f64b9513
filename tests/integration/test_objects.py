"""storage.objects through the repositories and through plain SQL: policies, conditions, released bytes."""

import asyncio

import psycopg
import pytest

from gateway.blobs.protocol import new_blob_id
from gateway.errors import StorageError
from gateway.metadata import buckets, configurations, engine, keyspace, listings, multipart, objects
from gateway.metadata.configurations import Kind
from gateway.metadata.embedded import Databases
from gateway.metadata.records import DeleteOutcome, Doomed, Headers, NewObject
from gateway.metadata.session import Session
from gateway.wire.conditions import WriteCondition
from tests.integration.conftest import ANON, SERVICE, user

ALICE = user("6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0001")
BOB = user("6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0002")
NO_CONDITION = WriteCondition()


def inline(key: str, content: bytes = b"content", etag: str = "e", owner: str | None = None) -> NewObject:
    return NewObject("docs", key, f"v-{key}-{etag}", owner, Headers(), len(content), etag, content=content)


@pytest.fixture(autouse=True)
async def bucket(session: Session) -> None:
    await buckets.create_bucket(session, SERVICE, "docs", None, public=False)


@pytest.fixture
async def epoch(session: Session) -> int:
    return await engine.begin_epoch(session, "test", 1)


def stored(epoch: int, key: str, etag: str = "e") -> NewObject:
    blob_id = new_blob_id(epoch)
    return NewObject("docs", key, blob_id, None, Headers(), 9, etag, epoch=epoch, backend="file", blob_id=blob_id)


def policies(owner: psycopg.Connection) -> None:
    """What a Supabase user writes: everybody in a folder of their own, a public folder for reading."""
    owner.execute("""
        CREATE POLICY own_folder ON storage.objects TO authenticated
        USING (bucket_id = 'docs' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text))
        WITH CHECK (bucket_id = 'docs' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text));
        CREATE POLICY public_folder ON storage.objects FOR SELECT TO anon, authenticated
        USING (bucket_id = 'docs' AND name LIKE 'pub/%')
    """)


async def garbage(session: Session) -> set[str]:
    return {item.blob_id for item in await engine.claim_garbage(session, 0, 0, 1000)}


class TestPolicies:
    async def test_put_without_a_policy_is_denied(self, session: Session) -> None:
        for scope in (ANON, ALICE):
            with pytest.raises(StorageError, match="AccessDenied"):
                await objects.put_object(session, scope, inline("a"), NO_CONDITION)
        assert await objects.find_object(session, SERVICE, "docs", "a") is None

    async def test_policy_decides_what_a_user_writes_reads_lists_and_deletes(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        policies(owner)
        mine = f"{ALICE.subject}/note"
        await objects.put_object(session, ALICE, inline(mine), NO_CONDITION)
        await objects.put_object(session, ALICE, inline(mine, etag="e2"), NO_CONDITION)
        await objects.put_object(session, SERVICE, inline("pub/page"), NO_CONDITION)
        await objects.put_object(session, SERVICE, inline("secret"), NO_CONDITION)
        with pytest.raises(StorageError, match="AccessDenied"):
            await objects.put_object(session, BOB, inline(mine, etag="e3"), NO_CONDITION)
        refused = await objects.delete_object(session, BOB, "docs", Doomed(mine))
        assert refused.outcome is DeleteOutcome.DENIED
        assert await objects.find_object(session, BOB, "docs", mine) is None
        everything = keyspace.within("")
        names = [
            [entry.name for entry in await listings.list_objects(session, scope, "docs", everything, "", None, 10)]
            for scope in (ALICE, BOB, ANON)
        ]
        assert names == [[mine, "pub/page"], ["pub/page"], ["pub/page"]]
        outcomes = await objects.delete_objects(
            session, ALICE, "docs", [Doomed(mine), Doomed("secret"), Doomed("none")]
        )
        assert [done.outcome for done in outcomes] == [
            DeleteOutcome.DELETED,
            DeleteOutcome.DENIED,
            DeleteOutcome.ABSENT,
        ]

    async def test_new_key_needs_insert_only_and_overwrite_needs_update(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        owner.execute("CREATE POLICY drop_box ON storage.objects FOR INSERT TO anon WITH CHECK (bucket_id = 'docs')")
        await objects.put_object(session, ANON, inline("drop"), NO_CONDITION)
        with pytest.raises(StorageError, match="AccessDenied"):
            await objects.put_object(session, ANON, inline("drop", etag="e2"), NO_CONDITION)

    async def test_policy_sees_the_true_size_and_type_at_commit(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        owner.execute("""
            CREATE POLICY small_text ON storage.objects FOR INSERT TO authenticated
            WITH CHECK ((metadata ->> 'size')::bigint <= 5 AND metadata ->> 'mimetype' = 'binary/octet-stream')
        """)
        await objects.put_object(session, ALICE, inline("five", b"12345"), NO_CONDITION)
        with pytest.raises(StorageError, match="AccessDenied"):
            await objects.put_object(session, ALICE, inline("six", b"123456"), NO_CONDITION)

    async def test_probe_refuses_what_the_write_would_and_leaves_nothing(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        policies(owner)
        mine = f"{ALICE.subject}/big"
        await objects.probe_put_object(session, ALICE, "docs", mine, None, Headers(), 1 << 30, NO_CONDITION)
        assert await objects.find_object(session, SERVICE, "docs", mine) is None
        with pytest.raises(StorageError, match="AccessDenied"):
            await objects.probe_put_object(session, BOB, "docs", mine, None, Headers(), 1 << 30, NO_CONDITION)

    async def test_bucket_limits_hold(self, session: Session, owner: psycopg.Connection) -> None:
        owner.execute("UPDATE storage.buckets SET file_size_limit = 4, allowed_mime_types = '{image/*}'")
        with pytest.raises(StorageError, match="EntityTooLarge"):
            await objects.put_object(session, SERVICE, inline("a", b"12345"), NO_CONDITION)
        with pytest.raises(StorageError, match="InvalidMimeType"):
            await objects.put_object(session, SERVICE, inline("a", b"1234"), NO_CONDITION)


class TestConditions:
    async def test_if_none_match_existing(self, session: Session) -> None:
        await objects.put_object(session, SERVICE, inline("a"), WriteCondition(if_none_match="*"))
        with pytest.raises(StorageError, match="PreconditionFailed"):
            await objects.put_object(session, SERVICE, inline("a", etag="f"), WriteCondition(if_none_match="*"))

    async def test_if_match_missing_is_no_such_key(self, session: Session) -> None:
        with pytest.raises(StorageError, match="NoSuchKey"):
            await objects.put_object(session, SERVICE, inline("a"), WriteCondition(if_match="e"))

    async def test_of_fifty_concurrent_creators_one_wins(self, session: Session) -> None:
        results = await asyncio.gather(
            *(
                objects.put_object(session, SERVICE, inline("lock", etag=f"e{n}"), WriteCondition(if_none_match="*"))
                for n in range(50)
            ),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, StorageError)]
        assert len(refused) == 49
        assert {error.code.name for error in refused} == {"PreconditionFailed"}

    async def test_if_match_loses_no_update(self, session: Session) -> None:
        await objects.put_object(session, SERVICE, inline("counter", etag="0"), NO_CONDITION)

        async def increment() -> None:
            refusal = "PreconditionFailed"
            while refusal == "PreconditionFailed":
                current = await objects.find_object(session, SERVICE, "docs", "counter")
                assert current is not None
                following = inline("counter", etag=str(int(current.etag) + 1))
                try:
                    await objects.put_object(session, SERVICE, following, WriteCondition(if_match=current.etag))
                    refusal = ""
                except StorageError as error:
                    refusal = error.code.name
            assert refusal == ""

        await asyncio.gather(*(increment() for _ in range(20)))
        final = await objects.find_object(session, SERVICE, "docs", "counter")
        assert final is not None
        assert final.etag == "20"


class TestReleasedBytes:
    async def test_overwrite_delete_and_plain_sql_release_the_blob(
        self, session: Session, owner: psycopg.Connection, epoch: int
    ) -> None:
        first, second, third, fourth = (stored(epoch, key) for key in ("a", "a", "b", "c"))
        for new in (first, second, third, fourth):
            await objects.put_object(session, SERVICE, new, NO_CONDITION)
        assert await garbage(session) == {first.blob_id}
        await objects.delete_object(session, SERVICE, "docs", Doomed("a"))
        owner.execute("DELETE FROM storage.objects WHERE name = 'b'")
        owner.execute("UPDATE storage.objects SET name = 'renamed' WHERE name = 'c'")
        assert await garbage(session) == {first.blob_id, second.blob_id, third.blob_id}
        moved = await objects.find_object(session, SERVICE, "docs", "renamed")
        assert moved is not None
        assert moved.blob_id == fourth.blob_id

    async def test_truncate_releases_every_blob(self, session: Session, owner: psycopg.Connection, epoch: int) -> None:
        new = stored(epoch, "a")
        await objects.put_object(session, SERVICE, new, NO_CONDITION)
        owner.execute("TRUNCATE storage.objects")
        assert await garbage(session) == {new.blob_id}

    async def test_rolled_back_delete_releases_nothing(
        self, session: Session, owner: psycopg.Connection, epoch: int
    ) -> None:
        await objects.put_object(session, SERVICE, stored(epoch, "a"), NO_CONDITION)
        with owner.transaction(force_rollback=True):
            owner.execute("DELETE FROM storage.objects")
        assert await garbage(session) == set()

    async def test_role_without_the_gateways_login_cannot_point_a_row_at_a_blob(
        self, database: Databases, session: Session, owner: psycopg.Connection, epoch: int
    ) -> None:
        new = stored(epoch, "a")
        await objects.put_object(session, SERVICE, new, NO_CONDITION)
        owner.execute("DO $$ BEGIN CREATE ROLE intruder LOGIN PASSWORD 'intruder'; EXCEPTION WHEN duplicate_object "
                      "THEN NULL; END $$; GRANT service_role TO intruder")  # fmt: skip
        url = psycopg.conninfo.make_conninfo(database.owner_url, user="intruder", password="intruder")
        with psycopg.connect(url, autocommit=True) as intruder:
            intruder.execute("SET ROLE service_role")
            for statement in (
                "UPDATE storage.objects SET blob_id = NULL",
                "UPDATE storage.objects SET etag = 'x'",
                "UPDATE storage.objects SET encryption = '{}'",
                "INSERT INTO storage.objects (bucket_id, name, encryption) VALUES ('docs', 'x', '{}')",
                "INSERT INTO storage.objects (bucket_id, name, blob_id, backend) VALUES ('docs', 'x', 'y', 'file')",
                "SELECT rowlock.find_written_version('docs', 'a', 'v')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    intruder.execute(statement)
            intruder.execute("UPDATE storage.objects SET user_metadata = '{}'")

    async def test_writer_of_a_dead_epoch_cannot_commit(
        self, session: Session, owner: psycopg.Connection, epoch: int
    ) -> None:
        new = stored(epoch, "a")
        owner.execute("UPDATE rowlock.epochs SET heartbeat_at = now() - interval '2 minutes'")
        assert await engine.declare_dead_epochs(session, 60) == [epoch]
        with pytest.raises(StorageError, match="ServiceUnavailable"):
            await objects.put_object(session, SERVICE, new, NO_CONDITION)
        assert not await engine.beat(session, epoch)


class TestMultipart:
    async def test_completion_adopts_parts_and_releases_the_unused(self, session: Session, epoch: int) -> None:
        await self._begin(session, "u1")
        blobs = [await self._part(session, epoch, "u1", number) for number in (1, 2, 3)]
        replaced = blobs[1]
        blobs[1] = await self._part(session, epoch, "u1", 2)
        assert await garbage(session) == {replaced}
        async with session.transaction(SERVICE) as transaction:
            await multipart.lock_upload(transaction, "u1", "docs", "big")
            new = NewObject(
                "docs", "big", "v", None, Headers(), 10, "e-2", backend="file", part_sizes=(5, 5),
                part_blobs=(blobs[0], blobs[1]),
            )  # fmt: skip
            await objects.put_object_in(transaction, new, NO_CONDITION)
            await multipart.finish_upload(transaction, "u1", new.part_blobs, {"etag": "e-2"})
        assert await garbage(session) == {replaced, blobs[2]}
        assert await multipart.completed_answer(session, SERVICE, "u1", "docs", "big") == {"etag": "e-2"}
        await objects.delete_object(session, SERVICE, "docs", Doomed("big"))
        assert await garbage(session) == {replaced, *blobs}

    async def test_abort_and_bucket_deletion_release_the_parts(self, session: Session, epoch: int) -> None:
        await self._begin(session, "u1")
        await self._begin(session, "u2")
        first = await self._part(session, epoch, "u1", 1)
        second = await self._part(session, epoch, "u2", 1)
        await multipart.abort_upload(session, SERVICE, "u1", "docs", "big")
        with pytest.raises(StorageError, match="NoSuchUpload"):
            await multipart.abort_upload(session, SERVICE, "u1", "docs", "big")
        await buckets.delete_bucket(session, SERVICE, "docs")
        assert await garbage(session) == {first, second}

    async def test_upload_of_another_is_neither_listed_nor_continued(
        self, session: Session, owner: psycopg.Connection, epoch: int
    ) -> None:
        policies(owner)
        await self._begin(session, "u1")
        assert await multipart.list_uploads(session, BOB, "docs", keyspace.within(""), "", None, 10) == []
        with pytest.raises(StorageError, match="AccessDenied"):
            await multipart.probe_part(session, BOB, "u1", "docs", "big", 5)
        with pytest.raises(StorageError, match="AccessDenied"):
            await multipart.abort_upload(session, BOB, "u1", "docs", "big")

    async def _begin(self, session: Session, upload_id: str) -> None:
        await multipart.create_multipart_upload(
            session, SERVICE, upload_id=upload_id, bucket="docs", key="big", version="v", owner_id=None,
            headers=Headers(), backend="file", checksum_algorithm=None, checksum_type=None,
        )  # fmt: skip

    async def _part(self, session: Session, epoch: int, upload_id: str, number: int) -> str:
        blob_id = new_blob_id(epoch)
        await multipart.record_part(
            session, SERVICE, upload_id=upload_id, bucket="docs", key="big", part_number=number, epoch=epoch,
            backend="file", blob_id=blob_id, size_bytes=5, etag="e", checksum_algorithm=None, checksum_value=None,
            owner_id=None,
        )  # fmt: skip
        return blob_id


class TestTags:
    async def test_tags_leave_last_modified_alone(self, session: Session) -> None:
        await objects.put_object(session, SERVICE, inline("a"), NO_CONDITION)
        before = await objects.find_object(session, SERVICE, "docs", "a")
        assert before is not None
        assert await objects.replace_tags(session, SERVICE, before, {"k": "v"})
        after = await objects.find_object(session, SERVICE, "docs", "a")
        assert after is not None
        assert (after.attributes.tags, after.updated_at) == ({"k": "v"}, before.updated_at)

    async def test_a_put_changes_last_modified_also_when_it_takes_tags_away(self, session: Session) -> None:
        await objects.put_object(session, SERVICE, inline("a"), NO_CONDITION)
        before = await objects.find_object(session, SERVICE, "docs", "a")
        assert before is not None
        await objects.replace_tags(session, SERVICE, before, {"k": "v"})
        await objects.put_object(session, SERVICE, inline("a", etag="e2"), NO_CONDITION)
        after = await objects.find_object(session, SERVICE, "docs", "a")
        assert after is not None
        assert after.attributes.tags is None
        assert after.updated_at > before.updated_at

    async def test_who_may_read_but_not_update_is_denied(self, session: Session, owner: psycopg.Connection) -> None:
        policies(owner)
        await objects.put_object(session, SERVICE, inline("pub/page"), NO_CONDITION)
        seen = await objects.find_object(session, ALICE, "docs", "pub/page")
        assert seen is not None
        with pytest.raises(StorageError, match="AccessDenied"):
            await objects.replace_tags(session, ALICE, seen, {"k": "v"})
        untouched = await objects.find_object(session, SERVICE, "docs", "pub/page")
        assert untouched is not None
        assert untouched.attributes.tags is None

    async def test_a_version_that_was_replaced_is_not_tagged(self, session: Session) -> None:
        await objects.put_object(session, SERVICE, inline("a"), NO_CONDITION)
        stale = await objects.find_object(session, SERVICE, "docs", "a")
        assert stale is not None
        await objects.put_object(session, SERVICE, inline("a", etag="e2"), NO_CONDITION)
        assert not await objects.replace_tags(session, SERVICE, stale, {"k": "v"})

    async def test_a_policy_may_ask_for_tags(self, session: Session, owner: psycopg.Connection) -> None:
        owner.execute("""
            CREATE POLICY mine ON storage.objects TO authenticated USING (tags ->> 'owner' = (SELECT auth.uid()::text))
        """)
        await objects.put_object(session, SERVICE, inline("a"), NO_CONDITION)
        assert await objects.find_object(session, ALICE, "docs", "a") is None
        seen = await objects.find_object(session, SERVICE, "docs", "a")
        assert seen is not None
        await objects.replace_tags(session, SERVICE, seen, {"owner": ALICE.subject})
        assert await objects.find_object(session, ALICE, "docs", "a") is not None
        assert await objects.find_object(session, BOB, "docs", "a") is None


class TestConfigurations:
    async def test_removing_what_one_may_not_is_denied(self, session: Session, owner: psycopg.Connection) -> None:
        await configurations.put(session, SERVICE, "docs", Kind.TAGGING, {"TagSet": []})
        with pytest.raises(StorageError, match="AccessDenied"):
            await configurations.delete(session, ALICE, "docs", Kind.TAGGING)
        assert await configurations.delete(session, SERVICE, "docs", Kind.TAGGING)
        assert not await configurations.delete(session, SERVICE, "docs", Kind.TAGGING)
        assert not await configurations.delete(session, ALICE, "docs", Kind.TAGGING)
