"""Many tenants behind one endpoint: each sees its own, no other's key, row or byte, and nothing tells of another.

Starts a server of its own; each tenant has a database on its Postgres.
"""

import base64
import concurrent.futures
import contextlib
import hmac
import http.client
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conformance.fleet import (
    ADMIN_KEY,
    REVOCATION_SECONDS,
    Client,
    Fleet,
    anonymous,
    refusal,
    running_fleet,
    until_refused,
)
from conformance.rawhttp import RawClient
from conformance.rest.client import Api
from conformance.rest.stubs import Stub
from conformance.target import target_from_environment

pytestmark = pytest.mark.skipif(target_from_environment() is not None, reason="the suite must start the server itself")

SIGV4: Final = Config(signature_version="s3v4", s3={"addressing_style": "path"})
CANARY: Final = "canary-of-the-other-tenant"


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    opened = Stub()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def fleet(stub: Stub) -> Iterator[Fleet]:
    with running_fleet(ROWLOCK_CDN_PURGE_URL=f"{stub.url}/cdn") as started:
        yield started


@pytest.fixture(scope="module")
def a(fleet: Fleet) -> Client:
    return fleet.make("tenant-a")


@pytest.fixture(scope="module")
def b(fleet: Fleet) -> Client:
    return fleet.make("tenant-b")


def test_buckets_of_tenants_are_apart(a: Client, b: Client) -> None:
    large = os.urandom(300_000)
    for client, marker in ((a, b"of a"), (b, b"of b")):
        client.s3.create_bucket(Bucket="shared-name")
        client.s3.put_object(Bucket="shared-name", Key="small", Body=marker)
        client.s3.put_object(Bucket="shared-name", Key="large", Body=marker + large)
    for client, marker in ((a, b"of a"), (b, b"of b")):
        assert [bucket["Name"] for bucket in client.s3.list_buckets()["Buckets"]] == ["shared-name"]
        assert client.s3.get_object(Bucket="shared-name", Key="small")["Body"].read() == marker
        assert client.s3.get_object(Bucket="shared-name", Key="large")["Body"].read() == marker + large
    a.s3.delete_object(Bucket="shared-name", Key="large")
    assert b.s3.head_object(Bucket="shared-name", Key="large")["ContentLength"] == len(large) + 4


def test_owners_differ(a: Client, b: Client) -> None:
    assert a.s3.list_buckets()["Owner"]["ID"] != b.s3.list_buckets()["Owner"]["ID"]


def test_blobs_of_tenants_are_in_directories_of_their_own(fleet: Fleet, a: Client, b: Client) -> None:
    roots = {}
    for client in (a, b):
        name = f"blobs-{client.tenant_id}"
        client.s3.create_bucket(Bucket=name)
        client.s3.put_object(Bucket=name, Key="blob", Body=os.urandom(100_000))
        root = Path(fleet.running.directory, "data", "tenants", client.tenant_id, "blobs")
        roots[client.tenant_id] = {path.name for path in root.rglob("*") if path.is_file() and len(path.name) == 32}
    assert all(roots.values())
    assert not roots["tenant-a"] & roots["tenant-b"]
    assert not list(Path(fleet.running.directory, "data").glob("blobs"))


OPERATIONS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "HeadBucket": lambda s3, bucket: s3.head_bucket(Bucket=bucket),
    "GetBucketLocation": lambda s3, bucket: s3.get_bucket_location(Bucket=bucket),
    "ListObjectsV2": lambda s3, bucket: s3.list_objects_v2(Bucket=bucket),
    "ListObjectVersions": lambda s3, bucket: s3.list_object_versions(Bucket=bucket),
    "ListMultipartUploads": lambda s3, bucket: s3.list_multipart_uploads(Bucket=bucket),
    "GetObject": lambda s3, bucket: s3.get_object(Bucket=bucket, Key=CANARY),
    "HeadObject": lambda s3, bucket: s3.head_object(Bucket=bucket, Key=CANARY),
    "PutObject": lambda s3, bucket: s3.put_object(Bucket=bucket, Key=CANARY, Body=b"overwritten"),
    "PutObject of a blob": lambda s3, bucket: s3.put_object(Bucket=bucket, Key=CANARY, Body=bytes(100_000)),
    "DeleteObject": lambda s3, bucket: s3.delete_object(Bucket=bucket, Key=CANARY),
    "DeleteObjects": lambda s3, bucket: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": CANARY}]}),
    "DeleteBucket": lambda s3, bucket: s3.delete_bucket(Bucket=bucket),
    "CreateMultipartUpload": lambda s3, bucket: s3.create_multipart_upload(Bucket=bucket, Key=CANARY),
    "GetObjectTagging": lambda s3, bucket: s3.get_object_tagging(Bucket=bucket, Key=CANARY),
    "PutBucketVersioning": lambda s3, bucket: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    ),
    "GetBucketCors": lambda s3, bucket: s3.get_bucket_cors(Bucket=bucket),
    "CopyObject": lambda s3, bucket: s3.copy_object(
        Bucket="of-a-only", Key="copied", CopySource={"Bucket": bucket, "Key": CANARY}
    ),
}


