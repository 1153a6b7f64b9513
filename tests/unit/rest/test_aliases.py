"""storage-api's settings, where ours are not given."""

from pathlib import Path

import pytest

from gateway.commands.config import load_settings, settings_table

SECRET = "a secret of more than thirty-two characters"


def test_storage_api_settings_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AUTH_JWT_SECRET": SECRET,
        "FILE_SIZE_LIMIT": "52428800",
        "UPLOAD_FILE_SIZE_LIMIT_STANDARD": "1000",
        "S3_PROTOCOL_ACCESS_KEY_ID": "key",
        "S3_PROTOCOL_ACCESS_KEY_SECRET": "secret",
        "FILE_STORAGE_BACKEND_PATH": "/var/lib/storage",
        "REGION": "stub",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == SECRET
    assert (settings.max_object_bytes, settings.max_put_bytes) == (52_428_800, 1000)
    assert (settings.access_key_id, settings.data_dir, settings.region) == ("key", Path("/var/lib/storage"), "stub")
    sources = {setting.name: setting.source for setting in settings_table(settings)}
    assert sources["jwt_secret"] == "environment (AUTH_JWT_SECRET)"
    assert sources["region"] == "environment (REGION)"
    assert sources["port"] == "default"


def test_our_own_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGRST_JWT_SECRET", SECRET)
    monkeypatch.setenv("REGION", "theirs")
    monkeypatch.setenv("ROWLOCK_REGION", "ours")
    settings = load_settings()
    assert settings.region == "ours"
    assert {setting.name: setting.source for setting in settings_table(settings)}["region"] == "environment"


def test_common_names_alone_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "mars")
    monkeypatch.setenv("FILE_SIZE_LIMIT", "1")
    settings = load_settings()
    assert (settings.region, settings.max_object_bytes > 1) == ("us-east-1", True)


def test_a_limit_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLOAD_FILE_SIZE_LIMIT_STANDARD", "0")
    assert load_settings().max_put_bytes > 0
