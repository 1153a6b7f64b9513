"""Buckets of the JSON API."""

from collections.abc import Callable

import pytest

from conformance.rest.client import Api
from conformance.rest.tokens import ALICE

SNAPSHOT_KEYS = {
    "id", "name", "owner", "public", "file_size_limit", "allowed_mime_types", "created_at", "updated_at",
}  # fmt: skip


def test_createBucket_and_getBucket(service: Api, name: Callable[[], str]) -> None:
    bucket = name()
    made = service.send(
        "POST",
        "/bucket",
        {"name": bucket, "public": True, "file_size_limit": "20MB", "allowed_mime_types": ["image/*"]},
    )
    assert (made.status, made.json) == (200, {"name": bucket})
    found = service.send("GET", f"/bucket/{bucket}").json
    assert set(found) == SNAPSHOT_KEYS
    assert (found["public"], found["file_size_limit"], found["allowed_mime_types"]) == (True, 20_000_000, ["image/*"])
    assert found["owner"] == ""
    assert found["created_at"].endswith("Z")


@pytest.mark.parametrize(("said", "bytes_"), [(0, 0), (1234, 1234), ("1kb", 1000), ("1.5 GB", 1_500_000_000), ("7", 7)])
def test_createBucket_size_units(service: Api, name: Callable[[], str], said: object, bytes_: int) -> None:
    bucket = service.make_bucket(name(), file_size_limit=said)
    assert service.send("GET", f"/bucket/{bucket}").json["file_size_limit"] == bytes_


def test_createBucket_that_exists(service: Api, fresh: str) -> None:
    answer = service.send("POST", "/bucket", {"name": fresh})
    assert answer.code == (400, "409", "ResourceAlreadyExists")
    assert (answer.json["error"], answer.json["message"]) == ("Duplicate", "The resource already exists")


@pytest.mark.parametrize("bad", ["a/b", "", " a", "a ", "ü", "x" * 101, "a\u0000b", "..", "#"])
def test_createBucket_bad_name(service: Api, bad: str) -> None:
    assert service.send("POST", "/bucket", {"name": bad}).code[:2] == (400, "400")


def test_createBucket_reserved_name(service: Api) -> None:
    assert service.send("POST", "/bucket", {"name": "storage"}).code == (400, "400", "InvalidBucketName")
    assert service.send("GET", "/bucket/storage").code == (400, "400", "InvalidBucketName")


def test_createBucket_names_S3_has_not(service: Api, name: Callable[[], str]) -> None:
    bucket = service.make_bucket(f"{name()} With Spaces_&")
    path = bucket.replace(" ", "%20")
    assert service.send("GET", f"/bucket/{path}").json["id"] == bucket
    assert service.upload(path, "k").status == 200
    assert service.send("GET", f"/object/authenticated/{path}/k").body == b"content"


def test_createBucket_denied(anon: Api, alice: Api, name: Callable[[], str]) -> None:
    for caller in (anon, alice):
        answer = caller.send("POST", "/bucket", {"name": name()})
        assert answer.code == (400, "403", "AccessDenied")
        assert answer.json["error"] == "Unauthorized"
        assert "row-level security" in answer.json["message"]


def test_getBucket_that_is_hidden_or_absent(alice: Api, fresh: str) -> None:
    for bucket in (fresh, "no-such-bucket"):
        answer = alice.send("GET", f"/bucket/{bucket}")
        assert answer.code == (400, "404", "NoSuchBucket")
        assert answer.json["message"] == "Bucket not found"


def test_listBuckets_search_sort_and_page(service: Api, name: Callable[[], str]) -> None:
    stem = name()
    for suffix in ("b", "a", "c%_"):
        service.make_bucket(f"{stem}{suffix}".replace("%", "'"))
    query = f"search={stem.upper()}&sortColumn=name&sortOrder=desc"
    names = [each["name"] for each in service.send("GET", f"/bucket?{query}").json]
    assert names == [f"{stem}c'_", f"{stem}b", f"{stem}a"]
    page = service.send("GET", f"/bucket?{query}&limit=1&offset=1").json
    assert [each["name"] for each in page] == [f"{stem}b"]
    assert service.send("GET", "/bucket?search=%25").json == []
    assert page[0]["type"] == "STANDARD"


@pytest.mark.parametrize(("agent", "has_type"), [("supabase-py/2.17.3", False), ("supabase-py/2.18.0", True)])
def test_listBuckets_type_is_hidden_from_old_python(service: Api, fresh: str, agent: str, has_type: bool) -> None:
    listed = service.send("GET", f"/bucket?search={fresh}", x_client_info=agent).json
    assert [("type" in each) for each in listed] == [has_type]


