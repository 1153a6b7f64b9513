"""What requests may ask for, and what they are told if they may not: AWS's codes and words."""

import hashlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.context import SERVICE_ROLE, AuthMethod, Call, Principal, Tenant
from gateway.encryption.keys import SSE_C, SSE_KMS, SSE_S3
from gateway.encryption.vault import Vault
from gateway.errors import StorageError
from gateway.operations.encryption import (
    BucketDefaults,
    Encryption,
    Wanted,
    answer,
    answer_written,
    new_cipher,
    shared_cipher,
    unlock,
    unlock_upload,
)
from gateway.operations.encryption_headers import customer_key, requested
from gateway.tenants.secrets import MasterKey

CALL = Call(
    tenant=Tenant("default", "us-east-1"),
    principal=Principal("default", SERVICE_ROLE, AuthMethod.SIGV4_HEADER),
    operation="storage.s3.test",
    request_id="R",
    secure=True,
)
with ThreadPoolExecutor(1) as unused:
    ENCRYPTION = Encryption(Vault(MasterKey.of(b"m" * 32), "default"), unused)
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))


def md5(key: bytes) -> str:
    return b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()


def customer(key: bytes = KEY, **changes: Any) -> dict[str, Any]:
    return {
        "sse_customer_algorithm": "AES256",
        "sse_customer_key": b64encode(key).decode(),
        "sse_customer_key_md5": md5(key),
        **changes,
    }


def asked(**members: Any) -> Any:
    names = ("server_side_encryption", "sse_kms_key_id", "sse_kms_encryption_context", "bucket_key_enabled")
    names += ("sse_customer_algorithm", "sse_customer_key", "sse_customer_key_md5")
    return SimpleNamespace(**{**dict.fromkeys(names), **members})


def refusal(call: Call = CALL, encryption: Encryption = ENCRYPTION, **members: Any) -> StorageError:
    with pytest.raises(StorageError) as caught:
        requested(encryption, call, asked(**members))
    return caught.value


def test_nothing_asked_is_nothing() -> None:
    assert requested(ENCRYPTION, CALL, asked()) is None
    assert requested(Encryption(), CALL, asked()) is None


def test_a_server_without_a_vault_refuses() -> None:
    with pytest.raises(StorageError, match="NotImplemented"):
        new_cipher(Encryption(), requested(Encryption(), CALL, asked(server_side_encryption="AES256")))


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"sse_customer_algorithm": None}, "InvalidArgument", "valid encryption algorithm"),
        ({"sse_customer_algorithm": "AES128"}, "InvalidEncryptionAlgorithmError", "AES256"),
        ({"sse_customer_key": None}, "InvalidArgument", "appropriate secret key"),
        ({"sse_customer_key": ""}, "InvalidArgument", "appropriate secret key"),
        ({"sse_customer_key_md5": None}, "InvalidArgument", "client calculated MD5"),
        ({"sse_customer_key_md5": md5(OTHER_KEY)}, "InvalidArgument", "did not match"),
        ({"sse_customer_key_md5": "!"}, "InvalidArgument", "did not match"),
        ({"sse_customer_key_md5": "é"}, "InvalidArgument", "did not match"),
        ({"sse_customer_key": "AAAA"}, "InvalidArgument", "invalid for the specified algorithm"),
        ({"sse_customer_key": "é"}, "InvalidArgument", "invalid for the specified algorithm"),
        ({"server_side_encryption": "AES256"}, "InvalidArgument", "incompatible"),
        ({"server_side_encryption": "aws:kms", "sse_kms_key_id": "k"}, "InvalidArgument", "incompatible"),
    ],
)
def test_SSE_C_headers_that_are_wrong(changes: dict[str, Any], code: str, words: str) -> None:
    error = refusal(**customer(**changes))
    assert error.code.name == code
    assert words in error.message
    assert b64encode(KEY).decode() not in f"{error} {error.fields}"


def test_SSE_C_asks_for_https_unless_allowed() -> None:
    plain = replace(CALL, secure=False)
    error = refusal(plain, **customer())
    assert (error.code.name, error.code.status) == ("InvalidRequest", 400)
    assert "secure connection" in error.message
    allowed = replace(ENCRYPTION, customer_keys_over_http=True)
    assert requested(allowed, plain, asked(**customer())) is not None


@pytest.mark.parametrize(
    "members",
    [
        {"server_side_encryption": "AES256", "sse_kms_key_id": "k"},
        {"sse_kms_key_id": "k"},
        {"sse_kms_encryption_context": "e30="},
    ],
)
def test_what_belongs_to_KMS_needs_it(members: dict[str, str]) -> None:
    error = refusal(**members)
    assert error.code.name == "InvalidArgument"
    assert "aws:kms" in error.message


@pytest.mark.parametrize("method", ["aws:kms:dsse", "aws:fsx", "aws:backup"])
def test_methods_of_other_services_are_not_implemented(method: str) -> None:
    assert refusal(server_side_encryption=method).code.name == "NotImplemented"


