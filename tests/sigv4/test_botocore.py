"""botocore as the other side: what its S3 signers make must verify, whatever the path, query or headers."""

from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

import sigv4
from sigv4 import canonical
from tests.sigv4.support import SECRET, botocore_presigned, botocore_signed, judge, refused

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
KEYS = st.lists(st.one_of(TEXT, st.sampled_from(["", ".", "..", "%", "%2F", "a b", "+", "~", "ü"])), max_size=5).map(
    "/".join
)
# As a client might put it on the wire without asking botocore: botocore signs the path as it is.
RAW_PATHS = st.lists(
    st.sampled_from(
        ["a", "/", "//", "/./", "/../", "%2F", "%2f", "%252F", "+", "%20", "~", "%7E", "%C3%BC", "%c3%bc", "@", "="]
    ),
    max_size=12,
).map(lambda parts: "/b/" + "".join(parts))
QUERIES = st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=5).map(
    lambda pairs: [(f"q{name}", value) for name, value in pairs]
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(str.strip)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"])


def encoded(pairs):
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)


@settings(max_examples=150, deadline=None)
@given(METHODS, KEYS, QUERIES, VALUES, st.binary(max_size=50))
def test_header_auth_of_botocore_verifies(method, key, query, value, body):
    target = "/bucket/" + quote(key, safe="/~") + ("?" + encoded(query) if query else "")
    request = botocore_signed(method, target, {"x-amz-meta-note": value, "Content-Type": "text/plain"}, body)
    payload = judge(request)
    assert payload.mode is sigv4.PayloadMode.SIGNED
    assert payload.sha256 is not None
    refused("SignatureDoesNotMatch", request, secret=SECRET + "x")


@settings(max_examples=150, deadline=None)
@given(METHODS, RAW_PATHS)
@example("GET", "/b/%2F/../%252F/./+//~ü".replace("ü", "%C3%BC"))
def test_raw_path_is_signed_as_sent(method, path):
    judge(botocore_signed(method, path))
    judge(botocore_presigned(method, path))


@settings(max_examples=150, deadline=None)
@given(METHODS, KEYS, QUERIES)
def test_presigned_url_of_botocore_verifies(method, key, query):
    target = "/bucket/" + quote(key, safe="/~") + ("?" + encoded(query) if query else "")
    request = botocore_presigned(method, target)
    assert judge(request).mode is sigv4.PayloadMode.UNSIGNED
    refused("SignatureDoesNotMatch", request, secret=SECRET + "x")


def test_subresource_without_value_repeated_names_and_order():
    for query in ("acl", "acl=", "tagging&versionId=null", "a=2&a=1&a=", "B=1&a=1&A=2", "prefix=a+b", "prefix=%2b&x"):
        judge(botocore_signed("GET", f"/bucket/key?{query}"))


def test_client_that_signs_the_normalised_form_verifies():
    request = botocore_signed("GET", "/bucket/a%2Bb%20c%C3%BC~?prefix=a%2Fb%20c")
    for path in (b"/bucket/a+b%20c%c3%bc%7e", b"/bucket/a%2bb%20c%C3%BC~"):
        sent = type(request)(request.method, path, b"prefix=a/b%20c", request.headers)
        judge(sent)


def test_canonical_path_never_changes_the_resource():
    for raw in (b"/a/../b", b"//a//", b"/a%2Fb", b"/%2e%2E/", b"/%252e", b"/%", b"/%zz%4", b"/a+b c"):
        form = canonical.canonical_path(raw)
        assert canonical.percent_decode(form) == canonical.percent_decode(raw)
    assert canonical.canonical_path(b"/a%2fb") == b"/a%2Fb"
    assert canonical.canonical_path(b"") == b"/"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_canonical_forms_are_idempotent_and_keep_meaning(raw):
    form = canonical.canonical_path(raw)
    assert canonical.canonical_path(form) == form
    assert canonical.percent_decode(form) == (canonical.percent_decode(raw) or b"/")


def test_plus_in_a_query_means_a_space():
    request = botocore_signed("GET", "/bucket?prefix=a%20b")
    judge(type(request)(request.method, request.raw_path, b"prefix=a+b", request.headers))
    request = botocore_signed("GET", "/bucket?prefix=a%2Bb")
    refused("SignatureDoesNotMatch", type(request)(request.method, request.raw_path, b"prefix=a+b", request.headers))
