"""Versioning: https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html."""

from typing import Any

import pytest

from conformance.expect import exists, keys_of, read, refused
from conformance.rawhttp import RawClient


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    """A bucket that keeps versions."""
    enable(s3, bucket)
    return bucket


def enable(s3: Any, bucket: str, status: str = "Enabled") -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def put(s3: Any, bucket: str, body: bytes, key: str = "k") -> str:
    return str(s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"])


def entries(s3: Any, bucket: str, **options: Any) -> list[tuple[str, str, bool]]:
    """Key, version id (marked for delete markers) and IsLatest, as one page lists them by kind."""
    page = s3.list_object_versions(Bucket=bucket, **options)
    return [
        (entry["Key"], mark + entry["VersionId"], entry["IsLatest"])
        for mark, kind in (("", "Versions"), ("-", "DeleteMarkers"))
        for entry in page.get(kind, [])
    ]


def test_PutBucketVersioning_is_told_by_GetBucketVersioning(s3: Any, bucket: str) -> None:
    for status in ("Suspended", "Enabled", "Suspended"):
        enable(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


def test_PutBucketVersioning_mfa_delete_is_refused(s3: Any, bucket: str) -> None:
    with refused(501, "NotImplemented"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"})
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


@pytest.mark.parametrize("document", [b"<VersioningConfiguration><Status>On</Status></VersioningConfiguration>", b"x"])
def test_PutBucketVersioning_malformed(raw: RawClient, bucket: str, document: bytes) -> None:
    assert raw("PUT", f"/{bucket}?versioning", {}, document).refusal()[0] == 400


def test_PutBucketVersioning_missing_bucket(s3: Any, fresh_name: Any) -> None:
    with refused(404, "NoSuchBucket"):
        enable(s3, fresh_name())


def test_PutObject_keeps_what_it_replaces(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, b"one"), put(s3, versioned, b"two")
    assert read(s3, versioned, "k") == b"two"
    assert read(s3, versioned, "k", VersionId=first) == b"one"
    assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == second
    assert s3.head_object(Bucket=versioned, Key="k", VersionId=first)["ContentLength"] == 3
    assert entries(s3, versioned) == [("k", second, True), ("k", first, False)]
    assert keys_of(s3, versioned) == ["k"]


def test_PutObject_overwriting_changes_nothing_of_the_version_before(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"one", Metadata={"a": "b"}, ContentType="text/x")[
        "VersionId"
    ]
    before = s3.head_object(Bucket=versioned, Key="k")
    put(s3, versioned, b"two")
    after = s3.head_object(Bucket=versioned, Key="k", VersionId=first)
    for member in ("ETag", "LastModified", "Metadata", "ContentType", "ContentLength", "VersionId"):
        assert after[member] == before[member]


def test_PutObject_large_versions_are_all_readable(s3: Any, versioned: str) -> None:
    bodies = [bytes([number]) * 300_000 for number in range(3)]
    ids = [put(s3, versioned, body) for body in bodies]
    assert [read(s3, versioned, "k", VersionId=one) for one in ids] == bodies


def test_PutObject_before_versioning_is_the_null_version(s3: Any, bucket: str) -> None:
    assert "VersionId" not in s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    enable(s3, bucket)
    second = put(s3, bucket, b"two")
    assert entries(s3, bucket) == [("k", second, True), ("k", "null", False)]
    assert read(s3, bucket, "k", VersionId="null") == b"null"
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert entries(s3, bucket) == [("k", second, True)]


def test_PutObject_suspended_replaces_the_null_version(s3: Any, versioned: str) -> None:
    kept = put(s3, versioned, b"kept")
    enable(s3, versioned, "Suspended")
    for body in (b"n1", b"n2"):
        s3.put_object(Bucket=versioned, Key="k", Body=body)
    assert read(s3, versioned, "k") == b"n2"
    assert entries(s3, versioned) == [("k", "null", True), ("k", kept, False)]


@pytest.mark.parametrize("version_id", ["0123456789abcdef0123456789abcdef", "null", "%00", "x" * 2000])
def test_GetObject_unknown_version(raw: RawClient, s3: Any, versioned: str, version_id: str) -> None:
    put(s3, versioned, b"v")
    for method in ("GET", "HEAD"):
        assert raw(method, f"/{versioned}/k?versionId={version_id}").status in (400, 404)


def test_GetObject_unknown_version_code(s3: Any, versioned: str) -> None:
    put(s3, versioned, b"v")
    with refused(404, "NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="k", VersionId="0123456789abcdef0123456789abcdef")
    with refused(404, "NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="other", VersionId="null")


def test_DeleteObject_places_a_marker(s3: Any, raw: RawClient, versioned: str) -> None:
    first = put(s3, versioned, b"v")
    answer = s3.delete_object(Bucket=versioned, Key="k")
    assert answer["DeleteMarker"] is True
    marker = answer["VersionId"]
    assert not exists(s3, versioned, "k")
    assert keys_of(s3, versioned) == []
    missing = raw("GET", f"/{versioned}/k")
    assert missing.refusal() == (404, "NoSuchKey")
    assert missing.headers["x-amz-delete-marker"] == "true"
    assert missing.headers["x-amz-version-id"] == marker
    assert read(s3, versioned, "k", VersionId=first) == b"v"
    assert entries(s3, versioned) == [("k", first, False), ("k", "-" + marker, True)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_GetObject_marker_by_id(s3: Any, raw: RawClient, versioned: str, method: str) -> None:
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    answer = raw(method, f"/{versioned}/k?versionId={marker}")
    assert answer.status == 405
    assert answer.headers["x-amz-delete-marker"] == "true"
    assert answer.headers["last-modified"]


def test_DeleteObject_marker_brings_the_object_back(s3: Any, versioned: str) -> None:
    put(s3, versioned, b"v")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    answer = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (answer["DeleteMarker"], answer["VersionId"]) == (True, marker)
    assert read(s3, versioned, "k") == b"v"


def test_DeleteObject_current_version_brings_the_one_before_back(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, b"one"), put(s3, versioned, b"two")
    answer = s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert "DeleteMarker" not in answer
    assert answer["VersionId"] == second
    assert read(s3, versioned, "k") == b"one"
    assert entries(s3, versioned) == [("k", first, True)]


def test_DeleteObject_suspended_places_the_null_marker(s3: Any, versioned: str) -> None:
    kept = put(s3, versioned, b"kept")
    enable(s3, versioned, "Suspended")
    s3.put_object(Bucket=versioned, Key="k", Body=b"null")
    for _ in range(2):
        answer = s3.delete_object(Bucket=versioned, Key="k")
        assert (answer["DeleteMarker"], answer["VersionId"]) == (True, "null")
    assert entries(s3, versioned) == [("k", kept, False), ("k", "-null", True)]


def test_DeleteObject_if_match_of_a_version(s3: Any, versioned: str) -> None:
    first = put(s3, versioned, b"one")
    put(s3, versioned, b"two")
    etag = s3.head_object(Bucket=versioned, Key="k", VersionId=first)["ETag"]
    with refused(412, "PreconditionFailed"):
        s3.delete_object(Bucket=versioned, Key="k", IfMatch=etag)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=first, IfMatch=etag)
    assert len(entries(s3, versioned)) == 1


def test_DeleteBucket_with_old_versions_alone(s3: Any, versioned: str) -> None:
    put(s3, versioned, b"v")
    s3.delete_object(Bucket=versioned, Key="k")
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=versioned)


def test_DeleteObjects_markers_and_versions(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, b"one"), put(s3, versioned, b"two")
    wanted = [{"Key": "k"}, {"Key": "k", "VersionId": first}, {"Key": "none"}, {"Key": "k", "VersionId": "missing"}]
    deleted = s3.delete_objects(Bucket=versioned, Delete={"Objects": wanted})["Deleted"]
    assert [entry["Key"] for entry in deleted] == ["k", "k", "none", "k"]
    assert [entry.get("DeleteMarker") for entry in deleted] == [True, None, True, None]
    assert [entry.get("VersionId") for entry in deleted] == [None, first, None, "missing"]
    marker = deleted[0]["DeleteMarkerVersionId"]
    assert ("k", second, False) in entries(s3, versioned)
    [back] = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k", "VersionId": marker}]})["Deleted"]
    assert (back["DeleteMarker"], back["DeleteMarkerVersionId"]) == (True, marker)
    assert read(s3, versioned, "k") == b"two"


def test_DeleteObjects_condition_concerns_its_entry_alone(s3: Any, versioned: str) -> None:
    put(s3, versioned, b"v", "a")
    put(s3, versioned, b"v", "b")
    etag = s3.head_object(Bucket=versioned, Key="a")["ETag"]
    answer = s3.delete_objects(
        Bucket=versioned, Delete={"Objects": [{"Key": "a", "ETag": etag}, {"Key": "b", "ETag": '"other"'}]}
    )
    assert [entry["Key"] for entry in answer["Deleted"]] == ["a"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("b", "PreconditionFailed")]


def test_DeleteObject_size_and_time_conditions(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"four")
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    with refused(412, "PreconditionFailed"):
        s3.delete_object(Bucket=bucket, Key="k", IfMatchSize=5)
    with refused(412, "PreconditionFailed"):
        s3.delete_object(Bucket=bucket, Key="k", IfMatchLastModifiedTime=modified.replace(year=2001))
    s3.delete_object(Bucket=bucket, Key="k", IfMatchSize=4, IfMatchLastModifiedTime=modified)
    assert not exists(s3, bucket, "k")


def test_CopyObject_old_version_becomes_current(s3: Any, versioned: str) -> None:
    first = put(s3, versioned, b"one")
    put(s3, versioned, b"two")
    source = {"Bucket": versioned, "Key": "k", "VersionId": first}
    answer = s3.copy_object(Bucket=versioned, Key="k", CopySource=source)
    assert answer["CopySourceVersionId"] == first
    assert read(s3, versioned, "k") == b"one"
    assert entries(s3, versioned)[0] == ("k", answer["VersionId"], True)
    assert len(entries(s3, versioned)) == 3


@pytest.mark.parametrize("size", [10, 300_000])
def test_CopyObject_onto_itself_makes_a_version(s3: Any, versioned: str, size: int) -> None:
    first = put(s3, versioned, b"v" * size)
    answer = s3.copy_object(
        Bucket=versioned,
        Key="k",
        CopySource={"Bucket": versioned, "Key": "k"},
        MetadataDirective="REPLACE",
        Metadata={"new": "1"},
    )
    assert answer["VersionId"] != first
    assert s3.head_object(Bucket=versioned, Key="k", VersionId=first)["Metadata"] == {}
    assert s3.head_object(Bucket=versioned, Key="k")["Metadata"] == {"new": "1"}
    assert read(s3, versioned, "k") == read(s3, versioned, "k", VersionId=first)


def test_CopyObject_onto_itself_of_the_null_version_makes_a_version(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    enable(s3, bucket)
    source = {"Bucket": bucket, "Key": "k"}
    answer = s3.copy_object(Bucket=bucket, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "b"})
    assert entries(s3, bucket) == [("k", answer["VersionId"], True), ("k", "null", False)]


def test_CopyObject_source_is_a_marker(s3: Any, versioned: str) -> None:
    put(s3, versioned, b"v")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with refused(404, "NoSuchKey"):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={"Bucket": versioned, "Key": "k"})
    with refused(400, "InvalidRequest"):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={"Bucket": versioned, "Key": "k", "VersionId": marker})


def test_CompleteMultipartUpload_says_its_version(s3: Any, versioned: str) -> None:
    first = put(s3, versioned, b"v")
    upload = {"Bucket": versioned, "Key": "k"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    source = {"Bucket": versioned, "Key": "k", "VersionId": first}
    part = s3.upload_part_copy(**upload, PartNumber=1, CopySource=source)
    assert part["CopySourceVersionId"] == first
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    version = s3.complete_multipart_upload(**upload, MultipartUpload=parts)["VersionId"]
    assert s3.complete_multipart_upload(**upload, MultipartUpload=parts)["VersionId"] == version
    assert entries(s3, versioned) == [("k", version, True), ("k", first, False)]


def test_GetObjectAttributes_of_a_version(s3: Any, versioned: str) -> None:
    first = put(s3, versioned, b"one")
    put(s3, versioned, b"three")
    answer = s3.get_object_attributes(Bucket=versioned, Key="k", VersionId=first, ObjectAttributes=["ObjectSize"])
    assert (answer["ObjectSize"], answer["VersionId"]) == (3, first)


class TestListing:
    @pytest.fixture
    def filled(self, s3: Any, versioned: str) -> str:
        """Keys a/1, a/2, b, c: three versions each, and a marker above those of b."""
        for key in ("a/1", "a/2", "b", "c"):
            for number in range(3):
                put(s3, versioned, b"%d" % number, key)
        s3.delete_object(Bucket=versioned, Key="b")
        return versioned

    @pytest.mark.parametrize("page_size", [1, 2, 3, 5, 1000])
    def test_ListObjectVersions_pages_show_everything_once_newest_first(
        self, s3: Any, filled: str, page_size: int
    ) -> None:
        paginator = s3.get_paginator("list_object_versions")
        pages = list(paginator.paginate(Bucket=filled, PaginationConfig={"PageSize": page_size}))
        found = [entry for page in pages for entry in page.get("Versions", [])]
        markers = [entry for page in pages for entry in page.get("DeleteMarkers", [])]
        assert [entry["Key"] for entry in found] == [key for key in ("a/1", "a/2", "b", "c") for _ in range(3)]
        assert len({entry["VersionId"] for entry in found}) == 12
        sizes = [read(s3, filled, entry["Key"], VersionId=entry["VersionId"]) for entry in found]
        assert sizes == [b"2", b"1", b"0"] * 4
        latest = [(entry["Key"], entry["IsLatest"]) for entry in [*found, *markers] if entry["IsLatest"]]
        assert sorted(latest) == [("a/1", True), ("a/2", True), ("b", True), ("c", True)]

    def test_ListObjectVersions_delimiter_and_prefix(self, s3: Any, filled: str) -> None:
        page = s3.list_object_versions(Bucket=filled, Delimiter="/")
        assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["a/"]
        assert {entry["Key"] for entry in page["Versions"]} == {"b", "c"}
        page = s3.list_object_versions(Bucket=filled, Prefix="a/", Delimiter="/", MaxKeys=4)
        assert [entry["Key"] for entry in page["Versions"]] == ["a/1"] * 3 + ["a/2"]
        assert (page["NextKeyMarker"], page["IsTruncated"]) == ("a/2", True)

    def test_ListObjectVersions_key_marker_passes_every_version(self, s3: Any, filled: str) -> None:
        assert {key for key, _, _ in entries(s3, filled, KeyMarker="a/2")} == {"b", "c"}

    def test_ListObjectVersions_marker_deleted_between_pages_loses_nothing(self, s3: Any, filled: str) -> None:
        seen: set[str] = set()
        marker: dict[str, str] = {}
        for _ in range(40):
            page = s3.list_object_versions(Bucket=filled, MaxKeys=2, **marker)
            for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                seen.add(entry["VersionId"])
                s3.delete_object(Bucket=filled, Key=entry["Key"], VersionId=entry["VersionId"])
            if not page["IsTruncated"]:
                break
            marker = {"KeyMarker": page["NextKeyMarker"]}
            if "NextVersionIdMarker" in page:
                marker["VersionIdMarker"] = page["NextVersionIdMarker"]
        assert len(seen) == 13
        assert entries(s3, filled) == []

    def test_ListObjectVersions_max_keys_zero(self, s3: Any, filled: str) -> None:
        page = s3.list_object_versions(Bucket=filled, MaxKeys=0)
        assert not page["IsTruncated"]
        assert "Versions" not in page

    def test_ListObjectVersions_encoding_type(self, raw: RawClient, s3: Any, versioned: str) -> None:
        put(s3, versioned, b"v", "a b/\u00e9")
        answer = raw("GET", f"/{versioned}?versions&encoding-type=url")
        assert b"<Key>a+b/%C3%A9</Key>" in answer.body or b"<Key>a%20b/%C3%A9</Key>" in answer.body