def test_KMS_names_any_key_by_default_and_has_one_of_its_own() -> None:
    wanted = requested(ENCRYPTION, CALL, asked(server_side_encryption="aws:kms", sse_kms_key_id="arn:aws:kms:1:key/2"))
    assert wanted == Wanted(SSE_KMS, "arn:aws:kms:1:key/2")
    wanted = requested(ENCRYPTION, CALL, asked(server_side_encryption="aws:kms"))
    assert wanted == Wanted(SSE_KMS, "aws/s3")


@pytest.mark.parametrize("name", ["k2", "aws/s3", "", "a b", "x" * 2049])
def test_KMS_with_a_list_of_names_knows_no_other(name: str) -> None:
    limited = replace(ENCRYPTION, kms_key_ids=frozenset({"k1", "a b", "x" * 2049}))
    error = refusal(encryption=limited, server_side_encryption="aws:kms", sse_kms_key_id=name)
    assert (error.code.name, error.code.status) == ("KMS.NotFoundException", 400)


@pytest.mark.parametrize("text", ["", "x", b64encode(b"[]").decode(), b64encode(b'{"a":1}').decode(), "A" * 9000])
def test_an_encryption_context_that_is_none(text: str) -> None:
    error = refusal(server_side_encryption="aws:kms", sse_kms_encryption_context=text)
    assert error.code.name == "InvalidArgument"


def test_answers_echo_what_was_asked() -> None:
    context = b64encode(b'{"a":"b"}').decode()
    members = {"server_side_encryption": "aws:kms", "sse_kms_key_id": "k", "bucket_key_enabled": True}
    cipher = new_cipher(ENCRYPTION, requested(ENCRYPTION, CALL, asked(**members, sse_kms_encryption_context=context)))
    assert answer_written(cipher) == {**members, "sse_kms_encryption_context": context}
    cipher = new_cipher(ENCRYPTION, requested(ENCRYPTION, CALL, asked(**customer())))
    assert answer_written(cipher) == {"sse_customer_algorithm": "AES256", "sse_customer_key_md5": md5(KEY)}
    assert answer_written(new_cipher(ENCRYPTION, Wanted(SSE_S3))) == {"server_side_encryption": "AES256"}
    assert answer_written(None) == answer(None) == {}


def stored(wanted: Wanted) -> Any:
    cipher = new_cipher(ENCRYPTION, wanted)
    assert cipher is not None
    return cipher.stored.document


def test_reading_needs_the_customers_key_where_there_is_one_and_none_elsewhere() -> None:
    key = customer_key(ENCRYPTION, CALL, asked(**customer()))
    other = customer_key(ENCRYPTION, CALL, asked(**customer(OTHER_KEY)))
    document = stored(Wanted(SSE_C, customer=key))
    assert unlock(ENCRYPTION, document, key) is not None
    cases = [
        (document, None, "InvalidRequest", 400),
        (document, other, "AccessDenied", 403),
        (stored(Wanted(SSE_S3)), key, "InvalidRequest", 400),
        (None, key, "InvalidRequest", 400),
    ]
    for kept, sent, code, status in cases:
        with pytest.raises(StorageError) as caught:
            unlock(ENCRYPTION, kept, sent)
        assert (caught.value.code.name, caught.value.code.status) == (code, status)
    for kept, sent, *_ in cases:
        with pytest.raises(StorageError, match="InvalidRequest"):
            unlock_upload(ENCRYPTION, kept, sent)


def test_a_row_that_was_tampered_with_is_an_internal_error() -> None:
    document = dict(stored(Wanted(SSE_KMS, "k1")))
    for changes in ({"kms_key_id": "k2"}, {"master_key_id": "00"}, {"data_key": "AAAA"}, {"algorithm": "AES256"}):
        with pytest.raises(StorageError, match="InternalError"):
            unlock(ENCRYPTION, {**document, **changes}, None)
    with pytest.raises(StorageError, match="InternalError"):
        unlock(ENCRYPTION, {}, None)


def test_ciphertext_is_shared_only_where_the_copy_is_encrypted_alike() -> None:
    key = customer_key(ENCRYPTION, CALL, asked(**customer()))
    kinds = [Wanted(SSE_S3), Wanted(SSE_KMS, "k1"), Wanted(SSE_KMS, "k2"), Wanted(SSE_KMS, "k1", "e30=")]
    kinds.append(Wanted(SSE_C, customer=key))
    for source in kinds:
        cipher = new_cipher(ENCRYPTION, source)
        assert cipher is not None
        for target in kinds:
            shared = shared_cipher(ENCRYPTION, cipher, target, ("b1", "b2"))
            assert (shared is not None) == (source == target and source.method != SSE_C)
            if shared is not None:
                assert shared.stored.origins == ("b1", "b2")
                again = shared_cipher(ENCRYPTION, shared, target, ("b3", "b4"))
                assert again is not None
                assert again.stored.origins == ("b1", "b2")


def test_hints_are_bounded_and_forgotten() -> None:
    defaults = BucketDefaults()
    for number in range(3000):
        defaults.note(f"b{number}", {"algorithm": "AES256"})
    assert defaults.get("b0") is None
    assert defaults.get("b2999") == {"algorithm": "AES256"}
    assert sum(defaults.get(f"b{number}") is not None for number in range(3000)) == 1000
    defaults.note("b2999", None)
    assert defaults.get("b2999") is None
