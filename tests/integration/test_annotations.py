"""storage.object_annotations: who sees and writes them, what becomes of them with their object, psql included."""

import asyncio
from dataclasses import replace

import psycopg
import pytest

from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata import annotations, buckets, keyspace, objects
from gateway.metadata.annotations import Annotation
from gateway.metadata.embedded import Databases
from gateway.metadata.records import Doomed, Headers, NewObject, ObjectRecord, VersioningStatus
from gateway.metadata.session import Session
from gateway.wire.conditions import WriteCondition
from tests.integration.conftest import ANON, SERVICE, user
from tests.integration.s3_accounts import account, enter, put_policy

ALICE = user("6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0001")
BOB = user("6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0002")
TEXT = Annotation(b"text", 4, "etag")
NO_CONDITION = WriteCondition()


def inline(key: str, etag: str = "e", bucket: str = "docs", owner: str | None = None) -> NewObject:
    return NewObject(bucket, key, f"v-{key}-{etag}", owner, Headers(), 1, etag, content=b"c")


async def record(session: Session, key: str, bucket: str = "docs", version_id: str | None = None) -> ObjectRecord:
    found = await objects.describe_object(session, SERVICE, bucket, key, version_id)
    assert found is not None
    return found


async def annotated(session: Session, key: str, *names: str, scope: Scope = SERVICE) -> ObjectRecord:
    """A fresh object with these annotations."""
    await objects.put_object(session, scope, inline(key), NO_CONDITION)
    found = await record(session, key)
    for name in names:
        await annotations.put(session, SERVICE, found, name, TEXT, None)
    return await record(session, key)


async def names(session: Session, found: ObjectRecord, scope: Scope = SERVICE) -> list[str] | None:
    page = await annotations.list_names(session, scope, found, keyspace.within(""), 2000)
    return None if page is None else [entry.name for entry in page]


def count(owner: psycopg.Connection) -> int:
    [number] = owner.execute("SELECT count(*) FROM storage.object_annotations").fetchone() or (0,)
    return int(number)


def policies(owner: psycopg.Connection) -> None:
    """Everybody reads the bucket; everybody has a folder of their own."""
    owner.execute("""
        CREATE POLICY own_folder ON storage.objects TO authenticated
        USING (bucket_id = 'docs' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text))
        WITH CHECK (bucket_id = 'docs' AND (storage.foldername(name))[1] = (SELECT auth.uid()::text));
        CREATE POLICY readable ON storage.objects FOR SELECT TO anon, authenticated
        USING (bucket_id = 'docs' AND name NOT LIKE 'hidden/%')
    """)


@pytest.fixture(autouse=True)
async def bucket(session: Session) -> None:
    await buckets.create_bucket(session, SERVICE, "docs", None, public=False)


