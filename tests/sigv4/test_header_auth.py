"""The Authorization header: the rules R3-R7, R10 and the attack cases A01-A16 that concern it."""

import inspect
from datetime import timedelta

import pytest

import sigv4
from sigv4 import signing
from tests.sigv4.support import (
    KEY,
    NOW,
    SCOPE,
    SECRET,
    STAMP,
    Request,
    botocore_presigned,
    botocore_signed,
    derived_key,
    hand_signed,
    judge,
    refused,
)

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def with_authorization(value: str) -> Request:
    return hand_signed().replacing("authorization", value)


def test_unsigned_request_is_anonymous():
    request = Request(headers=((b"host", b"h"),), raw_query=b"list-type=2&prefix=Signatures")
    assert sigv4.classify(request) is sigv4.AuthKind.ANONYMOUS
    assert sigv4.parse(request, region="us-east-1", now=NOW) is None


def test_classify_names_the_two_signed_kinds():
    assert sigv4.classify(hand_signed()) is sigv4.AuthKind.SIGV4_HEADER
    assert sigv4.classify(botocore_presigned()) is sigv4.AuthKind.SIGV4_QUERY


def test_A01_garbage_signature_with_unsigned_trailer():
    for signature in ("", "0" * 64, "x", "0" * 63, "0" * 65, "é" * 64, "0" * 63 + "\0"):
        good = hand_signed(
            "PUT", word="STREAMING-UNSIGNED-PAYLOAD-TRAILER", headers={"x-amz-trailer": "x-amz-checksum-crc32"}
        )
        value = good.header("authorization").rpartition("Signature=")[0] + "Signature=" + signature
        code = "SignatureDoesNotMatch" if signature else "AuthorizationHeaderMalformed"
        refused(code, good.replacing("authorization", value))


def test_A01_upper_case_signature():
    good = hand_signed()
    head, _, signature = good.header("authorization").rpartition("=")
    refused("SignatureDoesNotMatch", good.replacing("authorization", f"{head}={signature.upper()}"))


@pytest.mark.parametrize(
    "query", [b"X-Amz-Credential=a", b"X-Amz-Signature=a", b"x-amz-algorithm=a", b"%58-Amz-Signature=a"]
)
def test_A02_credentials_only_in_the_query_are_not_anonymous(query):
    error = refused("AuthorizationQueryParametersError", Request(raw_query=query, headers=((b"host", b"h"),)))
    assert "requires the X-Amz-Algorithm" in error.message


@pytest.mark.parametrize("word", ["", "UNSIGNED", "STREAMING-X", "unsigned-payload", EMPTY[:-1], EMPTY + "0", "z" * 64])
def test_A03_unknown_payload_word(word):
    refused("InvalidArgument", hand_signed(word=word))


def test_A03_streaming_words_are_marked_so_that_the_front_refuses_them_elsewhere():
    assert judge(hand_signed("PUT", word="STREAMING-UNSIGNED-PAYLOAD-TRAILER")).is_streaming
    assert not judge(hand_signed("PUT", word=EMPTY)).is_streaming


def test_R7_ecdsa_words_are_not_implemented():
    for suffix in ("", "-TRAILER"):
        refused("NotImplemented", hand_signed(word="STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" + suffix))


def test_R7_payload_word_is_required():
    request = hand_signed(signed=["host", "x-amz-date"]).replacing("x-amz-content-sha256", None)
    refused("InvalidRequest", request)


def test_A05_signed_hash_is_handed_out_for_comparison():
    payload = judge(hand_signed("PUT", word=EMPTY))
    assert payload.mode is sigv4.PayloadMode.SIGNED
    assert payload.sha256 == bytes.fromhex(EMPTY)
    assert payload.decoder(decoded_length=0, trailer_names=()) is None


@pytest.mark.parametrize("authorization", [f"AWS4-HMAC-SHA256 Credential={KEY}/{SCOPE}", "Bearer abc", "AWS a:b"])
def test_A04_header_and_query_together(authorization):
    request = botocore_presigned().with_header("authorization", authorization)
    error = refused("InvalidArgument", request)
    assert error.message.startswith("Only one auth mechanism allowed")
    assert "abc" not in str(error.fields)


@pytest.mark.parametrize("minutes", [-16, 16])
def test_A06_request_time_too_skewed(minutes):
    error = refused("RequestTimeTooSkewed", hand_signed(), now=NOW + timedelta(minutes=minutes))
    assert error.fields["MaxAllowedSkewMilliseconds"] == "900000"
    assert error.fields["RequestTime"] == STAMP
    assert error.fields["ServerTime"].endswith("Z")


