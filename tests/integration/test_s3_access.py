"""S3's access model in the database: what accounts and anonymous callers see and change, psql and gateway alike."""

import json

import psycopg
import pytest

from gateway.metadata.session import Session
from gateway.statements import parse
from tests.integration.conftest import SERVICE
from tests.integration.s3_accounts import (
    account,
    configure,
    enter,
    make_bucket,
    make_object,
    names,
    put_policy,
)

_SQL = parse(
    """
-- name: objects
SELECT o.name FROM storage.objects AS o ORDER BY o.name;
"""
)
EVERYBODY_READS = {"group": "AllUsers", "permission": "READ"}
ANY_KEY_READS = {"group": "AuthenticatedUsers", "permission": "READ"}
GET = "storage.s3.object.get"
LIST = "storage.s3.object.list_v2"
PUT = "storage.s3.upload"
DELETE = "storage.s3.object.delete"


def full(subject: str) -> dict[str, str]:
    return {"subject": subject, "permission": "FULL_CONTROL"}


def allow(action: str | list[str], resource: str, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{resource}", **more}


def deny(action: str | list[str], resource: str, **more: object) -> dict[str, object]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


@pytest.fixture
def world(owner: psycopg.Connection) -> psycopg.Connection:
    """Alice's private bucket, her bucket with shared objects, and Bob's."""
    make_bucket(owner, "private", "alice")
    make_object(owner, "private", "secret", "alice")
    make_bucket(owner, "shared", "alice")
    make_object(owner, "shared", "mine", "alice")
    make_object(owner, "shared", "public", "alice", grants=[full("alice"), EVERYBODY_READS])
    make_object(owner, "shared", "keyed", "alice", grants=[full("alice"), ANY_KEY_READS])
    make_object(owner, "shared", "for-bob", "alice", grants=[full("alice"), {"subject": "bob", "permission": "READ"}])
    make_object(owner, "shared", "by-bob", "bob")
    make_object(owner, "shared", "nobodys", None)
    make_bucket(owner, "bobs", "bob")
    make_object(owner, "bobs", "note", "bob")
    return owner


def test_account_reads_its_own_and_what_acls_grant(world: psycopg.Connection) -> None:
    assert names(world, account("alice")) == {"secret", "mine", "public", "keyed", "for-bob", "nobodys"}
    assert names(world, account("bob")) == {"public", "keyed", "for-bob", "by-bob", "note"}
    assert names(world, account("carol")) == {"public", "keyed"}
    assert names(world, account(None)) == {"public"}


def test_bucket_owner_lists_what_it_may_not_read(world: psycopg.Connection) -> None:
    assert "by-bob" in names(world, account("alice", LIST))
    assert "by-bob" not in names(world, account("alice", GET))


def test_account_sees_its_own_buckets_only(world: psycopg.Connection) -> None:
    assert names(world, account("alice"), "storage.buckets", "id") == {"private", "shared"}
    assert names(world, account("bob"), "storage.buckets", "id") == {"bobs"}
    assert names(world, account(None), "storage.buckets", "id") == set()


def test_ListBuckets_shows_no_bucket_that_is_only_shared(world: psycopg.Connection) -> None:
    world.execute("UPDATE storage.buckets SET acl = %s WHERE id = 'bobs'", [json.dumps({"grants": [EVERYBODY_READS]})])
    assert names(world, account("alice"), "storage.buckets", "id") == {"private", "shared", "bobs"}
    assert names(world, account("alice", "storage.s3.bucket.list"), "storage.buckets", "id") == {"private", "shared"}


async def test_gateway_and_psql_see_the_same_rows(world: psycopg.Connection, session: Session) -> None:
    put_policy(world, "shared", allow("s3:GetObject", "shared/m*"), deny("s3:GetObject", "shared/public"))
    for subject in ("alice", "bob", "carol", None):
        for operation in ("", GET, LIST, DELETE):
            for bucket in (None, "private", "shared", "bobs"):
                scope = account(subject, operation, bucket=bucket)
                try:
                    through_gateway = {row[0] for row in await session.fetch(scope, _SQL["objects"])}
                except Exception:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        names(world, scope)
                else:
                    assert names(world, scope) == through_gateway


def test_listing_by_an_account_without_the_right_stops_at_the_first_row(world: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="may not list"):
        names(world, account("bob", LIST, bucket="private"))
    assert names(world, account(None, LIST, bucket="private")) == set()


def test_policy_of_a_prefix_opens_those_keys(world: psycopg.Connection) -> None:
    put_policy(world, "private", allow("s3:GetObject", "private/sec*"))
    make_object(world, "private", "other", "alice")
    assert "secret" in names(world, account("carol"))
    assert "other" not in names(world, account("carol"))
    assert names(world, account("carol", GET, bucket="private")) == {"secret"}


def test_deny_stands_above_every_allow(world: psycopg.Connection) -> None:
    put_policy(world, "shared", allow("s3:*", "shared/*"), deny("s3:GetObject", "shared/m*"))
    for subject in ("alice", "bob", None):
        seen = names(world, account(subject, GET, bucket="shared"))
        assert "mine" not in seen
        assert "public" in seen
    assert "mine" in names(world, account("alice", LIST, bucket="shared"))
    assert "mine" in names(world, SERVICE)


def test_deny_stands_above_policies_of_ones_own(world: psycopg.Connection) -> None:
    world.execute("CREATE POLICY ours ON storage.objects FOR SELECT TO anon USING (bucket_id = 'private')")
    assert "secret" in names(world, account(None, GET))
    put_policy(world, "private", deny("s3:GetObject", "private/secret"))
    assert "secret" not in names(world, account(None, GET))


def test_ignored_public_acls_grant_nothing(world: psycopg.Connection) -> None:
    configure(world, "shared", "public_access_block", {"ignore_public_acls": True})
    assert names(world, account("carol")) == set()
    assert names(world, account("bob")) == {"for-bob", "by-bob", "note"}


def test_restricted_public_policy_is_the_owners_alone(world: psycopg.Connection) -> None:
    put_policy(world, "private", allow("s3:GetObject", "private/*"))
    assert "secret" in names(world, account(None))
    configure(world, "private", "public_access_block", {"restrict_public_buckets": True})
    assert "secret" not in names(world, account(None))
    assert "secret" in names(world, account("alice"))


def test_enforced_ownership_makes_the_bucket_owner_owner_of_all(world: psycopg.Connection) -> None:
    configure(world, "shared", "ownership", {"object_ownership": "BucketOwnerEnforced"})
    assert "by-bob" in names(world, account("alice"))
    assert names(world, account("bob")) == {"note"}
    assert names(world, account(None)) == set()


def test_tags_of_the_object_are_asked_a_row(world: psycopg.Connection) -> None:
    make_object(world, "private", "open", "alice", tags={"Class": "public"})
    condition = {"StringEquals": {"s3:ExistingObjectTag/Class": "public"}}
    put_policy(world, "private", allow("s3:GetObject", "private/*", Condition=condition))
    assert names(world, account(None, GET, bucket="private")) == {"open"}


def insert(world: psycopg.Connection, subject: str | None, bucket: str, owner_id: str | None) -> bool:
    """May the caller write a new key in this name?"""
    with world.transaction(force_rollback=True):
        enter(world, account(subject, PUT, bucket=bucket))
        try:
            world.execute(
                "INSERT INTO storage.objects (bucket_id, name, owner_id) VALUES (%s, 'new', %s)", [bucket, owner_id]
            )
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True


def test_writing_needs_the_bucket_and_ones_own_name(world: psycopg.Connection) -> None:
    assert insert(world, "alice", "shared", "alice")
    assert not insert(world, "alice", "shared", "carol")
    assert not insert(world, "bob", "shared", "bob")
    put_policy(world, "shared", allow("s3:PutObject", "shared/new"))
    assert insert(world, "bob", "shared", "bob")
    assert insert(world, "bob", "shared", "alice")
    assert not insert(world, "bob", "shared", "carol")
    assert insert(world, None, "shared", None)
    assert not insert(world, None, "private", None)


@pytest.mark.parametrize("column", ["bucket_id = 'bobs'", "name = 'elsewhere'", "id = gen_random_uuid()"])
def test_account_moves_no_row(world: psycopg.Connection, column: str) -> None:
    with world.transaction(force_rollback=True):
        enter(world, account("alice", PUT))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            world.execute(f"UPDATE storage.objects SET {column} WHERE name = 'mine'")


def test_bucket_is_made_in_ones_own_name(world: psycopg.Connection) -> None:
    for subject, owner_id, made in (("alice", "alice", True), ("alice", "bob", False), (None, None, False)):
        with world.transaction(force_rollback=True):
            enter(world, account(subject))
            try:
                world.execute(
                    "INSERT INTO storage.buckets (id, name, owner_id) VALUES ('fresh', 'fresh', %s)", [owner_id]
                )
            except psycopg.errors.InsufficientPrivilege:
                assert not made
            else:
                assert made


@pytest.mark.parametrize("table", ["buckets", "objects", "bucket_configurations"])
def test_stranger_changes_nothing(world: psycopg.Connection, table: str) -> None:
    configure(world, "private", "cors", {})
    for subject in ("carol", None):
        for operation in ("", PUT, DELETE, "storage.s3.bucket.put_acl", "storage.s3.bucket.delete"):
            with world.transaction(force_rollback=True):
                enter(world, account(subject, operation))
                assert world.execute(f"DELETE FROM storage.{table}").rowcount == 0


def test_configurations_are_the_bucket_owners_and_of_whom_a_policy_names(world: psycopg.Connection) -> None:
    configure(world, "private", "cors", {})
    put_policy(world, "private", allow("s3:GetBucketCORS", "private"))
    configurations = ("storage.bucket_configurations", "kind")
    assert names(world, account("alice"), *configurations) == {"cors", "policy"}
    assert names(world, account("bob"), *configurations) == set()
    assert names(world, account("bob", "storage.s3.bucket.get_cors"), *configurations) == {"cors"}
    assert names(world, account("bob", "storage.s3.bucket.get_policy"), *configurations) == set()


def test_owner_is_not_locked_out_of_the_policy(world: psycopg.Connection) -> None:
    put_policy(world, "private", deny("s3:*", "private"))
    for verb, visible in (("get_policy", True), ("delete_policy", True), ("get_cors", False), ("get", False)):
        scope = account("alice", f"storage.s3.bucket.{verb}", bucket="private")
        assert ("private" in names(world, scope, "storage.buckets", "id")) is visible


def test_functions_past_row_level_security_refuse_others_than_the_gateway(owner: psycopg.Connection) -> None:
    owner.execute("CREATE ROLE s3_stranger LOGIN IN ROLE s3_account")
    try:
        owner.execute("SET SESSION AUTHORIZATION s3_stranger")
        for call in ("access_facts('x')", "find_accounts('{}', '{}', '{}')", "register_account('a', 'b', 'c', 'd')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute(f"SELECT rowlock.{call}")
    finally:
        owner.execute("RESET SESSION AUTHORIZATION")
        owner.execute("DROP ROLE s3_stranger")
