"""Two tenants on one server: A, which asks, and B, which owns something of every kind and is never to notice.

Policies of both databases let everybody do everything, so that nothing but the separation of tenants keeps them apart.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import psycopg
from botocore.credentials import Credentials

from conformance.fleet import Client, Fleet, running_fleet
from conformance.isolation.callers import Caller, Kind
from conformance.isolation.names import SHARED_BODY, SHARED_BUCKET, SHARED_KEY, Names
from conformance.isolation.wire import Request, Wire
from conformance.rest import tokens
from gateway.auth.token_settings import anon_token
from gateway.operations.owners import canonical_id
from gateway.operations.tokens import encode_token

_USER: Final = "317eadce-631a-4429-a0bb-f19a7a517b4a"
_ARN: Final = "arn:aws:iam::000000000000:role/authenticated"
BLOB_BYTES: Final = 20_000

_OPEN_TO_EVERYBODY: Final = """
    CREATE POLICY everybody ON storage.buckets TO anon, authenticated USING (true) WITH CHECK (true);
    CREATE POLICY everybody ON storage.objects TO anon, authenticated USING (true) WITH CHECK (true);
    CREATE POLICY everybody ON storage.bucket_configurations TO anon, authenticated USING (true) WITH CHECK (true);
    CREATE POLICY everybody ON storage.s3_multipart_uploads FOR SELECT TO anon, authenticated USING (true);
    CREATE POLICY everybody ON storage.s3_multipart_uploads_parts FOR SELECT TO anon, authenticated USING (true)
