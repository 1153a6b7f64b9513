"""The choke point: who a request is from, and every reason to refuse it."""

import ast
import inspect
from datetime import timedelta

import pytest

import sigv4
from gateway.auth import identify
from gateway.auth.bearer import TokenKeys, TokenVerifier
from gateway.auth.credentials import ROLES, CredentialStore
from gateway.auth.identify import Identify, storage_error
from gateway.auth.jwt import TokenRules
from gateway.context import AuthMethod, Principal, Tenant
from gateway.errors import CATALOGUE, StorageError
from tests.sigv4.support import KEY, NOW, REGION, SECRET, Request, botocore_presigned, botocore_signed, hand_signed
from tests.sigv4.test_legacy_form import signed_form
from tests.sigv4.test_post_policy import GOOD
from tests.sigv4.test_post_policy import signed_form as signed_v4_form
from tests.unit.auth.stored import Stored
from tests.unit.auth.test_jwt import GOOD as TOKEN_CLAIMS
from tests.unit.auth.test_jwt import NOW as TOKEN_NOW
from tests.unit.auth.test_jwt import SECRET as TOKEN_SECRET
from tests.unit.auth.test_jwt import sign

TENANT = Tenant("default", REGION)


class Source:
    def __init__(self, **changes):
        self.asked = 0
        self.key = Stored(**{"access_key_id": KEY, "secret": SECRET, "role": "authenticated", **changes})

    async def find_key(self, access_key_id):
        self.asked += 1
        return self.key if access_key_id == self.key.access_key_id else None


def identifier(source=None, **options):
    return Identify(TENANT, CredentialStore(source or Source()), lambda: NOW, **options)


async def refused(code, request, source=None, **options):
    with pytest.raises(StorageError) as caught:
        await identifier(source, **options)(request)
    assert caught.value.code.name == code
    return caught.value


@pytest.mark.parametrize(
    ("request_", "method"),
    [(botocore_signed(), AuthMethod.SIGV4_HEADER), (botocore_presigned(), AuthMethod.SIGV4_QUERY)],
    ids=["header", "query"],
)
async def test_signed_request_has_the_principal_of_its_key(request_, method):
    source = Source(subject="user-1", display_name="One", claims={"team": "a"})
    identity = await identifier(source)(request_)
    assert identity.principal == Principal("default", "authenticated", method, "user-1", {"team": "a"}, KEY, "One")
    assert isinstance(identity.payload, sigv4.Payload)


async def test_unsigned_request_is_anon_and_asks_for_no_key():
    source = Source()
    identity = await identifier(source)(Request(headers=((b"host", b"h"),)))
    assert identity.principal == Principal("default", "anon", AuthMethod.ANONYMOUS)
    assert identity.payload.mode is sigv4.PayloadMode.UNSIGNED
    assert source.asked == 0


async def test_unknown_key():
    error = await refused("InvalidAccessKeyId", botocore_signed(), Source(access_key_id="OTHER"))
    assert error.fields == {"AWSAccessKeyId": KEY}


async def test_key_that_expired_since_it_was_cached():
    await refused("InvalidAccessKeyId", botocore_signed(), Source(expires_at=NOW))
    await identifier(Source(expires_at=NOW + timedelta(seconds=1)))(botocore_signed())


async def test_wrong_secret():
    error = await refused("SignatureDoesNotMatch", botocore_signed(), Source(secret="wrongwrong"))
    assert "CanonicalRequest" in error.fields
    assert "wrongwrong" not in repr(error.fields)


@pytest.mark.parametrize("role", ["postgres", "rowlock_engine", "", "service_role; drop"])
async def test_role_outside_the_allow_list(role):
    await refused("AccessDenied", botocore_signed(), Source(role=role))


async def test_session_token():
    await refused("InvalidToken", botocore_signed(token="t"))
    await refused("InvalidToken", Request(headers=((b"host", b"h"), (b"x-amz-security-token", b"t"))))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (hand_signed(scope="20261121/mars/s3/aws4_request"), "AuthorizationHeaderMalformed"),
        (hand_signed().with_header("x-amz-acl", "private"), "AccessDenied"),
        (Request(headers=((b"authorization", b"Bearer x"),)), "InvalidArgument"),
        (Request(headers=((b"authorization", b"AWS a:b"),)), "InvalidRequest"),
        (Request(raw_query=b"X-Amz-Signature=x"), "AuthorizationQueryParametersError"),
        (hand_signed(key="A" * 200), "InvalidAccessKeyId"),
    ],
)  # fmt: skip
async def test_inconsistent_request_is_refused_without_asking_for_a_key(request_, code):
    source = Source()
    await refused(code, request_, source)
    assert source.asked == 0