@pytest.fixture(scope="module")
def canary(a: Client, b: Client) -> str:
    """A bucket of b that a does not have."""
    a.s3.create_bucket(Bucket="of-a-only")
    b.s3.create_bucket(Bucket="of-b-only")
    b.s3.put_object(Bucket="of-b-only", Key=CANARY, Body=CANARY.encode())
    return "of-b-only"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_bucket_of_another_tenant_answers_as_one_that_does_not_exist(
    a: Client, b: Client, canary: str, operation: str
) -> None:
    call = OPERATIONS[operation]
    assert refusal(call, s3=a.s3, bucket=canary) == refusal(call, s3=a.s3, bucket="of-nobody")
    assert b.s3.get_object(Bucket=canary, Key=CANARY)["Body"].read() == CANARY.encode()
    assert [entry["Key"] for entry in b.s3.list_objects_v2(Bucket=canary)["Contents"]] == [CANARY]


def test_answer_about_another_tenants_bucket_is_the_same_to_the_byte(a: Client, canary: str) -> None:
    raw = RawClient(a.target)
    answers = []
    for bucket in (canary, "of-nobody"):
        answer = raw("GET", f"/{bucket}/{CANARY}")
        assert answer.status == 404
        unlike = {"x-amz-request-id", "date", "content-length"}
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in unlike}
        identifier = answer.headers["x-amz-request-id"].encode()
        answers.append((headers, answer.body.replace(bucket.encode(), b"").replace(identifier, b"")))
    # the host id is the same in one worker only
    (there, there_body), (nowhere, nowhere_body) = answers
    assert there.keys() == nowhere.keys()
    assert there_body.split(b"<HostId>")[0] == nowhere_body.split(b"<HostId>")[0]


def test_upload_of_another_tenant_does_not_exist(a: Client, b: Client, canary: str) -> None:
    upload = b.s3.create_multipart_upload(Bucket=canary, Key="upload")["UploadId"]
    a.s3.create_bucket(Bucket="uploads")
    for bucket in (canary, "uploads"):
        wanted = 404
        for call in (
            lambda at=bucket: a.s3.upload_part(Bucket=at, Key="upload", UploadId=upload, PartNumber=1, Body=b"x"),
            lambda at=bucket: a.s3.list_parts(Bucket=at, Key="upload", UploadId=upload),
            lambda at=bucket: a.s3.abort_multipart_upload(Bucket=at, Key="upload", UploadId=upload),
        ):
            assert refusal(call)[0] == wanted
    assert b.s3.list_parts(Bucket=canary, Key="upload", UploadId=upload)["ResponseMetadata"]["HTTPStatusCode"] == 200
    b.s3.abort_multipart_upload(Bucket=canary, Key="upload", UploadId=upload)


def presigned_status(client: Client, bucket: str, key: str, host: str | None) -> tuple[int, bytes]:
    """A presigned GET, signed for ``host`` and sent to the server under that name."""
    target = client.target if host is None else replace(client.target, endpoint_url=f"http://{host}")
    with contextlib.closing(target.client()) as s3:
        url = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}))
    place = urlsplit(client.target.endpoint_url)
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)) as connection:
        connection.request("GET", f"{url.path}?{url.query}", headers={"Host": url.netloc})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_host_that_names_the_keys_tenant_is_let_in(b: Client, canary: str) -> None:
    for host in (None, "tenant-b.s3.test", "tenant-b.s3.test:9000"):
        assert presigned_status(b, canary, CANARY, host) == (200, CANARY.encode())


