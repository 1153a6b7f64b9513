"""Users of one tenant, every operation and route: Bob, by any credential, neither sees nor changes what is Alice's.

Between users row-level security decides, so everything is run once more with the application's own checks off: whatever
it looks up before a statement (may the caller see the bucket, is the owner the expected one, do restrictions of the key
permit it) says yes. Answers may then differ, but nothing of Alice's is told or changed. Without row-level security the
same comparison fails: it is not blind.

A bucket's name is no secret within a tenant (as at AWS: AccessDenied and not NoSuchBucket); a key's is, with one
exception: a deletion that no policy allows is AccessDenied, because "deleted" would not be true, and policies cannot be
asked about an object that is not there.
"""

import asyncio
import contextlib
import secrets
import uuid
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import md5
from typing import Any, Final
from urllib.parse import unquote

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from pydantic import SecretStr

from conformance.isolation import rest_plan, s3_plan
from conformance.isolation.callers import Caller, Kind
from conformance.isolation.names import SHARED_BODY, SHARED_BUCKET, SHARED_KEY, Names
from conformance.isolation.s3_plan import Place
from conformance.isolation.wire import Request, Wire
from conformance.isolation.world import Database
from conformance.rest import tokens
from gateway.auth.token_settings import anon_token
from gateway.context import ACCOUNT_ROLE
from gateway.metadata import access as access_database
from gateway.metadata import buckets, configurations, objects
from gateway.metadata.records import BucketRecord, Visibility
from gateway.operations import access, access_control, bucket_policies, restricted
from gateway.operations.owners import canonical_id
from gateway.operations.table import OPERATIONS
from gateway.operations.tokens import encode_token
from gateway.rest import objects as rest_objects
from gateway.rest.routes import ROUTES
from gateway.s3 import front
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.registry import NewAccessKey, PostgresRegistry
from gateway.tenants.secrets import MasterKey
from gateway.testing import RunningGateway, running_gateway

ALICE, BOB = "6a0d1d3c-9f1b-4b9c-9a58-0b5c1d1c000a", "6a0d1d3c-9f1b-4b9c-9a58-0b5c1d1c000b"
JWT_SECRET: Final = "the secret of this tenant's tokens, long enough"
MASTER: Final = b"m" * 32
_POLICIES: Final = """
    CREATE POLICY seen ON storage.buckets FOR SELECT TO authenticated USING (id = 'in-both');
    CREATE POLICY own ON storage.objects TO authenticated
        USING (bucket_id = 'in-both' AND (storage.foldername(name))[1] IN ('common', (SELECT auth.uid())::text))
        WITH CHECK (bucket_id = 'in-both' AND (storage.foldername(name))[1] IN ('common', (SELECT auth.uid())::text))
"""
_OF_ALICE: Final = """
    SELECT 'object', to_jsonb(o) FROM storage.objects AS o
    WHERE o.bucket_id <> 'in-both' OR o.name LIKE %(alice)s || '/%%'
    UNION ALL SELECT 'annotation', to_jsonb(n) FROM storage.object_annotations AS n
        JOIN storage.objects AS o ON o.id = n.object_id AND o.owner_id = %(alice)s
    UNION ALL SELECT 'bucket', to_jsonb(b) FROM storage.buckets AS b
    UNION ALL SELECT 'configuration', to_jsonb(c) FROM storage.bucket_configurations AS c
    UNION ALL SELECT 'upload', to_jsonb(u) FROM storage.s3_multipart_uploads AS u WHERE u.owner_id = %(alice)s
    UNION ALL SELECT 'part', to_jsonb(p) FROM storage.s3_multipart_uploads_parts AS p WHERE p.owner_id = %(alice)s
"""
_TOLD_BY_DENIAL: Final = frozenset({"DeleteObject"})
_ENOUGH_TO_SEE_LEAKS: Final = frozenset(
    {"GetObject", "GetObjectTagging", "ListObjectsV2", "PutObjectTagging", "getAuthenticatedObject", "listObjectsV2"}
)
# What an account or a user may make: buckets of its own are no change of Alice's.
_MAKES: Final = frozenset({"CreateBucket", "createBucket"})


@dataclass(frozen=True, slots=True)
class Tenant:
    """The tenant, Bob's ways in, and what is Alice's."""

    wire: Wire
    database: Database
    callers: tuple[Caller, ...]
    names: Names
    nobodys: Names
    canaries: tuple[str, ...]

    def alices(self) -> list[str]:
        return sorted(map(repr, self.database.connection.execute(_OF_ALICE, {"alice": ALICE}).fetchall()))


@pytest.fixture(scope="module")
def tenant() -> Iterator[Tenant]:
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(
            running_gateway(jwt_secret=SecretStr(JWT_SECRET), master_key=SecretStr(b64encode(MASTER).decode()))
        )
        database = Database(stack.enter_context(psycopg.connect(gateway.database_url, autocommit=True)))
        wire = Wire(int(gateway.endpoint_url.rpartition(":")[2]))
        stack.callback(wire.close)
        keys = asyncio.run(_make_keys(gateway))
        names, canaries = _belongings(gateway, keys["alice"])
        database.connection.execute(_POLICIES)
        database.keep()
        twin = f"{ALICE}/{secrets.token_hex(8)}"
        nobodys = replace(names, shared_key=twin, continuation_token=encode_token(twin))
        yield Tenant(wire, database, _callers(gateway, keys), names, nobodys, canaries)


