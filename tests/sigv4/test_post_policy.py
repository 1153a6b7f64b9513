"""Browser forms: rule R9 and the attack cases F01, F02 and security.md D that need no body."""

import base64
import json
from datetime import timedelta

import pytest
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

import sigv4
from sigv4.post_policy import parse_policy
from tests.sigv4.support import KEY, NOW, REGION, SCOPE, SECRET, STAMP, derived_key, mac

EXPIRATION = "2026-11-21T10:00:00.000Z"


def signed_form(conditions, fields=(), *, expiration=EXPIRATION, document=None, scope=SCOPE, add_conditions=True):
    """The fields of a form, as a browser would send them. ``document`` replaces the whole policy."""
    given_fields = {"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": f"{KEY}/{scope}", "x-amz-date": STAMP}
    own = [{name: value} for name, value in given_fields.items()] if add_conditions else []
    if document is None:
        document = json.dumps({"expiration": expiration, "conditions": [*conditions, *own]})
    policy = base64.b64encode(document.encode() if isinstance(document, str) else document).decode()
    signature = mac(derived_key(scope=scope), policy).hex()
    return [*fields, *given_fields.items(), ("policy", policy), ("x-amz-signature", signature)]


def judge(form, *, bucket="bucket", now=NOW, secret=SECRET):
    signed = sigv4.parse_form(form, region=REGION)
    assert signed is not None
    assert signed.access_key_id == KEY
    return sigv4.verify_form(signed, secret, bucket=bucket, now=now)


def refused(code, form, text="", **options):
    with pytest.raises(sigv4.SignatureError) as caught:
        judge(form, **options)
    assert caught.value.code == code, caught.value
    assert text in caught.value.message
    return caught.value


GOOD = ([{"bucket": "bucket"}, ["starts-with", "$key", "up/"]], [("key", "up/a")])


def test_form_of_botocore_verifies():
    from unittest.mock import patch

    request = AWSRequest(method="POST", url="http://s3.example.test/bucket")
    request.context["s3-presign-post-fields"] = {"key": "up/a", "acl": "private"}
    request.context["s3-presign-post-policy"] = {
        "expiration": EXPIRATION,
        "conditions": [{"bucket": "bucket"}, {"key": "up/a"}, {"acl": "private"}, ["content-length-range", 1, 1024]],
    }
    with patch("botocore.auth.get_current_datetime", return_value=NOW):
        S3SigV4PostAuth(Credentials(KEY, SECRET), "s3", REGION).add_auth(request)
    form = list(request.context["s3-presign-post-fields"].items())
    assert judge(form).content_length_range == (1, 1024)
    refused("SignatureDoesNotMatch", form, secret="other")


def test_form_without_authentication_is_anonymous():
    assert sigv4.parse_form([("key", "a"), ("acl", "private")], region=REGION) is None


@pytest.mark.parametrize("name", ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"])
def test_partly_signed_form_is_never_anonymous(name):
    form = [pair for pair in signed_form(*GOOD) if pair[0] != name]
    refused("InvalidArgument", form, f"must contain a field named '{name}'")
    with pytest.raises(sigv4.SignatureError):
        sigv4.parse_form([(name, "x")], region=REGION)


def test_sigv2_and_sigv4a_forms():
    for name in ("AWSAccessKeyId", "signature"):
        refused("InvalidRequest", [(name, "x"), ("key", "a")])
    form = [(n, "AWS4-ECDSA-P256-SHA256" if n == "x-amz-algorithm" else v) for n, v in signed_form(*GOOD)]
    refused("NotImplemented", form)


def test_names_and_operators_without_case():
    conditions = [
        {"bUcKeT": "bucket"},
        ["StArTs-WiTh", "$KeY", "up/"],
        {"AcL": "private"},
        ["Content-Length-Range", 0, 9],
    ]
    form = signed_form(conditions, [("kEy", "up/a"), ("aCl", "private")])
    judge([(name.upper(), value) for name, value in form])


def test_signature_over_the_text_as_sent():
    form = signed_form(*GOOD)
    policy = dict(form)["policy"]
    spaced = base64.b64encode(base64.b64decode(policy) + b" ").decode()
    refused("SignatureDoesNotMatch", [(n, spaced if n == "policy" else v) for n, v in form])
    error = refused("SignatureDoesNotMatch", [(n, "0" * 64 if n == "x-amz-signature" else v) for n, v in form])
    assert error.fields["StringToSign"] == policy
    assert mac(derived_key(), policy).hex() not in repr(error.fields)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (SCOPE.replace("us-east-1", "eu-west-1"), "the region"),
        (SCOPE.replace("/s3/", "/sqs/"), "incorrect service"),
        (SCOPE.replace("aws4_request", "x"), "incorrect terminal"),
        (SCOPE.replace("20261121", "20261120"), "not the same as X-Amz-Date"),
    ],
)
def test_credential_scope(change, text):
    refused("InvalidArgument", signed_form(*GOOD, scope=change), text)


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        ([{"bucket": "other"}, ["starts-with", "$key", ""]], [("key", "a")]),
        ([{"bucket": "bucket"}, ["starts-with", "$key", "up/"]], [("key", "down/a")]),
        ([{"bucket": "bucket"}, ["eq", "$key", "a"]], [("key", "A")]),
        ([{"bucket": "bucket"}, {"key": "a"}, {"acl": "private"}], [("key", "a"), ("acl", "public-read")]),
        ([{"bucket": "bucket"}, {"key": "a"}, ["starts-with", "$x-amz-meta-a", ""]], [("key", "a")]),
        (
            [{"bucket": "bucket"}, {"key": "a"}, ["starts-with", "$Content-Type", "image/"]],
            [("key", "a"), ("Content-Type", "image/png,text/html")],
        ),
    ],
)
def test_F01_each_condition_violated_singly(conditions, fields):
    refused("AccessDenied", signed_form(conditions, fields), "Policy Condition failed")


