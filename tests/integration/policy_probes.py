"""What each role must see and be able to change, as statements with their expected outcome: one probe at least fails
when any policy of the schema is dropped, and when any is opened to everybody.

The outcome of a query is its rows, of another statement the number of rows, of a refusal ``DENIED``.
"""

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from gateway.context import Scope
from tests.integration.conftest import SERVICE, user
from tests.integration.s3_accounts import account, configure, enter, make_bucket, make_object, put_policy

DENIED: Final = "denied"
ENGINE: Final = Scope(role="rowlock_engine", operation="")
TENANT_TABLES: Final = (
    "storage.bucket_configurations", "storage.buckets", "storage.object_annotations", "storage.objects",
    "storage.pending_uploads", "storage.s3_multipart_uploads", "storage.s3_multipart_uploads_parts",
)  # fmt: skip
ENGINE_TABLES: Final = (
    "rowlock.accounts", "rowlock.cdn_purges", "rowlock.epochs", "rowlock.garbage", "rowlock.lifecycles",
    "rowlock.limits",
)  # fmt: skip
ALICE, BOB, CAROL, NOBODY = (account(name) for name in ("alice", "bob", "carol", None))
OWNER, STRANGER = user("owner"), user("stranger")


@dataclass(frozen=True, slots=True)
class Probe:
    """A statement somebody runs, and what must come of it."""

    scope: Scope
    statement: str
    expected: Any

    def outcome(self, connection: psycopg.Connection[Any]) -> Any:
        """What comes of it now; nothing of it stays."""
        try:
            with connection.transaction(force_rollback=True):
                enter(connection, self.scope)
                cursor = connection.execute(self.statement)
                return sorted(row[0] for row in cursor.fetchall()) if cursor.description else cursor.rowcount
        except psycopg.errors.InsufficientPrivilege:
            return DENIED
        except psycopg.errors.IntegrityError as error:
            return type(error).__name__


def _full_rights() -> list[Probe]:
    everything = [Probe(SERVICE, f"SELECT count(*) > 0 FROM {table}", [True]) for table in TENANT_TABLES]
    everything += [
        Probe(ENGINE, f"SELECT count(*) > 0 FROM {table}", [True]) for table in (*TENANT_TABLES, *ENGINE_TABLES)
    ]
    return everything


_INSERT: Final = "INSERT INTO storage.objects (bucket_id, name, owner_id) VALUES ('{}', '{}', '{}')"
_CHANGE: Final = "UPDATE storage.objects SET user_metadata = '{\"a\": 1}'"
_ANNOTATE: Final = (
    "INSERT INTO storage.object_annotations (object_id, name, payload, size_bytes, etag)"
    " SELECT id, 'more', 'x', 1, 'e' FROM storage.objects WHERE name = 'read-only'"
)
_ANNOTATE_OWN: Final = _ANNOTATE.replace("read-only", "private")