class TestPolicies:
    async def test_who_reads_the_object_reads_its_annotations(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        policies(owner)
        seen, hidden = await annotated(session, "a", "x"), await annotated(session, "hidden/a", "x")
        for scope in (ANON, ALICE):
            assert await names(session, seen, scope) == ["x"]
            found, is_current = await annotations.find(session, scope, seen, "x")
            assert (found is not None, is_current) == (True, True)
            assert await names(session, hidden, scope) is None
            with owner.transaction(force_rollback=True):
                enter(owner, scope)
                rows = owner.execute("SELECT object_id FROM storage.object_annotations").fetchall()
                assert rows == [(seen.id,)]

    async def test_who_may_not_change_the_object_may_not_annotate_it(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        policies(owner)
        found = await annotated(session, f"{ALICE.subject}/a", "x", scope=ALICE)
        for scope in (ANON, BOB):
            with pytest.raises(StorageError, match="AccessDenied"):
                await annotations.put(session, scope, found, "y", TEXT, None)
            with pytest.raises(StorageError, match="AccessDenied"):
                await annotations.delete(session, scope, "docs", found, "x", None, bypass_governance=False)
        assert await annotations.put(session, ALICE, found, "y", TEXT, None) is not None
        assert await annotations.delete(session, ALICE, "docs", found, "x", None, bypass_governance=False) is True
        assert await names(session, found, BOB) == ["y"]

    async def test_plain_sql_under_a_policy_is_bound_as_well(self, session: Session, owner: psycopg.Connection) -> None:
        policies(owner)
        await annotated(session, "theirs", "x")
        for statement in (
            "UPDATE storage.object_annotations SET payload = 'forged'",
            "DELETE FROM storage.object_annotations",
        ):
            with owner.transaction(force_rollback=True):
                enter(owner, BOB)
                assert owner.execute(statement).rowcount == 0

    async def test_only_the_gateways_login_writes(
        self, session: Session, owner: psycopg.Connection, database: Databases
    ) -> None:
        policies(owner)
        found = await annotated(session, f"{ALICE.subject}/a", "x", scope=ALICE)
        owner.execute("DROP ROLE IF EXISTS rest_login; CREATE ROLE rest_login LOGIN PASSWORD 'p'")
        owner.execute("GRANT authenticated TO rest_login")
        try:
            url = psycopg.conninfo.make_conninfo(database.owner_url, user="rest_login", password="p")
            with psycopg.connect(url, autocommit=True) as rest, rest.transaction(force_rollback=True):
                enter(rest, ALICE)
                assert rest.execute("SELECT name FROM storage.object_annotations").fetchall() == [("x",)]
                for statement in (
                    "UPDATE storage.object_annotations SET payload = 'forged'",
                    "DELETE FROM storage.object_annotations",
                    "UPDATE storage.objects SET is_annotated = NULL",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege), rest.transaction():
                        rest.execute(statement)
            with psycopg.connect(url, autocommit=True) as rest, rest.transaction():
                enter(rest, ALICE)
                rest.execute("DELETE FROM storage.objects")
        finally:
            owner.execute("DROP OWNED BY rest_login; DROP ROLE rest_login")
        assert await names(session, found) is None
        assert count(owner) == 0


class TestAccounts:
    @pytest.fixture
    async def hers(self, session: Session, owner: psycopg.Connection) -> ObjectRecord:
        owner.execute("INSERT INTO storage.buckets (id, name, owner_id) VALUES ('hers', 'hers', 'alice')")
        alice = account("alice", "storage.s3.upload", bucket="hers")
        await objects.put_object(session, alice, inline("k", bucket="hers", owner="alice"), NO_CONDITION)
        found = await record(session, "k", "hers")
        writing = account("alice", "storage.s3.object.put_annotation", bucket="hers")
        assert await annotations.put(session, writing, found, "x", TEXT, None) is not None
        return found

    @pytest.mark.parametrize(
        ("operation", "action"),
        [
            ("get_annotation", "s3:GetObjectAnnotation"),
            ("list_annotations", "s3:ListObjectAnnotations"),
            ("put_annotation", "s3:PutObjectAnnotation"),
            ("delete_annotation", "s3:DeleteObjectAnnotation"),
        ],
    )
    async def test_each_operation_asks_for_its_action(
        self, session: Session, owner: psycopg.Connection, hers: ObjectRecord, operation: str, action: str
    ) -> None:
        bob = account("bob", f"storage.s3.object.{operation}", bucket="hers")

        async def act() -> object:
            if operation == "get_annotation":
                return (await annotations.find(session, bob, hers, "x"))[0]
            if operation == "list_annotations":
                return await names(session, hers, bob)
            if operation == "put_annotation":
                return await annotations.put(session, bob, hers, "x", TEXT, None)
            return await annotations.delete(session, bob, "hers", hers, "x", None, bypass_governance=False)

        async def is_let_in() -> bool:
            try:
                return bool(await act())
            except StorageError as error:
                if error.code.name != "AccessDenied":
                    raise
                return False

        everything = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::hers/*"}
        assert not await is_let_in()
        put_policy(owner, "hers", {**everything, "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]})
        assert not await is_let_in()
        put_policy(owner, "hers", everything, {**everything, "Effect": "Deny", "Action": action})
        assert not await is_let_in()
        put_policy(owner, "hers", {**everything, "Action": action})
        assert await is_let_in()

    async def test_read_permission_of_an_acl_is_not_enough(
        self, session: Session, owner: psycopg.Connection, hers: ObjectRecord
    ) -> None:
        owner.execute('UPDATE storage.objects SET acl = \'{"grants": [{"group": "AllUsers", "permission": "READ"}]}\'')
        assert await names(session, hers, account(None, "storage.s3.object.list_annotations", bucket="hers")) is None


class TestLife:
    async def test_overwriting_and_deleting_leaves_none_behind(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        for way in (
            "DELETE FROM storage.objects WHERE name = 'a'",
            "UPDATE storage.objects SET version = 'other' WHERE name = 'a'",
            "TRUNCATE storage.objects",
        ):
            found = await annotated(session, "a", "x", "y")
            assert found.attributes.is_annotated
            assert count(owner) == 2
            owner.execute(way)
            assert count(owner) == 0
        await annotated(session, "a", "x")
        await objects.put_object(session, SERVICE, inline("a", "new"), NO_CONDITION)
        assert not (await record(session, "a")).attributes.is_annotated
        assert count(owner) == 0
        await annotated(session, "a", "x")
        await objects.delete_objects(session, SERVICE, "docs", [Doomed("a")])
        assert count(owner) == 0

    async def test_renamed_object_keeps_them(self, session: Session, owner: psycopg.Connection) -> None:
        await annotated(session, "a", "x")
        owner.execute("UPDATE storage.objects SET name = 'b'")
        assert await names(session, await record(session, "b")) == ["x"]

    async def test_object_replaced_meanwhile_is_told(self, session: Session) -> None:
        stale = await annotated(session, "a", "x")
        await objects.put_object(session, SERVICE, inline("a", "new"), NO_CONDITION)
        assert await annotations.put(session, SERVICE, stale, "y", TEXT, None) is None
        assert await annotations.delete(session, SERVICE, "docs", stale, "x", None, bypass_governance=False) is None
        assert await annotations.find(session, SERVICE, stale, "x") == (None, False)
        assert await names(session, stale) is None

    async def test_archived_version_keeps_them_and_gets_more(self, session: Session) -> None:
        await buckets.set_versioning(session, SERVICE, "docs", VersioningStatus.ENABLED)
        await annotated(session, "a", "x")
        await objects.put_object(session, SERVICE, inline("a", "new"), NO_CONDITION)
        old = await record(session, "a", version_id="v-a-e")
        assert old.attributes.is_annotated
        await annotations.put(session, SERVICE, old, "y", TEXT, None)
        assert await names(session, old) == ["x", "y"]
        assert await names(session, await record(session, "a")) == []

    async def test_limit_of_a_thousand(self, session: Session, owner: psycopg.Connection) -> None:
        found = await annotated(session, "a", "first")
        owner.execute(
            "INSERT INTO storage.object_annotations (object_id, name, payload, size_bytes, etag)"
            " SELECT %s, 'n' || i, 'x', 1, 'e' FROM generate_series(2, 1000) AS i",
            [found.id],
        )
        with pytest.raises(StorageError, match="AnnotationLimitExceeded"):
            await annotations.put(session, SERVICE, found, "one more", TEXT, None)
        assert await annotations.put(session, SERVICE, found, "first", replace(TEXT, etag="again"), None) is not None
        assert len(await names(session, found) or ()) == 1000

    async def test_limit_holds_for_concurrent_writers(self, session: Session, owner: psycopg.Connection) -> None:
        found = await annotated(session, "a", "first")
        owner.execute(
            "INSERT INTO storage.object_annotations (object_id, name, payload, size_bytes, etag)"
            " SELECT %s, 'n' || i, 'x', 1, 'e' FROM generate_series(2, 995) AS i",
            [found.id],
        )
        results = await asyncio.gather(
            *(annotations.put(session, SERVICE, found, f"more {i}", TEXT, None) for i in range(20)),
            return_exceptions=True,
        )
        assert sum(not isinstance(result, BaseException) for result in results) == 5
        assert count(owner) == 1000

    async def test_condition_on_the_object(self, session: Session) -> None:
        found = await annotated(session, "a", "x")
        assert await annotations.put(session, SERVICE, found, "y", TEXT, "e") is not None
        with pytest.raises(StorageError, match="PreconditionFailed"):
            await annotations.put(session, SERVICE, found, "y", TEXT, "other")
        with pytest.raises(StorageError, match="PreconditionFailed"):
            await annotations.delete(session, SERVICE, "docs", found, "x", "other", bypass_governance=False)


class TestCopies:
    async def copy(
        self,
        session: Session,
        scope: Scope,
        source: ObjectRecord,
        new: NewObject,
        condition: WriteCondition = NO_CONDITION,
        **asked: str,
    ) -> bool:
        """False if the source was replaced meanwhile."""
        async with session.transaction(scope) as transaction:
            taken = await annotations.take(transaction, source, asked.get("reading", ""))
            if taken is None:
                return False
            await objects.put_object_in(transaction, new, condition)
            await annotations.give(transaction, taken, new.bucket, new.key, new.version, asked.get("writing", ""))
        return True

    async def test_nothing_is_left_of_a_failed_copy(self, session: Session, owner: psycopg.Connection) -> None:
        source = await annotated(session, "a", "x", "y")
        with pytest.raises(StorageError, match="PreconditionFailed"):
            await self.copy(session, SERVICE, source, inline("a", "new"), WriteCondition(if_none_match="*"))
        assert count(owner) == 2
        assert await names(session, source) == ["x", "y"]

    async def test_source_replaced_meanwhile(self, session: Session) -> None:
        source = await annotated(session, "a", "x")
        await objects.put_object(session, SERVICE, inline("a", "new"), NO_CONDITION)
        assert not await self.copy(session, SERVICE, source, inline("b"))

    async def test_hidden_source_is_denied(self, session: Session, owner: psycopg.Connection) -> None:
        policies(owner)
        source = await annotated(session, "hidden/a", "x")
        with pytest.raises(StorageError, match="AccessDenied"):
            await self.copy(session, ALICE, source, inline(f"{ALICE.subject}/b", owner=ALICE.subject))

    async def test_copy_needs_no_right_beyond_writing_the_object(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        policies(owner)
        source = await annotated(session, "a", "x")
        key = f"{ALICE.subject}/b"
        assert await self.copy(session, ALICE, source, inline(key, owner=ALICE.subject))
        assert await names(session, await record(session, key), ALICE) == ["x"]

    @pytest.mark.parametrize("lacking", [None, "s3:GetObjectAnnotation", "s3:PutObjectAnnotation"])
    async def test_account_needs_both_actions(
        self, session: Session, owner: psycopg.Connection, lacking: str | None
    ) -> None:
        source = await annotated(session, "a", "x")
        allowed = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::docs/*"}
        denied = [{**allowed, "Effect": "Deny", "Action": lacking}] if lacking else []
        put_policy(owner, "docs", allowed, *denied)
        bob = account("bob", "storage.s3.object.copy", bucket="docs")
        asked = {
            "reading": account("bob", bucket="docs", action="s3:GetObjectAnnotation").s3_request_json,
            "writing": account("bob", bucket="docs", action="s3:PutObjectAnnotation").s3_request_json,
        }
        copying = self.copy(session, bob, source, inline("b", owner="bob"), **asked)
        if lacking is None:
            assert await copying
            assert await names(session, await record(session, "b")) == ["x"]
            return
        with pytest.raises(StorageError, match="AccessDenied"):
            await copying
        assert await objects.describe_object(session, SERVICE, "docs", "b") is None
