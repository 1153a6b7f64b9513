"""ListObjects, ListObjectsV2 and ListObjectVersions: order, paging, delimiters, encoding, limits."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, unquote

import pytest

from conformance.expect import refused
from conformance.rawhttp import RawClient

MANY = 1005


def put_all(s3: Any, bucket: str, keys: Iterable[str]) -> None:
    """Write one small object a key."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"v"), keys))


def contents(page: Any) -> list[str]:
    """The keys of a page."""
    return [entry["Key"] for entry in page.get("Contents", [])]


def prefixes(page: Any) -> list[str]:
    """The common prefixes of a page."""
    return [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]


@pytest.fixture(scope="module")
def many(s3: Any, module_bucket: str) -> str:
    """A bucket of 1,005 keys in 201 folders of five."""
    put_all(s3, module_bucket, (f"{number // 5:03}/{number % 5}" for number in range(MANY)))
    return module_bucket


def test_ListObjectsV2_at_most_thousand_a_page(s3: Any, many: str) -> None:
    expected = [f"{number // 5:03}/{number % 5}" for number in range(MANY)]
    for options in ({}, {"MaxKeys": 1000}, {"MaxKeys": 5000}):
        page = s3.list_objects_v2(Bucket=many, **options)
        assert contents(page) == expected[:1000]
        assert (page["IsTruncated"], page["KeyCount"], page["MaxKeys"]) == (True, 1000, 1000)
        rest = s3.list_objects_v2(Bucket=many, ContinuationToken=page["NextContinuationToken"], **options)
        assert contents(rest) == expected[1000:]
        assert rest["IsTruncated"] is False
        assert "NextContinuationToken" not in rest


def test_ListObjects_at_most_thousand_a_page(s3: Any, many: str) -> None:
    page = s3.list_objects(Bucket=many)
    assert (len(contents(page)), page["IsTruncated"], page["MaxKeys"]) == (1000, True, 1000)
    assert "NextMarker" not in page, "AWS sends NextMarker only with a delimiter"
    rest = s3.list_objects(Bucket=many, Marker=contents(page)[-1])
    assert (len(contents(rest)), rest["IsTruncated"]) == (MANY - 1000, False)


def test_ListObjectsV2_exactly_full_page_is_not_truncated(s3: Any, many: str) -> None:
    page = s3.list_objects_v2(Bucket=many, StartAfter="000/4", MaxKeys=1000)
    assert (len(contents(page)), page["IsTruncated"]) == (1000, False)


def test_ListObjectsV2_many_common_prefixes_page_exactly(s3: Any, many: str) -> None:
    found: list[str] = []
    sizes: list[int] = []
    token: dict[str, str] = {}
    while True:
        page = s3.list_objects_v2(Bucket=many, Delimiter="/", MaxKeys=50, **token)
        assert contents(page) == []
        found += prefixes(page)
        sizes.append(page["KeyCount"])
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert found == [f"{number:03}/" for number in range(201)]
    assert sizes == [50, 50, 50, 50, 1]


def test_ListObjects_many_common_prefixes_by_next_marker(s3: Any, many: str) -> None:
    found: list[str] = []
    marker = ""
    while True:
        page = s3.list_objects(Bucket=many, Delimiter="/", MaxKeys=100, Marker=marker)
        assert page.get("Marker", "") == marker
        found += prefixes(page)
        if not page["IsTruncated"]:
            break
        marker = page["NextMarker"]
    assert found == [f"{number:03}/" for number in range(201)]


def test_ListObjectVersions_pages(s3: Any, many: str) -> None:
    page = s3.list_object_versions(Bucket=many)
    assert (len(page["Versions"]), page["IsTruncated"], page["MaxKeys"]) == (1000, True, 1000)
    rest = s3.list_object_versions(
        Bucket=many, KeyMarker=page["NextKeyMarker"], VersionIdMarker=page["NextVersionIdMarker"]
    )
    found = [entry["Key"] for entry in page["Versions"] + rest["Versions"]]
    assert found == [f"{number // 5:03}/{number % 5}" for number in range(MANY)]
    assert rest["IsTruncated"] is False


@pytest.mark.parametrize("method", ["list_objects", "list_objects_v2", "list_object_versions"])
@pytest.mark.parametrize("maximum", [0, 1])
def test_listing_max_keys_zero_and_one(s3: Any, many: str, method: str, maximum: int) -> None:
    page = getattr(s3, method)(Bucket=many, MaxKeys=maximum)
    entries = page.get("Contents", page.get("Versions", []))
    assert (len(entries), page["MaxKeys"], page["IsTruncated"]) == (maximum, maximum, maximum == 1)


@pytest.mark.parametrize("query", ["prefix=", "list-type=2", "versions"])
@pytest.mark.parametrize("value", ["-1", "abc", "1.5", "99999999999999999999"])
def test_listing_max_keys_invalid(raw: RawClient, many: str, query: str, value: str) -> None:
    assert raw("GET", f"/{many}?{query}&max-keys={value}").refusal() == (400, "InvalidArgument")


