"""ACLs of buckets and objects, the accounts they name, and what must be known before one is taken."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import DuplicateRow
from gateway.metadata.records import ObjectRecord, Visibility
from gateway.metadata.session import Session

_SQL: Final = statements.load("access")
_BUCKETS: Final = statements.load("buckets")

ENFORCED: Final = "BucketOwnerEnforced"
PREFERRED: Final = "BucketOwnerPreferred"

# The stored form: {"grants": [{"subject" | "group", "permission"}]}; None is the default, full control for the owner
# alone.
Acl = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AccessFacts:
    """What decides over access to a bucket, besides the statements of its policy."""

    owner_id: str | None
    acl: Acl | None
    ownership: str | None
    public_access_block: Mapping[str, bool]
    policy_is_public: bool

    @property
    def acls_disabled(self) -> bool:
        """Ownership controls say that the bucket's owner owns everything in it."""
        return self.ownership == ENFORCED


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a grant or a principal may name."""

    subject: str
    canonical_id: str
    display_name: str | None
    email: str | None


async def facts(session: Session, scope: Scope, bucket: str) -> AccessFacts:
    """Seen past row-level security, for the gateway's own decisions. Raises NoSuchBucket."""
    try:
        [row] = await session.fetch(scope, _SQL["access_facts"], bucket=bucket)
    except StorageError as error:
        if error.code.name == "NoSuchBucket":
            raise StorageError("NoSuchBucket", BucketName=bucket) from None
        raise
    policy = _document(row[4])
    return AccessFacts(
        row[0], _document(row[1]), row[2], _document(row[3]) or {}, bool(policy and policy.get("public"))
    )


async def find_accounts(
    session: Session,
    scope: Scope,
    *,
    subjects: Collection[str] = (),
    canonical_ids: Collection[str] = (),
    emails: Collection[str] = (),
) -> Sequence[Account]:
    """The accounts any of these names belong to; e-mail addresses in lower case."""
    if not (subjects or canonical_ids or emails):
        return ()
    rows = await session.fetch(
        scope,
        _SQL["find_accounts"],
        subjects=list(subjects),
        canonical_ids=list(canonical_ids),
        emails=list(emails),
    )
    return [Account(*row) for row in rows]


async def bucket_acl(session: Session, scope: Scope, bucket: str) -> tuple[str | None, Acl | None, Visibility | None]:
    """Owner and ACL as the caller sees them; with a visibility instead if it sees no bucket."""
    [row] = await session.fetch(scope, _SQL["find_bucket_acl"], bucket=bucket)
    if row[0] is None:
        return None, None, Visibility(row[3])
    return row[1], _document(row[2]), None


async def set_bucket_acl(session: Session, scope: Scope, bucket: str, acl: Acl | None) -> None:
    """Set as the caller. Raises NoSuchBucket, AccessDenied. A repetition changes nothing."""
    [row] = await session.fetch(scope, _SQL["set_bucket_acl"], bucket=bucket, acl=_json(acl))
    if row[0] != "set":
        raise StorageError("NoSuchBucket", BucketName=bucket) if row[0] == "none" else StorageError("AccessDenied")


async def set_object_acl(session: Session, scope: Scope, record: ObjectRecord, acl: Acl | None) -> bool:
    """Set the ACL of the row that was read, as the caller; False when it is another one by now."""
    [row] = await session.fetch(scope, _SQL["set_object_acl"], id=record.id, version=record.version, acl=_json(acl))
    return bool(row[0])


async def create_bucket(
    session: Session,
    scope: Scope,
    bucket: str,
    owner_id: str | None,
    acl: Acl | None,
    ownership: str | None,
    *,
    object_lock: bool,
) -> None:
    """A bucket with an ACL or ownership controls. Raises DuplicateRow when the name is taken, AccessDenied."""
    await session.write(
        scope,
        _BUCKETS["create_bucket_with"],
        bucket=bucket,
        owner_id=owner_id,
        public=False,
        acl=_json(acl),
        ownership=ownership,
        object_lock=object_lock,
    )


async def permitted_names(session: Session, scope: Scope, bucket: str, names: Sequence[str]) -> frozenset[str]:
    """The names for which S3's rules let the caller do what it is doing, whether there is such an object or not."""
    rows = await session.fetch(scope, _SQL["permitted_names"], bucket=bucket, names=list(names))
    return frozenset(row[0] for row in rows)


async def is_hidden(session: Session, scope: Scope, bucket: str, key: str) -> bool:
    """Is there an object that the caller may know of, having found none?"""
    [row] = await session.fetch(scope, _SQL["is_hidden"], bucket=bucket, key=key)
    return bool(row[0])


def _json(acl: Acl | None) -> str | None:
    return None if acl is None else json.dumps(acl, ensure_ascii=False)


def _document(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str | bytes):
        value = json.loads(value)
    return value if isinstance(value, dict) else None


__all__ = [
    "ENFORCED",
    "PREFERRED",
    "AccessFacts",
    "Account",
    "Acl",
    "DuplicateRow",
    "bucket_acl",
    "create_bucket",
    "facts",
    "find_accounts",
    "is_hidden",
    "permitted_names",
    "set_bucket_acl",
    "set_object_acl",
]
