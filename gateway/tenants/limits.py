"""What a tenant may use, and the part of it that a worker keeps in memory: request rate and concurrency.

Both are counted by each worker for itself, so a fleet of n workers admits n times as much at most; storage and open
uploads are counted by the tenant's database, exactly.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from gateway.errors import StorageError
from gateway.tenants.errors import RegistryError

_LARGEST: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """None is no limit of the tenant's own; what the server's settings say holds for everybody.

    ``requests_per_second``, ``request_burst`` and ``concurrent_requests`` are of each worker, as is ``connections`` to
    the database. ``storage_bytes`` are those of all objects, versions and parts; ``multipart_uploads`` are open ones.
    """

    requests_per_second: float | None = None
    request_burst: int | None = None
    concurrent_requests: int | None = None
    connections: int | None = None
    max_object_bytes: int | None = None
    storage_bytes: int | None = None
    multipart_uploads: int | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TenantLimits":
        """Read a stored or given document; members that are null are not there. Raises RegistryError."""
        names = {field.name for field in fields(cls)}
        unknown = sorted(set(document) - names)
        if unknown:
            raise RegistryError(f"there is no limit {unknown[0]!r}: they are {', '.join(sorted(names))}")
        for name, value in document.items():
            whole = isinstance(value, int) and not isinstance(value, bool)
            number = whole or (name == "requests_per_second" and isinstance(value, float))
            if value is not None and not (number and 0 <= value <= _LARGEST):
                raise RegistryError(f"the limit {name} is a number from 0 up, or null")
        return cls(**document)

    @property
    def admits_less(self) -> bool:
        """Whether requests may be refused for their rate or their number."""
        return self.requests_per_second is not None or self.concurrent_requests is not None

    @property
    def document(self) -> dict[str, Any]:
        """What is stored: the limits there are."""
        return {name: value for name, value in asdict(self).items() if value is not None}


NO_LIMITS: Final = TenantLimits()


class Admission:
    """Lets the requests of one tenant in, at a rate and so many at a time. Belongs to one event loop.

    A token bucket: it holds ``request_burst`` requests (a second's worth where that is not given) and gains
    ``requests_per_second`` a second.
    """

    def __init__(self, limits: TenantLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate: Final = limits.requests_per_second
        self._most: Final = limits.concurrent_requests
        self._burst: Final = float(limits.request_burst or max(1.0, limits.requests_per_second or 1.0))
        self._monotonic: Final = monotonic
        self._tokens = self._burst
        self._filled_at = monotonic()

    def admit(self, running: int) -> None:
        """One more request, of which ``running`` are under way, itself included. Raises SlowDown."""
        if self._most is not None and running > self._most:
            raise StorageError("SlowDown")
        if self._rate is None:
            return
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1.0:
            raise StorageError("SlowDown")
        self._tokens -= 1.0
