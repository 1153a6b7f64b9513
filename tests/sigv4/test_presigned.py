"""Presigned URLs: rule R6 and the attack cases A07-A09, A12, A15."""

from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import pytest
from botocore.auth import S3SigV4QueryAuth

import sigv4
from sigv4.canonical import split_query
from tests.sigv4.support import NOW, REGION, botocore_presigned, judge, refused

ERROR = "AuthorizationQueryParametersError"


def with_parameter(request, name, value):
    """Replace (or with None remove) a parameter, signature left as it was."""
    pairs = [(n, v) for n, v in split_query(request.raw_query) if n != name.encode()]
    if value is not None:
        pairs.append((name.encode(), value.encode()))
    return replace(request, raw_query=b"&".join(n + b"=" + v for n, v in pairs))


@pytest.mark.parametrize("expires", [1, 600, 604800])
def test_life_time_inclusive(expires):
    request = botocore_presigned(expires=expires)
    judge(request)
    judge(request, now=NOW + timedelta(seconds=expires))
    error = refused("AccessDenied", request, now=NOW + timedelta(seconds=expires + 1))
    assert error.message == "Request has expired"
    assert error.fields["X-Amz-Expires"] == str(expires)
    assert {"Expires", "ServerTime"} <= error.fields.keys()


@pytest.mark.parametrize("expires", ["-7", "604801", "1e3", "0x10", "+5", "abc", "6 0", "1" * 30, "-", "%31%00"])
def test_A07_expires_out_of_range_or_no_number(expires):
    refused(ERROR, with_parameter(botocore_presigned(), "X-Amz-Expires", expires))


def test_A07_expires_of_zero_never_lived():
    refused("AccessDenied", botocore_presigned(expires=0))


@pytest.mark.parametrize(
    "name",
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"],
)
def test_A07_each_parameter_is_required_once(name):
    good = botocore_presigned()
    refused(ERROR, with_parameter(good, name, None))
    refused(ERROR, with_parameter(good, name, ""))
    value = dict(split_query(good.raw_query))[name.encode()].decode()
    for again in (name, name.lower(), name.replace("X", "%58")):
        refused(ERROR, replace(good, raw_query=good.raw_query + f"&{again}={value}".encode()))


def test_A08_not_valid_yet():
    request = botocore_presigned()
    judge(request, now=NOW - timedelta(minutes=15))
    error = refused("AccessDenied", request, now=NOW - timedelta(minutes=16))
    assert error.message == "Request is not valid yet"


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (1, "20261120", "Invalid credential date"),
        (1, "tomorrow", "incorrect date format"),
        (2, "eu-west-1", "the region"),
        (3, "s3tables", "incorrect service"),
        (4, "aws_request", "incorrect terminal"),
        (4, "aws4_request/x", "mal-formed"),
    ],
)
def test_A08_credential_scope(part, value, message):
    good = botocore_presigned()
    pieces = dict(split_query(good.raw_query))[b"X-Amz-Credential"].decode().split("%2F")
    pieces[part] = value
    error = refused(ERROR, with_parameter(good, "X-Amz-Credential", "/".join(pieces)))
    assert message in error.message
    if part == 2:
        assert error.fields["Region"] == REGION


@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE", "POST"])
def test_A09_other_method(method):
    refused("SignatureDoesNotMatch", replace(botocore_presigned("GET"), method=method))
    refused("SignatureDoesNotMatch", replace(botocore_presigned(method), method="GET"))


def test_A09_other_key():
    for path in (b"/bucket/key2", b"/bucket/./key", b"/bucket//key", b"/other/key", b"/bucket/key/"):
        refused("SignatureDoesNotMatch", replace(botocore_presigned(), raw_path=path))


@pytest.mark.parametrize(
    "added",
    ["versionId=1", "response-content-type=text%2Fhtml", "partNumber=1", "uploadId=x", "tagging", "acl", "x-id=a"],
)
def test_A09_added_query(added):
    good = botocore_presigned()
    for query in (good.raw_query + b"&" + added.encode(), added.encode() + b"&" + good.raw_query):
        refused("SignatureDoesNotMatch", replace(good, raw_query=query))


def test_A12_unsigned_header_is_refused_and_signed_one_is_good():
    refused("AccessDenied", botocore_presigned("PUT").with_header("x-amz-tagging", "a=b"))
    judge(botocore_presigned("PUT", headers={"x-amz-tagging": "a=b"}))


def test_A15_a_presigned_put_can_be_replayed_until_it_expires():
    request = botocore_presigned("PUT", expires=60)
    for seconds in (0, 30, 60):
        judge(request, now=NOW + timedelta(seconds=seconds))
    refused("AccessDenied", request, now=NOW + timedelta(seconds=61))


def test_R2_semicolon_is_no_separator():
    request = botocore_presigned(target="/bucket/key?versionId=a%3Bb")
    judge(request)
    refused("SignatureDoesNotMatch", replace(request, raw_query=request.raw_query.replace(b"a%3Bb", b"a&b")))


def test_R6_amz_parameters_act_as_headers():
    request = botocore_presigned("PUT", "/bucket/key?x-amz-acl=public-read&X-Amz-Meta-A=b%20c")
    signed = sigv4.parse(request, region=REGION, now=NOW)
    assert signed is not None
    assert signed.hoisted == {b"x-amz-acl": b"public-read", b"x-amz-meta-a": b"b c"}
    judge(request)
    judge(request.with_header("x-amz-acl", "public-read"))
    refused("InvalidRequest", request.with_header("x-amz-acl", "private"))
    refused(ERROR, replace(request, raw_query=request.raw_query + b"&X-Amz-Acl=private"))


def test_R6_payload_word_in_the_query_is_the_one_signed():
    digest = "ab" * 32
    with patch.object(S3SigV4QueryAuth, "payload", return_value=digest):
        request = botocore_presigned("PUT", f"/bucket/key?X-Amz-Content-Sha256={digest}")
    payload = judge(request)
    assert payload.mode is sigv4.PayloadMode.SIGNED
    assert payload.sha256 == bytes.fromhex(digest)
    refused("SignatureDoesNotMatch", with_parameter(request, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"))
