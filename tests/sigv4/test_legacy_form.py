"""Forms signed with HMAC-SHA1: only the arithmetic and the policy; whether they are allowed is the gateway's affair."""

import base64
import hashlib
import hmac
import json

import pytest

import sigv4
from tests.sigv4.support import KEY, NOW, SECRET

EXPIRATION = "2026-11-21T10:00:00.000Z"
CONDITIONS = [{"bucket": "bucket"}, ["starts-with", "$key", "up/"]]


def signed_form(conditions=CONDITIONS, fields=(("key", "up/a"),), *, secret=SECRET, expiration=EXPIRATION):
    policy = base64.b64encode(json.dumps({"expiration": expiration, "conditions": conditions}).encode()).decode()
    signature = base64.b64encode(hmac.digest(secret.encode(), policy.encode(), hashlib.sha1)).decode()
    return [*fields, ("AWSAccessKeyId", KEY), ("policy", policy), ("signature", signature)]


def judge(form, *, bucket="bucket"):
    parsed = sigv4.parse_legacy_form(form)
    assert parsed is not None
    assert parsed.access_key_id == KEY
    return sigv4.verify_legacy_form(parsed, SECRET, bucket=bucket, now=NOW)


def refused(code, form, **options):
    with pytest.raises(sigv4.SignatureError) as caught:
        judge(form, **options)
    assert caught.value.code == code, caught.value
    return caught.value


def test_signature_of_the_aws_documentation():
    """HTTPPOSTExamples.html has no secret of ours; RFC 2202 case 2 pins the arithmetic."""
    mac = hmac.digest(b"Jefe", b"what do ya want for nothing?", hashlib.sha1)
    assert mac.hex() == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"


def test_good_form():
    assert judge(signed_form([*CONDITIONS, ["content-length-range", 1, 2]])).content_length_range == (1, 2)


def test_forms_of_other_kinds_are_not_this_one():
    assert sigv4.parse_legacy_form([("key", "a")]) is None
    assert sigv4.parse_legacy_form([("policy", "p"), ("x-amz-signature", "s")]) is None


def test_wrong_signature_shows_no_right_one():
    error = refused("SignatureDoesNotMatch", signed_form(secret="other"))
    right = dict(signed_form())["signature"]
    assert right not in str(error.fields)


@pytest.mark.parametrize("name", ["AWSAccessKeyId", "policy", "signature"])
def test_missing_field(name):
    error = refused("InvalidArgument", [pair for pair in signed_form() if pair[0] != name])
    assert error.fields["ArgumentName"] == name


def test_both_kinds_at_once():
    refused("InvalidRequest", [*signed_form(), ("x-amz-signature", "x")])


def test_policy_is_held_against_the_form():
    refused("AccessDenied", signed_form(fields=[("key", "other")]))
    refused("AccessDenied", signed_form(fields=[("key", "up/a"), ("acl", "private")]))
    refused("AccessDenied", signed_form(), bucket="another")
    refused("AccessDenied", signed_form(expiration="2001-01-01T00:00:00Z"))
    refused("InvalidPolicyDocument", signed_form(expiration="soon"))
    refused("InvalidArgument", [*signed_form(), ("KEY", "up/b")])