PROBES: Final = (
    *_full_rights(),
    # objects of accounts
    Probe(ALICE, "SELECT name FROM storage.objects WHERE bucket_id = 'alices'", ["private", "read-only"]),
    Probe(CAROL, "SELECT name FROM storage.objects WHERE bucket_id = 'alices'", ["read-only"]),
    Probe(NOBODY, "SELECT name FROM storage.objects WHERE bucket_id = 'alices'", []),
    Probe(ALICE, _INSERT.format("alices", "new", "alice"), 1),
    Probe(CAROL, _INSERT.format("alices", "new", "carol"), DENIED),
    Probe(ALICE, _CHANGE + " WHERE name = 'private'", 1),
    Probe(ALICE, "UPDATE storage.objects SET owner_id = 'carol' WHERE name = 'private'", DENIED),
    # without a WHERE the row as it will be is held to the policy of updates alone
    Probe(CAROL, "UPDATE storage.objects SET owner_id = 'mallory'", DENIED),
    Probe(CAROL, _CHANGE, 3),
    Probe(ALICE, "DELETE FROM storage.objects WHERE name = 'private'", 1),
    Probe(CAROL, "DELETE FROM storage.objects WHERE bucket_id = 'alices'", 0),
    Probe(CAROL, "DELETE FROM storage.objects", 3),
    # denials stand above what is allowed to everybody
    Probe(CAROL, "SELECT name FROM storage.objects WHERE bucket_id = 'guarded'", ["free", "undeleted", "unwritten"]),
    Probe(CAROL, _INSERT.format("guarded", "unwritten-too", "carol"), DENIED),
    Probe(CAROL, _INSERT.format("guarded", "another", "carol"), 1),
    Probe(CAROL, _CHANGE + " WHERE name = 'unwritten'", 0),
    Probe(CAROL, "DELETE FROM storage.objects WHERE name = 'undeleted'", 0),
    # buckets
    Probe(ALICE, "SELECT id FROM storage.buckets", ["alices", "empty", "guarded"]),
    Probe(CAROL, "SELECT id FROM storage.buckets", ["guarded"]),
    Probe(ALICE, "INSERT INTO storage.buckets (id, name, owner_id) VALUES ('new', 'new', 'alice')", 1),
    Probe(CAROL, "INSERT INTO storage.buckets (id, name, owner_id) VALUES ('new', 'new', 'alice')", DENIED),
    Probe(ALICE, "UPDATE storage.buckets SET acl = NULL WHERE id = 'empty'", 1),
    Probe(CAROL, "UPDATE storage.buckets SET acl = NULL", 0),
    Probe(CAROL, "UPDATE storage.buckets SET acl = NULL WHERE id = 'guarded'", 0),
    Probe(ALICE, "DELETE FROM storage.buckets WHERE id = 'empty'", 1),
    Probe(CAROL, "DELETE FROM storage.buckets", 0),
    Probe(CAROL, "DELETE FROM storage.buckets WHERE id = 'guarded'", 0),
    # configurations
    Probe(STRANGER, "SELECT id FROM storage.buckets WHERE id = 'users'", ["users"]),
    Probe(ALICE, "SELECT bucket_id FROM storage.bucket_configurations WHERE kind = 'cors'", ["alices", "guarded"]),
    Probe(CAROL, "SELECT bucket_id FROM storage.bucket_configurations", []),
    Probe(
        account("carol", "storage.s3.bucket.get_cors", bucket="guarded"),
        "SELECT bucket_id FROM storage.bucket_configurations",
        [],
    ),
    Probe(
        account("carol", "storage.s3.bucket.get_tagging", bucket="guarded"),
        "SELECT kind FROM storage.bucket_configurations",
        ["tagging"],
    ),
    Probe(OWNER, "SELECT kind FROM storage.bucket_configurations", ["cors"]),
    Probe(OWNER, "DELETE FROM storage.bucket_configurations", 1),
    Probe(STRANGER, "SELECT kind FROM storage.bucket_configurations", []),
    # uploads and their parts
    Probe(OWNER, "SELECT key FROM storage.s3_multipart_uploads", ["users"]),
    Probe(STRANGER, "SELECT key FROM storage.s3_multipart_uploads", []),
    Probe(OWNER, "SELECT key FROM storage.s3_multipart_uploads_parts", ["users"]),
    Probe(STRANGER, "SELECT key FROM storage.s3_multipart_uploads_parts", []),
    Probe(ALICE, "SELECT key FROM storage.s3_multipart_uploads WHERE bucket_id = 'alices'", ["alices"]),
    Probe(ALICE, "SELECT key FROM storage.s3_multipart_uploads_parts WHERE bucket_id = 'alices'", ["alices"]),
    Probe(CAROL, "SELECT key FROM storage.s3_multipart_uploads", []),
    Probe(CAROL, "SELECT key FROM storage.s3_multipart_uploads_parts", []),
    Probe(BOB, "SELECT key FROM storage.s3_multipart_uploads", ["guarded"]),
    Probe(BOB, "SELECT key FROM storage.s3_multipart_uploads_parts", ["guarded"]),
    # uploads that wait to be confirmed
    Probe(OWNER, "SELECT name FROM storage.pending_uploads", ["waiting"]),
    Probe(STRANGER, "SELECT name FROM storage.pending_uploads", []),
    # annotations are as their object is
    Probe(ALICE, "SELECT name FROM storage.object_annotations", ["note", "note"]),
    Probe(CAROL, "SELECT name FROM storage.object_annotations", ["note"]),
    Probe(NOBODY, "SELECT name FROM storage.object_annotations", []),
    Probe(ALICE, _ANNOTATE_OWN, 1),
    Probe(CAROL, _ANNOTATE, DENIED),
    Probe(ALICE, "UPDATE storage.object_annotations SET etag = 'f'", 2),
    Probe(CAROL, "UPDATE storage.object_annotations SET etag = 'f'", 0),
    Probe(
        ALICE,
        "UPDATE storage.object_annotations SET object_id = (SELECT id FROM storage.objects WHERE name = 'unwritten')"
        " WHERE object_id = (SELECT id FROM storage.objects WHERE name = 'private')",
        DENIED,
    ),
    Probe(ALICE, "DELETE FROM storage.object_annotations", 2),
    Probe(CAROL, "DELETE FROM storage.object_annotations", 0),
)


