"""Policies as they are written for Supabase decide the same whatever door a user comes in by: an access key with
claims, a session token, keys for a web identity, a bearer token, presigned URLs, signed URLs and browser forms.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
from botocore.credentials import Credentials

from conformance import forms
from conformance.isolation.callers import Caller, Kind
from conformance.isolation.wire import Answer, Request, Wire
from conformance.isolation.world import World, host_of, issued_keys
from conformance.rest import tokens
from conformance.target import Target
from gateway.auth.token_settings import anon_token

TENANT: Final = "policies"
BUCKET: Final = "guarded"
OWNER, STRANGER = "6a0d1d3c-9f1b-4b9c-9a58-0b5c1d1c0001", "6a0d1d3c-9f1b-4b9c-9a58-0b5c1d1c0002"
CLAIMS: Final[Mapping[str, Mapping[str, Any]]] = {
    OWNER: {"email": "owner@example.com", "app_metadata": {"plan": "paid"}},
    STRANGER: {"email": "stranger@example.com", "app_metadata": {"plan": "free"}},
}
_POLICIES: Final = """
    CREATE POLICY "users see the bucket" ON storage.buckets FOR SELECT TO authenticated
        USING (id = 'guarded' AND (SELECT auth.role()) = 'authenticated');
    CREATE POLICY "own folder" ON storage.objects TO authenticated
        USING (bucket_id = 'guarded' AND (storage.foldername(name))[1] = (SELECT auth.uid())::text)
        WITH CHECK (bucket_id = 'guarded' AND (storage.foldername(name))[1] = (SELECT auth.uid())::text
            AND storage.extension(name) = 'png');
    CREATE POLICY "paid folder" ON storage.objects FOR INSERT TO authenticated
        WITH CHECK (bucket_id = 'guarded' AND (storage.foldername(name))[1] = 'paid'
            AND (SELECT auth.jwt() -> 'app_metadata' ->> 'plan') = 'paid');
    CREATE POLICY "paid folder, seen" ON storage.objects FOR SELECT TO authenticated
        USING (bucket_id = 'guarded' AND (storage.foldername(name))[1] = 'paid'
            AND (SELECT auth.jwt() ->> 'email') LIKE '%@example.com');
    CREATE POLICY "shared, to read and not to list" ON storage.objects FOR SELECT TO authenticated
        USING (bucket_id = 'guarded' AND (storage.foldername(name))[1] = 'shared'
            AND storage.allow_any_operation(ARRAY['object.get_authenticated', 'object.sign', 's3.object.get']));
