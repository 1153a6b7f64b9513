"""What the head of a request names: keys, hosts, and what is believed of proxies."""

import pytest
from pydantic import ValidationError

from gateway.config import Settings
from gateway.tenants.resolution import HeadReader, HostPattern, host_name


def read(headers=(), query=b"", client="203.0.113.9", **settings):
    scope = {"headers": list(headers), "query_string": query, "client": (client, 1)}
    return HeadReader(Settings(**settings)).read(scope)


CREDENTIAL = b"AWS4-HMAC-SHA256 Credential=%s/20261121/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ([(b"authorization", CREDENTIAL % b"AKID")], b"", "AKID"),
        ([(b"authorization", CREDENTIAL % b"AK@ID:1")], b"", "AK@ID:1"),
        ([(b"authorization", b"AWS4-HMAC-SHA256 SignedHeaders=host,Credential=AKID/x")], b"", "AKID"),
        ([], b"X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Fs3%2Faws4_request", "AKID"),
        ([], b"a=b&X-Amz-Credential=AKID/20261121/us-east-1", "AKID"),
        ([], b"x-amz-credential=AKID%2F", None),
        ([], b"X-Amz-Credential=", None),
        ([(b"authorization", b"AWS AKID:sig")], b"", None),
        ([(b"authorization", b"Bearer token")], b"", None),
        ([(b"authorization", b"\xff\xfe")], b"", None),
        ([], b"", None),
    ],
)
def test_access_key_id(headers, query, expected):
    assert read(headers, query).access_key_id == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"S3.Example.com:9000", "s3.example.com"),
        (b"tenant_1.example", "tenant_1.example"),
        (b"[::1]:9000", None),
        (b"a/b", None),
        (b"a@b", None),
        (b"a b", None),
        (b"\xff", None),
        (b"", None),
        (None, None),
    ],
)
def test_host_name(value, expected):
    assert host_name(value) == expected


FORWARDED = [(b"host", b"inner:9000"), (b"x-forwarded-host", b"evil.example, a.example"), (b"x-tenant", b"acme")]


def test_strangers_forwarded_host_and_header_are_not_believed():
    named = read(FORWARDED, tenant_header="X-Tenant")
    assert (named.host, named.tenant_header) == ("inner", None)
    named = read(FORWARDED, tenant_header="X-Tenant", trusted_proxies="10.0.0.0/8, ::1/128", client="10.0.0.1:x")
    assert (named.host, named.tenant_header) == ("inner", None)


def test_trusted_proxys_last_forwarded_host_and_header_are_believed():
    for client in ("10.1.2.3", "::1"):
        named = read(FORWARDED, tenant_header="X-Tenant", trusted_proxies="10.0.0.0/8, ::1/128", client=client)
        assert (named.host, named.tenant_header) == ("a.example", "acme")


def test_header_that_is_not_configured_names_nobody():
    assert read(FORWARDED, trusted_proxies="0.0.0.0/0").tenant_header is None


def test_pattern_matches_the_whole_host():
    pattern = HostPattern(r"(?P<tenant>[a-z0-9-]+)\.s3\.example\.com")
    assert pattern.tenant("acme.s3.example.com") == "acme"
    for host in ("acme.s3.example.com.evil.test", "x.acme.s3.example.com", "s3.example.com", "acme.s3.exampleXcom"):
        assert pattern.tenant(host) is None
    assert HostPattern(r"([a-z]+)\.test").tenant("acme.test") == "acme"
    assert HostPattern(None).tenant("acme.test") is None


@pytest.mark.parametrize(
    "settings",
    [
        {"tenant_host_pattern": "("},
        {"tenant_host_pattern": "no-group"},
        {"trusted_proxies": "10.0.0.0/8, nonsense"},
        {"tenant_header": "a b"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings):
    with pytest.raises(ValidationError):
        Settings(**settings)