"""
_TABLES: Final = """
    SELECT c.oid::regclass::text,
        (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = ANY (%s) AND c.oid::regclass::text <> ALL (%s) ORDER BY 1
"""
_GUARDED: Final = """
    SELECT c.oid::regclass::text, c.relforcerowsecurity FROM pg_class AS c
    WHERE c.relrowsecurity AND c.relnamespace::regnamespace::text IN ('storage', 'rowlock') ORDER BY 1
"""
# A heartbeat is no answer to anybody.
_BEATING: Final = ["rowlock.epochs"]


@dataclass(slots=True)
class Database:
    """A tenant's database as its owner sees it."""

    connection: psycopg.Connection[Any]
    kept: list[tuple[str, str]] = field(default_factory=list)

    def digest(self) -> dict[str, str]:
        """What is in every table, as one digest a table."""
        tables = self.connection.execute(_TABLES, [["storage", "rowlock"], _BEATING]).fetchall()
        asked = " UNION ALL ".join(
            f"SELECT '{name}', md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {name} AS t"  # noqa: S608 - names of the catalogue
            for name, _ in tables
        )
        return dict(self.connection.execute(asked).fetchall())

    def keep(self) -> None:
        """Remember the rows of schema storage."""
        self.kept = self.connection.execute(_TABLES, [["storage"], []]).fetchall()
        self.connection.execute("CREATE SCHEMA kept")
        for name, _ in self.kept:
            self.connection.execute(f"CREATE TABLE kept.{name.partition('.')[2]} AS TABLE {name}")

    def restore(self) -> None:
        """Put back what was remembered, in the place of what is there."""
        steps = ["SET LOCAL session_replication_role = replica", "SET LOCAL synchronous_commit = off"]
        steps += [f"DELETE FROM {name}" for name, _ in self.kept]  # noqa: S608 - names of the catalogue
        for name, columns in self.kept:
            twin = f"kept.{name.partition('.')[2]}"
            steps.append(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {twin}")  # noqa: S608
        with self.connection.transaction():
            self.connection.execute("; ".join(steps))

    @contextlib.contextmanager
    def without_row_security(self) -> Iterator[None]:
        """No table of the tenant has row-level security inside the block."""
        guarded = self.connection.execute(_GUARDED).fetchall()
        for name, _ in guarded:
            self.connection.execute(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
        try:
            yield
        finally:
            for name, forced in guarded:
                force = ", FORCE ROW LEVEL SECURITY" if forced else ""
                self.connection.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY{force}")


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant: its first key, its secret for users' tokens, its database."""

    id: str
    client: Client
    jwt_secret: str = field(repr=False)
    database: Database

    @property
    def host(self) -> str:
        """The host name that means it."""
        return host_of(self.id)

    @property
    def keys(self) -> Credentials:
        """Its first key."""
        return Credentials(self.client.target.access_key_id, self.client.target.secret_access_key)

    def user_token(self, subject: str = _USER, role: str = "authenticated") -> str:
        """A user's token."""
        return tokens.mint({"role": role, "sub": subject}, self.jwt_secret)


@dataclass(frozen=True, slots=True)
class World:
    """The server, both tenants, and what can be asked for."""

    fleet: Fleet
    wire: Wire
    mine: Tenant
    other: Tenant
    others: Names
    nobodys: Names
    callers: Mapping[Kind, Caller]
    canaries: tuple[str, ...]
    secrets: tuple[str, ...]

    def labels(self) -> tuple[tuple[str, str], ...]:
        """Every name of either side with its label."""
        found = {*self.others.pairs(), *self.nobodys.pairs()}
        return tuple(sorted(found, key=lambda pair: -len(pair[0])))

    def others_state(self) -> tuple[dict[str, str], dict[str, str]]:
        """All rows and all bytes of the other tenant."""
        root = Path(self.fleet.running.directory, "data", "tenants", self.other.id)
        files = {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        return self.other.database.digest(), files

    def caller(self, kind: Kind) -> Caller:
        """The caller of this kind, who belongs to A."""
        return self.callers[kind]


def host_of(tenant_id: str) -> str:
    """The host name of a tenant that may not exist."""
    return f"{tenant_id}.s3.test"


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Build it on a server of its own."""
    with (
        running_fleet(ROWLOCK_WORKERS="1", ROWLOCK_SWEEP_INTERVAL_SECONDS="3600") as fleet,
        contextlib.ExitStack() as stack,
    ):
        mine, other = (_tenant(fleet, name, stack) for name in ("a" * 8, "b" * 8))
        wire = Wire(fleet.running.port)
        stack.callback(wire.close)
        for tenant in (mine, other):
            s3 = tenant.client.s3
            s3.create_bucket(Bucket=SHARED_BUCKET, ObjectLockEnabledForBucket=True)
            s3.put_object(Bucket=SHARED_BUCKET, Key=SHARED_KEY, Body=SHARED_BODY)
            tenant.database.connection.execute(_OPEN_TO_EVERYBODY)
        others, canaries = _belongings(fleet, other)
        nobodys = _twins(others)
        mine.database.keep()
        made = _callers(fleet, wire, mine, (others.bucket, nobodys.bucket))
        hidden = (other.jwt_secret, str(other.client.target.secret_access_key), mine.jwt_secret)
        yield World(fleet, wire, mine, other, others, nobodys, made, canaries, hidden)


def _tenant(fleet: Fleet, tenant_id: str, stack: contextlib.ExitStack) -> Tenant:
    secret = f"jwt secret of {tenant_id} " + secrets.token_urlsafe(30)
    client = fleet.make(tenant_id, jwt_secret=secret)
    client.s3.list_buckets()
    owner = urlsplit(fleet.owner_url)
    url = owner._replace(path=f"/t_{tenant_id}").geturl()
    connection = stack.enter_context(psycopg.connect(url, autocommit=True))
    return Tenant(tenant_id, client, secret, Database(connection))


def _belongings(fleet: Fleet, other: Tenant) -> tuple[Names, tuple[str, ...]]:
    """Something of every kind, each with a text nobody else has; what is named, and what is never to be seen."""
    s3 = other.client.s3
    canaries = {name: f"canary-{name}-{secrets.token_hex(6)}" for name in ("body", "meta", "tag", "tagging", "part")}
    canaries["origin"] = f"https://canary-{secrets.token_hex(6)}.example.com"
    bucket, key = f"others-{secrets.token_hex(6)}", f"their/{secrets.token_hex(8)}"
    shared_key = f"also/{secrets.token_hex(8)}"
    s3.create_bucket(Bucket=bucket)
    body = canaries["body"].encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"canary": canaries["meta"]})
    s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "k", "Value": canaries["tag"]}]})
    s3.put_object(Bucket=bucket, Key=f"{key}/blob", Body=body + os.urandom(BLOB_BYTES))
    shared = s3.put_object(Bucket=SHARED_BUCKET, Key=shared_key, Body=body)
    version = s3.put_object(Bucket=SHARED_BUCKET, Key=SHARED_KEY, Body=body)["VersionId"]
    assert shared["VersionId"] != version
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "k", "Value": canaries["tagging"]}]})
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": [canaries["origin"]]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    expiry = {"ID": canaries["part"], "Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 99}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [expiry]})
    upload = s3.create_multipart_upload(Bucket=SHARED_BUCKET, Key=SHARED_KEY, Metadata={"canary": canaries["meta"]})
    s3.upload_part(
        Bucket=SHARED_BUCKET, Key=SHARED_KEY, UploadId=upload["UploadId"], PartNumber=1, Body=os.urandom(BLOB_BYTES)
    )
    subject, email = f"account-{secrets.token_hex(6)}", f"{secrets.token_hex(6)}@example.com"
    fleet.client(other.id, role="s3_account", subject=subject, display_name="account").s3.list_buckets()
    other.database.connection.execute(
        "INSERT INTO rowlock.accounts (subject, canonical_id, display_name, email) VALUES (%s, %s, 'account', %s) "
        "ON CONFLICT (subject) DO UPDATE SET email = excluded.email",
        [subject, canonical_id(other.id, subject), email],
    )
    token = tokens.mint({"role": "service_role"}, other.jwt_secret)
    download, upload_token = (_signed_url(fleet, other, token, kind, bucket, key) for kind in ("sign", "upload/sign"))
    pending_id, pending_token = _waiting_upload(fleet, other, token, body)
    names = Names(
        tenant=other.id,
        bucket=bucket,
        key=key,
        shared_key=shared_key,
        upload_id=upload["UploadId"],
        version_id=version,
        canonical_id=canonical_id(other.id, subject),
        subject=subject,
        email=email,
        continuation_token=encode_token(shared_key),
        download_token=download,
        upload_token=upload_token,
        pending_id=pending_id,
        pending_token=pending_token,
        user_token=other.user_token(),
    )
    return names, tuple(canaries.values())


def _signed_url(fleet: Fleet, other: Tenant, token: str, kind: str, bucket: str, key: str) -> str:
    wire = Wire(fleet.running.port)
    try:
        headers = (("Host", other.host), ("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"))
        more = (("x-upsert", "true"),)
        asked = Request(
            "POST", f"/storage/v1/object/{kind}/{bucket}/{key}", headers + more, json.dumps({"expiresIn": 600}).encode()
        )
        answer = wire.send(asked)
        assert answer.status == 200, answer.body
        document = json.loads(answer.body)
        return str(document.get("signedURL") or document["url"]).partition("token=")[2]
    finally:
        wire.close()


def _waiting_upload(fleet: Fleet, other: Tenant, token: str, body: bytes) -> tuple[str, str]:
    """The id and the token of an upload that waits to be confirmed, under a name that both tenants have."""
    wire = Wire(fleet.running.port)
    path = f"/storage/v1/object/upload/sign/{SHARED_BUCKET}/{SHARED_KEY}"
    host = ("Host", other.host)
    try:
        headers = (
            host,
            ("Authorization", f"Bearer {token}"),
            ("Content-Type", "application/json"),
            ("x-upsert", "true"),
        )
        signed = wire.send(Request("POST", path, headers, json.dumps({"confirm": True}).encode()))
        document = json.loads(signed.body)
        sent = wire.send(
            Request("PUT", f"{path}?token={document['token']}", (host, ("Content-Type", "text/plain")), body)
        )
        assert sent.status == 200, sent.body
        return document["id"], document["token"]
    finally:
        wire.close()


def _twins(others: Names) -> Names:
    """The same names of nobody, as long as these."""

    def renamed(name: str) -> str:
        head, separator, tail = name.rpartition("/" if "/" in name else "-")
        return head + separator + secrets.token_hex(len(tail))[: len(tail)]

    key = renamed(others.key)
    shared_key = renamed(others.shared_key)
    version = others.version_id
    strange = "a secret that no tenant has, long enough for a signature"
    return Names(
        tenant="n" * len(others.tenant),
        bucket=renamed(others.bucket),
        key=key,
        shared_key=shared_key,
        upload_id=_rolled(others.upload_id),
        version_id=_rolled(version),
        canonical_id=secrets.token_hex(32),
        subject=renamed(others.subject),
        email=secrets.token_hex(6) + "@example.com",
        continuation_token=encode_token(shared_key),
        download_token=_resigned(others.download_token, strange),
        upload_token=_resigned(others.upload_token, strange),
        pending_id=_rolled(others.pending_id),
        pending_token=_resigned(others.pending_token, strange),
        user_token=_resigned(others.user_token, strange),
    )


def _rolled(identifier: str) -> str:
    """Another id of the same form."""
    return "".join(
        secrets.choice("0123456789abcdef") if character in "0123456789abcdef" and place > 3 else character
        for place, character in enumerate(identifier)
    )


def _resigned(token: str, secret: str) -> str:
    """The same claims, signed by nobody's key."""
    return tokens.mint(tokens.payload(token), secret)


def _callers(fleet: Fleet, wire: Wire, mine: Tenant, buckets: tuple[str, str]) -> dict[Kind, Caller]:
    """A caller of A of every kind."""
    here = f"127.0.0.1:{fleet.running.port}"
    narrowed = fleet.client(mine.id, buckets=[SHARED_BUCKET, *buckets]).target
    user = mine.user_token()
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": _ARN,
        "RoleSessionName": "matrix",
        "WebIdentityToken": user,
    }
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    issued = wire.send(Request("POST", "/", (("Host", mine.host), *headers), urlencode(form).encode()))
    service = Caller(Kind.KEY, here, mine.keys)
    session = {"Action": "GetSessionToken", "Version": "2011-06-15"}
    of_key = wire.send(service.signed(Request("POST", "/", headers, urlencode(session).encode()), service="sts"))
    return {
        caller.kind: caller
        for caller in (
            service,
            Caller(Kind.NARROWED, here, Credentials(narrowed.access_key_id, narrowed.secret_access_key)),
            Caller(Kind.SESSION_TOKEN, here, Credentials(mine.id, anon_token(mine.jwt_secret), user)),
            Caller(Kind.WEB_IDENTITY, here, issued_keys(issued.body)),
            Caller(Kind.KEY_SESSION, here, issued_keys(of_key.body)),
            Caller(Kind.PRESIGNED, here, mine.keys),
            Caller(Kind.FORM, mine.host, mine.keys),
            Caller(Kind.ANONYMOUS, mine.host),
            Caller(Kind.BEARER, mine.host, token=user),
            Caller(Kind.SERVICE_BEARER, mine.host, token=mine.user_token(role="service_role")),
        )
    }


def issued_keys(document: bytes) -> Credentials:
    """The keys in an answer of STS."""

    def part(name: str) -> str:
        return document.split(f"<{name}>".encode())[1].split(b"<")[0].decode()

    return Credentials(part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken"))