def test_F01_field_not_covered():
    error = refused("AccessDenied", signed_form(GOOD[0], [*GOOD[1], ("acl", "public-read")]), "Extra input fields: acl")
    assert error.message.startswith("Invalid according to Policy: ")
    judge(signed_form(GOOD[0], [*GOOD[1], ("x-ignore-this", "1")]))


def test_F01_bucket_swapped_or_not_covered():
    refused("AccessDenied", signed_form(*GOOD), bucket="other")
    refused("AccessDenied", signed_form([["starts-with", "$key", ""]], [("key", "a")]), "bucket")
    form = signed_form([["starts-with", "$bucket", "b"], ["starts-with", "$key", ""]], [("key", "a"), ("bucket", "b2")])
    refused("AccessDenied", form, "Policy Condition failed")


def test_F01_expired():
    judge(signed_form(*GOOD), now=NOW + timedelta(minutes=29))
    refused("AccessDenied", signed_form(*GOOD), "Policy expired", now=NOW + timedelta(minutes=30, seconds=1))


@pytest.mark.parametrize("name", ["key", "KEY", "policy"])
def test_duplicate_field(name):
    refused("InvalidArgument", [*signed_form(*GOOD), (name, "x")], "more than once")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "null",
        b"\xff\xfe{\x00}\x00",
        '{"expiration": "2026-11-21T10:00:00Z"}',
        '{"conditions": []}',
        '{"EXPIRATION": "2026-11-21T10:00:00Z", "conditions": []}',
        '{"expiration": "2026-11-21T10:00:00Z", "CONDITIONS": []}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [], "more": 1}',
        '{"expiration": "2026-11-21T10:00:00Z", "expiration": "2036-11-21T10:00:00Z", "conditions": []}',
        '{"expiration": "tomorrow", "conditions": []}',
        '{"expiration": "2026-11-21T10:00:00", "conditions": []}',
        '{"expiration": 5, "conditions": []}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": {}}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [5]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [{}]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [{"a": "b", "c": "d"}]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [{"a": 5}]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [[]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["eq", "$a"]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["eq", "a", "b"]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["ends-with", "$a", "b"]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["content-length-range", 1]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["content-length-range", -1, 5]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["content-length-range", 6, 5]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["content-length-range", true, 5]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [["content-length-range", "x", 5]]}',
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"expiration": "2026-11-21T10:00:00Z", "conditions": [' + '{"a": "b"},' * 50_000 + "{}]}",
    ],
    ids=range(30),
)
def test_F01_malformed_policy(document):
    form = signed_form((), [("key", "a")], document=document)
    if not document:
        form = [(name, "=" if name == "policy" else value) for name, value in form]
        with pytest.raises(sigv4.SignatureError) as caught:
            parse_policy(b"")
        assert caught.value.code == "InvalidPolicyDocument"
        return
    refused("InvalidPolicyDocument", form, "Invalid Policy: ")


@pytest.mark.parametrize("policy", [b"%%%", b"a", b"e30", b"e30=\n", "ü".encode()])
def test_F01_policy_that_is_no_base64(policy):
    with pytest.raises(sigv4.SignatureError) as caught:
        parse_policy(policy)
    assert caught.value.code == "InvalidPolicyDocument"


@pytest.mark.parametrize(("first", "second"), [((0, 10), ("5", "20"))])
def test_content_length_range_is_a_bound_and_ranges_intersect(first, second):
    conditions = [*GOOD[0], ["content-length-range", *first], ["content-length-range", *second]]
    assert judge(signed_form(conditions, GOOD[1])).content_length_range == (5, 10)
    assert judge(signed_form(*GOOD)).content_length_range is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=6), st.binary(max_size=200))
def test_any_form_is_judged_without_another_exception(fields, junk):
    for form in (fields, [*fields, *signed_form((), document=junk)], [*signed_form(*GOOD), *fields]):
        try:
            signed = sigv4.parse_form(form, region=REGION)
            if signed is not None:
                sigv4.verify_form(signed, SECRET, bucket="bucket", now=NOW)
        except sigv4.SignatureError:
            pass