def test_key_of_one_tenant_at_the_host_of_another_is_unknown(a: Client, b: Client, canary: str) -> None:
    for host in ("tenant-b.s3.test", "nobody.s3.test"):
        status, body = presigned_status(a, canary, CANARY, host)
        assert (status, b"<Code>InvalidAccessKeyId</Code>" in body) == (403, True)
        assert CANARY.encode() not in body.replace(f"/{canary}/{CANARY}".encode(), b"")


def test_forwarded_host_of_a_stranger_changes_nothing(a: Client, b: Client, canary: str) -> None:
    raw = RawClient(b.target)
    answer = raw("GET", f"/{canary}/{CANARY}", (("X-Forwarded-Host", "tenant-a.s3.test"),))
    assert (answer.status, answer.body) == (200, CANARY.encode())


@pytest.mark.parametrize(("method", "path"), [("GET", "/of-nobody/key"), ("GET", "/of-nobody"), ("PUT", "/of-nobody")])
def test_unknown_tenant_answers_as_one_that_has_nothing(fleet: Fleet, a: Client, method: str, path: str) -> None:
    known = anonymous(fleet, "tenant-a.s3.test", path, method)
    unknown = anonymous(fleet, "nobody.s3.test", path, method)
    assert known[0] == unknown[0]
    assert known[1].split(b"<RequestId>")[0] == unknown[1].split(b"<RequestId>")[0]


def test_wrong_keys_of_all_kinds_look_alike(fleet: Fleet, a: Client) -> None:
    wrong = replace(a.target, access_key_id="RKNOSUCHKEYATALL", secret_access_key="x" * 40)
    with contextlib.closing(wrong.client()) as s3:
        assert refusal(s3.list_buckets) == (403, "InvalidAccessKeyId")


def test_revoked_key_stops_on_every_worker(fleet: Fleet, a: Client, b: Client) -> None:
    client = fleet.client("tenant-a")
    assert {RawClient(client.target)("GET", "/").status for _ in range(20)} == {200}
    status, _ = fleet.admin("DELETE", f"/tenants/tenant-a/keys/{client.target.access_key_id}")
    assert status == 200
    assert until_refused(client, "InvalidAccessKeyId") < REVOCATION_SECONDS
    a.s3.list_buckets()


def test_rotated_key_refuses_the_old_secret(fleet: Fleet, a: Client) -> None:
    client = fleet.client("tenant-a")
    client.s3.list_buckets()
    status, rotated = fleet.admin("POST", f"/tenants/tenant-a/keys/{client.target.access_key_id}/rotate")
    assert status == 200
    assert until_refused(client, "SignatureDoesNotMatch") < REVOCATION_SECONDS
    renewed = replace(client.target, secret_access_key=rotated["secret_access_key"])
    with contextlib.closing(renewed.client()) as s3:
        s3.list_buckets()


def test_suspended_tenant_is_refused_and_comes_back(fleet: Fleet, b: Client) -> None:
    client = fleet.make("sleeper")
    client.s3.create_bucket(Bucket="shared-name")
    assert fleet.admin("POST", "/tenants/sleeper/suspend")[1]["status"] == "suspended"
    assert until_refused(client, "InvalidAccessKeyId") < REVOCATION_SECONDS
    asleep, unknown = (anonymous(fleet, f"{name}.s3.test", "/shared-name") for name in ("sleeper", "nobody"))
    assert asleep[0] == unknown[0]
    assert asleep[1].split(b"<RequestId>")[0] == unknown[1].split(b"<RequestId>")[0]
    b.s3.list_buckets()
    assert fleet.admin("POST", "/tenants/sleeper/resume")[1]["status"] == "active"
    deadline = time.monotonic() + REVOCATION_SECONDS
    while (answer := RawClient(client.target)("GET", "/")).status != 200:
        assert time.monotonic() < deadline
    assert b"<Name>shared-name</Name>" in answer.body


def test_tenant_whose_database_is_away_is_alone_in_it(fleet: Fleet, a: Client) -> None:
    broken = {"id": "broken", "database_url": "postgresql://nobody:x@127.0.0.1:1/none"}
    assert fleet.admin("POST", "/tenants", broken)[0] == 201
    client = fleet.client("broken")
    began = time.monotonic()
    assert refusal(client.s3.list_buckets) == (503, "ServiceUnavailable")
    assert refusal(client.s3.list_buckets) == (503, "ServiceUnavailable")
    assert time.monotonic() - began < 5
    a.s3.list_buckets()
    status, health = fleet.admin("GET", "/tenants/broken/health")
    assert (status, health["database"], health["migration"]) == (200, "unreachable", "failed")
    assert fleet.admin("DELETE", "/tenants/broken")[0] == 204
    assert refusal(client.s3.list_buckets) == (403, "InvalidAccessKeyId")


