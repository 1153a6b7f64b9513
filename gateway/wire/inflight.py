"""The requests running in this worker: what a graceful stop waits for, and what it finally cancels."""

import asyncio
from typing import Any, Final

from gateway.errors import CATALOGUE
from gateway.wire.drain import Application, Message, Receive, Send

_UNAVAILABLE: Final = CATALOGUE["ServiceUnavailable"]
_BODY: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f"<Error><Code>{_UNAVAILABLE.name}</Code><Message>{_UNAVAILABLE.message}</Message></Error>"
).encode("ascii")


class InFlight:
    """ASGI middleware around everything. While :attr:`draining`, answers carry ``Connection: close`` and the app finds
    ``scope["state"]["draining"]`` true, so that its readiness check fails."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cancelled = False
        self.draining = False

    def __len__(self) -> int:
        return len(self._tasks)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - ASGI runs in a task
        answer = _Answer(self, send)
        self._tasks.add(task)
        try:
            if self.draining:
                scope.setdefault("state", {})["draining"] = True
            await self._app(scope, receive, answer.send)
        except asyncio.CancelledError:
            if not self._cancelled or answer.started or scope["type"] != "http":
                raise
            await answer.refuse()
        finally:
            self._tasks.discard(task)

    async def _lifespan(self, scope: Any, receive: Receive, send: Send) -> None:
        """A lifespan that raises has failed; hypercorn would go on without it."""
        started = False

        async def observed(message: Message) -> None:
            nonlocal started
            started = started or message["type"].startswith("lifespan.startup.")
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as error:
            if started:
                raise
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})

    def cancel_all(self) -> None:
        """Cancel every running request. Those that had not begun to answer answer 503."""
        self._cancelled = True
        for task in self._tasks:
            task.cancel()


class _Answer:
    """The answer of one request: whether it began, and whether it must announce the end of the connection."""

    def __init__(self, owner: InFlight, send: Send) -> None:
        self._owner = owner
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self._owner.draining:
                headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"connection"]
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await self._send(message)

    async def refuse(self) -> None:
        headers = [
            (b"content-type", b"application/xml"),
            (b"content-length", b"%d" % len(_BODY)),
            (b"retry-after", b"%d" % (_UNAVAILABLE.retry_after_seconds or 1)),
        ]
        await self.send({"type": "http.response.start", "status": _UNAVAILABLE.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": _BODY})
