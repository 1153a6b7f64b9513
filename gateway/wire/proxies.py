"""The proxies whose word counts: who connects from one of the configured networks."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from gateway.texts import comma_separated


class TrustedProxies:
    """Networks (CIDR) with commas between; none by default."""

    def __init__(self, networks: str) -> None:
        self._networks: Final = tuple(ipaddress.ip_network(part) for part in comma_separated(networks))
        self._trusts = lru_cache(maxsize=1024)(self._look)

    def __call__(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request comes from one of them, by the address of the peer in its ASGI scope."""
        client = scope.get("client")
        return self.trusts(client[0] if client else None)

    def trusts(self, address: str | None) -> bool:
        """Whether who connects from this address is one of them."""
        return bool(address) and bool(self._networks) and self._trusts(address or "")

    def _look(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)