def test_object_size_limit(fleet: Fleet) -> None:
    client = fleet.make("small", limits={"max_object_bytes": 10_000})
    client.s3.create_bucket(Bucket="bucket")
    client.s3.put_object(Bucket="bucket", Key="fits", Body=bytes(10_000))
    assert refusal(client.s3.put_object, Bucket="bucket", Key="large", Body=bytes(10_001)) == (400, "EntityTooLarge")


def test_storage_quota(fleet: Fleet) -> None:
    client = fleet.make("quota", limits={"storage_bytes": 100_000, "multipart_uploads": 2})
    s3 = client.s3
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="blob", Body=bytes(60_000))
    s3.put_object(Bucket="bucket", Key="inline", Body=bytes(1000))
    assert refusal(s3.put_object, Bucket="bucket", Key="more", Body=bytes(60_000)) == (403, "QuotaExceeded")
    assert refusal(s3.head_object, Bucket="bucket", Key="more") == (404, "404")
    s3.put_object(Bucket="bucket", Key="blob", Body=bytes(90_000))
    assert fleet.admin("GET", "/tenants/quota/health")[1]["used_bytes"] == 91_000
    s3.delete_object(Bucket="bucket", Key="blob")
    s3.put_object(Bucket="bucket", Key="more", Body=bytes(60_000))
    uploads = [s3.create_multipart_upload(Bucket="bucket", Key=f"upload-{n}")["UploadId"] for n in range(2)]
    assert refusal(s3.create_multipart_upload, Bucket="bucket", Key="upload-3") == (403, "QuotaExceeded")
    place = {"Bucket": "bucket", "Key": "upload-0", "UploadId": uploads[0]}
    assert refusal(s3.upload_part, **place, PartNumber=1, Body=bytes(60_000)) == (403, "QuotaExceeded")
    s3.upload_part(**place, PartNumber=1, Body=bytes(20_000))
    part = s3.upload_part(**place, PartNumber=1, Body=bytes(30_000))
    s3.upload_part(**place, PartNumber=2, Body=bytes(5_000))
    assert fleet.admin("GET", "/tenants/quota/health")[1]["used_bytes"] == 96_000
    assert refusal(s3.put_object, Bucket="bucket", Key="beside", Body=bytes(10_000)) == (403, "QuotaExceeded")
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert fleet.admin("GET", "/tenants/quota/health")[1]["used_bytes"] == 91_000
    s3.upload_part(Bucket="bucket", Key="upload-1", UploadId=uploads[1], PartNumber=7, Body=bytes(9_000))
    s3.abort_multipart_upload(Bucket="bucket", Key="upload-1", UploadId=uploads[1])
    s3.delete_object(Bucket="bucket", Key="upload-0")
    assert fleet.admin("GET", "/tenants/quota/health")[1]["used_bytes"] == 61_000
    assert fleet.admin("PUT", "/tenants/quota/limits", {})[0] == 200
    deadline = time.monotonic() + 10
    while True:
        try:
            s3.put_object(Bucket="bucket", Key="now it fits", Body=bytes(200_000))
            break
        except ClientError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_request_rate(fleet: Fleet, a: Client) -> None:
    client = fleet.make("slow", limits={"requests_per_second": 2, "request_burst": 3})
    outcomes = []
    for _ in range(30):
        answer = RawClient(client.target)("GET", "/")
        outcomes.append(answer.status)
        if answer.status == 503:
            assert answer.headers["retry-after"] == "1"
            assert b"<Code>SlowDown</Code>" in answer.body
    # two workers, each with its own bucket of three
    assert 3 <= outcomes.count(200) <= 20
    assert outcomes.count(200) + outcomes.count(503) == 30
    a.s3.list_buckets()


