"""Confirmed uploads: signed, uploaded, looked at, confirmed; each step refused where it must be."""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from conformance.rest.client import Answer, Api, form
from conformance.rest.tokens import ALICE, BOB

BIG = b"0123456789abcdef" * 20_000


def sign(api: Api, bucket: str, key: str, *, seconds: int = 60, **headers: str) -> dict[str, Any]:
    answer = api.send("POST", f"/object/upload/sign/{bucket}/{key}", {"confirm": True, "expiresIn": seconds}, **headers)
    assert answer.status == 200, answer.body
    return dict(answer.json)


def put(nobody: Api, signed: dict[str, Any], content: bytes = b"content", kind: str = "text/plain") -> Answer:
    """Phase two, by whoever has the URL."""
    return nobody.request("PUT", signed["url"], content, {"content-type": kind})


def waiting(api: Api, nobody: Api, bucket: str, key: str, content: bytes = b"content", **headers: str) -> str:
    signed = sign(api, bucket, key, **headers)
    assert put(nobody, signed, content).status == 200
    return str(signed["id"])


def confirm(api: Api, bucket: str, key: str, pending_id: str) -> Answer:
    return api.send("POST", f"/object/upload/confirm/{bucket}/{key}", {"id": pending_id})


def pending(api: Api, bucket: str, key: str, pending_id: str, method: str = "GET") -> Answer:
    return api.send(method, f"/object/upload/pending/{bucket}/{key}?id={pending_id}")


def content(api: Api, bucket: str, key: str) -> bytes | None:
    answer = api.send("GET", f"/object/authenticated/{bucket}/{key}")
    return answer.body if answer.status == 200 else None


@pytest.mark.parametrize("size", [0, 7, len(BIG)], ids=["empty", "row", "blob"])
def test_confirmUpload(service: Api, nobody: Api, rest_s3: Any, fresh: str, size: int) -> None:
    signed = sign(service, fresh, "a/b.txt")
    assert set(signed) == {"url", "token", "id", "expires_at"}
    uploaded = put(nobody, signed, BIG[:size]).json
    found = pending(service, fresh, "a/b.txt", signed["id"]).json
    assert (found["size"], found["content_type"], found["name"]) == (size, "text/plain", "a/b.txt")
    assert {name: found[name] for name in ("id", "size", "etag", "content_type")} == {
        name: uploaded[name] for name in ("id", "size", "etag", "content_type")
    }
    done = confirm(service, fresh, "a/b.txt", signed["id"])
    assert done.status == 200, done.body
    assert done.json["Key"] == f"{fresh}/a/b.txt"
    assert content(service, fresh, "a/b.txt") == BIG[:size]
    head = rest_s3.head_object(Bucket=fresh, Key="a/b.txt", ChecksumMode="ENABLED")
    assert (head["ETag"], head["ContentLength"], head["ContentType"]) == (found["etag"], size, "text/plain")
    assert head["ChecksumCRC64NVME"]
    shown = service.send("GET", f"/object/info/{fresh}/a/b.txt").json
    assert (shown["id"], shown["version"]) == (done.json["Id"], found["version"])


def test_confirmUpload_until_then_nobody_sees_it(service: Api, nobody: Api, rest_s3: Any, fresh: str) -> None:
    waiting(service, nobody, fresh, "k", BIG)
    assert content(service, fresh, "k") is None
    assert service.send("POST", f"/object/list/{fresh}", {"prefix": ""}).json == []
    assert rest_s3.list_objects_v2(Bucket=fresh)["KeyCount"] == 0
    assert "Versions" not in rest_s3.list_object_versions(Bucket=fresh)
    assert "Uploads" not in rest_s3.list_multipart_uploads(Bucket=fresh)
    assert service.send("DELETE", f"/object/{fresh}", {"prefixes": ["k"]}).json == []


