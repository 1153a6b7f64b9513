"""The session of a process that is traced: every statement of a request is a span in its trace."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from gateway.context import Scope
from gateway.metadata.pipeline import Row
from gateway.metadata.session import Session, Transaction
from gateway.statements import Statement
from gateway.telemetry.tracing import child, is_recording


class TracedSession(Session):
    """See Session. What no request asked for, heartbeats and caches, makes no span. Values are never in one."""

    async def _run(self, scope: Scope, statement: Statement, bound: list[Any]) -> list[Row]:
        if not is_recording():
            return await super()._run(scope, statement, bound)
        with _span(statement.name):
            return await super()._run(scope, statement, bound)

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[Transaction]:
        """See Session: one span, from the wait for a connection to the end of COMMIT."""
        if not is_recording():
            async with super().transaction(scope) as transaction:
                yield transaction
            return
        with _span("transaction"):
            async with super().transaction(scope) as transaction:
                yield transaction


def _span(name: str) -> AbstractContextManager[None]:
    return child(f"postgres {name}", {"db.system.name": "postgresql", "db.operation.name": name})