@pytest.mark.parametrize("query", ["prefix=", "list-type=2", "versions"])
def test_listing_encoding_type_unknown(raw: RawClient, many: str, query: str) -> None:
    assert raw("GET", f"/{many}?{query}&encoding-type=base64").refusal() == (400, "InvalidArgument")


@pytest.mark.parametrize("value", ["garbage", "%00", "AAAA", "%F0%9F%98%80", "x" * 3000])
def test_ListObjectsV2_continuation_token_invalid(raw: RawClient, many: str, value: str) -> None:
    assert raw("GET", f"/{many}?list-type=2&continuation-token={value}").refusal() in {
        (400, "InvalidArgument"),
        (400, "InvalidURI"),
    }


@pytest.mark.parametrize("value", ["1", "3", "x"])
def test_ListObjects_list_type_unknown(raw: RawClient, many: str, value: str) -> None:
    """AWS knows one list-type only: 2."""
    answer = raw("GET", f"/{many}?list-type={value}")
    assert answer.refusal() == (400, "InvalidArgument") or answer.xml.find("Marker") is not None


def test_ListObjectsV2_entry_fields(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"four")["ETag"]
    entry = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert (entry["Key"], entry["Size"], entry["ETag"], entry["StorageClass"]) == ("k", 4, etag, "STANDARD")
    assert entry["LastModified"].replace(microsecond=0) == s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert "Owner" not in entry
    assert s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]["ID"]
    assert s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"]["ID"]


def test_ListObjectsV2_echoes_its_parameters(s3: Any, many: str) -> None:
    page = s3.list_objects_v2(Bucket=many, Prefix="00", Delimiter="/", StartAfter="001/", MaxKeys=3)
    found = (page["Name"], page["Prefix"], page["Delimiter"], page["StartAfter"], page["MaxKeys"])
    assert found == (many, "00", "/", "001/", 3)


def test_listing_of_empty_bucket(s3: Any, bucket: str) -> None:
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert (contents(page), prefixes(page), page["KeyCount"], page["IsTruncated"]) == ([], [], 0, False)
    assert contents(s3.list_objects(Bucket=bucket)) == []
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


@pytest.mark.parametrize(
    "options",
    [{"Prefix": "nobody"}, {"StartAfter": "zzz"}, {"Prefix": "000/", "StartAfter": "000/4"}, {"Prefix": "000/00"}],
)
def test_ListObjectsV2_nothing_matches(s3: Any, many: str, options: dict[str, str]) -> None:
    page = s3.list_objects_v2(Bucket=many, **options)
    assert (contents(page), page["KeyCount"], page["IsTruncated"]) == ([], 0, False)


BYTE_ORDER = [
    "\x01", "\t", " ", "!", "-", "/", "0", "10", "2", "A", "Z", "_", "a", "a-", "a/", "a/b", "a0", "aa", "b", "z", "~",
    "\x7f", "é", "ü", "ÿ", "Ā", "日本", "\ud7ff", "\ue000", "\uffee", "\U00010000", "😀",
]  # fmt: skip


def test_listing_order_is_that_of_utf8_bytes(s3: Any, bucket: str) -> None:
    """UTF-16 order puts U+10000 and up before U+E000; S3 orders UTF-8 bytes."""
    put_all(s3, bucket, BYTE_ORDER)
    assert sorted(BYTE_ORDER, key=str.encode) == BYTE_ORDER
    assert contents(s3.list_objects_v2(Bucket=bucket)) == BYTE_ORDER
    assert contents(s3.list_objects(Bucket=bucket)) == BYTE_ORDER
    paged: list[str] = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1}):
        paged += contents(page)
    assert paged == BYTE_ORDER
    for position, key in enumerate(BYTE_ORDER):
        assert contents(s3.list_objects_v2(Bucket=bucket, StartAfter=key)) == BYTE_ORDER[position + 1 :]


@pytest.mark.parametrize(
    ("prefix", "delimiter", "keys", "common"),
    [
        ("", "/", ["a", "b"], ["/", "a/", "b/"]),
        ("a", "/", ["a"], ["a/"]),
        ("a/", "/", ["a/", "a/x"], ["a//", "a/b/"]),
        ("a/b/", "/", ["a/b/", "a/b/c"], []),
        ("/", "/", ["/lead"], ["//"]),
        ("//", "/", ["//"], []),
        ("b/", "/", [], ["b/c/"]),
        ("", "b", ["/lead", "//", "a", "a/", "a//y", "a/x"], ["a/b", "b"]),
        ("", "/b", ["/lead", "//", "a", "a/", "a//y", "a/x", "b", "b/c/d"], ["a/b"]),
        ("a/", "", ["a/", "a//y", "a/b/", "a/b/c", "a/x"], []),
        ("", "zzz", ["/lead", "//", "a", "a/", "a//y", "a/b/", "a/b/c", "a/x", "b", "b/c/d"], []),
    ],
)
@pytest.mark.parametrize("method", ["list_objects", "list_objects_v2"])
def test_listing_delimiter(
    s3: Any, tree: str, method: str, prefix: str, delimiter: str, keys: list[str], common: list[str]
) -> None:
    page = getattr(s3, method)(Bucket=tree, Prefix=prefix, Delimiter=delimiter)
    assert sorted(contents(page)) == sorted(keys)
    assert contents(page) == sorted(keys)
    assert prefixes(page) == common


