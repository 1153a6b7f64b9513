"""Scopes of S3 accounts, and buckets and objects made for them by hand."""

import json
from typing import Any

import psycopg

from gateway.access_policy import parse
from gateway.context import Scope


def account(subject: str | None, operation: str = "", *, bucket: str | None = None, **request: Any) -> Scope:
    """What the gateway sets for an account's request; subject None: an anonymous one."""
    asked = request if bucket is None else {"bucket": bucket, **request}
    return Scope(
        role="anon" if subject is None else "s3_account",
        operation=operation,
        subject=subject or "",
        s3_request_json=json.dumps(asked) if asked else "",
    )


def enter(connection: psycopg.Connection, scope: Scope) -> None:
    """What psql would type to be in this scope, for the rest of the transaction."""
    for name, value in (
        ("request.jwt.claim.sub", scope.subject),
        ("storage.operation", scope.operation),
        ("rowlock.s3_request", scope.s3_request_json),
        ("role", scope.role),
    ):
        connection.execute("SELECT set_config(%s, %s, true)", [name, value])


def make_bucket(owner: psycopg.Connection, name: str, owner_id: str | None, grants: list[dict[str, str]] | None = None):
    """A bucket, with an ACL if grants are given."""
    acl = None if grants is None else json.dumps({"grants": grants})
    owner.execute(
        "INSERT INTO storage.buckets (id, name, owner_id, acl) VALUES (%s, %s, %s, %s)", [name, name, owner_id, acl]
    )


def make_object(
    owner: psycopg.Connection,
    bucket: str,
    name: str,
    owner_id: str | None,
    *,
    grants: list[dict[str, str]] | None = None,
    tags: dict[str, str] | None = None,
):
    """An object without bytes."""
    owner.execute(
        "INSERT INTO storage.objects (bucket_id, name, owner_id, acl, tags) VALUES (%s, %s, %s, %s, %s)",
        [
            bucket,
            name,
            owner_id,
            None if grants is None else json.dumps({"grants": grants}),
            None if tags is None else json.dumps(tags),
        ],
    )


def configure(owner: psycopg.Connection, bucket: str, kind: str, document: dict[str, Any]) -> None:
    """Put a configuration of a bucket."""
    owner.execute(
        "INSERT INTO storage.bucket_configurations (bucket_id, kind, document) VALUES (%s, %s, %s)"
        " ON CONFLICT (bucket_id, kind) DO UPDATE SET document = excluded.document",
        [bucket, kind, json.dumps(document)],
    )


def put_policy(owner: psycopg.Connection, bucket: str, *statements: dict[str, Any]) -> None:
    """Put a bucket policy, checked and compiled as PutBucketPolicy does."""
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    configure(owner, bucket, "policy", parse(text, bucket).document({}))


def names(connection: psycopg.Connection, scope: Scope, table: str = "storage.objects", column: str = "name") -> set:
    """What a scope sees of a table."""
    with connection.transaction(force_rollback=True):
        enter(connection, scope)
        return {row[0] for row in connection.execute(f"SELECT {column} FROM {table}").fetchall()}
