"""Writers of one key against each other, against plain SQL, and against a sweeper (DESIGN §5, §6)."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from gateway.errors import StorageError
from gateway.metadata import engine, multipart, objects
from gateway.metadata.embedded import Databases
from gateway.metadata.records import DeleteOutcome, Doomed, Headers, NewObject
from gateway.metadata.session import Session
from gateway.wire.conditions import WriteCondition
from tests.integration.conftest import SERVICE

ANY = WriteCondition()


@pytest.fixture(autouse=True)
async def _bucket(owner: psycopg.Connection[Any]) -> None:
    owner.execute("insert into storage.buckets (id, name) values ('docs', 'docs')")


@pytest.fixture
async def epoch(session: Session) -> int:
    return await engine.begin_epoch(session, "here", 1)


def stored(key: str, epoch: int, etag: str = "e", blob_id: str | None = None) -> NewObject:
    return NewObject(
        bucket="docs", key=key, version=secrets.token_hex(8), owner_id=None,
        headers=Headers("text/plain"), size_bytes=5, etag=etag, epoch=epoch, backend="file",
        blob_id=blob_id or f"{epoch:08x}{secrets.token_hex(12)}",
    )  # fmt: skip


async def behind(database: Databases, statement: str, action: Callable[[], Any]) -> Any:
    """Start ``action`` while another transaction has run ``statement``; commit that once the action waits for it."""
    with psycopg.connect(database.owner_url) as other:
        other.execute(statement)  # type: ignore[arg-type]
        task = asyncio.ensure_future(action())
        watch = await psycopg.AsyncConnection.connect(database.owner_url, autocommit=True)
        async with watch:
            for _ in range(200):
                cursor = await watch.execute(
                    "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
                )
                if await cursor.fetchone():
                    break
                await asyncio.sleep(0.02)
            else:
                raise AssertionError(f"the action did not wait: {task}")
        other.commit()
    return await task


def rows(owner: psycopg.Connection[Any]) -> dict[str, str]:
    return dict(owner.execute("select name, etag from storage.objects").fetchall())


def garbage(owner: psycopg.Connection[Any]) -> set[str]:
    return {row[0] for row in owner.execute("select blob_id from rowlock.garbage").fetchall()}


RENAME = "update storage.objects set name = 'renamed' where name = 'a'"
REPLACE = "with gone as (delete from storage.objects where name = 'a' returning *) select from gone"


class TestRenameByPlainSQL:
    """A row that gets another name while a request waits for it is not that request's any more."""

    async def test_delete_leaves_the_renamed(
        self, session: Session, database: Databases, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        await objects.put_object(session, SERVICE, stored("a", epoch), ANY)
        outcome = await behind(database, RENAME, lambda: objects.delete_object(session, SERVICE, "docs", Doomed("a")))
        assert outcome.outcome is DeleteOutcome.ABSENT
        assert rows(owner) == {"renamed": "e"}

    async def test_put_makes_a_new_row(
        self, session: Session, database: Databases, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        await objects.put_object(session, SERVICE, stored("a", epoch), ANY)
        await behind(database, RENAME, lambda: objects.put_object(session, SERVICE, stored("a", epoch, "new"), ANY))
        assert rows(owner) == {"renamed": "e", "a": "new"}
        assert not garbage(owner)

    async def test_bulk_delete_leaves_the_renamed(
        self, session: Session, database: Databases, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        await objects.put_object(session, SERVICE, stored("a", epoch), ANY)
        outcomes = await behind(
            database, RENAME, lambda: objects.delete_objects(session, SERVICE, "docs", [Doomed("a")])
        )
        assert [done.outcome for done in outcomes] == [DeleteOutcome.ABSENT]
        assert rows(owner) == {"renamed": "e"}


class TestDeleteWhileReplaced:
    """A delete that waited for a row finds what took its place, and never says AccessDenied."""

    async def test_bulk_delete_of_a_row_deleted_meanwhile(
        self, session: Session, database: Databases, epoch: int
    ) -> None:
        await objects.put_object(session, SERVICE, stored("a", epoch), ANY)
        outcomes = await behind(
            database, REPLACE, lambda: objects.delete_objects(session, SERVICE, "docs", [Doomed("a")])
        )
        assert [done.outcome for done in outcomes] == [DeleteOutcome.ABSENT]

    async def test_bulk_delete_of_a_row_made_anew_meanwhile(
        self, session: Session, database: Databases, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        await objects.put_object(session, SERVICE, stored("a", epoch), ANY)
        anew = """
            with gone as (delete from storage.objects where name = 'a' returning bucket_id)
            select from gone; insert into storage.objects (bucket_id, name) values ('docs', 'a')
        """
        outcomes = await behind(database, anew, lambda: objects.delete_objects(session, SERVICE, "docs", [Doomed("a")]))
        assert [done.outcome for done in outcomes] == [DeleteOutcome.DELETED]
        assert rows(owner) == {}


class TestRepeatedWrite:
    """The same write once more, because its COMMIT was lost on the way: it counts once."""

    async def test_put_repeated_changes_nothing(
        self, session: Session, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        first = stored("a", epoch)
        assert await objects.put_object(session, SERVICE, first, ANY) == await objects.put_object(
            session, SERVICE, first, WriteCondition(if_none_match="*")
        )
        assert not garbage(owner)

    async def test_put_repeated_after_a_later_one_does_not_undo_it(
        self, session: Session, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        first = stored("a", epoch)
        await objects.put_object(session, SERVICE, first, ANY)
        await objects.put_object(session, SERVICE, stored("a", epoch, "later"), ANY)
        await objects.put_object(session, SERVICE, first, ANY)
        assert rows(owner) == {"a": "later"}

    async def test_put_repeated_after_its_bytes_were_destroyed_does_not_bring_it_back(
        self, session: Session, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        first = stored("a", epoch)
        await objects.put_object(session, SERVICE, first, ANY)
        await objects.delete_object(session, SERVICE, "docs", Doomed("a"))
        [item] = await engine.claim_garbage(session, 0, 60, 10)
        await engine.note_destroyed(session, [item.id])
        assert await engine.claim_garbage(session, 0, 60, 10) == []
        await objects.put_object(session, SERVICE, first, ANY)
        assert rows(owner) == {}

    async def test_part_repeated_after_it_was_sent_again_does_not_undo_that(
        self, session: Session, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        await begin(session)
        for blob_id in ("1" * 32, "2" * 32, "1" * 32):
            await part(session, epoch, blob_id)
        assert owner.execute("select blob_id from storage.s3_multipart_uploads_parts").fetchall() == [("2" * 32,)]
        assert garbage(owner) == {"1" * 32}

    async def test_abandoned_blob_never_gets_a_row(
        self, session: Session, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        late, there = stored("late", epoch), stored("there", epoch)
        await objects.put_object(session, SERVICE, there, ANY)
        assert late.blob_id is not None
        assert there.blob_id is not None
        await engine.abandon_blobs(session, epoch, "file", [late.blob_id, there.blob_id])
        assert garbage(owner) == {late.blob_id}
        with pytest.raises(StorageError, match="ServiceUnavailable"):
            await objects.put_object(session, SERVICE, late, ANY)
        assert rows(owner) == {"there": "e"}

    async def test_abandoning_waits_for_a_commit_that_is_under_way(
        self, session: Session, database: Databases, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        new = stored("a", epoch)
        assert new.blob_id is not None
        await behind(
            database,
            f"""select rowlock.require_epoch({epoch});
                insert into storage.objects (bucket_id, name, size_bytes, etag, backend, blob_id)
                values ('docs', 'a', 5, 'e', 'file', '{new.blob_id}')""",
            lambda: engine.abandon_blobs(session, epoch, "file", [new.blob_id or ""]),
        )
        assert not garbage(owner)


class TestSweeper:
    """What a sweeper may take."""

    async def test_part_of_an_open_upload_is_not_garbage_whatever_the_list_says(
        self, session: Session, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        await begin(session)
        await part(session, epoch, "3" * 32)
        owner.execute("insert into rowlock.garbage (backend, blob_id) values ('file', %s)", ["3" * 32])
        assert await engine.claim_garbage(session, 0, 60, 10) == []

    async def test_blob_released_again_waits_its_whole_grace_again(
        self, session: Session, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        new = stored("a", epoch)
        await objects.put_object(session, SERVICE, new, ANY)
        # as after a restored backup
        owner.execute(
            "insert into rowlock.garbage (backend, blob_id, released_at) "
            "values ('file', %s, now() - interval '2 days')",
            [new.blob_id],
        )
        await objects.delete_object(session, SERVICE, "docs", Doomed("a"))
        assert await engine.claim_garbage(session, 86_400, 60, 10) == []

    async def test_writer_of_a_dead_epoch_is_refused(self, session: Session, epoch: int) -> None:
        await engine.end_epoch(session, epoch)
        with pytest.raises(StorageError, match="ServiceUnavailable"):
            await objects.put_object(session, SERVICE, stored("a", epoch), ANY)

    async def test_two_sweepers_never_claim_the_same(self, session: Session, owner: psycopg.Connection[Any]) -> None:
        owner.execute(
            "insert into rowlock.garbage (backend, blob_id, released_at)"
            " select 'file', md5(n::text), now() - interval '1 hour' from generate_series(1, 300) as n"
        )
        pages = await asyncio.gather(*(engine.claim_garbage(session, 0, 60, 100) for _ in range(4)))
        claimed = [item.blob_id for page in pages for item in page]
        assert len(claimed) == len(set(claimed))


class TestTwoGateways:
    """Two processes with epochs and pools of their own on one database."""

    async def test_writers_and_deleters_of_few_keys_leave_every_blob_owned_once(
        self, session: Session, database: Databases, owner: psycopg.Connection[Any], epoch: int
    ) -> None:
        other = Session(database.gateway_url, pool_size=4, pool_timeout_seconds=5, statement_timeout_seconds=30)
        await other.open()
        epochs = {session: epoch, other: await engine.begin_epoch(other, "there", 2)}
        written: set[str] = set()

        async def work(gateway: Session, number: int) -> None:
            for turn in range(25):
                key = f"k{(number + turn) % 3}"
                if turn % 5 == 4:
                    await objects.delete_object(gateway, SERVICE, "docs", Doomed(key))
                elif turn % 7 == 6:
                    await objects.delete_objects(gateway, SERVICE, "docs", [Doomed("k0"), Doomed("k1"), Doomed("k2")])
                else:
                    new = replace(stored(key, epochs[gateway]), etag=secrets.token_hex(4))
                    await objects.put_object(gateway, SERVICE, new, ANY)
                    assert new.blob_id is not None
                    written.add(new.blob_id)

        await asyncio.gather(*(work(gateway, number) for gateway in (session, other) for number in range(4)))
        await other.close()
        owned = {row[0] for row in owner.execute("select blob_id from storage.objects").fetchall()}
        assert owned | garbage(owner) == written
        assert not owned & garbage(owner)


async def begin(session: Session) -> None:
    await multipart.create_multipart_upload(
        session, SERVICE, upload_id="u", bucket="docs", key="m", version="v", owner_id=None,
        headers=Headers("text/plain"), backend="file", checksum_algorithm=None, checksum_type=None,
    )  # fmt: skip


async def part(session: Session, epoch: int, blob_id: str) -> None:
    await multipart.record_part(
        session, SERVICE, upload_id="u", bucket="docs", key="m", part_number=1, epoch=epoch, backend="file",
        blob_id=blob_id, size_bytes=5, etag="e", checksum_algorithm=None, checksum_value=None, owner_id=None,
    )  # fmt: skip