def test_confirmUpload_by_token_and_form(service: Api, nobody: Api, fresh: str) -> None:
    signed = sign(service, fresh, "k")
    parts = form([("cacheControl", None, None, b"3600"), ("", "k.png", "image/png", b"png")])
    headers = {"content-type": "multipart/form-data; boundary=cut-here"}
    assert nobody.request("PUT", signed["url"], parts, headers).json["Key"] == f"{fresh}/k"
    assert service.send("POST", f"/object/upload/confirm/{fresh}/k", {"token": signed["token"]}).status == 200
    read = service.send("GET", f"/object/authenticated/{fresh}/k")
    assert (read.body, read.headers["content-type"], read.headers["cache-control"]) == (
        b"png", "image/png", "max-age=3600",
    )  # fmt: skip


def test_createSignedUploadUrl_without_confirm_is_as_ever(service: Api, nobody: Api, fresh: str) -> None:
    for number, document in enumerate([None, {}, {"confirm": False, "expiresIn": 5}]):
        signed = service.send("POST", f"/object/upload/sign/{fresh}/{number}", document).json
        assert set(signed) == {"url", "token"}
        assert put(nobody, signed).json == {"Key": f"{fresh}/{number}"}
        assert content(service, fresh, str(number)) == b"content"
        refused = service.send("POST", f"/object/upload/confirm/{fresh}/{number}", {"token": signed["token"]})
        assert refused.code == (400, "400", "InvalidRequest")


def test_confirmUpload_twice(service: Api, nobody: Api, fresh: str) -> None:
    pending_id = waiting(service, nobody, fresh, "k")
    assert confirm(service, fresh, "k", pending_id).status == 200
    assert confirm(service, fresh, "k", pending_id).code == (400, "409", "KeyAlreadyExists")
    assert pending(service, fresh, "k", pending_id).code == (400, "404", "NoSuchUpload")
    assert pending(service, fresh, "k", pending_id, "DELETE").code == (400, "404", "NoSuchUpload")
    assert content(service, fresh, "k") == b"content"


def test_confirmUpload_at_once(service: Api, nobody: Api, fresh: str) -> None:
    pending_id = waiting(service, nobody, fresh, "k", BIG, x_upsert="true")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: confirm(service, fresh, "k", pending_id), range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7
    assert {answer.code for answer in answers if answer.status != 200} == {(400, "409", "KeyAlreadyExists")}
    assert content(service, fresh, "k") == BIG


def test_uploadToSignedUrl_twice(service: Api, nobody: Api, fresh: str) -> None:
    signed = sign(service, fresh, "k", x_upsert="true")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: put(nobody, signed, BIG + bytes([number])), range(4)))
    assert sorted(answer.status for answer in answers) == [200, 400, 400, 400]
    assert put(nobody, signed).code == (400, "409", "KeyAlreadyExists")
    assert confirm(service, fresh, "k", signed["id"]).status == 200
    assert put(nobody, signed).code == (400, "409", "KeyAlreadyExists")
    [stored] = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert content(service, fresh, "k") == BIG + bytes([stored])


def test_confirmUpload_before_the_upload(service: Api, nobody: Api, fresh: str) -> None:
    signed = sign(service, fresh, "k")
    assert confirm(service, fresh, "k", signed["id"]).code == (400, "404", "NoSuchUpload")
    assert pending(service, fresh, "k", signed["id"]).code == (400, "404", "NoSuchUpload")
    assert put(nobody, signed).status == 200


def test_confirmUpload_expired(service: Api, nobody: Api, fresh: str) -> None:
    late, confirmed = sign(service, fresh, "late", seconds=2), sign(service, fresh, "k", seconds=2)
    assert put(nobody, confirmed).status == 200
    time.sleep(2.05)
    assert confirm(service, fresh, "k", confirmed["id"]).code == (400, "404", "NoSuchUpload")
    by_token = service.send("POST", f"/object/upload/confirm/{fresh}/k", {"token": confirmed["token"]})
    assert by_token.code == (400, "400", "ExpiredToken")
    assert pending(service, fresh, "k", confirmed["id"]).code == (400, "404", "NoSuchUpload")
    assert put(nobody, late).code == (400, "400", "ExpiredToken")
    assert content(service, fresh, "k") is None


