"""GetObject and HeadObject with Range: every form of RFC 9110 §14, as S3 reads it."""

import contextlib
from typing import Any

import pytest

from conformance.rawhttp import RawClient

BODY = bytes(range(100))
HUGE = "9" * 30


@pytest.fixture(scope="module", autouse=True)
def objects(s3: Any, module_bucket: str) -> None:
    s3.put_object(Bucket=module_bucket, Key="hundred", Body=BODY, Metadata={"kept": "yes"}, ContentType="text/plain")
    s3.put_object(Bucket=module_bucket, Key="empty", Body=b"")
    s3.put_object(Bucket=module_bucket, Key="large", Body=BODY * 30_000)


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=0-0", 0, 0),
        ("bytes=99-99", 99, 99),
        ("bytes=90-", 90, 99),
        ("bytes=0-", 0, 99),
        ("bytes=-10", 90, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-100", 0, 99),
        ("bytes=-101", 0, 99),
        (f"bytes=-{HUGE}", 0, 99),
        ("bytes=50-1000", 50, 99),
        (f"bytes=50-{HUGE}", 50, 99),
        ("bytes=0-99", 0, 99),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_GetObject_range(raw: RawClient, module_bucket: str, method: str, header: str, first: int, last: int) -> None:
    answer = raw(method, f"/{module_bucket}/hundred", {"Range": header})
    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/100"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["x-amz-meta-kept"] == "yes"
    assert answer.headers["ETag"]
    assert answer.body == (BODY[first : last + 1] if method == "GET" else b"")


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", f"bytes={HUGE}-", "bytes=-0"])
def test_GetObject_range_not_satisfiable(raw: RawClient, module_bucket: str, header: str) -> None:
    answer = raw("GET", f"/{module_bucket}/hundred", {"Range": header})
    assert answer.refusal() == (416, "InvalidRange")
    assert answer.xml.findtext("ActualObjectSize") == "100"
    assert answer.xml.findtext("RangeRequested") == header
    assert answer.headers["Content-Range"] == "bytes */100"


def test_HeadObject_range_not_satisfiable_has_no_body(raw: RawClient, module_bucket: str) -> None:
    answer = raw("HEAD", f"/{module_bucket}/hundred", {"Range": "bytes=100-"})
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["Content-Range"] == "bytes */100"


@pytest.mark.parametrize(
    "header",
    ["bytes=5-2", "bytes=abc", "bytes=", "bytes=-", "bytes", "octets=0-1", "bytes=--5", "bytes=1-x", "bytes=0x1-2"],
)
def test_GetObject_range_malformed_is_ignored(raw: RawClient, module_bucket: str, header: str) -> None:
    answer = raw("GET", f"/{module_bucket}/hundred", {"Range": header})
    assert (answer.status, answer.body) == (200, BODY)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(
    "header",
    ["bytes=0-1,3-4", "bytes=0-0,-1", "bytes=" + ",".join(f"{n}-{n}" for n in range(100)) + "," + "0-1," * 500 + "5-6"],
)
def test_GetObject_several_ranges_answer_the_whole(raw: RawClient, module_bucket: str, header: str) -> None:
    """AWS: "Amazon S3 doesn't support retrieving multiple ranges of data per GET request"."""
    answer = raw("GET", f"/{module_bucket}/hundred", {"Range": header})
    assert (answer.status, answer.body) == (200, BODY)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=40-50"])
def test_GetObject_range_of_empty_object(raw: RawClient, module_bucket: str, header: str) -> None:
    answer = raw("GET", f"/{module_bucket}/empty", {"Range": header})
    assert answer.refusal() == (416, "InvalidRange")
    assert answer.xml.findtext("ActualObjectSize") == "0"


def test_GetObject_suffix_range_of_empty_object(raw: RawClient, module_bucket: str) -> None:
    """RFC 9110 calls it satisfiable but has no Content-Range for it: 416, or the whole (empty) object."""
    answer = raw("GET", f"/{module_bucket}/empty", {"Range": "bytes=-5"})
    assert answer.status in {200, 416}
    assert answer.status == 416 or answer.body == b""


def test_GetObject_range_of_missing_object(raw: RawClient, module_bucket: str) -> None:
    assert raw("GET", f"/{module_bucket}/nobody", {"Range": "bytes=0-1"}).refusal() == (404, "NoSuchKey")


def test_GetObject_range_with_condition(s3: Any, raw: RawClient, module_bucket: str) -> None:
    etag = s3.head_object(Bucket=module_bucket, Key="hundred")["ETag"]
    answer = raw("GET", f"/{module_bucket}/hundred", {"Range": "bytes=1-2", "If-Match": etag})
    assert (answer.status, answer.body) == (206, BODY[1:3])
    answer = raw("GET", f"/{module_bucket}/hundred", {"Range": "bytes=200-", "If-Match": '"other"'})
    assert answer.refusal() == (412, "PreconditionFailed")


@pytest.mark.parametrize(
    ("first", "last"), [(0, 65_535), (65_535, 131_073), (1_048_575, 1_048_577), (2_999_999, 2_999_999)]
)
def test_GetObject_range_of_large_object(s3: Any, module_bucket: str, first: int, last: int) -> None:
    answer = s3.get_object(Bucket=module_bucket, Key="large", Range=f"bytes={first}-{last}")
    with contextlib.closing(answer["Body"]) as stream:
        assert stream.read() == (BODY * 30_000)[first : last + 1]


@pytest.mark.parametrize("part_number", ["1"])
def test_GetObject_part_number_of_single_put(raw: RawClient, module_bucket: str, part_number: str) -> None:
    answer = raw("GET", f"/{module_bucket}/hundred?partNumber={part_number}")
    assert (answer.status, answer.body) == (206, BODY)
    assert answer.headers["Content-Range"] == "bytes 0-99/100"


def test_GetObject_part_number_beyond(raw: RawClient, module_bucket: str) -> None:
    assert raw("GET", f"/{module_bucket}/hundred?partNumber=2").refusal() == (416, "InvalidPartNumber")


@pytest.mark.parametrize("part_number", ["0", "10001", "-1", "x"])
def test_GetObject_part_number_invalid(raw: RawClient, module_bucket: str, part_number: str) -> None:
    assert raw("GET", f"/{module_bucket}/hundred?partNumber={part_number}").refusal() == (400, "InvalidArgument")


def test_GetObject_part_number_with_range(raw: RawClient, module_bucket: str) -> None:
    answer = raw("GET", f"/{module_bucket}/hundred?partNumber=1", {"Range": "bytes=0-1"})
    assert answer.refusal() == (400, "InvalidRequest")
