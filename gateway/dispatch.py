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


class Dispatch:
    """An ASGI application that hands each request to one front, saying in ``root_path`` where that is mounted."""

    def __init__(self, s3: Front, rest: Front, *, rest_port: int | None, domain: str | None) -> None:
        self._s3: Final = s3
        self._rest: Final = rest
        self._rest_port: Final = rest_port
        self._domain: Final = f".{domain}".encode("ascii") if domain else None

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        path: bytes = scope["raw_path"]
        mount = PREFIX if _is_under(path, PREFIX) else ""
        on_rest_port = self._rest_port is not None and (scope.get("server") or (None, None))[1] == self._rest_port
        if not on_rest_port and (not mount or self._is_bucket_host(scope)):
            await self._s3(scope, receive, send)
        elif _is_under(path, mount + _S3):
            await self._s3({**scope, "root_path": mount + _S3}, receive, send)
        else:
            await self._rest({**scope, "root_path": mount}, receive, send)

    def _is_bucket_host(self, scope: Scope) -> bool:
        if self._domain is None:
            return False
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        return host.rpartition(b":")[0].lower().endswith(self._domain) or host.lower().endswith(self._domain)


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