def test_confirmUpload_of_another_name(service: Api, nobody: Api, fresh: str, public: str) -> None:
    pending_id = waiting(service, nobody, fresh, "k")
    for bucket, key in [(fresh, "other"), (public, "k")]:
        assert confirm(service, bucket, key, pending_id).code == (400, "404", "NoSuchUpload")
        assert pending(service, bucket, key, pending_id).code == (400, "404", "NoSuchUpload")
    assert confirm(service, fresh, "k", str(uuid.uuid4())).code == (400, "404", "NoSuchUpload")
    assert confirm(service, "no-such-bucket", "k", pending_id).code[1] == "404"
    assert confirm(service, fresh, "k", pending_id).status == 200


def test_confirmUpload_existing(service: Api, nobody: Api, fresh: str) -> None:
    """What is there when the URL is signed, and what came since."""
    signed = sign(service, fresh, "k")
    service.upload(fresh, "k", b"first")
    refused = service.send("POST", f"/object/upload/sign/{fresh}/k", {"confirm": True})
    assert refused.code == (400, "409", "KeyAlreadyExists")
    assert put(nobody, signed).status == 200
    assert confirm(service, fresh, "k", signed["id"]).code == (400, "409", "KeyAlreadyExists")
    assert content(service, fresh, "k") == b"first"
    service.send("DELETE", f"/object/{fresh}/k")
    assert confirm(service, fresh, "k", signed["id"]).status == 200, "it waited on"


def test_confirmUpload_upsert(service: Api, nobody: Api, fresh: str) -> None:
    service.upload(fresh, "k", b"first")
    pending_id = waiting(service, nobody, fresh, "k", BIG, x_upsert="true")
    assert content(service, fresh, "k") == b"first"
    assert confirm(service, fresh, "k", pending_id).status == 200
    assert content(service, fresh, "k") == BIG


def test_confirmUpload_row_level_security(alice: Api, bob: Api, nobody: Api, shared: str) -> None:
    """Signing and confirming are each the caller's own right; the object is whose URL it was."""
    key = f"{ALICE}/k"
    refused = bob.send("POST", f"/object/upload/sign/{shared}/{key}", {"confirm": True})
    assert refused.code == (400, "403", "AccessDenied")
    pending_id = waiting(alice, nobody, shared, key, BIG)
    for answer in (
        confirm(bob, shared, key, pending_id),
        pending(bob, shared, key, pending_id),
        pending(bob, shared, key, pending_id, "DELETE"),
    ):
        assert answer.code == (400, "403", "AccessDenied")
    assert nobody.send("POST", f"/object/upload/confirm/{shared}/{key}", {"id": pending_id}).code[0] == 400
    assert confirm(alice, shared, key, pending_id).status == 200
    assert content(alice, shared, key) == BIG


def test_confirmUpload_by_the_back_end(
    alice: Api, service: Api, nobody: Api, shared: str, sql: psycopg.Connection[Any]
) -> None:
    """A server may confirm what its user uploaded: the object is the user's."""
    key = f"{ALICE}/k"
    assert confirm(service, shared, key, waiting(alice, nobody, shared, key)).status == 200
    [[owner]] = sql.execute("SELECT owner_id FROM storage.objects WHERE bucket_id = %s", [shared]).fetchall()
    assert owner == ALICE


def test_confirmUpload_into_a_drop_box(
    anon: Api, service: Api, nobody: Api, fresh: str, sql: psycopg.Connection[Any]
) -> None:
    """The right to insert is enough for a new name, and for no other."""
    policy = f"drop {fresh}"
    sql.execute(f"CREATE POLICY \"{policy}\" ON storage.objects FOR INSERT TO anon WITH CHECK (bucket_id = '{fresh}')")
    try:
        pending_id = waiting(anon, nobody, fresh, "k")
        assert pending(anon, fresh, "k", pending_id).json["size"] == 7
        assert confirm(anon, fresh, "k", pending_id).status == 200
        assert (content(anon, fresh, "k"), content(service, fresh, "k")) == (None, b"content")
        again = anon.send("POST", f"/object/upload/sign/{fresh}/k", {"confirm": True}, x_upsert="true")
        assert again.code == (400, "403", "AccessDenied")
        cancelled = waiting(anon, nobody, fresh, "other")
        assert pending(anon, fresh, "other", cancelled, "DELETE").status == 200
    finally:
        sql.execute(f'DROP POLICY "{policy}" ON storage.objects')


