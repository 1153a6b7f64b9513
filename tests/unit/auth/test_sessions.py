"""Whom a signature with a session token stands for: a user, temporary credentials of a user, or those of a key."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.auth.bearer import TokenKeys, TokenVerifier
from gateway.auth.credentials import ROLES, Credential
from gateway.auth.identify import Identify
from gateway.auth.jwt import TokenRules
from gateway.auth.restrictions import KeyRestriction
from gateway.auth.temporary import TemporaryKeys, TemporarySession
from gateway.context import AuthMethod, Principal, Tenant
from gateway.errors import StorageError
from tests.sigv4.support import HOST, KEY, NOW, REGION, from_aws
from tests.unit.auth.test_identify import Source, identifier
from tests.unit.auth.test_jwt import GOOD as TOKEN_CLAIMS
from tests.unit.auth.test_jwt import NOW as TOKEN_NOW
from tests.unit.auth.test_jwt import SECRET as TOKEN_SECRET
from tests.unit.auth.test_jwt import sign

ANON_KEY = "anon-key-of-the-tenant"
TEMPORARY = TemporaryKeys([b"m" * 32])


def whole(source=None, **options):
    """An identifier that offers everything, at the time signed requests are of."""
    tokens = TokenVerifier(TokenKeys((TOKEN_SECRET,)), TokenRules(ROLES), clock=lambda: TOKEN_NOW)
    return identifier(source, **{"tokens": tokens, "anon_key": ANON_KEY, "temporary_keys": TEMPORARY, **options})


def signed_by(access_key_id, secret, token, presigned=False):
    request = AWSRequest(method="GET", url=f"http://{HOST}/bucket/key")
    keys = Credentials(access_key_id, secret, token)
    with patch("botocore.auth.get_current_datetime", return_value=NOW):
        signer = S3SigV4QueryAuth(keys, "s3", REGION, expires=600) if presigned else S3SigV4Auth(keys, "s3", REGION)
        signer.add_auth(request)
    return from_aws(request)


def session(**changes):
    values = {"tenant_id": "default", "name": "n", "expires_at": NOW + timedelta(hours=1), **changes}
    return TEMPORARY.issue(TemporarySession(**values))


@pytest.mark.parametrize("presigned", [False, True], ids=["header", "query"])
async def test_session_token_has_the_principal_of_its_user(presigned):
    found = await whole()(signed_by("default", ANON_KEY, sign(TOKEN_CLAIMS), presigned))
    method = AuthMethod.SIGV4_QUERY if presigned else AuthMethod.SIGV4_HEADER
    assert found.principal == Principal("default", "authenticated", method, "user-1", TOKEN_CLAIMS)


@pytest.mark.parametrize("presigned", [False, True], ids=["header", "query"])
async def test_temporary_credentials_of_a_user_have_the_users_principal(presigned):
    key = session(role="authenticated", subject="user-1", claims={"a": 1})
    found = await whole()(signed_by(key.access_key_id, key.secret_access_key, key.session_token, presigned))
    method = AuthMethod.SIGV4_QUERY if presigned else AuthMethod.SIGV4_HEADER
    expected = Principal("default", "authenticated", method, "user-1", {"a": 1}, key.access_key_id)
    assert found.principal == expected


async def test_temporary_credentials_of_a_key_are_what_the_key_is_now():
    class Known:
        async def find(self, access_key_id):
            return Credential(access_key_id, "secret", "anon", "s", "D", {"c": 1}, None, (limit,))

    limit = KeyRestriction(read_only=True)
    key = session(parent=KEY, policy='{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}')
    judge = Identify(Tenant("default", REGION), Known(), lambda: NOW, temporary_keys=TEMPORARY)
    found = await judge(signed_by(key.access_key_id, key.secret_access_key, key.session_token))
    principal = found.principal
    assert (principal.role, principal.subject, principal.claims) == ("anon", "s", {"c": 1})
    assert principal.restrictions[0] is limit
    assert len(principal.restrictions) == 2


@pytest.mark.parametrize(
    ("changes", "key_changes", "code"),
    [
        ({"expires_at": NOW}, {}, "ExpiredToken"),
        ({"tenant_id": "other", "role": "anon"}, {}, "InvalidToken"),
        ({"parent": "GONE"}, {}, "InvalidAccessKeyId"),
        ({"parent": KEY}, {"expires_at": NOW}, "InvalidAccessKeyId"),
        ({"parent": KEY}, {"role": "postgres"}, "AccessDenied"),
        ({"parent": KEY, "role": "anon"}, {"role": "authenticated"}, "AccessDenied"),
        ({"parent": KEY, "role": "postgres"}, {"role": "service_role"}, "AccessDenied"),
        ({"role": "postgres"}, {}, "AccessDenied"),
    ],
)
async def test_temporary_credentials_are_refused(changes, key_changes, code):
    key = session(**changes)
    with pytest.raises(StorageError) as caught:
        await whole(Source(**key_changes))(signed_by(key.access_key_id, key.secret_access_key, key.session_token))
    assert caught.value.code.name == code


async def test_temporary_credentials_with_another_secret_do_not_match():
    key = session(role="anon")
    with pytest.raises(StorageError) as caught:
        await whole()(signed_by(key.access_key_id, "x" * 40, key.session_token))
    assert caught.value.code.name == "SignatureDoesNotMatch"


@pytest.mark.parametrize("missing", ["tokens", "anon_key"])
async def test_session_token_is_refused_where_none_is_offered(missing):
    with pytest.raises(StorageError) as caught:
        await whole(**{missing: None})(signed_by("default", ANON_KEY, sign(TOKEN_CLAIMS)))
    assert caught.value.code.name == "InvalidToken"


async def test_temporary_credentials_are_refused_where_none_are_offered():
    key = session(role="anon")
    with pytest.raises(StorageError) as caught:
        await whole(temporary_keys=None)(signed_by(key.access_key_id, key.secret_access_key, key.session_token))
    assert caught.value.code.name == "InvalidToken"


async def test_users_token_asks_for_no_stored_key():
    source = Source()
    await whole(source)(signed_by("default", ANON_KEY, sign(TOKEN_CLAIMS)))
    key = session(role="anon")
    await whole(source)(signed_by(key.access_key_id, key.secret_access_key, key.session_token))
    assert source.asked == 0