@pytest.mark.parametrize("minutes", [-15, -14, 14, 15])
def test_A06_small_skew_is_accepted(minutes):
    judge(hand_signed(), now=NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (f"20261120/{SCOPE[9:]}", "Invalid credential date"),
        (SCOPE.replace("us-east-1", "eu-west-1"), "the region 'eu-west-1' is wrong; expecting 'us-east-1'"),
        (SCOPE.replace("/s3/", "/s3tables/"), 'incorrect service "s3tables"'),
        (SCOPE.replace("aws4_request", "aws_request"), 'incorrect terminal "aws_request"'),
        (SCOPE.replace("20261121", "2026112"), 'incorrect date format "2026112"'),
        (SCOPE.replace("20261121", "20261341"), "incorrect date format"),
        (SCOPE + "/x", "the Credential is mal-formed"),
        ("us-east-1/s3/aws4_request", "the Credential is mal-formed"),
    ],
)
def test_A08_credential_scope(scope, message):
    error = refused("AuthorizationHeaderMalformed", hand_signed(scope=scope))
    assert error.message.startswith("The authorization header is malformed; ")
    assert message in error.message
    assert error.fields == ({"Region": "us-east-1"} if "region" in message else {})


@pytest.mark.parametrize(
    "name",
    [
        "x-amz-acl",
        "x-amz-copy-source",
        "x-amz-security-token",
        "x-amz-bypass-governance-retention",
        "x-amz-storage-class",
    ],
)
def test_A10_unsigned_amz_header(name):
    for good in (hand_signed("PUT"), botocore_presigned("PUT")):
        error = refused("AccessDenied", good.with_header(name, "value"))
        assert error.message == "There were headers present in the request which were not signed"
        assert error.fields["HeadersNotSigned"] == name


def test_R3_content_type_need_not_be_signed():
    judge(hand_signed(extra=(("content-type", "text/plain"), ("user-agent", "x"), ("expect", "100-continue"))))


def test_A11_host_must_be_signed():
    error = refused("AccessDenied", hand_signed(signed=["x-amz-content-sha256", "x-amz-date"]))
    assert error.fields["HeadersNotSigned"] == "host"


def test_A11_signed_header_that_is_absent():
    names = ["host", "x-absent", "x-amz-content-sha256", "x-amz-date"]
    refused("SignatureDoesNotMatch", hand_signed(signed=names))


@pytest.mark.parametrize(
    "names",
    [
        ["host", "host", "x-amz-content-sha256", "x-amz-date"],
        ["x-amz-date", "host", "x-amz-content-sha256"],
        ["Host", "x-amz-content-sha256", "x-amz-date"],
        ["", "host", "x-amz-content-sha256", "x-amz-date"],
        ["ho st", "host"],
    ],
)
def test_A11_signed_headers_repeated_unsorted_upper_case(names):
    refused("AuthorizationHeaderMalformed", hand_signed(signed=names))


def test_A12_copy_source_added_to_a_presigned_put():
    refused("AccessDenied", botocore_presigned("PUT").with_header("x-amz-copy-source", "/other/key"))


def test_A13_session_token_is_reported_and_must_be_signed():
    signed = sigv4.parse(botocore_signed(token="session"), region="us-east-1", now=NOW)
    assert signed is not None
    assert signed.session_token == "session"
    assert "session" not in repr(signed)
    refused("AccessDenied", hand_signed().with_header("x-amz-security-token", "session"))


@pytest.mark.parametrize("key", ["A\0B", "A\nB", "A" * 129, "Ä", "A B", 'a"b'])
def test_A14_impossible_access_key_id_is_refused_before_any_lookup(key):
    refused("InvalidAccessKeyId", hand_signed(key=key))


def test_A14_slash_in_the_access_key_id():
    refused("AuthorizationHeaderMalformed", hand_signed(key="A/B"))


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("AWS AKID:c2ln", "InvalidRequest"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a, SignedHeaders=host, Signature=b", "NotImplemented"),
        ("Bearer eyJh", "InvalidArgument"),
        ("Basic dTpw", "InvalidArgument"),
        ("AWS HAHAHA", "InvalidArgument"),
        ("", "AccessDenied"),
        ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA512 Credential=a", "InvalidArgument"),
    ],
)
def test_A16_every_other_scheme_is_refused_and_never_anonymous(authorization, code):
    error = refused(code, with_authorization(authorization))
    assert "eyJh" not in str(error)
    with pytest.raises(sigv4.SignatureError):
        sigv4.classify(with_authorization(authorization))


@pytest.mark.parametrize("query", [b"AWSAccessKeyId=a&Expires=1&Signature=b", b"Signature=b", b"awsaccesskeyid=a"])
def test_A16_sigv2_query(query):
    refused("InvalidRequest", Request(raw_query=query))


@pytest.mark.parametrize("part", ["Credential", "SignedHeaders", "Signature"])
def test_missing_component(part):
    pieces = [piece for piece in hand_signed().header("authorization")[17:].split(", ") if not piece.startswith(part)]
    error = refused("AuthorizationHeaderMalformed", with_authorization("AWS4-HMAC-SHA256 " + ", ".join(pieces)))
    assert f"missing {part}." in error.message


def test_component_without_value_repeated_or_unknown():
    value = hand_signed().header("authorization")
    for wrong in (value + ", junk", value + ", a=b", value + ", Signature=0", value.replace("Signature=", "Signature")):
        refused("AuthorizationHeaderMalformed", with_authorization(wrong))