def test_confirmUpload_policies_see_the_true_size(
    alice: Api, nobody: Api, shared: str, sql: psycopg.Connection[Any]
) -> None:
    policy = f"small {shared}"
    sql.execute(
        f'CREATE POLICY "{policy}" ON storage.objects AS RESTRICTIVE FOR INSERT TO authenticated '
        f"WITH CHECK (bucket_id <> '{shared}' OR coalesce((metadata ->> 'size')::bigint, 0) < 100)"
    )
    try:
        for size, status in ((100, 400), (99, 200)):
            key = f"{ALICE}/{size}"
            assert confirm(alice, shared, key, waiting(alice, nobody, shared, key, b"x" * size)).status == status
    finally:
        sql.execute(f'DROP POLICY "{policy}" ON storage.objects')


def test_confirmUpload_limits_of_the_bucket(service: Api, nobody: Api, name: Callable[[], str]) -> None:
    bucket = service.make_bucket(name(), file_size_limit=1000, allowed_mime_types=["image/*"])
    signed = sign(service, bucket, "k")
    assert put(nobody, signed, b"x" * 1001, "image/png").code == (400, "413", "EntityTooLarge")
    assert nobody.request("PUT", signed["url"], iter([b"x" * 600] * 500), {"content-type": "image/png"}).code == (
        400, "413", "EntityTooLarge",
    )  # fmt: skip
    refused = put(nobody, signed, b"x", "text/plain")
    assert refused.code == (400, "415", "InvalidMimeType")
    assert refused.json["message"] == "mime type text/plain is not supported"
    assert put(nobody, signed, b"x" * 1000, "image/png").status == 200, "a refusal does not use the token up"
    service.send("PUT", f"/bucket/{bucket}", {"file_size_limit": 999})
    assert confirm(service, bucket, "k", signed["id"]).code == (400, "413", "EntityTooLarge")
    service.send("PUT", f"/bucket/{bucket}", {"file_size_limit": None})
    assert confirm(service, bucket, "k", signed["id"]).status == 200


def test_cancelUpload(service: Api, nobody: Api, fresh: str) -> None:
    signed = sign(service, fresh, "k")
    assert put(nobody, signed, BIG).status == 200
    assert pending(service, fresh, "k", signed["id"], "DELETE").json == {"message": "Successfully cancelled"}
    assert confirm(service, fresh, "k", signed["id"]).code == (400, "404", "NoSuchUpload")
    assert pending(service, fresh, "k", signed["id"], "DELETE").code == (400, "404", "NoSuchUpload")
    assert put(nobody, signed).code == (400, "409", "KeyAlreadyExists"), "the token is used up"
    assert content(service, fresh, "k") is None


def test_cancelUpload_and_confirmUpload_at_once(service: Api, nobody: Api, fresh: str) -> None:
    for number in range(4):
        key = str(number)
        pending_id = waiting(service, nobody, fresh, key, BIG)
        with ThreadPoolExecutor(2) as pool:
            confirmed = pool.submit(confirm, service, fresh, key, pending_id)
            cancelled = pool.submit(pending, service, fresh, key, pending_id, "DELETE")
        assert sorted((confirmed.result().status, cancelled.result().status)) == [200, 400]
        assert (content(service, fresh, key) == BIG) == (confirmed.result().status == 200)


