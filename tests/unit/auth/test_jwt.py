"""Tokens: who may sign them, what they must say, and every way to be refused with a 4xx."""

import base64
import hmac
import json
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway.auth import jwk
from gateway.auth.bearer import MAX_REMEMBERED, TokenKeys, TokenVerifier
from gateway.auth.jwt import MAX_TOKEN_BYTES, TokenRules
from gateway.errors import StorageError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = int(NOW.timestamp())
SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
ROLES = frozenset({"anon", "authenticated", "service_role"})
GOOD = {"sub": "user-1", "role": "authenticated", "exp": SECOND + 60}

RSA = RSAKey.generate_key(2048)
EC = {curve: ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521")}
ED = {curve: OKPKey.generate_key(curve) for curve in ("Ed25519", "Ed448")}
SIGNERS = [
    *((name, RSA) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ("ES256", EC["P-256"]),
    ("ES384", EC["P-384"]),
    ("ES512", EC["P-521"]),
    ("EdDSA", ED["Ed25519"]),
    ("Ed25519", ED["Ed25519"]),
    ("EdDSA", ED["Ed448"]),
]


def sign(claims, key=SECRET, alg="HS256", **header):
    key = OctKey.import_key({"kty": "oct", "k": encoded(key.encode())}) if isinstance(key, str) else key
    content = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EdDSA is called deprecated (RFC 9864)
        return jws.serialize_compact({"alg": alg, **header}, content, key, registry=registry)


def encoded(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def public(key, **members):
    return {**key.as_dict(private=False), **members}


def verifier(*secrets, jwks=(), clock=lambda: NOW, **rules):
    keys = TokenKeys(secrets or ((SECRET,) if not jwks else ()), ({"keys": list(jwks)},) if jwks else ())
    return TokenVerifier(keys, TokenRules(ROLES, **rules), clock=clock)


async def refused(code, token, judge=None):
    with pytest.raises(StorageError) as caught:
        await (judge or verifier()).verify(token)
    assert caught.value.code.name == code


async def test_token_speaks_for_its_subject_in_its_role_with_all_its_claims():
    claims = {**GOOD, "app_metadata": {"teams": ["a", "ü"]}}
    found = await verifier().verify(sign(claims))
    assert (found.role, found.subject, found.claims) == ("authenticated", "user-1", claims)
    assert found.expires_at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_secret_verifies_every_hmac(alg):
    assert (await verifier().verify(sign(GOOD, alg=alg))).subject == "user-1"


@pytest.mark.parametrize(("alg", "key"), SIGNERS, ids=lambda value: value if isinstance(value, str) else "")
async def test_published_key_verifies_the_algorithms_of_its_type(alg, key):
    judge = verifier(jwks=[public(key, kid="k")])
    assert (await judge.verify(sign(GOOD, key, alg, kid="k"))).subject == "user-1"
    assert (await judge.verify(sign(GOOD, key, alg))).subject == "user-1"


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "HS1", "RS1", "dir", "A128KW", "ES256K", "", None, 1, []]
)
async def test_algorithm_none_and_unknown_ones_are_refused(alg):
    head = encoded(json.dumps({"alg": alg}).encode())
    body = encoded(json.dumps(GOOD).encode())
    for signature in ("", "AA", sign(GOOD).rpartition(".")[2]):
        await refused("InvalidToken", f"{head}.{body}.{signature}")


@pytest.mark.parametrize(("alg", "key"), SIGNERS[::3], ids=lambda value: value if isinstance(value, str) else "")
async def test_hmac_with_a_public_key_as_the_secret_is_refused(alg, key):
    jwks = [public(key, kid="k")]
    judge = TokenVerifier(TokenKeys((SECRET,), ({"keys": jwks},)), TokenRules(ROLES), clock=lambda: NOW)
    secrets = [key.as_pem(private=False), json.dumps(jwks[0]).encode(), json.dumps({"keys": jwks}).encode()]
    for secret in secrets:
        for alg, digest in (("HS256", "sha256"), ("HS512", "sha512")):
            for named in ({}, {"kid": "k"}):
                head = encoded(json.dumps({"alg": alg, **named}).encode())
                body = encoded(json.dumps(GOOD).encode())
                forged = hmac.digest(secret, f"{head}.{body}".encode(), digest)
                await refused("InvalidToken", f"{head}.{body}.{encoded(forged)}", judge)


async def test_key_pinned_to_an_algorithm_serves_no_other():
    judge = verifier(jwks=[public(RSA, kid="k", alg="RS512")])
    assert await judge.verify(sign(GOOD, RSA, "RS512", kid="k"))
    await refused("InvalidToken", sign(GOOD, RSA, "RS256", kid="k"), judge)


async def test_key_in_the_header_of_a_token_is_ignored():
    forger = RSAKey.generate_key(2048)
    judge = verifier(jwks=[public(RSA, kid="k")])
    for header in ({"jwk": public(forger)}, {"jku": "http://127.0.0.1/keys"}, {"x5u": "http://127.0.0.1/x"}):
        await refused("InvalidToken", sign(GOOD, forger, "RS256", kid="k", **header), judge)


async def test_kid_chooses_the_key_and_without_it_two_keys_are_ambiguous():
    other = RSAKey.generate_key(2048)
    judge = verifier(jwks=[public(RSA, kid="a"), public(other, kid="b")])
    assert await judge.verify(sign(GOOD, RSA, "RS256", kid="a"))
    await refused("InvalidToken", sign(GOOD, RSA, "RS256", kid="b"), judge)
    await refused("InvalidToken", sign(GOOD, RSA, "RS256"), judge)


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "' OR 1=1 --", "x" * 1_000, "", "\x00", 1, ["a"], {"a": 1}, True, "k\n"]
)
async def test_kid_that_names_no_key_is_refused(kid):
    await refused("InvalidToken", sign_raw({"alg": "RS256", "kid": kid}, RSA), verifier(jwks=[public(RSA, kid="k")]))


