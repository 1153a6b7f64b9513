"""Conditional reads and writes: RFC 9110 §13 and AWS's "conditional requests", with real races."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conformance.expect import exists, read, refused, status_and_code
from conformance.rawhttp import RawClient
from conformance.s3.test_multipart import Upload
from conformance.server import RunningServer

OTHER_ETAG = '"00000000000000000000000000000000"'
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture
def beyond_aws(server: RunningServer | None) -> None:
    """For forms that AWS answers with 501 and Ceph and Rowlock understand."""
    if server is None:
        pytest.skip("not every server knows this form")


@pytest.fixture
def etag(s3: Any, bucket: str) -> str:
    """The ETag of an object ``k`` that holds ``v``."""
    return str(s3.put_object(Bucket=bucket, Key="k", Body=b"v")["ETag"])


@pytest.fixture
def modified(s3: Any, bucket: str, etag: str) -> datetime:
    """When ``k`` was written."""
    moment: datetime = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    return moment


def http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["{}", "*", "{unquoted}"])
def test_GetObject_if_match_holds(raw: RawClient, bucket: str, etag: str, method: str, form: str) -> None:
    answer = raw(method, f"/{bucket}/k", {"If-Match": form.format(etag, unquoted=etag.strip('"'))})
    assert answer.status == 200
    assert answer.headers["ETag"] == etag


def test_GetObject_if_match_fails(raw: RawClient, bucket: str, etag: str) -> None:
    assert raw("GET", f"/{bucket}/k", {"If-Match": OTHER_ETAG}).refusal() == (412, "PreconditionFailed")
    answer = raw("HEAD", f"/{bucket}/k", {"If-Match": OTHER_ETAG})
    assert (answer.status, answer.body) == (412, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["{}", "*"])
def test_GetObject_if_none_match_existing(raw: RawClient, bucket: str, etag: str, method: str, form: str) -> None:
    answer = raw(method, f"/{bucket}/k", {"If-None-Match": form.format(etag)})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == etag


def test_GetObject_if_none_match_other(raw: RawClient, bucket: str, etag: str) -> None:
    assert raw("GET", f"/{bucket}/k", {"If-None-Match": OTHER_ETAG}).body == b"v"


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_GetObject_condition_on_missing_key(raw: RawClient, bucket: str, header: str) -> None:
    assert raw("GET", f"/{bucket}/k", {header: OTHER_ETAG}).refusal() == (404, "NoSuchKey")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_GetObject_if_modified_since(raw: RawClient, bucket: str, modified: datetime, method: str) -> None:
    assert raw(method, f"/{bucket}/k", {"If-Modified-Since": http_date(LONG_AGO)}).status == 200
    answer = raw(method, f"/{bucket}/k", {"If-Modified-Since": http_date(modified)})
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_GetObject_if_unmodified_since(raw: RawClient, bucket: str, modified: datetime, method: str) -> None:
    assert raw(method, f"/{bucket}/k", {"If-Unmodified-Since": http_date(modified)}).status == 200
    assert raw(method, f"/{bucket}/k", {"If-Unmodified-Since": http_date(LONG_AGO)}).status == 412


def test_GetObject_if_match_outranks_if_unmodified_since(raw: RawClient, bucket: str, etag: str) -> None:
    headers = {"If-Match": etag, "If-Unmodified-Since": http_date(LONG_AGO)}
    assert raw("GET", f"/{bucket}/k", headers).body == b"v"


def test_GetObject_if_none_match_outranks_if_modified_since(raw: RawClient, bucket: str, etag: str) -> None:
    headers = {"If-None-Match": etag, "If-Modified-Since": http_date(LONG_AGO)}
    assert raw("GET", f"/{bucket}/k", headers).status == 304


@pytest.mark.parametrize("header", ["If-Modified-Since", "If-Unmodified-Since"])
def test_GetObject_condition_with_bad_date_is_ignored(raw: RawClient, bucket: str, etag: str, header: str) -> None:
    """RFC 9110 §13.1.3-4: a recipient must ignore the field when it is no valid date."""
    assert raw("GET", f"/{bucket}/k", {header: "yesterday"}).body == b"v"


def test_PutObject_if_none_match_absent(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="new", Body=b"v", IfNoneMatch="*")
    assert read(s3, bucket, "new") == b"v"


def test_PutObject_if_none_match_existing(s3: Any, bucket: str, etag: str) -> None:
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", IfNoneMatch="*")
    assert read(s3, bucket, "k") == b"v"


def test_PutObject_if_none_match_after_delete(s3: Any, bucket: str, etag: str) -> None:
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"again", IfNoneMatch="*")
    assert read(s3, bucket, "k") == b"again"


@pytest.mark.usefixtures("beyond_aws")
def test_PutObject_if_none_match_etag(s3: Any, bucket: str, etag: str) -> None:
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", IfNoneMatch=etag)
    assert read(s3, bucket, "k") == b"v"
    s3.put_object(Bucket=bucket, Key="k", Body=b"other", IfNoneMatch=OTHER_ETAG)
    assert read(s3, bucket, "k") == b"other"
    s3.put_object(Bucket=bucket, Key="new", Body=b"new", IfNoneMatch=etag)
    assert read(s3, bucket, "new") == b"new"


@pytest.mark.usefixtures("beyond_aws")
def test_PutObject_if_match_any(s3: Any, bucket: str, etag: str) -> None:
    with refused(404, "NoSuchKey"):
        s3.put_object(Bucket=bucket, Key="new", Body=b"new", IfMatch="*")
    assert not exists(s3, bucket, "new")
    s3.put_object(Bucket=bucket, Key="k", Body=b"other", IfMatch="*")
    assert read(s3, bucket, "k") == b"other"


@pytest.mark.usefixtures("beyond_aws")
def test_CompleteMultipartUpload_if_none_match_etag(s3: Any, bucket: str, etag: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"other")
    with refused(412, "PreconditionFailed"):
        upload.complete(IfNoneMatch=etag)
    assert read(s3, bucket, "k") == b"v"
    upload.complete(IfNoneMatch=OTHER_ETAG)
    assert read(s3, bucket, "k") == b"other"


def test_PutObject_if_match_and_if_none_match(s3: Any, bucket: str, etag: str) -> None:
    with refused(501, "NotImplemented"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", IfMatch=etag, IfNoneMatch=OTHER_ETAG)
    assert read(s3, bucket, "k") == b"v"


def test_PutObject_if_match(s3: Any, bucket: str, etag: str) -> None:
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=etag)["ETag"]
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=etag)
    assert read(s3, bucket, "k") == b"second"
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=second.strip('"'))
    assert read(s3, bucket, "k") == b"third"


def test_PutObject_if_match_missing_key(s3: Any, bucket: str) -> None:
    with refused(404, "NoSuchKey"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"v", IfMatch=OTHER_ETAG)
    assert not exists(s3, bucket, "k")


def test_PutObject_if_none_match_fifty_at_once_has_one_winner(s3: Any, bucket: str) -> None:
    def attempt(number: int) -> tuple[int, str | None]:
        try:
            s3.put_object(Bucket=bucket, Key="lock", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return number, error.response["Error"]["Code"]
        return number, None

    with ThreadPoolExecutor(50) as threads:
        outcomes = list(threads.map(attempt, range(50)))
    winners = [number for number, code in outcomes if code is None]
    assert len(winners) == 1
    losses = {code for _, code in outcomes if code is not None}
    assert losses <= {"PreconditionFailed", "ConditionalRequestConflict"}
    assert read(s3, bucket, "lock") == str(winners[0]).encode()


def test_PutObject_if_match_counter_loses_no_increment(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="counter", Body=b"0")
    threads_count, increments = 6, 4

    def increment(_: int) -> int:
        done = attempts = 0
        while done < increments and attempts < 2000:
            attempts += 1
            current = s3.get_object(Bucket=bucket, Key="counter")
            value = int(current["Body"].read())
            try:
                s3.put_object(Bucket=bucket, Key="counter", Body=str(value + 1).encode(), IfMatch=current["ETag"])
            except ClientError as error:
                assert status_and_code(error) in {  # noqa: PT017 - losing the race is the point
                    (412, "PreconditionFailed"),
                    (409, "ConditionalRequestConflict"),
                }
            else:
                done += 1
        return done

    with ThreadPoolExecutor(threads_count) as threads:
        assert list(threads.map(increment, range(threads_count))) == [increments] * threads_count
    assert read(s3, bucket, "counter") == str(threads_count * increments).encode()


def test_DeleteObject_if_match(s3: Any, bucket: str, etag: str) -> None:
    with refused(412, "PreconditionFailed"):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=OTHER_ETAG)
    assert read(s3, bucket, "k") == b"v"
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    assert not exists(s3, bucket, "k")


def test_DeleteObject_if_match_any(s3: Any, bucket: str, etag: str) -> None:
    s3.delete_object(Bucket=bucket, Key="k", IfMatch="*")
    assert not exists(s3, bucket, "k")


def test_DeleteObjects_per_key_etag(s3: Any, bucket: str, etag: str) -> None:
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    entries = [{"Key": "k", "ETag": etag}, {"Key": "kept", "ETag": OTHER_ETAG}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": entries})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["k"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("kept", "PreconditionFailed")]
    assert not exists(s3, bucket, "k")
    assert read(s3, bucket, "kept") == b"kept"


def test_CopyObject_if_none_match_on_destination(s3: Any, bucket: str, etag: str) -> None:
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="taken", Body=b"taken")
    with refused(412, "PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="taken", CopySource=source, IfNoneMatch="*")
    assert read(s3, bucket, "new") == b"v"
    assert read(s3, bucket, "taken") == b"taken"


def test_CopyObject_if_match_on_destination(s3: Any, bucket: str, etag: str) -> None:
    source = {"Bucket": bucket, "Key": "k"}
    taken = s3.put_object(Bucket=bucket, Key="taken", Body=b"taken")["ETag"]
    with refused(412, "PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="taken", CopySource=source, IfMatch=OTHER_ETAG)
    assert read(s3, bucket, "taken") == b"taken"
    s3.copy_object(Bucket=bucket, Key="taken", CopySource=source, IfMatch=taken)
    assert read(s3, bucket, "taken") == b"v"


def one_part_upload(s3: Any, bucket: str, key: str, body: bytes) -> dict[str, Any]:
    """Arguments of a CompleteMultipartUpload that is ready to be sent."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=body)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    return {"Bucket": bucket, "Key": key, "UploadId": upload_id, "MultipartUpload": parts}