def test_background_work_reaches_every_tenant(fleet: Fleet, a: Client, b: Client) -> None:
    for client in (a, b):
        bucket = f"sweep-{client.tenant_id}"
        client.s3.create_bucket(Bucket=bucket)
        root = Path(fleet.running.directory, "data", "tenants", client.tenant_id, "blobs")
        before = {path for path in root.rglob("*") if len(path.name) == 32 and "quarantine" not in path.parts}
        client.s3.put_object(Bucket=bucket, Key="blob", Body=os.urandom(50_000))
        after = {path for path in root.rglob("*") if len(path.name) == 32 and "quarantine" not in path.parts}
        (blob,) = after - before
        client.s3.delete_object(Bucket=bucket, Key="blob")
        deadline = time.monotonic() + 15
        while blob.exists():
            assert time.monotonic() < deadline, "the blob was not swept"
            time.sleep(0.2)


def test_import_and_fsck_and_transfer_of_one_tenant(fleet: Fleet, a: Client, b: Client, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"imported" * 10_000)
    fleet.running.run("import", str(tmp_path), "imported", "--create", "--tenant", a.tenant_id)
    assert a.s3.get_object(Bucket="imported", Key="large")["Body"].read() == b"imported" * 10_000
    assert refusal(b.s3.head_bucket, Bucket="imported")[0] == 404
    report = json.loads(fleet.running.run("fsck", "--tenant", a.tenant_id, "--backend", "file", "--json").stdout)
    assert report["clean"]
    transfers = f"/tenants/{a.tenant_id}/transfers"
    assert fleet.admin("POST", transfers, {"kind": "move", "bucket": "imported", "backend": "nowhere"})[0] == 400
    assert fleet.admin("GET", "/tenants/nobody/transfers")[0] == 404
    status, made = fleet.admin("POST", transfers, {"kind": "move", "bucket": "imported", "backend": "file"})
    assert (status, made["status"]) == (201, "running")
    deadline = time.monotonic() + 30
    while (found := fleet.admin("GET", f"{transfers}/{made['id']}")[1])["status"] == "running":
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert (found["status"], found["objects_left"]) == ("done", 0)
    assert fleet.admin("GET", f"{transfers}?limit=1")[1]["transfers"] == [found]
    assert fleet.admin("POST", f"{transfers}/{made['id']}/pause")[0] == 400
    assert fleet.admin("GET", f"/tenants/{b.tenant_id}/transfers/{made['id']}")[0] == 404


def test_no_secret_and_no_canary_is_in_the_log(fleet: Fleet, a: Client, b: Client) -> None:
    log = fleet.running.log.read_text(errors="replace")
    assert a.target.secret_access_key not in log
    assert "for-tests" not in log
    assert ADMIN_KEY not in log
    assert "Traceback" not in log


def test_requests_of_many_tenants_at_once_never_mix(fleet: Fleet, a: Client, b: Client) -> None:
    clients = (a, b)
    for client in clients:
        client.s3.create_bucket(Bucket="mixed")
        client.s3.put_object(Bucket="mixed", Key="who", Body=client.tenant_id.encode())

    def ask(number: int) -> bool:
        client = random.Random(number).choice(clients)
        return bool(client.s3.get_object(Bucket="mixed", Key="who")["Body"].read() == client.tenant_id.encode())

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


def test_narrowed_key_may_do_what_it_is_narrowed_to(fleet: Fleet, a: Client) -> None:
    a.s3.create_bucket(Bucket="narrow")
    a.s3.put_object(Bucket="narrow", Key="in/here", Body=b"seen")
    a.s3.put_object(Bucket="narrow", Key="out", Body=b"unseen")
    narrowed = fleet.client("tenant-a", buckets=["narrow"], prefix="in/", read_only=True).s3
    assert narrowed.get_object(Bucket="narrow", Key="in/here")["Body"].read() == b"seen"
    for call in (
        lambda: narrowed.get_object(Bucket="narrow", Key="out"),
        lambda: narrowed.get_object(Bucket="of-a-only", Key="in/here"),
        lambda: narrowed.put_object(Bucket="narrow", Key="in/here", Body=b"changed"),
        lambda: narrowed.delete_object(Bucket="narrow", Key="in/here"),
        lambda: narrowed.list_objects_v2(Bucket="narrow"),
        narrowed.list_buckets,
    ):
        assert refusal(call) == (403, "AccessDenied")