def test_confirmUpload_versions_and_encryption(service: Api, nobody: Api, rest_s3: Any, fresh: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    rest_s3.put_bucket_encryption(Bucket=fresh, ServerSideEncryptionConfiguration={"Rules": [rule]})
    rest_s3.put_bucket_versioning(Bucket=fresh, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"small", BIG):
        rest_s3.put_object(Bucket=fresh, Key="k", Body=b"before")
        pending_id = waiting(service, nobody, fresh, "k", body, x_upsert="true")
        version = pending(service, fresh, "k", pending_id).json["version"]
        rest_s3.delete_bucket_encryption(Bucket=fresh)
        assert confirm(service, fresh, "k", pending_id).status == 200, "encrypted as it was when it came"
        read = rest_s3.get_object(Bucket=fresh, Key="k", VersionId=version)
        assert (read["Body"].read(), read["ServerSideEncryption"], read["VersionId"]) == (body, "AES256", version)
        rest_s3.put_bucket_encryption(Bucket=fresh, ServerSideEncryptionConfiguration={"Rules": [rule]})
    kept = rest_s3.list_object_versions(Bucket=fresh, Prefix="k")["Versions"]
    assert [entry["Size"] for entry in kept] == [len(BIG), 6, 5, 6]


def test_confirmUpload_object_lock(service: Api, nobody: Api, rest_s3: Any, name: Callable[[], str]) -> None:
    bucket = name()
    rest_s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    rest_s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    pending_id = waiting(service, nobody, bucket, "k")
    assert confirm(service, bucket, "k", pending_id).status == 200
    head = rest_s3.head_object(Bucket=bucket, Key="k")
    assert head["ObjectLockMode"] == "GOVERNANCE"


def test_confirmUpload_of_a_deleted_bucket(service: Api, nobody: Api, name: Callable[[], str]) -> None:
    bucket = service.make_bucket(name())
    signed = sign(service, bucket, "k")
    pending_id = waiting(service, nobody, bucket, "other", BIG)
    assert service.send("DELETE", f"/bucket/{bucket}").status == 200, "what waits does not hold a bucket"
    assert confirm(service, bucket, "other", pending_id).code[1] == "404"
    assert put(nobody, signed, BIG).code[1] == "404"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "InvalidRequest"),
        ({"id": "no uuid"}, "InvalidRequest"),
        ({"id": 5}, "InvalidRequest"),
        ({"id": str(uuid.UUID(int=1)), "token": "x"}, "InvalidRequest"),
        ({"token": "x"}, "InvalidJWT"),
        ({"token": ""}, "InvalidJWT"),
    ],
    ids=["nothing", "text", "number", "both", "bad token", "empty token"],
)
def test_confirmUpload_malformed(service: Api, fresh: str, document: dict[str, Any], code: str) -> None:
    answer = service.send("POST", f"/object/upload/confirm/{fresh}/k", document)
    assert answer.code == (400, "400", code)


def test_createSignedUploadUrl_expiresIn(service: Api, fresh: str) -> None:
    path = f"/object/upload/sign/{fresh}/k"
    for seconds in (0, -1, 86_401, "x"):
        answer = service.send("POST", path, {"confirm": True, "expiresIn": seconds})
        assert answer.code == (400, "400", "InvalidRequest"), seconds
        assert "expiresIn" in answer.json["message"]
    assert service.send("POST", path, {"confirm": True, "expiresIn": "86400"}).status == 200
    assert service.send("POST", path, {"confirm": True}).status == 200


def test_pendingUploads_as_sql_shows_them(alice: Api, nobody: Api, shared: str, sql: psycopg.Connection[Any]) -> None:
    """Users see their own in the table, and change none."""
    waiting(alice, nobody, shared, f"{ALICE}/k")
    for subject, seen in ((ALICE, 1), (BOB, 0)):
        with sql.transaction(force_rollback=True):
            sql.execute("SELECT set_config('request.jwt.claim.sub', %s, true)", [subject])
            sql.execute("SET LOCAL ROLE authenticated")
            query = "SELECT count(*) FROM storage.pending_uploads WHERE bucket_id = %s"
            assert sql.execute(query, [shared]).fetchall() == [(seen,)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.transaction():
                sql.execute("DELETE FROM storage.pending_uploads")