async def _make_keys(gateway: RunningGateway) -> dict[str, Credentials]:
    made = {}
    async with PostgresControlDatabase(gateway.database_url, timeout_seconds=5) as control:
        registry = PostgresRegistry(control, MasterKey.of(MASTER))
        for name, role, subject in (
            ("alice", ACCOUNT_ROLE, ALICE),
            ("bob", ACCOUNT_ROLE, BOB),
            ("bob-user", "authenticated", BOB),
        ):
            key = NewAccessKey(access_key_id=f"KEY{name.upper()}", secret="s" * 40, role=role, subject=subject)
            await registry.create_key(key)
            made[name] = Credentials(key.access_key_id, key.secret)
    return made


def _callers(gateway: RunningGateway, keys: dict[str, Credentials]) -> tuple[Caller, ...]:
    host = gateway.endpoint_url.partition("//")[2]
    token = tokens.mint({"role": "authenticated", "sub": BOB}, JWT_SECRET)
    return (
        Caller(Kind.KEY, host, keys["bob-user"]),
        Caller(Kind.NARROWED, host, keys["bob"]),  # an account is narrowed to what is its own
        Caller(Kind.SESSION_TOKEN, host, Credentials("default", anon_token(JWT_SECRET), token)),
        Caller(Kind.PRESIGNED, host, keys["bob-user"]),
        Caller(Kind.BEARER, host, token=token),
        Caller(Kind.ANONYMOUS, host),
    )


def _client(gateway: RunningGateway, keys: Credentials) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=gateway.endpoint_url,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name=gateway.region,
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )


def _belongings(gateway: RunningGateway, keys: Credentials) -> tuple[Names, tuple[str, ...]]:
    """Alice's bucket with her account's key, and her folder in a bucket of all, with something of every kind."""
    service = boto3.client("s3", **gateway.client_options())
    mine = _client(gateway, keys)
    canaries = tuple(f"canary-{name}-{secrets.token_hex(6)}" for name in ("body", "meta", "tag"))
    bucket, key = f"alices-{secrets.token_hex(6)}", f"their/{secrets.token_hex(8)}"
    shared_key = f"{ALICE}/{secrets.token_hex(8)}"
    service.create_bucket(Bucket=SHARED_BUCKET, ObjectLockEnabledForBucket=True)
    service.put_object(Bucket=SHARED_BUCKET, Key=SHARED_KEY, Body=SHARED_BODY)
    mine.create_bucket(Bucket=bucket)
    version = ""
    for client, place, name in ((mine, bucket, key), (service, SHARED_BUCKET, shared_key)):
        stored = client.put_object(Bucket=place, Key=name, Body=canaries[0].encode(), Metadata={"canary": canaries[1]})
        client.put_object_tagging(Bucket=place, Key=name, Tagging={"TagSet": [{"Key": "k", "Value": canaries[2]}]})
        version = stored.get("VersionId", "")
    mine.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "k", "Value": canaries[2]}]})
    upload = mine.create_multipart_upload(Bucket=bucket, Key=key, Metadata={"canary": canaries[1]})
    mine.upload_part(Bucket=bucket, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"part")
    strange = tokens.mint({"url": f"{bucket}/{key}", "scope": "download"}, "nobody's secret, long enough for one")
    names = Names(
        tenant="default",
        bucket=bucket,
        key=key,
        shared_key=shared_key,
        upload_id=upload["UploadId"],
        version_id=version,
        canonical_id=canonical_id("default", ALICE),
        subject=ALICE,
        email="alice@example.com",
        continuation_token=encode_token(shared_key),
        download_token=strange,
        upload_token=strange,
        # a random number that only who had the URL signed is told: there is none to guess
        pending_id=str(uuid.uuid4()),
        pending_token=strange,
        user_token=strange,
    )
    return names, canaries


class Blind:
    """In the place of ``Visibility``: everybody sees every bucket."""

    VISIBLE = Visibility.VISIBLE
    NONE = HIDDEN = object()

    def __call__(self, answer: object) -> Visibility:
        return Visibility.VISIBLE


async def _nothing(*_: object) -> None:
    return None


async def _any_bucket(services: Any, call: Any, bucket: str) -> BucketRecord:
    return BucketRecord(bucket, datetime.now(UTC), None)


async def _none_forbidden(*_: object) -> frozenset[str]:
    return frozenset()


