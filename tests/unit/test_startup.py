"""What a start refuses before it opens anything."""

import pytest
from pydantic import SecretStr

from gateway.compose import Place, control_database_url
from gateway.config import Settings
from gateway.errors import StartupError
from gateway.preflight import check_cdn, check_tenants
from gateway.startup import main_database_url


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(admin_port=9001), "ROWLOCK_ADMIN_API_KEY is not"),
        (Settings(admin_port=9001, admin_api_key=SecretStr("opensesame")), "16 characters"),
        (Settings(multi_tenant=True, access_key_id="key"), "has no tenant"),
        (Settings(DATABASE_POOL_URL=SecretStr("postgresql://pool/app")), "DATABASE_URL is not"),
    ],
)
def test_settings_of_tenants_that_contradict_each_other(settings: Settings, reason: str) -> None:
    with pytest.raises(StartupError, match=reason) as refused:
        check_tenants(settings)
    assert "opensesame" not in str(refused.value)


def test_requests_go_through_the_pooler_and_nothing_else_does() -> None:
    straight, pooled = "postgresql://db/app", "postgresql://pool/app"
    assert Place.of_single_tenant(Settings(), straight).database_url == straight
    settings = Settings(DATABASE_URL=SecretStr(straight), DATABASE_POOL_URL=SecretStr(pooled))
    check_tenants(settings)
    assert Place.of_single_tenant(settings, straight).database_url == pooled
    assert main_database_url(settings) == straight
    assert control_database_url(settings, straight) == straight


@pytest.mark.parametrize(
    "url",
    ["ftp://cdn.example/", "//cdn.example", "https://user:opensesame@cdn.example/", "https://", "http://h:99999/"],
)
def test_urls_of_a_cdn_are_plain_and_not_repeated(url: str) -> None:
    for settings in (Settings(cdn_url=url), Settings(cdn_purge_url=url)):
        with pytest.raises(StartupError, match="a URL begins with") as refused:
            check_cdn(settings)
        assert "opensesame" not in str(refused.value)
    check_cdn(Settings(cdn_url="https://cdn.example/{bucket}/{key}", cdn_purge_url="http://127.0.0.1:8080/cache"))


def test_files_are_sent_by_nobody_without_trusted_proxies() -> None:
    with pytest.raises(StartupError, match="ROWLOCK_TRUSTED_PROXIES is not"):
        check_cdn(Settings(accel="x-sendfile"))
    check_cdn(Settings(accel="x-sendfile", trusted_proxies="127.0.0.1/32"))
