"""storage-api's settings, where ours are not given."""

import json
import re
from pathlib import Path

import pytest
import structlog

from gateway import aliases
from gateway.blobs.backends import require_sound
from gateway.commands.config import load_settings, settings_table
from gateway.compose import Place, control_database_url
from gateway.config import Settings
from gateway.errors import StartupError
from gateway.preflight import check_tenants, warn_of_ignored

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


COMPOSE = {
    "ANON_KEY": "anon", "SERVICE_KEY": "service", "POSTGREST_URL": "http://rest:3000", "PGRST_JWT_SECRET": SECRET,
    "DATABASE_URL": "postgres://storage@db/postgres", "FILE_SIZE_LIMIT": "52428800", "STORAGE_BACKEND": "file",
    "FILE_STORAGE_BACKEND_PATH": "/var/lib/storage", "TENANT_ID": "stub", "REGION": "stub", "GLOBAL_S3_BUCKET": "stub",
    "ENABLE_IMAGE_TRANSFORMATION": "true", "IMGPROXY_URL": "http://imgproxy:5001",
}  # fmt: skip


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_the_environment_of_supabase_s_compose_file(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, **COMPOSE)
    assert (settings.region, settings.max_object_bytes, settings.backends) == ("stub", 52_428_800, None)
    assert (str(settings.data_dir), settings.default_backend) == ("/var/lib/storage", "file")
    assert aliases.ignored(COMPOSE) == ["ENABLE_IMAGE_TRANSFORMATION", "IMGPROXY_URL"]


def test_a_bucket_of_another_store_is_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(
        monkeypatch,
        STORAGE_BACKEND="s3",
        STORAGE_S3_BUCKET="bytes",
        STORAGE_S3_ENDPOINT="http://minio:9000",
        STORAGE_S3_FORCE_PATH_STYLE="true",
        STORAGE_S3_REGION="eu-central-1",
        STORAGE_S3_UPLOAD_PART_SIZE="16777216",
    )
    assert settings.backends is not None
    assert json.loads(settings.backends) == {
        "s3": {
            "kind": "s3", "bucket": "bytes", "credentials": "aws", "endpoint": "http://minio:9000",
            "region": "eu-central-1", "part_bytes": 16_777_216,
        }
    }  # fmt: skip
    assert settings.default_backend == "s3"
    require_sound(settings)
    sources = {setting.name: setting.source for setting in settings_table(settings)}
    assert sources["backends"] == sources["default_backend"] == "environment (STORAGE_S3_BUCKET)"


def test_a_bucket_of_aws_is_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, STORAGE_BACKEND="s3", GLOBAL_S3_BUCKET="bytes", REGION="eu-central-1")
    assert settings.backends is not None
    options = json.loads(settings.backends)["s3"]
    assert (options["provider"], options["region"]) == ("aws", "eu-central-1")
    require_sound(settings)


def test_backends_of_our_own_keep_their_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(
        monkeypatch, STORAGE_BACKEND="s3", STORAGE_S3_BUCKET="b", ROWLOCK_BACKENDS='{"m": {"kind": "memory"}}'
    )
    assert (settings.backends, settings.default_backend) == ('{"m": {"kind": "memory"}}', "file")


def test_values_in_other_units_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(
        monkeypatch,
        STORAGE_BACKEND="file",
        DATABASE_CONNECTION_TIMEOUT="3000",
        DATABASE_STATEMENT_TIMEOUT="1500",
        LOG_LEVEL="warn",
        SERVER_PORT="5000",
        S3_PROTOCOL_PREFIX="/storage/v1/",
    )
    assert (settings.database_pool_timeout_seconds, settings.statement_timeout_seconds) == (3.0, 1.5)
    assert (settings.log_level, settings.rest_port, settings.s3_signed_prefix) == ("warning", 5000, "/storage/v1")