def sign_raw(header, key, content=None):
    head = encoded(json.dumps(header).encode())
    body = encoded(json.dumps(GOOD).encode() if content is None else content)
    signature = jws.JWSRegistry.algorithms["RS256"].sign(f"{head}.{body}".encode(), key)
    return f"{head}.{body}.{encoded(signature)}"


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]}])
async def test_critical_extension_is_refused(header):
    await refused("InvalidToken", sign_raw({"alg": "RS256", **header}, RSA), verifier(jwks=[public(RSA)]))


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "JOSE", 1, []])
async def test_token_of_another_kind_is_refused(kind):
    await refused("InvalidToken", sign_raw({"alg": "RS256", "typ": kind}, RSA), verifier(jwks=[public(RSA)]))


async def test_any_of_several_secrets_verifies_so_that_one_can_follow_another():
    old, new = "o" * 32, "n" * 32
    judge = verifier(new, old)
    assert await judge.verify(sign(GOOD, old))
    assert await judge.verify(sign(GOOD, new))
    await refused("InvalidToken", sign(GOOD, "x" * 32), judge)


async def test_without_keys_every_token_is_refused():
    await refused("InvalidToken", sign(GOOD), TokenVerifier(TokenKeys(), TokenRules(ROLES), clock=lambda: NOW))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1", 1.5, -1, 10**20, True, None, [], {}, "9" * 5_000])
async def test_date_that_is_no_whole_second_is_refused(name, value):
    await refused("InvalidToken", sign({**GOOD, name: value}))


async def test_expiry_is_required_and_has_a_small_leeway():
    await refused("InvalidToken", sign({"sub": "user-1"}))
    assert await verifier().verify(sign({**GOOD, "exp": SECOND - 9}))
    await refused("ExpiredToken", sign({**GOOD, "exp": SECOND - 10}))


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_token_from_the_future_is_refused(name):
    assert await verifier().verify(sign({**GOOD, name: SECOND + 10}))
    await refused("InvalidToken", sign({**GOOD, name: SECOND + 11}))


async def test_expiry_is_asked_of_a_remembered_token_too():
    moment = [NOW]
    judge = verifier(clock=lambda: moment[0])
    token = sign(GOOD)
    assert await judge.verify(token)
    moment[0] = NOW + timedelta(seconds=71)
    await refused("ExpiredToken", token, judge)


async def test_memory_of_tokens_is_bounded():
    judge = verifier()
    for number in range(MAX_REMEMBERED + 10):
        judge._remember(number.to_bytes(4), -1, {})
    assert len(judge._judged) == MAX_REMEMBERED