"""


@dataclass(frozen=True, slots=True)
class Door:
    """One user at one door: what it may do there. ``deeds`` are those the door has."""

    wire: Wire
    caller: Caller
    deeds: Mapping[str, Callable[["Door", str], bool]]
    target: Target

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "image/png") -> Answer:
        """One request of the caller."""
        headers = (("Content-Type", kind),) if body else ()
        return self.wire.send(self.caller.signed(Request(method, path, headers, body)))


def _allowed(answer: Answer) -> bool:
    assert answer.status in (200, 204, 400, 403, 404), answer
    return answer.status < 300


def s3_read(door: Door, key: str) -> bool:
    return _allowed(door.ask("GET", f"/{BUCKET}/{key}"))


def s3_write(door: Door, key: str) -> bool:
    return _allowed(door.ask("PUT", f"/{BUCKET}/{key}", b"new"))


def s3_list(door: Door, key: str) -> bool:
    return key.encode() in door.ask("GET", f"/{BUCKET}?list-type=2").body


def s3_delete(door: Door, key: str) -> bool:
    """A deletion of what a user does not see succeeds and does nothing: the service key looks whether it is gone."""
    door.ask("DELETE", f"/{BUCKET}/{key}")
    return False


REST: Final = "/storage/v1/object"


def rest_read(door: Door, key: str) -> bool:
    return _allowed(door.ask("GET", f"{REST}/authenticated/{BUCKET}/{key}"))


def rest_write(door: Door, key: str) -> bool:
    return _allowed(door.ask("POST", f"{REST}/{BUCKET}/{key}", b"new"))


def rest_list(door: Door, key: str) -> bool:
    asked = json.dumps({"prefix": key.rpartition("/")[0] + "/"}).encode()
    return (
        key.rpartition("/")[2].encode() in door.ask("POST", f"{REST}/list-v2/{BUCKET}", asked, "application/json").body
    )


def rest_delete(door: Door, key: str) -> bool:
    door.ask("DELETE", f"{REST}/{BUCKET}/{key}")
    return False


def signed_read(door: Door, key: str) -> bool:
    answer = door.ask("POST", f"{REST}/sign/{BUCKET}/{key}", b'{"expiresIn": 60}', "application/json")
    if not _allowed(answer):
        return False
    url = json.loads(answer.body)["signedURL"]
    return _allowed(door.wire.send(Request("GET", f"/storage/v1{url}", (("Host", host_of(TENANT)),))))


def signed_write(door: Door, key: str) -> bool:
    answer = door.ask("POST", f"{REST}/upload/sign/{BUCKET}/{key}", b"{}", "application/json")
    if not _allowed(answer):
        return False
    url = json.loads(answer.body)["url"]
    headers = (("Host", host_of(TENANT)), ("Content-Type", "image/png"))
    return _allowed(door.wire.send(Request("PUT", f"/storage/v1{url}", headers, b"new")))


def form_write(door: Door, key: str) -> bool:
    keys = door.caller.keys
    assert keys is not None
    fields = {"key": key, "content-type": "image/png"}
    if keys.token:
        fields["x-amz-security-token"] = str(keys.token)
    conditions: list[Any] = [{"bucket": BUCKET}, *({name: value} for name, value in fields.items())]
    fields |= forms.signed(
        door.target, conditions, access_key_id=str(keys.access_key), secret_access_key=str(keys.secret_key)
    )
    headers = (("Host", host_of(TENANT)), ("Content-Type", f"multipart/form-data; boundary={forms.BOUNDARY}"))
    return _allowed(door.wire.send(Request("POST", f"/{BUCKET}", headers, forms.body(fields, b"new"))))


S3_DEEDS: Final = {"read": s3_read, "write": s3_write, "list": s3_list, "delete": s3_delete}
DOORS: Final[Mapping[str, Mapping[str, Callable[[Door, str], bool]]]] = {
    "access key with claims": S3_DEEDS,
    "session token": S3_DEEDS,
    "keys for a web identity": S3_DEEDS,
    "presigned URL of a key": S3_DEEDS,
    "presigned URL of a session token": S3_DEEDS,
    "presigned URL of a web identity": S3_DEEDS,
    "bearer token": {"read": rest_read, "write": rest_write, "list": rest_list, "delete": rest_delete},
    "signed URL": {"read": signed_read, "write": signed_write},
    "form of a key": {"write": form_write},
    "form of a session token": {"write": form_write},
    "form of a web identity": {"write": form_write},
}
# What each user may do, by any door. {door} is a name nobody used before.
EXPECTED: Final[Mapping[str, tuple[tuple[str, str, bool], ...]]] = {
    OWNER: (
        ("read", f"{OWNER}/photo.png", True),
        ("read", "other/secret.txt", False),
        ("read", "shared/readme.txt", True),
        ("read", "paid/report.png", True),
        ("list", f"{OWNER}/photo.png", True),
        ("list", "shared/readme.txt", False),
        ("list", "other/secret.txt", False),
        ("write", f"{OWNER}/{{new}}.png", True),
        ("write", f"{OWNER}/{{new}}.exe", False),
        ("write", "other/{new}.png", False),
        ("write", "paid/{new}.png", True),
        ("delete", f"{OWNER}/spare.png", True),
        ("delete", "shared/readme.txt", False),
        ("delete", "other/secret.txt", False),
    ),
    STRANGER: (
        ("read", f"{OWNER}/photo.png", False),
        ("read", "shared/readme.txt", True),
        ("read", "paid/report.png", True),
        ("list", f"{OWNER}/photo.png", False),
        ("write", f"{OWNER}/{{new}}.png", False),
        ("write", f"{STRANGER}/{{new}}.png", True),
        ("write", "paid/{new}.png", False),
        ("delete", f"{OWNER}/spare.png", False),
    ),
}


@dataclass(frozen=True, slots=True)
class Guarded:
    """The tenant with the policies, seen by its service key."""

    service: Any
    doors: Mapping[tuple[str, str], Door]

    def has(self, key: str) -> bool:
        """Whether the object is there."""
        return any(entry["Key"] == key for entry in self.service.list_objects_v2(Bucket=BUCKET).get("Contents", ()))


@pytest.fixture(scope="module")
def guarded(two_tenants: World) -> Guarded:
    fleet, wire = two_tenants.fleet, two_tenants.wire
    secret = "jwt secret of policies " + secrets.token_urlsafe(30)
    service = fleet.make(TENANT, jwt_secret=secret)
    service.s3.create_bucket(Bucket=BUCKET)
    for key in (f"{OWNER}/photo.png", f"{OWNER}/spare.png", "other/secret.txt", "shared/readme.txt", "paid/report.png"):
        service.s3.put_object(Bucket=BUCKET, Key=key, Body=b"content")
    with psycopg.connect(urlsplit(fleet.owner_url)._replace(path=f"/t_{TENANT}").geturl(), autocommit=True) as owner:
        owner.execute(_POLICIES)
    here = two_tenants.caller(Kind.KEY).host
    doors = {}
    for user, claims in CLAIMS.items():
        token = tokens.mint({"role": "authenticated", "sub": user, **claims}, secret)
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": "arn:aws:iam::000000000000:role/authenticated",
            "RoleSessionName": "doors",
            "WebIdentityToken": token,
        }
        headers = (("Host", host_of(TENANT)), ("Content-Type", "application/x-www-form-urlencoded"))
        temporary = issued_keys(wire.send(Request("POST", "/", headers, urlencode(form).encode())).body)
        stored = fleet.client(TENANT, role="authenticated", subject=user, claims=claims).target
        key = Caller(Kind.KEY, here, Credentials(stored.access_key_id, stored.secret_access_key))
        session = Caller(Kind.SESSION_TOKEN, here, Credentials(TENANT, anon_token(secret), token))
        web = Caller(Kind.WEB_IDENTITY, here, temporary)
        bearer = Caller(Kind.BEARER, host_of(TENANT), token=token)
        callers = {
            "access key with claims": key,
            "session token": session,
            "keys for a web identity": web,
            "presigned URL of a key": replace(key, kind=Kind.PRESIGNED),
            "presigned URL of a session token": replace(session, kind=Kind.PRESIGNED),
            "presigned URL of a web identity": replace(web, kind=Kind.PRESIGNED),
            "bearer token": bearer,
            "signed URL": bearer,
            "form of a key": key,
            "form of a session token": session,
            "form of a web identity": web,
        }
        assert set(callers) == set(DOORS)
        doors.update({(user, name): Door(wire, caller, DOORS[name], stored) for name, caller in callers.items()})
    return Guarded(service.s3, doors)


@pytest.mark.parametrize("user", EXPECTED, ids=["owner", "stranger"])
@pytest.mark.parametrize("name", DOORS)
def test_policies_decide_the_same_at_every_door(guarded: Guarded, name: str, user: str) -> None:
    door = guarded.doors[user, name]
    found, expected = [], []
    for deed, pattern, may in EXPECTED[user]:
        if deed not in door.deeds:
            continue
        key = pattern.format(new=secrets.token_hex(6))
        outcome = door.deeds[deed](door, key)
        if deed == "write":
            assert guarded.has(key) == outcome
        elif deed == "delete":
            outcome = not guarded.has(key)
            guarded.service.put_object(Bucket=BUCKET, Key=key, Body=b"content")
        found.append((deed, pattern, outcome))
        expected.append((deed, pattern, may))
    assert found == expected
