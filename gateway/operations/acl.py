"""ACLs: from headers, canned names and documents to the stored form, and back
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html).

Grantees are stored by subject, so that policies in SQL need no canonical ids; the ids are S3's names for subjects.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import access as access_database
from gateway.metadata.access import PREFERRED, AccessFacts, Acl
from gateway.operations import owners
from gateway.operations.owners import canonical_id
from gateway.operations.services import Services
from gateway.operations.shapes import AccessControlPolicy, Grant, Grantee, Owner

GROUPS: Final[Mapping[str, str]] = {
    "http://acs.amazonaws.com/groups/global/AllUsers": "AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers": "AuthenticatedUsers",
    "http://acs.amazonaws.com/groups/s3/LogDelivery": "LogDelivery",
}
_URIS: Final = {group: uri for uri, group in GROUPS.items()}
_PUBLIC: Final = frozenset({"AllUsers", "AuthenticatedUsers"})
_MAX_GRANTS: Final = 100
_FULL_CONTROL: Final = "FULL_CONTROL"
_HEADERS: Final = (
    ("grant_read", "READ"),
    ("grant_write", "WRITE"),
    ("grant_read_acp", "READ_ACP"),
    ("grant_write_acp", "WRITE_ACP"),
    ("grant_full_control", _FULL_CONTROL),
)
# What a canned ACL grants besides full control for the owner
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl).
_CANNED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "private": (),
    "public-read": (("AllUsers", "READ"),),
    "public-read-write": (("AllUsers", "READ"), ("AllUsers", "WRITE")),
    "authenticated-read": (("AuthenticatedUsers", "READ"),),
    "aws-exec-read": (),
    "log-delivery-write": (("LogDelivery", "WRITE"), ("LogDelivery", "READ_ACP")),
}
_OF_BUCKET_OWNER: Final = {"bucket-owner-read": "READ", "bucket-owner-full-control": _FULL_CONTROL}
_GRANTEE: Final = re.compile(r'\s*(id|uri|emailaddress)\s*=\s*(?:"([^"]*)"|([^",]*?))\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Request:
    """A grant as asked: ``kind`` is ``id``, ``uri`` or ``emailaddress``."""

    kind: str
    name: str
    permission: str


def asks(asked: Any) -> bool:
    """Does the request say anything of an ACL?"""
    return asked.acl is not None or any(getattr(asked, field, None) is not None for field, _ in _HEADERS)


async def for_new_object(services: Services, call: Call, asked: Any) -> tuple[Acl | None, str | None]:
    """The ACL and the owner of an object that a request writes. Asks the database only if the request names an ACL.

    Raises AccessControlListNotSupported, AccessDenied (public access block), InvalidArgument,
    UnresolvableGrantByEmailAddress, NoSuchBucket.
    """
    owner_id = call.principal.subject
    if not asks(asked):
        return None, owner_id
    facts = await access_database.facts(services.session, call.scope, asked.bucket)
    if asked.acl == "bucket-owner-full-control" and facts.ownership == PREFERRED:
        owner_id = facts.owner_id
    return await requested(services, call, asked, facts, owner_id), owner_id


async def requested(
    services: Services,
    call: Call,
    asked: Any,
    facts: AccessFacts,
    owner_id: str | None,
    document: AccessControlPolicy | None = None,
) -> Acl | None:
    """The ACL a request asks for, checked against the bucket it concerns. Raises as :func:`for_new_object`, and
    MalformedACLError, InvalidRequest, MissingSecurityHeader."""
    headers = [field for field, _ in _HEADERS if getattr(asked, field, None) is not None]
    if asked.acl is not None and headers:
        raise StorageError("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if document is not None and (asked.acl is not None or headers):
        raise StorageError("UnexpectedContent")
    owner = owner_id or ""
    if asked.acl is not None:
        acl = _canned(asked.acl, owner, facts.owner_id or "")
    else:
        wanted = _of_document(call, document, owner) if document is not None else _of_headers(asked)
        if document is None and not wanted:
            raise StorageError(
                "MissingSecurityHeader", "Your request was missing a required header", MissingHeaderName="x-amz-acl"
            )
        acl = await _resolved(services, call, wanted, (owner, facts.owner_id or ""))
    if facts.acls_disabled and not _gives_bucket_owner_all(asked.acl, acl, facts.owner_id or ""):
        raise StorageError("AccessControlListNotSupported")
    if facts.public_access_block.get("block_public_acls") and is_public(acl):
        raise StorageError("AccessDenied")
    return None if _is_default(acl, owner) else acl


def is_public(acl: Acl | None) -> bool:
    """Does it grant anything to everybody, or to everybody with a key?"""
    return acl is not None and any(grant.get("group") in _PUBLIC for grant in acl["grants"])


async def rendered(
    services: Services, call: Call, acl: Acl | None, owner_id: str | None
) -> tuple[Owner, tuple[Grant, ...]]:
    """Owner and grants of an answer; grants to groups come first."""
    owner = owner_id or ""
    grants = acl["grants"] if acl is not None else _full_control(owner)["grants"]
    known = await owners.names(services, call, (owner, *(grant.get("subject") for grant in grants)))

    def grantee(grant: Mapping[str, str]) -> Grantee:
        if "group" in grant:
            return Grantee(type="Group", uri=_URIS[grant["group"]])
        found = owners.owner(call, grant["subject"], known)
        return Grantee(type="CanonicalUser", id=found.id, display_name=found.display_name)

    in_order = sorted(grants, key=lambda grant: "group" not in grant)
    return owners.owner(call, owner, known), tuple(
        Grant(grantee=grantee(grant), permission=grant["permission"]) for grant in in_order
    )


def _full_control(subject: str) -> Acl:
    return {"grants": [{"subject": subject, "permission": _FULL_CONTROL}]}


def _is_default(acl: Acl, owner: str) -> bool:
    return bool(acl == _full_control(owner))


def _gives_bucket_owner_all(canned: str | None, acl: Acl, bucket_owner: str) -> bool:
    return canned == "bucket-owner-full-control" or (canned is None and _is_default(acl, bucket_owner))


def _canned(name: str, owner: str, bucket_owner: str) -> Acl:
    grants: list[dict[str, str]] = [{"subject": owner, "permission": _FULL_CONTROL}]
    if name in _OF_BUCKET_OWNER:
        if bucket_owner != owner:
            grants.append({"subject": bucket_owner, "permission": _OF_BUCKET_OWNER[name]})
    elif name in _CANNED:
        grants += [{"group": group, "permission": permission} for group, permission in _CANNED[name]]
    else:
        raise StorageError("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=name[:100])
    return {"grants": grants}


def _of_headers(asked: Any) -> list[_Request]:
    """``id="…", uri="…", emailAddress="…"`` of the x-amz-grant-* headers."""
    found = []
    for field, permission in _HEADERS:
        text = getattr(asked, field, None)
        for part in text.split(",") if text else ():
            named = _GRANTEE.fullmatch(part)
            if named is None:
                raise StorageError(
                    "InvalidArgument",
                    "Argument format not recognized",
                    ArgumentName=f"x-amz-{field.replace('_', '-')}",
                    ArgumentValue=part[:100],
                )
            found.append(_Request(named.group(1).lower(), named.group(2) or named.group(3) or "", permission))
    return found


def _of_document(call: Call, document: AccessControlPolicy, owner: str) -> list[_Request]:
    if document.owner is None or not document.owner.id or document.grants is None:
        raise StorageError("MalformedACLError")
    if document.owner.id != canonical_id(call.tenant.id, owner):
        # An ACL cannot give an object away.
        raise StorageError("AccessDenied")
    return list(_requests(document.grants))


def _requests(grants: Sequence[Grant]) -> Iterator[_Request]:
    for grant in grants:
        grantee = grant.grantee
        if grantee is None or grant.permission is None:
            raise StorageError("MalformedACLError")
        kind, name = {
            "CanonicalUser": ("id", grantee.id),
            "AmazonCustomerByEmail": ("emailaddress", grantee.email_address),
            "Group": ("uri", grantee.uri),
        }[grantee.type]
        if not name:
            raise StorageError("MalformedACLError")
        yield _Request(kind, name, grant.permission)


async def _resolved(services: Services, call: Call, wanted: Sequence[_Request], known: Sequence[str]) -> Acl:
    """The stored form. Who is at hand (the owners, the caller, the tenant itself) is not looked up."""
    if len(wanted) > _MAX_GRANTS:
        raise StorageError("MalformedACLError")
    at_hand = {canonical_id(call.tenant.id, subject): subject for subject in (*known, call.principal.subject or "", "")}
    ids = {each.name for each in wanted if each.kind == "id"} - at_hand.keys()
    emails = {each.name.lower() for each in wanted if each.kind == "emailaddress"}
    accounts = await access_database.find_accounts(services.session, call.scope, canonical_ids=ids, emails=emails)
    by_id = at_hand | {account.canonical_id: account.subject for account in accounts}
    by_email = {account.email.lower(): account.subject for account in accounts if account.email}
    grants = []
    for each in wanted:
        if each.kind == "uri":
            if each.name not in GROUPS:
                raise _unknown("uri", each.name, "Invalid group uri")
            grants.append({"group": GROUPS[each.name], "permission": each.permission})
            continue
        if each.kind == "id":
            if each.name not in by_id:
                raise _unknown("id", each.name, "Invalid id")
            subject = by_id[each.name]
        else:
            if each.name.lower() not in by_email:
                raise StorageError("UnresolvableGrantByEmailAddress")
            subject = by_email[each.name.lower()]
        grants.append({"subject": subject, "permission": each.permission})
    return {"grants": grants}


def _unknown(kind: str, name: str, message: str) -> StorageError:
    return StorageError(
        "InvalidArgument", message, ArgumentName=f"CanonicalUser/{kind.upper()}", ArgumentValue=name[:100]
    )