async def test_audience_and_issuer_are_checked_when_they_are_set():
    judge = verifier(audiences=frozenset({"a", "b"}), issuers=frozenset({"i"}))
    for aud in ("a", ["x", "b"]):
        assert await judge.verify(sign({**GOOD, "iss": "i", "aud": aud}))
    for claims in (
        {"iss": "i"},
        {"aud": "a"},
        {"iss": "j", "aud": "a"},
        {"iss": "i", "aud": ["c"]},
        {"iss": "i", "aud": 1},
    ):
        await refused("InvalidToken", sign({**GOOD, **claims}), judge)


async def test_token_without_a_role_is_anon():
    assert (await verifier().verify(sign({"exp": SECOND + 60}))).role == "anon"


@pytest.mark.parametrize(
    "role", ["postgres", "superuser", "rowlock_engine", "service role", "SERVICE_ROLE", "", "x" * 100]
)
async def test_role_outside_the_allow_list_is_denied(role):
    await refused("AccessDenied", sign({**GOOD, "role": role}))


@pytest.mark.parametrize("claims", [{"role": ["anon"]}, {"role": None}, {"role": 1}, {"sub": 1}, {"sub": "x" * 300}])
async def test_claim_of_the_wrong_type_is_refused(claims):
    await refused("InvalidToken", sign({**GOOD, **claims}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"a":NaN}',
        b'{"exp":1,"exp":2}',
        b"\xff",
        b'{"a":"\\u0000"}',
        b'{"a":"\\ud800"}',
        b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
async def test_payload_that_is_no_object_postgres_can_hold_is_refused(content):
    await refused("InvalidToken", sign(content))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.b.c", "a b.c.d", "\ud800.a.b", "x" * 100_000]
)
async def test_text_that_is_no_token_is_refused(token):
    await refused("InvalidToken", token)


async def test_token_larger_than_the_limit_is_refused_unread():
    await refused("InvalidToken", sign({**GOOD, "pad": "x" * MAX_TOKEN_BYTES}))


@given(place=st.floats(0, 1, exclude_max=True), letter=st.sampled_from("ABCxyz019-_"))
@settings(max_examples=150, deadline=None)
async def test_any_changed_character_is_refused(place, letter):
    token = sign(GOOD)
    # the last character of a part may hold bits that decoding drops
    body, _, signature = token.rpartition(".")
    target = f"{body}.{signature[:-1]}"
    at = int(place * len(target))
    if target[at] == letter:
        return
    with pytest.raises(StorageError) as caught:
        await verifier().verify(f"{target[:at]}{letter}{target[at + 1 :]}{signature[-1]}")
    assert caught.value.code.name == "InvalidToken"


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
async def test_any_text_is_refused_as_the_callers_mistake(text):
    with pytest.raises(StorageError) as caught:
        await verifier().verify(text)
    assert caught.value.code.status < 500


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "role", "sub", "aud", "iss"]),
        st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5),
    )
)
@settings(max_examples=200, deadline=None)
async def test_any_signed_claims_are_judged_without_a_failure(claims):
    try:
        found = await verifier(audiences=frozenset({"a"})).verify(sign(json.dumps(claims).encode()))
    except StorageError as error:
        status = error.code.status
    else:
        status = 200 if found.role in ROLES else 500
    assert status < 500


@pytest.mark.parametrize(
    "secret",
    ["short", "", "x" * 31, "-----BEGIN PUBLIC KEY-----" + "x" * 40, '{"kty":"RSA"}' + " " * 40, "ssh-rsa " + "A" * 99],
)
def test_secret_that_is_short_or_a_key_of_another_kind_is_refused(secret):
    with pytest.raises(jwk.UnusableKey):
        jwk.of_secret(secret)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "A" * 4_000, "e": "AQAB"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": encoded(b"x" * 32)},
        {"kty": "oct", "k": "c2hvcnQ"},
        {"kty": ["RSA"]},
        public(RSA, use="enc"),
        public(RSA, kid=1),
        public(RSA, alg="ES256"),
        public(RSA, alg=["RS256"]),
    ],
)
def test_jwk_that_cannot_verify_is_unusable(document):
    with pytest.raises(jwk.UnusableKey):
        jwk.of_jwk(document)


def test_jwks_leaves_out_what_it_does_not_know_and_secrets_where_it_is_published():
    oct_key = {"kty": "oct", "k": encoded(b"x" * 32), "kid": "s"}
    document = {"keys": [{"kty": "new"}, public(RSA, kid="r"), oct_key, "x"]}
    assert [key.id for key in jwk.of_jwks(document, shared=True)] == ["r", "s"]
    assert [key.id for key in jwk.of_jwks(document, shared=False)] == ["r"]
