"""What a start refuses before it opens anything."""

import pytest
from pydantic import SecretStr

from gateway.config import Settings
from gateway.errors import StartupError
from gateway.startup import check_tenants


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(admin_port=9001), "ROWLOCK_ADMIN_API_KEY is not"),
        (Settings(admin_port=9001, admin_api_key=SecretStr("opensesame")), "16 characters"),
        (Settings(multi_tenant=True, access_key_id="key"), "has no tenant"),
        (Settings(accel="x-sendfile"), "ROWLOCK_TRUSTED_PROXIES is not"),
    ],
)
def test_settings_of_tenants_that_contradict_each_other(settings: Settings, reason: str) -> None:
    with pytest.raises(StartupError, match=reason) as refused:
        check_tenants(settings)
    assert "opensesame" not in str(refused.value)