@pytest.fixture(scope="module")
def tree(s3: Any, module_bucket_tree: str) -> str:
    """Keys that begin and end with delimiters."""
    keys = ["/lead", "//", "a", "a/", "a//y", "a/b/", "a/b/c", "a/x", "b", "b/c/d"]
    put_all(s3, module_bucket_tree, keys)
    return module_bucket_tree


@pytest.mark.parametrize("prefix", ["%", "_", "a%", "a_", "\\", "'", '"', "a.*", "[a]", "a?", "*"])
def test_listing_prefix_is_literal(s3: Any, bucket: str, prefix: str) -> None:
    put_all(s3, bucket, ["a", "ab", "abc", "\\x", f"{prefix}literal"])
    expected = sorted({f"{prefix}literal"} | ({"\\x"} if prefix == "\\" else set()))
    assert contents(s3.list_objects_v2(Bucket=bucket, Prefix=prefix)) == expected


@pytest.mark.parametrize("version", ["list-type=2&", "", "versions&"])
def test_listing_encoding_type_url(raw: RawClient, s3: Any, bucket: str, version: str) -> None:
    keys = ["a b+c", "a/ü&<>", "a/\n\x01", "d/😀"]
    put_all(s3, bucket, keys)
    answer = raw("GET", f"/{bucket}?{version}encoding-type=url&prefix=&delimiter=%2F")
    root = answer.xml
    assert root.findtext("EncodingType") == "url"
    assert root.findtext("Delimiter") in {"/", "%2F"}
    assert [unquote(element.text.replace("+", " ")) for element in root.iterfind("*/Key")] == ["a b+c"]
    assert [unquote(element.findtext("Prefix")) for element in root.iterfind("CommonPrefixes")] == ["a/", "d/"]
    answer = raw("GET", f"/{bucket}?{version}encoding-type=url&prefix={quote('a/', safe='')}")
    found = [element.text for element in answer.xml.iterfind("*/Key")]
    assert all(text.isascii() and text.isprintable() for text in found)
    assert [unquote(text.replace("+", " ")) for text in found] == sorted(["a/ü&<>", "a/\n\x01"])


def test_listing_without_encoding_type_is_plain(raw: RawClient, s3: Any, bucket: str) -> None:
    put_all(s3, bucket, ["a b+c", "ü&<>"])
    answer = raw("GET", f"/{bucket}?list-type=2")
    assert [element.text for element in answer.xml.iterfind("Contents/Key")] == ["a b+c", "ü&<>"]
    assert answer.xml.find("EncodingType") is None


def test_ListObjectVersions_without_versioning(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, ["a", "b/c"])
    s3.put_object(Bucket=bucket, Key="a", Body=b"again")
    page = s3.list_object_versions(Bucket=bucket)
    found = [(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in page["Versions"]]
    assert found == [("a", "null", True), ("b/c", "null", True)]
    assert page["Versions"][0]["Size"] == 5
    page = s3.list_object_versions(Bucket=bucket, Delimiter="/", Prefix="b")
    assert prefixes(page) == ["b/"]


@pytest.mark.parametrize("parameter", ["StartAfter", "Prefix", "Delimiter"])
def test_ListObjectsV2_very_long_parameter(s3: Any, many: str, parameter: str) -> None:
    try:
        page = s3.list_objects_v2(Bucket=many, MaxKeys=1, **{parameter: "9" * 1500})
    except s3.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400  # noqa: PT017 - refusing is fine, 5xx is not
    else:
        assert len(contents(page)) == (parameter == "Delimiter")


@pytest.mark.parametrize("parameter", ["prefix", "delimiter", "start-after", "marker"])
@pytest.mark.parametrize("value", ["%00", "%FF", "a%ED%A0%80"])
def test_listing_parameter_that_is_no_text(raw: RawClient, many: str, parameter: str, value: str) -> None:
    version = "" if parameter == "marker" else "list-type=2&"
    answer = raw("GET", f"/{many}?{version}{parameter}={value}")
    assert answer.status == 400
    assert answer.code in {"InvalidArgument", "InvalidURI", "InvalidRequest"}


def test_ListObjectsV2_of_deleted_bucket(s3: Any, fresh_name: Any) -> None:
    name = fresh_name()
    s3.create_bucket(Bucket=name)
    s3.delete_bucket(Bucket=name)
    with refused(404, "NoSuchBucket"):
        s3.list_objects_v2(Bucket=name)
