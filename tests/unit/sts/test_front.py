"""The STS front: which requests are its own, and that nothing a client sends is the server's failure."""

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.bearer import TokenKeys, TokenVerifier
from gateway.auth.credentials import ROLES
from gateway.auth.jwt import TokenRules
from gateway.context import Tenant
from gateway.sts.actions import Actions
from gateway.sts.front import StsFront
from gateway.telemetry.events import RequestLog
from gateway.wire.body import BodyLimits
from tests.sigv4.support import NOW, REGION
from tests.unit.auth.test_identify import identifier
from tests.unit.auth.test_jwt import GOOD, SECRET, sign
from tests.unit.auth.test_jwt import NOW as TOKEN_NOW
from tests.unit.auth.test_sessions import TEMPORARY

FORM = b"application/x-www-form-urlencoded"
ROLE = "arn:aws:iam::000000000000:role/authenticated"
NAMES = ["RoleArn", "RoleSessionName", "WebIdentityToken", "DurationSeconds", "Policy", "SourceIdentity", "Other"]


class Otherwise:
    def __init__(self):
        self.called = 0

    async def __call__(self, scope, receive, send):
        self.called += 1


def front(otherwise=None, domain=None):
    tokens = TokenVerifier(TokenKeys((SECRET,)), TokenRules(ROLES), clock=lambda: TOKEN_NOW)
    actions = Actions(Tenant("default", REGION), tokens, TEMPORARY, lambda: NOW)
    judge = identifier(tokens=tokens, temporary_keys=TEMPORARY)
    return StsFront(
        judge, actions, otherwise or Otherwise(), domain=domain, body_limits=BodyLimits(), send_idle_seconds=5
    )


async def ask(application, body=b"", method="POST", query=b"", content_type=FORM, host=b"h", path=b"/"):
    """Status and body of the answer; (None, b"") when there was none."""
    headers = [(b"host", host), (b"content-length", b"%d" % len(body))]
    if content_type is not None:
        headers.append((b"content-type", content_type))
    scope = {
        "type": "http", "method": method, "raw_path": path, "query_string": query, "headers": headers,
        "scheme": "http", "client": ("127.0.0.1", 1), "rowlock.log": RequestLog(), "rowlock.request_id": "R",
    }  # fmt: skip
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    status, content = None, b""

    async def receive():
        return messages.pop(0)

    async def send(message):
        nonlocal status, content
        status = message.get("status", status)
        content += message.get("body", b"")

    await application(scope, receive, send)
    return status, content


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "GET"},
        {"method": "GET", "query": b"prefix=Action"},
        {"method": "PUT"},
        {"method": "HEAD", "query": b"Action=x"},
        {"content_type": None},
        {"content_type": b"multipart/form-data; boundary=x"},
        {"path": b"/bucket"},
        {"path": b"//"},
        {"host": b"bucket.s3.example.com"},
        {"host": b"b@d"},
    ],
)
async def test_what_is_not_of_sts_is_left_to_s3(request_):
    otherwise = Otherwise()
    assert await ask(front(otherwise, "s3.example.com"), **request_) == (None, b"")
    assert otherwise.called == 1


async def test_web_identity_gives_credentials_that_open():
    token = sign({**GOOD, "iss": "https://issuer", "aud": "me"})
    form = {"RoleArn": ROLE, "RoleSessionName": "me", "WebIdentityToken": token, "DurationSeconds": "900"}
    body = urlencode({"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", **form}).encode()
    status, content = await ask(front(), body)
    assert status == 200

    def element(name):
        return content.partition(f"<{name}>".encode())[2].partition(b"<")[0].decode()

    session, secret = TEMPORARY.open(element("AccessKeyId"), element("SessionToken"))
    assert secret == element("SecretAccessKey")
    assert (session.role, session.subject, session.parent) == ("authenticated", "user-1", None)
    assert session.expires_at == NOW + timedelta(seconds=900)
    assert (element("Provider"), element("Audience"), element("SubjectFromWebIdentityToken")) == (
        "https://issuer",
        "me",
        "user-1",
    )


async def test_subject_that_XML_cannot_hold_is_shown_without_it():
    token = sign({**GOOD, "sub": "a\x01<b>&\ufffe"})
    form = {"RoleArn": ROLE, "RoleSessionName": "me", "WebIdentityToken": token}
    body = urlencode({"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", **form}).encode()
    status, content = await ask(front(), body)
    assert status == 200
    assert "<SubjectFromWebIdentityToken>a\ufffd&lt;b&gt;&amp;\ufffd<".encode() in content


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
async def test_any_body_is_answered_with_a_4xx(body):
    status, content = await ask(front(), body)
    assert 400 <= status < 500
    assert content.startswith(b"<ErrorResponse ")


@given(
    st.sampled_from(["AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken", "GetCallerIdentity", "Nothing"]),
    st.dictionaries(st.sampled_from(NAMES), st.text(max_size=50) | st.sampled_from([ROLE, "me", "900", sign(GOOD)])),
)
@settings(max_examples=300, deadline=None)
async def test_any_parameters_are_answered_without_a_failure(action, parameters):
    body = urlencode({"Action": action, "Version": "2011-06-15", **parameters}, errors="surrogatepass").encode()
    status, content = await ask(front(), body)
    assert status == 200 or 400 <= status < 500
    assert content.startswith(b"<")