def test_CompleteMultipartUpload_if_none_match(s3: Any, bucket: str, etag: str) -> None:
    with refused(412, "PreconditionFailed"):
        s3.complete_multipart_upload(**one_part_upload(s3, bucket, "k", b"other"), IfNoneMatch="*")
    assert read(s3, bucket, "k") == b"v"
    s3.complete_multipart_upload(**one_part_upload(s3, bucket, "new", b"new"), IfNoneMatch="*")
    assert read(s3, bucket, "new") == b"new"


def test_CompleteMultipartUpload_if_match(s3: Any, bucket: str, etag: str) -> None:
    with refused(412, "PreconditionFailed"):
        s3.complete_multipart_upload(**one_part_upload(s3, bucket, "k", b"other"), IfMatch=OTHER_ETAG)
    assert read(s3, bucket, "k") == b"v"
    s3.complete_multipart_upload(**one_part_upload(s3, bucket, "k", b"new"), IfMatch=etag)
    assert read(s3, bucket, "k") == b"new"


def test_CompleteMultipartUpload_if_match_missing_key(s3: Any, bucket: str) -> None:
    with refused(404, "NoSuchKey"):
        s3.complete_multipart_upload(**one_part_upload(s3, bucket, "k", b"v"), IfMatch=OTHER_ETAG)
    assert not exists(s3, bucket, "k")


def test_CompleteMultipartUpload_if_none_match_race_has_one_winner(s3: Any, bucket: str) -> None:
    requests = [one_part_upload(s3, bucket, "k", str(number).encode()) for number in range(8)]

    def complete(request: dict[str, Any]) -> str | None:
        try:
            s3.complete_multipart_upload(**request, IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return None

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(complete, requests))
    assert outcomes.count(None) == 1
    assert set(outcomes) - {None} <= {"PreconditionFailed", "ConditionalRequestConflict"}
    assert read(s3, bucket, "k") == str(outcomes.index(None)).encode()


def test_LastModified_never_lies_ahead(s3: Any, bucket: str, modified: datetime) -> None:
    assert modified <= datetime.now(UTC) + timedelta(seconds=1)
