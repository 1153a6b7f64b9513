"""Heads of requests into fields, and outputs into answers: what S3 says about each bad value."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import StorageError
from gateway.operations import shapes
from gateway.s3.codec import effective_headers
from gateway.wire.addressing import CopySource

from .requests import CODECS, Headers, raw_request, read

DAY = datetime(2026, 11, 21, 9, 25, 13, tzinfo=UTC)


def refusal(name: str, target: str, headers: Headers | None = None) -> StorageError:
    with pytest.raises(StorageError) as caught:
        read(name, target, headers)
    return caught.value


def one(name: str, target: str, headers: Headers | None = None) -> Any:
    return read(name, target, headers)


# --- query -----------------------------------------------------------------------------------------------------


def test_ListObjectsV2_reads_its_parameters() -> None:
    given = one("ListObjectsV2", "/bucket?list-type=2&prefix=a%2Fb&max-keys=7&fetch-owner=TRUE&encoding-type=url")
    assert (given.bucket, given.prefix, given.max_keys) == ("bucket", "a/b", 7)
    assert (given.fetch_owner, given.encoding_type, given.delimiter) == (True, "url", None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("blah", "Provided max-keys not an integer or within integer range"),
        ("1.5", "Provided max-keys not an integer or within integer range"),
        ("0x10", "Provided max-keys not an integer or within integer range"),
        ("%D9%A3", "Provided max-keys not an integer or within integer range"),
        ("2147483648", "Provided max-keys not an integer or within integer range"),
        ("9" * 400, "Provided max-keys not an integer or within integer range"),
        ("-1", "Argument max-keys must be an integer between 0 and 2147483647"),
    ],
)
def test_ListObjects_bad_max_keys(value: str, message: str) -> None:
    error = refusal("ListObjects", f"/bucket?max-keys={value}")
    assert (error.code.name, error.message) == ("InvalidArgument", message)
    assert error.fields["ArgumentName"] == "max-keys"


def test_ListObjects_empty_max_keys_counts_as_absent() -> None:
    assert one("ListObjects", "/bucket?max-keys=").max_keys is None


@pytest.mark.parametrize("value", ["0", "10001", "", "x", "-1", "1e3"])
def test_UploadPart_bad_part_number(value: str) -> None:
    error = refusal("UploadPart", f"/bucket/key?uploadId=u&partNumber={value}")
    assert error.message == "Part number must be an integer between 1 and 10000, inclusive"
    assert dict(error.fields) == {"ArgumentName": "partNumber", "ArgumentValue": value}


def test_ListBuckets_max_buckets_has_its_own_range() -> None:
    assert refusal("ListBuckets", "/?max-buckets=0").message == (
        "Argument max-buckets must be an integer between 1 and 10000"
    )


def test_repeated_parameter_is_refused_where_it_matters() -> None:
    assert refusal("ListObjects", "/bucket?prefix=a&prefix=b").code.name == "InvalidArgument"
    assert one("ListObjects", "/bucket?prefix=a&foo=1&foo=2").prefix == "a"


def test_unknown_encoding_type_is_refused() -> None:
    error = refusal("ListObjects", "/bucket?encoding-type=base64")
    assert (error.code.name, error.message) == ("InvalidArgument", "Invalid Encoding Method specified in Request")


def test_PutObject_refuses_a_version_id() -> None:
    error = refusal("PutObject", "/bucket/key?versionId=v")
    assert (error.code.name, error.message) == ("InvalidArgument", "This operation does not accept a version-id.")


def test_GetObject_empty_version_id() -> None:
    assert refusal("GetObject", "/bucket/key?versionId=").message == "Version id cannot be the empty string"


def test_GetObject_response_overrides_cannot_split_the_answer() -> None:
    assert one("GetObject", "/bucket/key?response-expires=whenever").response_expires == "whenever"
    assert refusal("GetObject", "/bucket/key?response-content-type=a%0d%0aSet-Cookie:x").code.name == "InvalidArgument"


# --- headers ---------------------------------------------------------------------------------------------------


def test_PutObject_reads_its_headers() -> None:
    given = one(
        "PutObject",
        "/bucket/a%2Fb//c",
        [
            (b"Content-Type", b"text/plain"),
            (b"Content-Length", b"5"),
            (b"Content-MD5", b"XUFAKrxLKna5cZ2REBfFkg=="),
            (b"Expires", b"next week"),
            (b"If-None-Match", b"*"),
            (b"x-amz-server-side-encryption-customer-key-MD5", b"m"),
            (b"x-amz-object-lock-retain-until-date", b"2026-11-21T09:25:13Z"),
            (b"x-amz-server-side-encryption-bucket-key-enabled", b"True"),
            (b"x-amz-sdk-checksum-algorithm", b"crc32"),
        ],
    )
    assert (given.bucket, given.key) == ("bucket", "a/b//c")
    assert (given.content_type, given.content_length, given.expires) == ("text/plain", 5, "next week")
    assert (given.if_none_match, given.sse_customer_key_md5) == ("*", "m")
    assert (given.object_lock_retain_until_date, given.bucket_key_enabled) == (DAY, True)
    assert given.checksum_algorithm == "CRC32"


def test_user_metadata_is_text_without_its_prefix() -> None:
    given = one(
        "PutObject",
        "/bucket/key",
        [
            (b"x-amz-meta-Name", "Zoë".encode()),
            (b"x-amz-meta-old", b"caf\xe9"),
            (b"x-amz-meta-word", b"=?UTF-8?Q?caf=C3=A9?="),
            (b"x-amz-meta-twice", b"1"),
            (b"x-amz-meta-twice", b"2"),
        ],
    )
    assert given.metadata == {"name": "Zoë", "old": "café", "word": "=?UTF-8?Q?caf=C3=A9?=", "twice": "1,2"}


def test_user_metadata_over_2_KiB() -> None:
    assert one("PutObject", "/bucket/key", [(b"x-amz-meta-a", b"x" * 2047)]).metadata["a"]
    assert refusal("PutObject", "/bucket/key", [(b"x-amz-meta-a", b"x" * 2048)]).code.name == "MetadataTooLarge"


@pytest.mark.parametrize("bad", [b"a\x00b", b"a\rb", b"a\nb", b"a\x1bb"])
@pytest.mark.parametrize(
    "name", [b"x-amz-meta-a", b"Content-Type", b"Cache-Control", b"x-amz-website-redirect-location"]
)
def test_control_characters_in_headers_are_refused(name: bytes, bad: bytes) -> None:
    assert refusal("PutObject", "/bucket/key", [(name, bad)]).code.name == "InvalidArgument"


def test_repeated_header_is_refused_where_it_matters() -> None:
    twice = [(b"x-amz-acl", b"private"), (b"x-amz-acl", b"public-read")]
    assert refusal("PutObject", "/bucket/key", twice).code.name == "InvalidRequest"
    assert one("PutObject", "/bucket/key", [(b"x-forwarded-proto", b"a"), (b"x-forwarded-proto", b"b")])
    listed = [(b"if-match", b'"a"'), (b"if-match", b'"b"')]
    assert one("GetObject", "/bucket/key", listed).if_match == '"a","b"'


@pytest.mark.parametrize(
    ("operation", "name", "value", "code"),
    [
        ("PutObject", b"x-amz-acl", b"everyone", "InvalidArgument"),
        ("PutObject", b"x-amz-storage-class", b"FLOPPY", "InvalidStorageClass"),
        ("PutObject", b"x-amz-object-lock-mode", b"rot13", "InvalidArgument"),
        ("PutObject", b"x-amz-object-lock-mode", b"maybe", "InvalidArgument"),
        ("PutObject", b"x-amz-object-lock-retain-until-date", b"tomorrow", "InvalidArgument"),
        ("PutObject", b"x-amz-server-side-encryption-bucket-key-enabled", b"yes", "InvalidArgument"),
        ("PutObject", b"x-amz-sdk-checksum-algorithm", b"crc16", "InvalidRequest"),
        ("CreateMultipartUpload", b"x-amz-checksum-type", b"HALF", "InvalidRequest"),
        ("DeleteObject", b"x-amz-if-match-size", b"-1", "InvalidArgument"),
        ("DeleteObject", b"x-amz-if-match-last-modified-time", b"never", "InvalidArgument"),
    ],
)
def test_bad_header_value(operation: str, name: bytes, value: bytes, code: str) -> None:
    query = "?uploads" if operation == "CreateMultipartUpload" else ""
    assert refusal(operation, f"/bucket/key{query}", [(name, value)]).code.name == code


def test_response_overrides() -> None:
    asked = one("GetObject", "/bucket/key?response-content-type=text%2Fplain&response-expires=x", [])
    assert (asked.response_content_type, asked.response_expires) == ("text/plain", "x")
    split = refusal("GetObject", "/bucket/key?response-content-disposition=a%0D%0Ab", [])
    assert split.code.name == "InvalidArgument"


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (b"Sat, 21 Nov 2026 09:25:13 GMT", DAY),
        (b"Saturday, 21-Nov-26 09:25:13 GMT", DAY),
        (b"Sat Nov 21 09:25:13 2026", DAY),
        (b"soon", None),
        (b"", None),
    ],
)
def test_GetObject_conditional_dates(value: bytes, instant: datetime | None) -> None:
    """RFC 9110 §13.1.3: a date that is none is ignored."""
    assert one("GetObject", "/bucket/key", [(b"If-Modified-Since", value)]).if_modified_since == instant


def test_CopyObject_source_is_parsed_once() -> None:
    given = one("CopyObject", "/bucket/key", [(b"x-amz-copy-source", b"/source/a%2520b%3Fc?versionId=v1")])
    assert given.copy_source == CopySource("source", "a%20b?c", "v1")
    error = refusal("CopyObject", "/bucket/key", [(b"x-amz-copy-source", b"source")])
    assert error.message == "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"


def test_GetObjectAttributes_reads_a_list_and_needs_it() -> None:
    given = one("GetObjectAttributes", "/bucket/key?attributes", [(b"x-amz-object-attributes", b"ETag, ObjectSize")])
    assert given.object_attributes == ("ETag", "ObjectSize")
    assert refusal("GetObjectAttributes", "/bucket/key?attributes").code.name == "InvalidRequest"
    bad = [(b"x-amz-object-attributes", b"ETag,Colour")]
    assert refusal("GetObjectAttributes", "/bucket/key?attributes", bad).message == "Invalid attribute name specified."


def test_presigned_query_stands_for_headers() -> None:
    signed = "/bucket/key?X-Amz-Signature=s&X-Amz-Acl=private&x-amz-meta-colour=red&X-Amz-Date=d"
    given = one("PutObject", signed)
    assert (given.acl, given.metadata) == ("private", {"colour": "red"})
    error = refusal("PutObject", signed, [(b"x-amz-acl", b"public-read")])
    assert error.code.name == "InvalidRequest"
    assert one("PutObject", "/bucket/key?X-Amz-Acl=private").acl is None


# --- answers ---------------------------------------------------------------------------------------------------


def test_DeleteObject_answers_204_without_a_body() -> None:
    answer = CODECS["DeleteObject"].render(shapes.DeleteObjectOutput(delete_marker=True, version_id="v"))
    assert (answer.status, answer.body) == (204, b"")
    assert dict(answer.headers) == {b"x-amz-delete-marker": b"true", b"x-amz-version-id": b"v"}


def test_PutObject_answers_a_quoted_etag_and_no_body() -> None:
    answer = CODECS["PutObject"].render(shapes.PutObjectOutput(etag="abc", size=3))
    assert (answer.status, answer.body) == (200, b"")
    assert dict(answer.headers) == {b"etag": b'"abc"', b"x-amz-object-size": b"3"}


def test_GetObject_answers_206_for_a_range() -> None:
    answer = CODECS["GetObject"].render(
        shapes.GetObjectOutput(
            content_range="bytes 0-1/3", last_modified=DAY, metadata={"name": "Zoë"}, expires="later"
        )
    )
    assert answer.status == 206
    assert dict(answer.headers) == {
        b"content-range": b"bytes 0-1/3",
        b"last-modified": b"Sat, 21 Nov 2026 09:25:13 GMT",
        b"x-amz-meta-name": "Zoë".encode(),
        b"expires": b"later",
    }


def test_stored_control_characters_never_split_an_answer() -> None:
    answer = CODECS["HeadObject"].render(shapes.HeadObjectOutput(content_type="a\r\nSet-Cookie: b"))
    assert dict(answer.headers)[b"content-type"] == b"a  Set-Cookie: b"


def test_metadata_names_that_no_header_can_have_are_counted() -> None:
    metadata = {"Fine": "1", "a b": "2", "x\r\nSet-Cookie": "3", "é": "4", "": "5"}
    answer = CODECS["HeadObject"].render(shapes.HeadObjectOutput(metadata=metadata))
    assert dict(answer.headers) == {b"x-amz-meta-fine": b"1", b"x-amz-missing-meta": b"4"}


@pytest.mark.parametrize(
    ("region", "content"),
    [(None, b""), ("eu-central-1", b"eu-central-1")],
)
def test_GetBucketLocation_root_is_the_value(region: str | None, content: bytes) -> None:
    answer = CODECS["GetBucketLocation"].render(shapes.GetBucketLocationOutput(location_constraint=region))
    assert answer.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' + content + b"</LocationConstraint>"
    )


def test_GetBucketPolicy_answers_the_json_as_it_is() -> None:
    answer = CODECS["GetBucketPolicy"].render(shapes.GetBucketPolicyOutput(policy='{"a": "<é>"}'))
    assert (answer.body, dict(answer.headers)) == ('{"a": "<é>"}'.encode(), {b"content-type": b"application/json"})


def test_effective_headers_read_text_of_both_kinds() -> None:
    request = raw_request("GET", "/", [(b"x-one", b"caf\xe9"), (b"x-two", "café".encode())])
    headers = effective_headers(request)
    assert (headers["x-one"], headers["x-two"]) == ("café", "café")
