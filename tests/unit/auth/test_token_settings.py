"""What the settings say about users' tokens, and the token that ``rowlock jwt`` prints."""

import json

import pytest

from gateway.auth.bearer import TokenVerifier
from gateway.auth.token_settings import SECRET_FILE, anon_key, new_secret, token_keys, token_rules, wants_own_secret
from gateway.commands import jwt as command
from gateway.config import Settings
from gateway.errors import StartupError
from tests.unit.auth.test_jwt import RSA, SECRET, public


def given(tmp_path, **values):
    return Settings(data_dir=tmp_path, **values)


def test_embedded_server_without_keys_uses_the_secret_it_made(tmp_path):
    settings = given(tmp_path)
    assert wants_own_secret(settings)
    assert not token_keys(settings)
    (tmp_path / SECRET_FILE).write_text(new_secret() + "\n")
    assert len(token_keys(settings).secrets[0]) >= 32


@pytest.mark.parametrize(
    "values",
    [
        {"jwt_secret": SECRET},
        {"jwks_url": "https://issuer.example/keys"},
        {"jwt_jwks": json.dumps({"keys": [public(RSA)]})},
        {"DATABASE_URL": "postgres://h/d"},
    ],
)
def test_server_that_was_given_something_ignores_a_secret_it_made(tmp_path, values):
    (tmp_path / SECRET_FILE).write_text("own" * 20)
    settings = given(tmp_path, **values)
    assert not wants_own_secret(settings)
    assert "own" * 20 not in token_keys(settings).secrets


@pytest.mark.parametrize(
    "values",
    [
        {"jwt_secret": "-----BEGIN PUBLIC KEY-----" + "A" * 40},
        {"jwt_jwks": "{"},
        {"jwt_jwks": "[]"},
        {"jwt_jwks": '{"keys": []}'},
        {"jwt_jwks": '{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}'},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": "issuer.example/keys"},
        {"jwks_url": "https://user:secret@issuer.example/keys"},
        {"jwks_url": "https://issuer.example:99999/keys"},
        {"jwks_url": "https://issuer.example/ke ys"},
        {"jwks_url": "https:///keys"},
    ],
)
def test_key_that_cannot_be_used_stops_the_start_in_one_line(tmp_path, values):
    with pytest.raises(StartupError, match=r"^ROWLOCK_JW") as caught:
        token_keys(given(tmp_path, **values))
    assert "\n" not in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_short_secret_is_refused_and_not_shown(tmp_path):
    with pytest.raises(StartupError) as caught:
        token_keys(given(tmp_path, jwt_secret="only-this-short"))
    assert "only-this-short" not in str(caught.value)


def test_secret_file_that_cannot_be_read_stops_the_start(tmp_path):
    (tmp_path / SECRET_FILE).mkdir()
    with pytest.raises(StartupError, match="cannot be read"):
        token_keys(given(tmp_path))


def test_audiences_and_issuers_are_lists(tmp_path):
    rules = token_rules(given(tmp_path, jwt_audience="a, b,", jwt_issuer="i"))
    assert (rules.audiences, rules.issuers) == ({"a", "b"}, {"i"})


async def test_anon_key_is_the_same_every_time_and_a_token_of_anon(tmp_path):
    settings = given(tmp_path, jwt_secret=SECRET)
    found = anon_key(settings)
    assert found == anon_key(settings)
    assert (await TokenVerifier(token_keys(settings), token_rules(settings)).verify(found)).role == "anon"
    assert anon_key(given(tmp_path, jwt_secret=SECRET, anon_key="as-supabase-has-it")) == "as-supabase-has-it"
    assert anon_key(given(tmp_path)) is None


@pytest.fixture
def settings_of_command(tmp_path, monkeypatch):
    settings = given(tmp_path, jwt_secret=SECRET, jwt_audience="me,you", jwt_issuer="here")
    monkeypatch.setattr(command, "load_settings", lambda: settings)
    return settings


async def test_printed_token_is_one_the_server_takes(settings_of_command, capsys):
    command.jwt(role="authenticated", subject="u", expires_in=60, claims='{"team": "red"}')
    token = capsys.readouterr().out.strip()
    verifier = TokenVerifier(token_keys(settings_of_command), token_rules(settings_of_command))
    found = await verifier.verify(token)
    assert (found.role, found.subject, found.claims["team"]) == ("authenticated", "u", "red")
    command.jwt(anon=True)
    assert capsys.readouterr().out.strip() == anon_key(settings_of_command)


@pytest.mark.parametrize(
    "arguments",
    [
        {"role": "postgres"},
        {"expires_in": 0},
        {"expires_in": 10**12},
        {"claims": "[]"},
        {"claims": "{"},
        {"claims": '{"role": "service_role"}'},
        {"claims": json.dumps({"pad": "x" * 20_000})},
    ],
)
def test_token_that_would_be_refused_is_not_minted(settings_of_command, arguments):
    with pytest.raises(StartupError):
        command.jwt(**arguments)


def test_command_without_a_secret_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_settings", lambda: given(tmp_path))
    with pytest.raises(StartupError, match="start the server once"):
        command.jwt()
    monkeypatch.setattr(command, "load_settings", lambda: given(tmp_path, DATABASE_URL="postgres://h/d"))
    with pytest.raises(StartupError, match="set ROWLOCK_JWT_SECRET"):
        command.jwt(anon=True)