def test_many_tenants_and_their_admin_api(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = {"SERVER_ADMIN_PORT": "5001", "SERVER_ADMIN_API_KEYS": "a key of many letters, another"}
    assert given(monkeypatch, STORAGE_BACKEND="file", **admin).admin_port is None
    settings = given(
        monkeypatch,
        MULTI_TENANT="true",
        DATABASE_MULTITENANT_URL="postgres://x/tenants",
        REQUEST_X_FORWARDED_HOST_REGEXP=r"^([a-z]+)\.storage\.example$",
    )
    assert (settings.multi_tenant, settings.admin_port) == (True, 5001)
    assert settings.admin_api_key is not None
    assert settings.admin_api_key.get_secret_value() == "a key of many letters"
    assert settings.control_database_url is not None
    assert settings.tenant_host_pattern == r"^([a-z]+)\.storage\.example$"


def test_a_pooler_needs_the_database_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, STORAGE_BACKEND="file", DATABASE_POOL_URL="postgres://x/pool")
    with pytest.raises(StartupError, match="DATABASE_URL is not"):
        check_tenants(settings)
    check_tenants(given(monkeypatch, DATABASE_URL="postgres://x/direct"))


def test_a_wrong_value_is_told_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartupError, match=r"^SERVER_PORT: "):
        given(monkeypatch, STORAGE_BACKEND="file", SERVER_PORT="five thousand")


def test_what_is_ignored_is_named_once_at_the_start() -> None:
    environment = {"STORAGE_BACKEND": "file", "WEBHOOK_URL": "http://hook", "S3_PROTOCOL_ENABLED": "false"}
    with structlog.testing.capture_logs() as lines:
        warn_of_ignored(environment)
    assert [(line["log_level"], line["event"], line["names"]) for line in lines] == [
        ("warning", "settings_ignored", ["S3_PROTOCOL_ENABLED", "WEBHOOK_URL"])
    ]


def test_values_that_ask_for_nothing_are_not_named() -> None:
    harmless = {"STORAGE_BACKEND": "file", "S3_PROTOCOL_ENABLED": "TRUE", "TRACING_ENABLED": "false", "TENANT_ID": " "}
    assert aliases.ignored(harmless) == []
    assert aliases.ignored({"WEBHOOK_URL": "http://another program's"}) == []


def test_further_admin_keys_are_named() -> None:
    environment = {"STORAGE_BACKEND": "file", "SERVER_ADMIN_API_KEYS": "one,two"}
    assert aliases.ignored(environment) == ["SERVER_ADMIN_API_KEYS"]


def test_the_page_says_of_every_variable_what_the_code_does() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "migrate-from-supabase.md"
    understood: dict[str, set[str]] = {}
    harmless: dict[str, tuple[str, ...]] = {}
    for line in page.read_text("utf-8").partition("## Settings")[2].partition("\n## ")[0].splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")]
        if not line.startswith("|") or not cells[0]:
            continue
        if len(cells) == 3:
            for variable in cells[0]:
                understood[variable] = set(cells[1])
        else:
            harmless[cells[0][0]] = tuple(cells[1])
    by_variable = {name: {name} for name in ("DATABASE_URL", "DATABASE_POOL_URL")}
    for field, names in aliases.ALIASES.items():
        for name in names:
            by_variable.setdefault(name, set()).add(f"ROWLOCK_{field.upper()}")
    assert understood == by_variable
    assert harmless == aliases.IGNORED


def test_every_alias_is_of_a_setting() -> None:
    assert aliases.ALIASES.keys() <= Settings.model_fields.keys()
    assert not {name for names in aliases.ALIASES.values() for name in names} & aliases.IGNORED.keys()


def test_requests_go_by_the_pooler_and_keys_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = "postgres://x/direct"
    assert Place.of_single_tenant(load_settings(), direct).database_url == direct
    pooled = given(monkeypatch, DATABASE_POOL_URL="postgres://x/pool", DATABASE_URL=direct)
    assert Place.of_single_tenant(pooled, direct).database_url == "postgres://x/pool"
    assert control_database_url(pooled, direct) == direct
