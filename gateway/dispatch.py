"""Which front a request is for, read from its path and the port it came to. No path has two readings (DESIGN §8).

On the S3 port ``/storage/v1`` is the JSON API and everything else is S3; under a bucket's own host name everything is
S3. On the JSON API's port it is at the root and under the same prefix. S3 is under ``/s3`` of the API on either; what a
client signed there is the whole path.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Front = Callable[[Scope, Any, Any], Awaitable[None]]

PREFIX: Final = "/storage/v1"
_S3: Final = "/s3"
# What may be asked whoever asks, and says the same in the name of any tenant or of none.
_HEALTH: Final = (b"/status", b"/health/ready", b"/version")


class Mounts:
    """Where the JSON API is: under its prefix of the S3 port, and at the root of a port of its own."""

    def __init__(self, *, rest_port: int | None, domain: str | None) -> None:
        self._rest_port: Final = rest_port
        self._domain: Final = f".{domain}".encode("ascii") if domain else None

    def of(self, scope: Scope) -> str | None:
        """What the path of a request to it begins with; None for a request to S3."""
        mount = PREFIX if _is_under(scope["raw_path"], PREFIX) else ""
        on_rest_port = self._rest_port is not None and (scope.get("server") or (None, None))[1] == self._rest_port
        return None if not on_rest_port and (not mount or self._is_bucket_host(scope)) else mount

    def asks_for_health(self, scope: Scope) -> bool:
        """Whether this asks how the process is, which is nothing of a tenant's."""
        path: bytes = scope["raw_path"]
        if not path.endswith(_HEALTH):
            return False
        mount = self.of(scope)
        return mount is not None and path[len(mount) :] in _HEALTH

    def _is_bucket_host(self, scope: Scope) -> bool:
        if self._domain is None:
            return False
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        return host.rpartition(b":")[0].lower().endswith(self._domain) or host.lower().endswith(self._domain)


class Dispatch:
    """An ASGI application that hands each request to one front, saying in ``root_path`` where that is mounted."""

    def __init__(self, s3: Front, rest: Front, *, rest_port: int | None, domain: str | None) -> None:
        self._s3: Final = s3
        self._rest: Final = rest
        self._mounts: Final = Mounts(rest_port=rest_port, domain=domain)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        is_rest, mounted = self.read(scope)
        await (self._rest if is_rest else self._s3)(mounted, receive, send)

    def read(self, scope: Scope) -> tuple[bool, Scope]:
        """Whether a request is the JSON API's, and the scope its front is given."""
        mount = self._mounts.of(scope)
        if mount is None:
            return False, scope
        path: bytes = scope["raw_path"]
        if _is_under(path, mount + _S3):
            return False, {**scope, "root_path": mount + _S3}
        return True, {**scope, "root_path": mount}


def _is_under(path: bytes, mount: str) -> bool:
    prefix = mount.encode("ascii")
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")


class SignedPrefix:
    """An ASGI application before S3's: on the JSON API's port it puts back what a proxy took off before ``/s3``, since
    that is what the client signed."""

    def __init__(self, s3: Front, prefix: str) -> None:
        self._s3: Final = s3
        self._prefix: Final = prefix

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope.get("root_path") == _S3:
            whole = self._prefix.encode("ascii") + scope["raw_path"]
            scope = {**scope, "raw_path": whole, "root_path": self._prefix + _S3}
        await self._s3(scope, receive, send)
