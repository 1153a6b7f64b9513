"""Temporary credentials: only this server writes them, and each part belongs to the others."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.temporary import MAX_TOKEN_CHARACTERS, TemporaryKeys, TemporarySession, is_temporary
from gateway.errors import StorageError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SESSION = TemporarySession(
    "default", "name", NOW + timedelta(hours=1), None, "authenticated", "user-1", {"a": ["ü", 1]}, '{"Statement": []}'
)
KEYS = TemporaryKeys([b"m" * 32])


def refused(keys, access_key_id, token):
    with pytest.raises(StorageError) as caught:
        keys.open(access_key_id, token)
    assert caught.value.code.name == "InvalidToken"


def test_what_was_issued_opens_to_the_same_session_and_secret():
    key = KEYS.issue(SESSION)
    assert KEYS.open(key.access_key_id, key.session_token) == (SESSION, key.secret_access_key)
    assert is_temporary(key.access_key_id)
    assert (len(key.access_key_id), len(key.secret_access_key)) == (20, 40)
    assert key.expires_at == SESSION.expires_at


def test_credentials_are_all_different_and_secrets_are_not_shown():
    issued = [KEYS.issue(SESSION) for _ in range(100)]
    assert len({key.access_key_id for key in issued}) == 100
    assert len({key.secret_access_key for key in issued}) == 100
    assert len({key.session_token for key in issued}) == 100
    assert issued[0].secret_access_key not in repr(issued[0])
    assert issued[0].session_token not in repr(issued[0])


def test_token_of_one_key_serves_no_other():
    one, other = KEYS.issue(SESSION), KEYS.issue(SESSION)
    refused(KEYS, other.access_key_id, one.session_token)


def test_another_server_cannot_write_or_read_a_token():
    other = TemporaryKeys([b"n" * 32])
    key = other.issue(SESSION)
    refused(KEYS, key.access_key_id, key.session_token)
    assert b"user-1" not in base64.urlsafe_b64decode(key.session_token)


def test_replaced_master_key_still_opens_and_issues_no_more():
    old = TemporaryKeys([b"o" * 32]).issue(SESSION)
    rotated = TemporaryKeys([b"n" * 32, b"o" * 32])
    assert rotated.open(old.access_key_id, old.session_token) == (SESSION, old.secret_access_key)
    new = rotated.issue(SESSION)
    assert TemporaryKeys([b"n" * 32]).open(new.access_key_id, new.session_token)[0] == SESSION
    refused(TemporaryKeys([b"n" * 32]), old.access_key_id, old.session_token)


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=300)
def test_any_changed_byte_is_refused(place, change):
    key = KEYS.issue(SESSION)
    sealed = bytearray(base64.urlsafe_b64decode(key.session_token))
    sealed[place % len(sealed)] ^= change
    refused(KEYS, key.access_key_id, base64.urlsafe_b64encode(sealed).decode())


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@settings(max_examples=300)
def test_any_text_is_refused_as_the_callers_mistake(token):
    refused(KEYS, "ASRLAAAAAAAAAAAAAAAA", token)


def test_token_that_is_too_large_is_refused():
    refused(KEYS, "ASRLAAAAAAAAAAAAAAAA", "A" * (MAX_TOKEN_CHARACTERS + 4))


def test_truncated_token_is_refused():
    key = KEYS.issue(SESSION)
    for length in range(0, len(key.session_token), 4):
        refused(KEYS, key.access_key_id, key.session_token[:length])
