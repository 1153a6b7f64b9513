"""Signed URLs: keys of their own, by tenant and generation."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from conformance.rest import tokens
from gateway.auth.signed_url import SigningKeys, UrlSigner
from gateway.errors import StorageError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MASTER = b"m" * 32


def signer(tenant: str = "t", oldest: int = 1, newest: int = 1, now: datetime = NOW) -> UrlSigner:
    return UrlSigner(SigningKeys.derive(MASTER, tenant, oldest=oldest, newest=newest), (), lambda: now)


def test_a_download_token_opens_its_object_until_it_expires() -> None:
    token = signer().sign_download("b", "k/ü", lifetime_seconds=10, transformations="width:1")
    grant = signer(now=NOW + timedelta(seconds=9)).verify_download(token, "b", "k/ü")
    assert (grant.expires_at, grant.transformations) == (NOW + timedelta(seconds=10), "width:1")
    with pytest.raises(StorageError, match="ExpiredToken"):
        signer(now=NOW + timedelta(seconds=10)).verify_download(token, "b", "k/ü")


def test_an_upload_token_says_for_whom_and_whether_to_replace() -> None:
    token = signer().sign_upload("b", "k", owner="me", upsert=True, lifetime_seconds=10)
    grant = signer().verify_upload(token, "b", "k")
    assert (grant.owner, grant.upsert) == ("me", True)
    with pytest.raises(StorageError, match="InvalidSignature"):
        signer().verify_download(token, "b", "k")


def test_an_upload_token_says_under_which_id_its_bytes_wait() -> None:
    pending_id = uuid4()
    token = signer().sign_upload("b", "k", owner=None, upsert=False, lifetime_seconds=10, pending_id=pending_id)
    assert signer().verify_upload(token, "b", "k").pending_id == pending_id
    plain = signer().sign_upload("b", "k", owner=None, upsert=False, lifetime_seconds=10)
    assert signer().verify_upload(plain, "b", "k").pending_id is None


@pytest.mark.parametrize("wrong", ["", "x", 1, [], {}, True])
def test_an_id_that_is_none_is_refused_whoever_signed_it(wrong: object) -> None:
    expires = int((NOW + timedelta(seconds=10)).timestamp())
    token = tokens.mint({"url": "b/k", "scope": "upload", "pending": wrong, "exp": expires})
    reader = UrlSigner(SigningKeys.derive(MASTER, "t", oldest=1, newest=1), (tokens.SECRET,), lambda: NOW)
    with pytest.raises(StorageError, match="InvalidJWT"):
        reader.verify_upload(token, "b", "k")


@pytest.mark.parametrize(("bucket", "key"), [("b", "k2"), ("b2", "k"), ("b/k", ""), ("", "b/k")])
def test_a_token_is_for_one_object(bucket: str, key: str) -> None:
    token = signer().sign_download("b", "k", lifetime_seconds=10)
    if f"{bucket}/{key}" != "b/k":
        with pytest.raises(StorageError, match="InvalidSignature"):
            signer().verify_download(token, bucket, key)


def test_tenants_and_masters_have_keys_of_their_own() -> None:
    token = signer("one").sign_download("b", "k", lifetime_seconds=10)
    with pytest.raises(StorageError, match="InvalidJWT"):
        signer("two").verify_download(token, "b", "k")


def test_a_new_generation_keeps_the_old_urls_until_they_are_given_up() -> None:
    token = signer(newest=1).sign_download("b", "k", lifetime_seconds=10)
    signer(oldest=1, newest=2).verify_download(token, "b", "k")
    with pytest.raises(StorageError, match="InvalidJWT"):
        signer(oldest=2, newest=2).verify_download(token, "b", "k")
