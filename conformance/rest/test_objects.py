"""Objects of the JSON API: storing, describing, moving, copying, deleting."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from conformance.rest.client import Api, form
from conformance.rest.tokens import ALICE

FORM = {"content-type": "multipart/form-data; boundary=cut-here"}


def info(api: Api, bucket: str, key: str) -> dict:
    return api.send("GET", f"/object/info/{bucket}/{quote(key)}").json


def test_uploadObject_answer(service: Api, fresh: str) -> None:
    answer = service.upload(fresh, "a/b.txt")
    assert answer.status == 200
    assert answer.json["Key"] == f"{fresh}/a/b.txt"
    assert answer.json["Id"] == info(service, fresh, "a/b.txt")["id"]


def test_uploadObject_raw_headers(service: Api, fresh: str) -> None:
    metadata = {"text": "ü", "nested": {"list": [1, None, True]}}
    service.upload(
        fresh,
        "k",
        content_type="text/plain;charset=UTF-8",
        cache_control="max-age=3600",
        x_metadata=base64.b64encode(json.dumps(metadata).encode()).decode(),
        x_robots_tag="noindex",
    )
    found = info(service, fresh, "k")
    assert set(found) == {
        "id", "name", "version", "bucket_id", "size", "content_type", "cache_control", "etag", "metadata",
        "last_modified", "created_at",
    }  # fmt: skip
    assert (found["size"], found["content_type"], found["cache_control"]) == (
        7, "text/plain;charset=UTF-8", "max-age=3600",
    )  # fmt: skip
    assert found["metadata"] == metadata
    read = service.send("GET", f"/object/authenticated/{fresh}/k")
    assert read.headers["x-robots-tag"] == "noindex"
    assert read.headers["etag"] == found["etag"]


def test_uploadObject_defaults(service: Api, fresh: str) -> None:
    service.request("POST", f"/object/{fresh}/k", b"x")
    found = info(service, fresh, "k")
    assert (found["content_type"], found["cache_control"], found["metadata"]) == (
        "application/octet-stream", "no-cache", {},
    )  # fmt: skip


def test_uploadObject_chunked(service: Api, fresh: str) -> None:
    pieces = [b"a" * 10_000] * 20
    answer = service.request("POST", f"/object/{fresh}/k", iter(pieces), {"content-type": "text/plain"})
    assert answer.status == 200
    assert service.send("GET", f"/object/authenticated/{fresh}/k").body == b"".join(pieces)


@pytest.mark.parametrize(("part", "file_name"), [("", "blob"), ("", None), ("file", "x.png"), ("upload", ""), ("", "")])
def test_uploadObject_form(service: Api, fresh: str, part: str, file_name: str | None) -> None:
    body = form(
        [
            ("cacheControl", None, None, b"3600"),
            ("metadata", None, None, b'{"a": {"b": 1}}'),
            (part, file_name, "image/png", b"\x89PNG\r\n" * 1000),
            ("late", None, None, b"after the file"),
        ]
    )
    answer = service.request("POST", f"/object/{fresh}/k", body, FORM)
    assert answer.status == 200, answer.body
    found = info(service, fresh, "k")
    assert (found["size"], found["content_type"], found["cache_control"], found["metadata"]) == (
        6000, "image/png", "max-age=3600", {"a": {"b": 1}},
    )  # fmt: skip


def test_uploadObject_form_with_large_metadata(service: Api, fresh: str) -> None:
    metadata = json.dumps({"a": "x" * 200_000, "b": [1]}).encode()
    body = form([("metadata", None, None, metadata), ("", "f", "text/plain", b"y" * 10_000)])
    assert service.request("POST", f"/object/{fresh}/k", body, FORM).status == 200
    assert info(service, fresh, "k")["metadata"] == json.loads(metadata)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"garbage", form([("cacheControl", None, None, b"1")]),
        form([("", "f", "text/plain", b"x")])[:-10],
        form([("metadata", None, None, b"[1]"), ("", "f", None, b"x")]),
        form([("metadata", None, None, b'{"a"'), ("", "f", None, b"x")]),
        form([("metadata", None, None, b'{"a": "\\u0000"}'), ("", "f", None, b"x")]),
        form([("metadata", None, None, b'{"a": "\\ud800"}'), ("", "f", None, b"x")]),
        form([("cacheControl", None, None, b"a\nb"), ("", "f", None, b"x")]),
    ],
)  # fmt: skip
def test_uploadObject_form_that_is_none(service: Api, fresh: str, body: bytes) -> None:
    answer = service.request("POST", f"/object/{fresh}/k", body, FORM)
    assert answer.code[0] == 400
    assert service.send("HEAD", f"/object/{fresh}/k").status == 400


def test_uploadObject_that_exists(service: Api, fresh: str) -> None:
    service.upload(fresh, "k", b"one")
    again = service.upload(fresh, "k", b"two")
    assert again.code == (400, "409", "KeyAlreadyExists")
    assert (again.json["error"], again.json["message"]) == ("Duplicate", "The resource already exists")
    assert service.upload(fresh, "k", b"two", x_upsert="TRUE").code[1] == "409"
    assert service.upload(fresh, "k", b"two", x_upsert="true").status == 200
    assert service.request("PUT", f"/object/{fresh}/k", b"three").status == 200
    assert service.send("GET", f"/object/authenticated/{fresh}/k").body == b"three"


def test_uploadObject_larger_than_the_bucket_allows(service: Api, name: Callable[[], str]) -> None:
    bucket = service.make_bucket(name(), file_size_limit=1000)
    file = form([("", "f", "text/plain", b"x" * 1001)])
    attempts = [
        service.upload(bucket, "small", b"x" * 1001),
        service.request("POST", f"/object/{bucket}/chunked", iter([b"x" * 100_000] * 10)),
        service.request("POST", f"/object/{bucket}/form", file, FORM),
    ]
    for answer in attempts:
        assert answer.code == (400, "413", "EntityTooLarge")
        assert answer.json["message"] == "The object exceeded the maximum allowed size"
    assert service.upload(bucket, "fits", b"x" * 1000).status == 200


def test_uploadObject_larger_than_the_server_allows(service: Api, fresh: str) -> None:
    assert service.upload(fresh, "k", b"x" * 2_000_001).code == (400, "413", "EntityTooLarge")
    assert service.request("POST", f"/object/{fresh}/k", iter([b"x" * 100_000] * 21)).code[1] == "413"


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [("image/png", True), ("IMAGE/JPEG; q=1", True), ("text/plain", True), ("text/html", False), ("imagex/png", False)],
)
def test_uploadObject_type_the_bucket_does_not_take(
    service: Api, name: Callable[[], str], rest_s3, kind: str, allowed: bool
) -> None:
    bucket = service.make_bucket(name(), allowed_mime_types=["image/*", "text/plain"])
    answer = service.upload(bucket, "k", content_type=kind)
    if allowed:
        assert answer.status == 200
        rest_s3.put_object(Bucket=bucket, Key="s3", Body=b"x", ContentType=kind)
        return
    assert answer.code == (400, "415", "InvalidMimeType")
    assert (answer.json["error"], answer.json["message"]) == ("invalid_mime_type", f"mime type {kind} is not supported")
    with pytest.raises(rest_s3.exceptions.ClientError, match="InvalidMimeType"):
        rest_s3.put_object(Bucket=bucket, Key="s3", Body=b"x", ContentType=kind)


def test_uploadObject_empty_folder_placeholder(service: Api, name: Callable[[], str]) -> None:
    bucket = service.make_bucket(name(), allowed_mime_types=["image/*"])
    assert service.upload(bucket, "a/.emptyFolderPlaceholder", b"").status == 200
    assert service.upload(bucket, "b/.emptyFolderPlaceholder", b"x").code[1] == "413"


@pytest.mark.parametrize(
    "key", ["ключ/文件 🎉.txt", "a//b", "../x", "a%2Fb", "tab\tand\nline", "x" * 1024, "%", "a b+c"]
)
def test_uploadObject_any_key(service: Api, fresh: str, key: str) -> None:
    assert service.upload(fresh, key, key.encode()).json["Key"] == f"{fresh}/{key}"
    assert service.send("GET", f"/object/authenticated/{fresh}/{quote(key)}").body == key.encode()
    assert info(service, fresh, key)["name"] == key


@pytest.mark.parametrize("path", ["a%00b", "%ff", "x" * 1025, "%zz"])
def test_uploadObject_no_key(service: Api, fresh: str, path: str) -> None:
    assert service.request("POST", f"/object/{fresh}/{path}", b"x").code[0] == 400


def test_uploadObject_into_no_bucket(service: Api, alice: Api) -> None:
    for caller in (service, alice):
        answer = caller.upload("no-such-bucket", "k")
        assert answer.code == (400, "404", "NoSuchBucket")
        assert answer.json["message"] == "Bucket not found"


def test_uploadObject_policy_decides(service: Api, alice: Api, anon: Api, shared: str) -> None:
    assert alice.upload(shared, f"{ALICE}/mine").status == 200
    for caller, key in ((alice, "theirs/x"), (anon, f"{ALICE}/x"), (anon, "x")):
        for content in (b"x", b"x" * 100_000):
            answer = caller.upload(shared, key, content)
            assert answer.code == (400, "403", "AccessDenied")
            assert answer.json["message"] == "new row violates row-level security policy"
    row = service.send("DELETE", f"/object/{shared}", {"prefixes": [f"{ALICE}/mine"]}).json[0]
    assert (row["owner"], row["owner_id"]) == (ALICE, ALICE)


def test_moveObject(service: Api, fresh: str, public: str) -> None:
    made = service.upload(fresh, "old", b"bytes").json
    answer = service.send(
        "POST", "/object/move",
        {"bucketId": fresh, "sourceKey": "old", "destinationKey": "new", "destinationBucket": public},
    )  # fmt: skip
    assert answer.json == {"message": "Successfully moved", "Id": made["Id"], "Key": f"{public}/new"}
    assert service.send("GET", f"/object/public/{public}/new").body == b"bytes"
    assert service.send("HEAD", f"/object/{fresh}/old").status == 400


def test_moveObject_refusals(service: Api, alice: Api, shared: str, name: Callable[[], str]) -> None:
    service.upload(shared, "a")
    service.upload(shared, "b")
    service.upload(shared, f"{ALICE}/mine")

    def move(api: Api, source: str, destination: str, bucket: str = shared):
        return api.send(
            "POST", "/object/move",
            {"bucketId": shared, "sourceKey": source, "destinationKey": destination, "destinationBucket": bucket},
        )  # fmt: skip

    assert move(service, "a", "b").code == (400, "409", "KeyAlreadyExists")
    assert move(service, "none", "c").code == (400, "404", "NoSuchKey")
    assert move(service, "a", "c", "no-such").code == (400, "404", "NoSuchBucket")
    assert move(alice, "a", f"{ALICE}/a").code == (400, "404", "NoSuchKey")
    assert move(alice, f"{ALICE}/mine", "b").code == (400, "403", "AccessDenied")
    assert move(alice, f"{ALICE}/mine", f"{ALICE}/moved").status == 200
    small = service.make_bucket(name(), file_size_limit=3)
    assert move(service, "a", "c", small).code == (400, "413", "EntityTooLarge")


def test_moveObject_where_versions_are_kept(service: Api, fresh: str, rest_s3) -> None:
    rest_s3.put_bucket_versioning(Bucket=fresh, VersioningConfiguration={"Status": "Enabled"})
    service.upload(fresh, "old", b"bytes")
    body = {"bucketId": fresh, "sourceKey": "old", "destinationKey": "new"}
    assert service.send("POST", "/object/move", body).status == 200
    assert service.send("GET", f"/object/authenticated/{fresh}/new").body == b"bytes"
    assert service.send("HEAD", f"/object/authenticated/{fresh}/old").status == 400
    assert len(rest_s3.list_object_versions(Bucket=fresh)["DeleteMarkers"]) == 1


def test_copyObject(service: Api, fresh: str, public: str) -> None:
    metadata = base64.b64encode(b'{"a": {"b": 1}}').decode()
    service.upload(fresh, "k", b"bytes", x_metadata=metadata, cache_control="max-age=9")
    body = {"bucketId": fresh, "sourceKey": "k", "destinationKey": "copy", "destinationBucket": public}
    answer = service.send("POST", "/object/copy", body)
    assert answer.json["Key"] == f"{public}/copy"
    assert (answer.json["name"], answer.json["bucket_id"]) == ("copy", public)
    found = info(service, public, "copy")
    assert answer.json["Id"] == found["id"]
    assert (found["metadata"], found["cache_control"]) == ({"a": {"b": 1}}, "max-age=9")
    assert service.send("POST", "/object/copy", body).code == (400, "409", "KeyAlreadyExists")
    assert service.send("POST", "/object/copy", body, x_upsert="true").status == 200


def test_copyObject_with_other_metadata(service: Api, fresh: str) -> None:
    service.upload(fresh, "k", x_metadata=base64.b64encode(b'{"a": 1}').decode(), cache_control="max-age=9")
    body = {
        "bucketId": fresh, "sourceKey": "k", "destinationKey": "copy", "copyMetadata": False,
        "metadata": {"mimetype": "image/gif"},
    }  # fmt: skip
    service.send("POST", "/object/copy", body, x_metadata=base64.b64encode(b'{"b": 2}').decode())
    found = info(service, fresh, "copy")
    assert (found["metadata"], found["content_type"], found["cache_control"]) == ({"b": 2}, "image/gif", "max-age=9")


def test_deleteObject(service: Api, alice: Api, shared: str) -> None:
    service.upload(shared, "k")
    assert alice.send("DELETE", f"/object/{shared}/k").code == (400, "404", "NoSuchKey")
    assert service.send("DELETE", f"/object/{shared}/k").json == {"message": "Successfully deleted"}
    assert service.send("DELETE", f"/object/{shared}/k").code == (400, "404", "NoSuchKey")


def test_deleteObject_that_is_seen_but_not_to_be_deleted(service: Api, alice: Api, fresh: str, sql) -> None:
    service.upload(fresh, "k")
    sql.execute(f"CREATE POLICY seen ON storage.objects FOR SELECT TO authenticated USING (bucket_id = '{fresh}')")
    try:
        assert alice.send("DELETE", f"/object/{fresh}/k").code == (400, "403", "AccessDenied")
        assert alice.send("DELETE", f"/object/{fresh}", {"prefixes": ["k"]}).json == []
    finally:
        sql.execute("DROP POLICY seen ON storage.objects")


def test_deleteObjects_says_what_is_gone(service: Api, alice: Api, shared: str) -> None:
    for key in ("a", "b", f"{ALICE}/c"):
        service.upload(shared, key)
    gone = alice.send("DELETE", f"/object/{shared}", {"prefixes": ["a", f"{ALICE}/c", "none"]}).json
    assert [row["name"] for row in gone] == [f"{ALICE}/c"]
    assert gone[0]["bucket_id"] == shared
    gone = service.send("DELETE", f"/object/{shared}", {"prefixes": ["a", "a", "none", "b"]}).json
    assert sorted(row["name"] for row in gone) == ["a", "b"]