def test_updateBucket_leaves_what_is_absent(service: Api, name: Callable[[], str]) -> None:
    bucket = service.make_bucket(name(), public=True, file_size_limit=10, allowed_mime_types=["text/*"])
    answer = service.send("PUT", f"/bucket/{bucket}", {"public": False})
    assert answer.json == {"message": "Successfully updated"}
    found = service.send("GET", f"/bucket/{bucket}").json
    assert (found["public"], found["file_size_limit"], found["allowed_mime_types"]) == (False, 10, ["text/*"])
    service.send("PUT", f"/bucket/{bucket}", {"file_size_limit": None, "allowed_mime_types": None})
    found = service.send("GET", f"/bucket/{bucket}").json
    assert (found["file_size_limit"], found["allowed_mime_types"]) == (None, None)


def test_updateBucket_nothing_or_absent(service: Api, fresh: str) -> None:
    assert service.send("PUT", f"/bucket/{fresh}", {}).code == (400, "400", "InvalidRequest")
    assert service.send("PUT", "/bucket/no-such", {"public": True}).code == (400, "404", "NoSuchBucket")


def test_deleteBucket(service: Api, fresh: str) -> None:
    service.upload(fresh, "k")
    full = service.send("DELETE", f"/bucket/{fresh}", {})
    assert full.code == (400, "409", "ResourceNotEmpty")
    assert full.json["message"] == "The bucket you tried to delete is not empty"
    emptied = service.send("POST", f"/bucket/{fresh}/empty")
    assert emptied.json == {"message": "Empty bucket has been queued. Completion may take up to an hour."}
    assert service.send("DELETE", f"/bucket/{fresh}").json == {"message": "Successfully deleted"}
    assert service.send("DELETE", f"/bucket/{fresh}").code == (400, "404", "NoSuchBucket")


def test_emptyBucket_removes_versions_too(service: Api, fresh: str, rest_s3) -> None:
    rest_s3.put_bucket_versioning(Bucket=fresh, VersioningConfiguration={"Status": "Enabled"})
    for content in (b"1", b"2", b"3"):
        rest_s3.put_object(Bucket=fresh, Key="k", Body=content)
    rest_s3.delete_object(Bucket=fresh, Key="k")
    assert service.send("POST", f"/bucket/{fresh}/empty", {}).status == 200
    answer = rest_s3.list_object_versions(Bucket=fresh)
    assert "Versions" not in answer
    assert "DeleteMarkers" not in answer


def test_emptyBucket_of_others(alice: Api, service: Api, shared: str) -> None:
    """Policies decide what is emptied, as they do for every other deletion."""
    service.upload(shared, "someone/k")
    service.upload(shared, f"{ALICE}/mine")
    assert alice.send("POST", f"/bucket/{shared}/empty").status == 200
    assert service.send("HEAD", f"/object/authenticated/{shared}/someone/k").status == 200
    assert service.send("HEAD", f"/object/authenticated/{shared}/{ALICE}/mine").status == 400


def test_emptyBucket_that_is_hidden_or_not_to_be_emptied(alice: Api, service: Api, fresh: str, sql) -> None:
    service.upload(fresh, "k")
    assert alice.send("POST", f"/bucket/{fresh}/empty").code == (400, "404", "NoSuchBucket")
    for table, column in (("buckets", "id"), ("objects", "bucket_id")):
        sql.execute(f"CREATE POLICY seen ON storage.{table} FOR SELECT TO authenticated USING ({column} = '{fresh}')")
    try:
        assert alice.send("POST", f"/bucket/{fresh}/empty").code == (400, "403", "AccessDenied")
    finally:
        for table in ("buckets", "objects"):
            sql.execute(f"DROP POLICY seen ON storage.{table}")


def test_purgeCache(service: Api, alice: Api, fresh: str) -> None:
    assert alice.send("DELETE", f"/cdn/{fresh}", {}).code == (403, "403", "AccessDenied")
    assert service.send("DELETE", f"/cdn/{fresh}/a/b?transformations=true", {}).code == (400, "400", "MissingParameter")


def test_health_status_version(service: Api, nobody: Api) -> None:
    assert service.send("GET", "/health").json == {"healthy": True}
    assert nobody.send("GET", "/health").status == 400
    assert nobody.send("GET", "/status").status == 200
    assert nobody.send("GET", "/version").body
