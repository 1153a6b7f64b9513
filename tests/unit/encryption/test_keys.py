"""Data keys: wrapped for one purpose, opened by one secret; derivation as RFC 5869 says."""

from base64 import b64decode, b64encode
from dataclasses import replace

import pytest

from gateway.encryption.keys import SSE_C, SSE_KMS, SSE_S3, DataKey, Purpose, StoredEncryption, WrongKey, derive
from gateway.encryption.vault import UnknownMasterKey, Vault
from gateway.tenants.secrets import MasterKey

SECRET = b"s" * 32
MASTER = MasterKey.of(b"m" * 32)
VAULT = Vault(MASTER, "t1")


def test_derive_gives_the_first_block_of_RFC_5869() -> None:
    """Appendix A.1 and A.3."""
    secret = bytes.fromhex("0b" * 22)
    salted = derive(secret, bytes.fromhex("000102030405060708090a0b0c"), bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"))
    assert salted.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    assert derive(secret, b"", b"").hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"


def test_a_data_key_opens_with_its_secret_and_purpose_only() -> None:
    key = DataKey.new()
    purpose = Purpose("t1", SSE_KMS, "k1", "e30=")
    wrapped = purpose.wrap(SECRET, key)
    assert purpose.unwrap(SECRET, wrapped) == key
    others = (
        replace(purpose, tenant_id="t2"),
        replace(purpose, method=SSE_S3),
        replace(purpose, kms_key_id="k2"),
        replace(purpose, kms_context=None),
    )
    for other in others:
        with pytest.raises(WrongKey):
            other.unwrap(SECRET, wrapped)
    with pytest.raises(WrongKey):
        purpose.unwrap(b"x" * 32, wrapped)


@pytest.mark.parametrize("index", [0, 20, 60])
def test_a_changed_wrapped_key_does_not_open(index: int) -> None:
    purpose = Purpose("t1", SSE_S3)
    wrapped = bytearray(b64decode(purpose.wrap(SECRET, DataKey.new())))
    wrapped[index] ^= 1
    with pytest.raises(WrongKey):
        purpose.unwrap(SECRET, b64encode(wrapped).decode())


@pytest.mark.parametrize("text", ["", "not base64", "AAAA", "é"])
def test_what_is_no_wrapped_key_does_not_open(text: str) -> None:
    with pytest.raises(WrongKey):
        Purpose("t1", SSE_S3).unwrap(SECRET, text)


def test_a_data_key_is_wrapped_differently_every_time() -> None:
    purpose, key = Purpose("t1", SSE_S3), DataKey.new()
    assert purpose.wrap(SECRET, key) != purpose.wrap(SECRET, key)


def test_every_stream_has_a_key_of_its_own() -> None:
    key = DataKey.new()
    keys = {key.stream_key(identity) for identity in ("a", "b", "row", "")}
    assert len(keys) == 4
    assert key.secret not in keys


def test_nothing_shows_a_secret() -> None:
    key, stored = VAULT.new_key(VAULT.purpose(SSE_C), SECRET)
    shown = f"{key!r} {stored!r} {stored.document} {VAULT!r}"
    assert "s" * 32 not in shown
    assert repr(key.secret) not in shown
    assert key.secret.hex() not in shown


@pytest.mark.parametrize("method", [SSE_S3, SSE_KMS, SSE_C])
def test_what_is_stored_opens_again(method: str) -> None:
    customer = SECRET if method == SSE_C else None
    key, stored = VAULT.new_key(VAULT.purpose(method, "k1" if method == SSE_KMS else None), customer)
    again = StoredEncryption.of(dict(stored.document))
    assert again == stored
    assert VAULT.unlock(again, customer) == key
    assert (stored.master_key_id is None) == (method == SSE_C)


def test_a_customers_key_is_needed_and_must_be_the_right_one() -> None:
    _, stored = VAULT.new_key(VAULT.purpose(SSE_C), SECRET)
    for wrong in (None, b"x" * 32, MASTER.key):
        with pytest.raises(WrongKey):
            VAULT.unlock(stored, wrong)


def test_after_a_rotation_old_objects_open_and_new_ones_use_the_new_key() -> None:
    key, old = VAULT.new_key(VAULT.purpose(SSE_S3))
    rotated = replace(MasterKey.of(b"n" * 32), earlier=(MASTER,))
    vault = Vault(rotated, "t1")
    assert vault.unlock(old) == key
    assert vault.new_key(vault.purpose(SSE_S3))[1].master_key_id == rotated.id.hex()
    again = vault.wrap_again(key, old)
    assert again.master_key_id == rotated.id.hex()
    assert Vault(MasterKey.of(b"n" * 32), "t1").unlock(again) == key


def test_without_the_old_master_key_its_objects_are_named() -> None:
    _, old = VAULT.new_key(VAULT.purpose(SSE_S3))
    with pytest.raises(UnknownMasterKey, match=MASTER.id.hex()):
        Vault(MasterKey.of(b"n" * 32), "t1").unlock(old)
    with pytest.raises(UnknownMasterKey):
        VAULT.unlock(replace(old, master_key_id="no hex"))


def test_another_tenants_key_does_not_open() -> None:
    _, stored = VAULT.new_key(VAULT.purpose(SSE_S3))
    with pytest.raises(WrongKey):
        Vault(MASTER, "t2").unlock(stored)