def switch_checks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything the application decides about who may do what, before and after statements."""
    for module in (
        access,
        access_control,
        bucket_policies,
        rest_objects,
        buckets,
        configurations,
        objects,
        access_database,
    ):
        monkeypatch.setattr(module, "Visibility", Blind())
    monkeypatch.setattr(access, "require_bucket", _any_bucket)
    monkeypatch.setattr(access, "require_listing", _nothing)
    monkeypatch.setattr(access, "forbidden", _none_forbidden)
    monkeypatch.setattr(restricted, "_require", lambda principal, attempt: None)
    monkeypatch.setattr(restricted, "is_permitted", lambda principal, attempt: True)
    monkeypatch.setattr(front, "require_expected_owners", _nothing)


def leaks(tenant: Tenant, only: frozenset[str] | None = None) -> list[str]:
    """What Bob learns or changes of Alice's, by every operation and route and every credential he may have."""
    found: list[str] = []
    plans: list[tuple[str, Any, bool]] = [
        *((operation.name, s3_plan.cells(operation.name), False) for operation in OPERATIONS),
        *((route.name, rest_plan.cells(route), True) for route in ROUTES),
    ]
    before = tenant.alices()
    for name, cells, is_rest in plans:
        if only is not None and name not in only:
            continue
        chosen = list(cells)
        for caller in tenant.callers:
            if is_rest != (caller.kind is Kind.BEARER) and caller.kind is not Kind.ANONYMOUS:
                continue
            for cell in chosen:
                found += (f"{name} by {caller.kind}, {cell.place}: {what}" for what in _ask(tenant, caller, cell, name))
        if (after := tenant.alices()) != before and name not in _MAKES:
            found.append(f"{name}: changed {sorted(set(after) ^ set(before))}")
            tenant.database.restore()
    return found


def _ask(tenant: Tenant, caller: Caller, cell: s3_plan.Cell, name: str) -> Iterator[str]:
    outcomes = []
    for names in (tenant.names, tenant.nobodys) if cell.place is Place.KEY else (tenant.names,):
        request = caller.signed(cell.make(names))
        answer = tenant.wire.send(request)
        sent = unquote(repr(request)) + (
            tenant.names.shared_key if tenant.names.continuation_token in request.target else ""
        )
        yield from (f"told {canary}" for canary in tenant.canaries if answer.holds(canary) and canary not in sent)
        if answer.status < 400 and answer.holds(tenant.names.shared_key) and tenant.names.shared_key not in sent:
            yield "told a key"
        if answer.status == 500:
            yield "500"
        outcomes.append(answer.comparable(((names.shared_key, "KEY"),)))
        if request.method not in ("GET", "HEAD") and answer.status < 400:
            alices = tenant.alices()
            tenant.database.restore()
            if alices != tenant.alices() and name not in _MAKES:
                yield f"changed what is Alice's ({answer.status})"
    if len({repr(outcome) for outcome in outcomes}) > 1 and name not in _TOLD_BY_DENIAL:
        yield f"an object that is not seen is told from one that is not there: {outcomes}"


def test_bob_neither_sees_nor_changes_what_is_alices(tenant: Tenant) -> None:
    found = leaks(tenant)
    assert not found, "\n".join(found)


def test_row_level_security_alone_lets_nothing_through(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_checks_off(monkeypatch)
    found = leaks(tenant)
    assert not found, "\n".join(found)


CONDITIONS: Final = (
    ("PUT", "If-Match", ("right", "wrong", "*")),
    ("PUT", "If-None-Match", ("right", "wrong")),
    ("PUT", "If-None-Match", ("*",)),
    ("DELETE", "If-Match", ("right", "wrong", "*")),
    ("DELETE", "x-amz-if-match-size", ("right", "wrong")),
)


@pytest.mark.parametrize(("method", "header", "kinds"), CONDITIONS)
def test_conditions_tell_nothing_of_what_is_not_seen(
    tenant: Tenant, method: str, header: str, kinds: tuple[str, ...]
) -> None:
    """Neither whether it is there (but for deletions, see above) nor what it holds: an ETag is an MD5 of it."""
    body = tenant.canaries[0].encode()
    right = str(len(body)) if header.startswith("x-amz") else f'"{md5(body, usedforsecurity=False).hexdigest()}"'
    wrong = "1" if header.startswith("x-amz") else f'"{"0" * 32}"'
    user = tenant.callers[0]
    outcomes = set()
    for names in (tenant.names, tenant.nobodys) if method == "PUT" else (tenant.names,):
        for kind in kinds:
            value = {"right": right, "wrong": wrong, "*": "*"}[kind]
            headers = ((header, value),)
            asked = Request(method, f"/{SHARED_BUCKET}/{names.shared_key}", headers, b"new" if method == "PUT" else b"")
            answer = tenant.wire.send(user.signed(asked))
            assert answer.status in (403, 404)
            outcomes.add(repr(answer.comparable(((names.shared_key, "KEY"),))))
    assert len(outcomes) == 1, outcomes


def test_without_row_level_security_the_leaks_are_seen(tenant: Tenant) -> None:
    with tenant.database.without_row_security():
        told = leaks(tenant, _ENOUGH_TO_SEE_LEAKS)
    tenant.database.restore()
    for kind in (Kind.KEY, Kind.NARROWED, Kind.SESSION_TOKEN, Kind.BEARER, Kind.ANONYMOUS):
        assert any(f"by {kind}" in leak and "told canary" in leak for leak in told), kind
    assert any("changed" in leak for leak in told)