def test_components_without_spaces_verify():
    request = hand_signed()
    judge(request.replacing("authorization", request.header("authorization").replace(", ", ",")))


@pytest.mark.parametrize("stamp", ["", "20261121", "20261121T0930", "20261121T093015", "20261121T253015Z", "yesterday"])
def test_missing_or_bad_date(stamp):
    refused("AccessDenied", hand_signed(stamp=stamp))
    refused("AccessDenied", hand_signed(signed=["host", "x-amz-content-sha256"]).replacing("x-amz-date", None))


def test_R4_date_header_is_used_when_x_amz_date_is_absent():
    request = botocore_signed(headers={"Date": "Sat, 21 Nov 2026 09:30:15 GMT"})
    assert b"x-amz-date" not in dict(request.headers)
    judge(request)
    refused("AccessDenied", request.replacing("date", "the 21st"))


@pytest.mark.parametrize("name", ["authorization", "x-amz-date", "x-amz-content-sha256", "host"])
def test_duplicate_of_a_single_header(name):
    request = hand_signed()
    refused("InvalidRequest", request.with_header(name, request.header(name)))


def test_R3_values_are_trimmed_collapsed_and_joined():
    request = hand_signed(headers={"x-amz-meta-a": "b c,d"})
    spaced = request.replacing("x-amz-meta-a", "b   c").with_header("x-amz-meta-a", "d")
    judge(spaced)
    refused("SignatureDoesNotMatch", request.replacing("x-amz-meta-a", "bc,d"))


def test_A19_refusal_shows_what_was_seen_and_nothing_that_was_computed():
    request = hand_signed().replacing("host", "other.example.test")
    error = refused("SignatureDoesNotMatch", request)
    text = str(error) + repr(error.fields)
    assert "host:other.example.test" in error.fields["CanonicalRequest"]
    assert error.fields["StringToSign"].startswith(f"AWS4-HMAC-SHA256\n{STAMP}\n{SCOPE}\n")
    assert error.fields["AWSAccessKeyId"] == KEY
    assert error.fields["SignatureProvided"] in request.header("authorization")
    expected = signing.sign(derived_key(), error.fields["StringToSign"].encode()).decode()
    for secret in (SECRET, expected, derived_key().hex()):
        assert secret not in text


def test_echo_is_free_of_characters_xml_cannot_carry():
    request = hand_signed(
        extra=(("x-amz-meta-b", "\x01"),), signed=["host", "x-amz-content-sha256", "x-amz-date", "x-amz-meta-b"]
    )
    request = request.replacing("x-amz-meta-b", None)
    request = Request(
        request.method, b"/b/\xff\x01", request.raw_query, (*request.headers, (b"x-amz-meta-b", b"\x01\xff"))
    )
    error = refused("SignatureDoesNotMatch", request.replacing("x-amz-date", STAMP))
    assert all(character in "\n\t" or character >= " " for value in error.fields.values() for character in value)


def test_R11_signatures_are_compared_in_constant_time():
    """Every comparison goes through hmac.compare_digest: no other module compares a signature itself."""
    from sigv4 import chunked, post_policy, verification

    assert "compare_digest" in inspect.getsource(signing.matches)
    for module in (chunked, post_policy, verification):
        source = inspect.getsource(module)
        assert "signing.matches(" in source
        assert "signature ==" not in source
        assert "signature !=" not in source


def test_R11_signing_keys_are_cached_and_bounded():
    assert signing.signing_key.cache_info().maxsize == 4096
    assert signing.signing_key(SECRET, "20261121", "us-east-1", "s3") == derived_key()
    assert signing.signing_key("other", "20261121", "us-east-1", "s3") != derived_key()


def test_anonymous_payload_keeps_its_promise():
    def payload(*words):
        return sigv4.anonymous_payload(
            Request(headers=tuple((b"x-amz-content-sha256", word.encode()) for word in words))
        )

    assert payload().mode is sigv4.PayloadMode.UNSIGNED
    assert payload(EMPTY).sha256 == bytes.fromhex(EMPTY)
    assert payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER").is_streaming
    for words, code in (
        (("STREAMING-AWS4-HMAC-SHA256-PAYLOAD",), "InvalidRequest"),
        (("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",), "InvalidRequest"),
        (("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",), "NotImplemented"),
        (("nonsense",), "InvalidArgument"),
        ((EMPTY, EMPTY), "InvalidRequest"),
    ):
        with pytest.raises(sigv4.SignatureError) as caught:
            payload(*words)
        assert caught.value.code == code


def test_oversized_components_are_refused_or_not_remembered():
    from sigv4 import authorization

    refused("AuthorizationHeaderMalformed", hand_signed(key="A" * 600))
    many = {f"x-amz-meta-{number:03}": "v" for number in range(100)}
    before = authorization._signed_headers.cache_info().currsize
    judge(hand_signed(headers=many))
    assert authorization._signed_headers.cache_info().currsize == before
    refused("AuthorizationHeaderMalformed", hand_signed(signed=[f"h{number:04}" for number in range(1000)]))
