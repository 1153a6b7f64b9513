"""What a start refuses before it opens anything."""

import pytest
from pydantic import SecretStr

from gateway.config import Settings
from gateway.errors import StartupError
from gateway.startup import check_cdn, check_tenants


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(admin_port=9001), "ROWLOCK_ADMIN_API_KEY is not"),
        (Settings(admin_port=9001, admin_api_key=SecretStr("opensesame")), "16 characters"),
        (Settings(multi_tenant=True, access_key_id="key"), "has no tenant"),
    ],
)
def test_settings_of_tenants_that_contradict_each_other(settings: Settings, reason: str) -> None:
    with pytest.raises(StartupError, match=reason) as refused:
        check_tenants(settings)
    assert "opensesame" not in str(refused.value)


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