async def test_stale_request():
    now = NOW + timedelta(minutes=20)
    with pytest.raises(StorageError) as caught:
        await Identify(TENANT, CredentialStore(Source()), lambda: now)(botocore_signed())
    assert caught.value.code.status == 403
    assert caught.value.fields["MaxAllowedSkewMilliseconds"] == "900000"


def test_every_refusal_of_sigv4_is_in_the_catalogue():
    """Each code that the package can raise is found in its source and known here."""
    import sigv4.authorization
    import sigv4.chunked
    import sigv4.errors
    import sigv4.payload
    import sigv4.post_policy
    import sigv4.presigned
    import sigv4.verification

    modules = (
        sigv4.authorization, sigv4.chunked, sigv4.errors, sigv4.payload, sigv4.post_policy, sigv4.presigned,
        sigv4.verification,
    )  # fmt: skip
    codes = set()
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SignatureError" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    codes.add(first.value)
    codes |= {source.value[0] for source in sigv4.authorization.Source}
    assert {"SignatureDoesNotMatch", "IncompleteBody", "InvalidPolicyDocument", "NotImplemented"} <= codes
    for code in codes:
        assert code in CATALOGUE
        assert storage_error(sigv4.SignatureError(code, "m", {"Region": "x"})).fields == {"Region": "x"}


def test_every_kind_of_authentication_is_a_case():
    source = inspect.getsource(identify)
    assert "assert_never" in source
    for kind in sigv4.AuthKind:
        assert f"case AuthKind.{kind.name}" in source


class TestForms:
    """The v4 form of tests/sigv4, and the old one."""

    @staticmethod
    def v4(**options):
        return signed_v4_form(*GOOD, **options)

    async def refused(self, code, form, source=None, **options):
        with pytest.raises(StorageError) as caught:
            await identifier(source, **options).form(form, bucket="bucket")
        assert caught.value.code.name == code
        return caught.value

    async def test_signed_form_has_the_principal_of_its_key(self):
        source = Source(subject="user-1", display_name="One", claims={"team": "a"})
        identity = await identifier(source).form(self.v4(), bucket="bucket")
        method = AuthMethod.POST_POLICY
        assert identity.principal == Principal("default", "authenticated", method, "user-1", {"team": "a"}, KEY, "One")
        assert identity.fields["key"] == "up/a"

    async def test_form_without_a_signature_is_anon_and_asks_for_no_key(self):
        source = Source()
        identity = await identifier(source).form([("Key", "a")], bucket="bucket")
        assert identity.principal == Principal("default", "anon", AuthMethod.ANONYMOUS)
        assert (identity.fields, identity.content_length_range, source.asked) == ({"key": "a"}, None, 0)

    async def test_form_is_refused(self):
        await self.refused("AccessDenied", self.v4(expiration="2001-01-01T00:00:00Z"))
        await self.refused("AccessDenied", self.v4(), Source(role="postgres"))
        await self.refused("InvalidAccessKeyId", self.v4(), Source(access_key_id="other"))
        await self.refused("InvalidAccessKeyId", self.v4(), Source(expires_at=NOW))
        await self.refused("SignatureDoesNotMatch", self.v4(), Source(secret="other"))
        await self.refused("InvalidToken", [*self.v4(), ("X-Amz-Security-Token", "t")])
        await self.refused("InvalidArgument", [("key", "a"), ("Key", "b")])

    async def test_sigv2_form_only_where_it_is_allowed(self):
        source = Source()
        await self.refused("InvalidRequest", signed_form(), source)
        assert source.asked == 0
        identity = await identifier(source, allow_sigv2_post=True).form(signed_form(), bucket="bucket")
        assert (identity.principal.method, identity.principal.access_key_id) == (AuthMethod.POST_POLICY, KEY)
        await self.refused("SignatureDoesNotMatch", signed_form(), Source(secret="other"), allow_sigv2_post=True)
        await self.refused("SignatureDoesNotMatch", self.v4(), Source(secret="other"), allow_sigv2_post=True)
        both = [*signed_form(), ("x-amz-signature", "x")]
        await self.refused("InvalidRequest", both, source, allow_sigv2_post=True)


def with_tokens():
    return identifier(tokens=TokenVerifier(TokenKeys((TOKEN_SECRET,)), TokenRules(ROLES), clock=lambda: TOKEN_NOW))


async def test_bearer_token_has_the_principal_of_its_user():
    found = await with_tokens().bearer(sign(TOKEN_CLAIMS))
    assert found == Principal("default", "authenticated", AuthMethod.BEARER, "user-1", TOKEN_CLAIMS)


async def test_without_a_bearer_token_the_caller_is_anon():
    assert await with_tokens().bearer(None) == Principal("default", "anon", AuthMethod.ANONYMOUS)


async def test_bearer_token_is_refused_where_none_is_offered():
    with pytest.raises(StorageError) as caught:
        await identifier().bearer(sign(TOKEN_CLAIMS))
    assert caught.value.code.name == "InvalidToken"