def fill(owner: psycopg.Connection[Any]) -> None:
    """The rows the probes are about. Users see every bucket, by a policy of the tenant's own."""
    owner.execute("CREATE POLICY seen ON storage.buckets FOR SELECT TO authenticated USING (true)")
    make_bucket(owner, "alices", "alice")
    make_object(owner, "alices", "private", "alice")
    everybody = [{"subject": "alice", "permission": "FULL_CONTROL"}, {"subject": "carol", "permission": "READ"}]
    make_object(owner, "alices", "read-only", "alice", grants=everybody)
    make_bucket(owner, "empty", "alice")
    make_bucket(owner, "guarded", "alice")
    make_bucket(owner, "unlisted", "alice")
    for name in ("free", "undeleted", "unread", "unwritten"):
        make_object(owner, "guarded", name, "alice")
    for bucket in ("alices", "guarded"):
        configure(owner, bucket, "cors", {"rules": []})
    configure(owner, "guarded", "tagging", {"tags": {}})
    put_policy(owner, "guarded", *_guarding("guarded"))
    put_policy(owner, "unlisted", *_guarding("unlisted", "s3:ListBucket"))
    make_bucket(owner, "users", "owner")
    configure(owner, "users", "cors", {"rules": []})
    for bucket, subject in (("alices", "alice"), ("guarded", "alice"), ("users", "owner")):
        upload = [f"upload-{bucket}", bucket, bucket, subject]
        owner.execute(
            "INSERT INTO storage.s3_multipart_uploads (id, bucket_id, key, owner_id, version)"
            " VALUES (%s, %s, %s, %s, '1')",
            upload,
        )
        owner.execute(
            "INSERT INTO storage.s3_multipart_uploads_parts"
            " (upload_id, bucket_id, key, owner_id, part_number, etag, version) VALUES (%s, %s, %s, %s, 1, 'e', '1')",
            upload,
        )
    owner.execute(
        "INSERT INTO storage.pending_uploads"
        " (id, bucket_id, name, owner_id, upsert, expires_at, version, metadata, etag) VALUES"
        " (gen_random_uuid(), 'users', 'waiting', 'owner', false, now() + interval '1 hour', '1', '{}', 'e')"
    )
    owner.execute(
        "INSERT INTO storage.object_annotations (object_id, name, payload, size_bytes, etag)"
        " SELECT id, 'note', 'x', 1, 'e' FROM storage.objects WHERE bucket_id = 'alices'"
    )
    owner.execute("INSERT INTO rowlock.accounts (subject, canonical_id) VALUES ('alice', 'a'), ('bob', 'b')")
    owner.execute("INSERT INTO rowlock.cdn_purges (bucket_id) VALUES ('alices')")
    owner.execute("INSERT INTO rowlock.epochs (host, process_id) VALUES ('h', 1)")
    owner.execute("INSERT INTO rowlock.garbage (backend, blob_id) VALUES ('file', 'b')")
    owner.execute("INSERT INTO rowlock.lifecycles (bucket_id, revision) VALUES ('alices', 1)")


def _guarding(bucket: str, *actions: str) -> list[dict[str, Any]]:
    """Everything for everybody, but what is denied to all except one."""
    everybody: dict[str, Any] = {"Principal": "*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    denied: list[tuple[str, str]] = [
        ("s3:GetObject", f"{bucket}/unread"),
        ("s3:PutObject", f"{bucket}/unwritten*"),
        ("s3:DeleteObject", f"{bucket}/undeleted"),
        ("s3:PutBucketAcl", bucket),
        ("s3:DeleteBucket", bucket),
        ("s3:GetBucketCORS", bucket),
        *((action, bucket) for action in actions),
    ]
    statements = [{"Effect": "Allow", "Action": "s3:*", **everybody}]
    statements += [
        {"Effect": "Deny", "Action": action, "Principal": "*", "Resource": f"arn:aws:s3:::{resource}"}
        for action, resource in denied
    ]
    statements.append(
        {
            "Effect": "Deny",
            "Action": ["s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"],
            "NotPrincipal": {"AWS": "bob"},
            "Resource": everybody["Resource"],
        }
    )
    return statements