def token(secret: str, **claims: Any) -> str:
    """A user's token, signed with a shared secret (RFC 7515, HS256)."""

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    head = part(b'{"alg":"HS256","typ":"JWT"}')
    body = part(json.dumps({"exp": int(time.time()) + 600, "role": "authenticated", **claims}).encode())
    signature = hmac.digest(secret.encode(), head + b"." + body, "sha256")
    return (head + b"." + body + b"." + part(signature)).decode()


def test_token_of_one_tenant_opens_no_other(fleet: Fleet, a: Client) -> None:
    """Temporary keys for a user's token: of the tenant whose secret signed it, at that tenant's host only."""
    secrets = {name: f"the secret of {name}, of forty characters or more" for name in ("issuer", "stranger")}
    for name, secret in secrets.items():
        fleet.make(name, jwt_secret=secret)

    def ask(host: str, secret: str) -> tuple[int, bytes]:
        form = urlencode(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": "arn:aws:iam::000000000000:role/authenticated",
                "RoleSessionName": "test",
                "WebIdentityToken": token(secret, sub="6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0001"),
            }
        )
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", fleet.running.port, timeout=30)) as wire:
            headers = {"Host": f"{host}.s3.test", "Content-Type": "application/x-www-form-urlencoded"}
            wire.request("POST", "/", form, headers)
            answer = wire.getresponse()
            return answer.status, answer.read()

    status, document = ask("issuer", secrets["issuer"])
    assert status == 200, document
    assert b"<AccessKeyId>" in document
    assert ask("stranger", secrets["stranger"])[0] == 200
    for host, signer in (("issuer", "stranger"), ("stranger", "issuer"), ("tenant-a", "issuer")):
        status, document = ask(host, secrets[signer])
        assert status in (400, 403)
        assert b"<AccessKeyId>" not in document

    def part_of(name: str) -> str:
        return document_of_issuer.split(f"<{name}>".encode())[1].split(b"<")[0].decode()

    _, document_of_issuer = ask("issuer", secrets["issuer"])
    target = replace(a.target, access_key_id=part_of("AccessKeyId"), secret_access_key=part_of("SecretAccessKey"))
    session = boto3.session.Session(
        target.access_key_id, target.secret_access_key, part_of("SessionToken"), region_name=target.region
    )
    for host, expected in (("issuer", (404, b"NoSuchBucket")), ("stranger", (400, b"InvalidToken"))):
        url = urlsplit(
            session.client("s3", endpoint_url=f"http://{host}.s3.test", config=SIGV4).generate_presigned_url(
                "get_object", Params={"Bucket": "of-nobody", "Key": "key"}
            )
        )
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", fleet.running.port, timeout=30)) as wire:
            wire.request("GET", f"{url.path}?{url.query}", headers={"Host": url.netloc})
            answer = wire.getresponse()
            assert (answer.status, answer.read().split(b"<Code>")[1].split(b"<")[0]) == expected


def test_cdn_is_told_whose_change_it_was(fleet: Fleet, stub: Stub, a: Client, b: Client) -> None:
    for client in (a, b):
        client.s3.create_bucket(Bucket="on-cdn")
        client.s3.put_object(Bucket="on-cdn", Key="k", Body=b"first")
        name = f"t_{client.tenant_id}"
        with psycopg.connect(fleet.owner_url.replace("/rowlock?", f"/{name}?"), autocommit=True) as connection:
            connection.execute("update storage.buckets set public = true where id = 'on-cdn'")
    a.s3.put_object(Bucket="on-cdn", Key="k", Body=b"second")
    assert stub.was_told("object", "on-cdn", "k")
    assert {each["tenant"]["ref"] for each in stub.told if each["type"] == "object"} == {a.tenant_id}
    b.s3.delete_object(Bucket="on-cdn", Key="k")
    deadline = time.monotonic() + 15
    while {each["tenant"]["ref"] for each in stub.told if each["type"] == "object"} != {a.tenant_id, b.tenant_id}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_readiness_is_the_fleets_and_names_no_tenant(fleet: Fleet) -> None:
    expected = {"ready": True, "down": [], "checks": {"control": "up", "backend:file": "up"}}
    assert fleet.admin("GET", "/health/ready", key=None) == (200, expected)
    door = Api("127.0.0.1", fleet.running.port)
    assert door.request("GET", "/health/ready").json == expected
    assert door.request("GET", "/health/ready", headers={"host": "nobody.s3.test"}).status == 200
    assert door.request("GET", "/status").status == 200
