"""Noninterference on shared connections: principals, errors, cancellations and killed backends in any order.

Whatever happens to its neighbours, a caller gets its own answer under its own role and claims, or an error it is told
of; and at the end nothing is left on any connection (reliability §5, security J).
"""

import asyncio
import json
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.embedded import Databases
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.pipeline import MAX_PREPARED, PipelineConnection
from gateway.metadata.session import Session
from gateway.statements import Statement, parse

_SQL = parse(
    """
-- name: identity
-- lane: quick
SELECT current_user::text, current_setting('request.jwt.claims'), current_setting('request.jwt.claim.sub'),
    current_setting('request.jwt.claim.role'), current_setting('request.headers'), current_setting('request.path'),
    current_setting('storage.operation'), current_setting('rowlock.request_id'), %(tag)s::text;

-- name: rows
-- lane: quick
SELECT n.owner_id, n.note, %(tag)s::text FROM public.notes AS n ORDER BY n.note;

-- name: divide
-- lane: quick
SELECT 1 / (length(%(tag)s::text) - length(%(tag)s::text));

-- name: denied
-- lane: quick
INSERT INTO public.notes (owner_id, note) VALUES ('nobody', %(tag)s::text);

-- name: too_slow
SELECT pg_sleep(2), %(tag)s::text;

-- name: disguise
-- lane: quick
SELECT set_config('role', 'anon', true), set_config('request.jwt.claims', '"stolen"', true), %(tag)s::text;

-- name: tally
UPDATE public.tallies AS t SET count = t.count + 1 WHERE t.id = %(tag)s::text RETURNING t.count;

-- name: backend
-- lane: quick
SELECT pg_backend_pid();
"""
)

_TALLIES = 4


@dataclass
class Run:
    """One interleaving: what was asked, and what came of it."""

    session: Session
    owner: psycopg.Connection
    rng: random.Random
    outcomes: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def principal(self) -> Scope:
        """One of many callers; every setting names its request, so that none can be taken for another's."""
        mark = secrets.token_hex(8)
        role = self.rng.choice(["anon", "authenticated", "authenticated", "service_role"])
        subject = f"user-{self.rng.randrange(8)}"
        return Scope(
            role=role,
            operation=f"storage.{mark}",
            subject=subject,
            claims_json=json.dumps({"sub": subject, "mark": mark, "text": "'\"\\; é"}, ensure_ascii=False),
            path=f"/{mark}",
            headers_json=json.dumps({"x": mark}),
            request_id=mark,
        )

    async def step(self) -> None:
        scope = self.principal()
        [kind] = self.rng.choices(
            ["identity", "rows", "divide", "denied", "disguise", "tally", "too_slow", "cancel", "kill", "transaction"],
            [400, 250, 60, 60, 60, 100, 1, 60, 1, 8],
        )
        try:
            await getattr(self, f"_{kind}")(scope)
        except StorageError as error:
            # Overload and lost connections may be told to anybody, and to nobody anything else.
            if error.code.name not in ("SlowDown", "ServiceUnavailable"):
                raise
            kind = error.code.name
        self.outcomes[kind] += 1

    async def _ask(self, scope: Scope, statement: Statement) -> list[tuple[object, ...]]:
        rows = await self.session.fetch(scope, statement, tag=scope.request_id)
        assert all(row[-1] == scope.request_id for row in rows), "an answer to somebody else's question"
        return rows

    async def _identity(self, scope: Scope) -> None:
        [row] = await self._ask(scope, _SQL["identity"])
        assert row[:-1] == (
            scope.role, scope.claims_json, scope.subject, scope.role, scope.headers_json, scope.path, scope.operation,
            scope.request_id,
        )  # fmt: skip

    async def _rows(self, scope: Scope) -> None:
        owners = {row[0] for row in await self._ask(scope, _SQL["rows"])}
        everybody = {f"user-{n}" for n in range(8)}
        assert owners == {"anon": set(), "authenticated": {scope.subject}, "service_role": everybody}[scope.role]

    async def _divide(self, scope: Scope) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await self._ask(scope, _SQL["divide"])

    async def _denied(self, scope: Scope) -> None:
        if scope.role == "service_role":
            return
        with pytest.raises(StorageError) as refused:
            await self.session.write(scope, _SQL["denied"], tag=scope.request_id)
        assert refused.value.code.name in ("AccessDenied", "SlowDown", "ServiceUnavailable")

    async def _disguise(self, scope: Scope) -> None:
        await self._ask(scope, _SQL["disguise"])

    async def _tally(self, scope: Scope) -> None:
        tally = str(self.rng.randrange(_TALLIES))
        writer = Scope(role="service_role", operation="tally")
        try:
            await self.session.write(writer, _SQL["tally"], tag=tally)
        except OutcomeUnknown:
            self.unknown[tally] += 1
        except StorageError as error:
            if error.code.name != "SlowDown":
                raise
        else:
            self.counted[tally] += 1

    async def _too_slow(self, scope: Scope) -> None:
        with pytest.raises(StorageError) as refused:
            await self._ask(scope, _SQL["too_slow"])
        assert refused.value.code.name in ("SlowDown", "ServiceUnavailable")

    async def _cancel(self, scope: Scope) -> None:
        statement = _SQL["too_slow"] if self.rng.random() < 0.02 else _SQL["identity"]
        task = asyncio.create_task(self._ask(scope, statement))
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _kill(self, scope: Scope) -> None:
        self.owner.execute("""
            SELECT pg_terminate_backend(pid) FROM (
                SELECT pid FROM pg_stat_activity
                WHERE application_name = 'rowlock' AND datname = current_database() ORDER BY random() LIMIT 1) AS victim
        """)

    async def _transaction(self, scope: Scope) -> None:
        async with self.session.transaction(scope) as transaction:
            for _ in range(2):
                [row] = await transaction.fetch(_SQL["identity"], tag=scope.request_id)
                assert (row[0], row[1], row[-1]) == (scope.role, scope.claims_json, scope.request_id)


@pytest.fixture
def owner(database: Databases) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE public.notes (owner_id text, note text);
            INSERT INTO public.notes SELECT 'user-' || n % 8, 'note-' || n FROM generate_series(0, 23) AS n;
            ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON public.notes FOR SELECT TO authenticated
                USING (owner_id = (SELECT current_setting('request.jwt.claims', true)::jsonb ->> 'sub'));
            CREATE POLICY everything ON public.notes TO service_role USING (true) WITH CHECK (true);
            CREATE TABLE public.tallies (id text PRIMARY KEY, count integer NOT NULL);
            INSERT INTO public.tallies SELECT n::text, 0 FROM generate_series(0, 3) AS n;
            GRANT SELECT, INSERT ON public.notes TO anon, authenticated, service_role;
            GRANT ALL ON public.tallies TO service_role
        """)
        yield connection


def unscoped(connection: PipelineConnection) -> list[bytes]:
    """What a statement without a scope finds on a connection that carried many."""
    raw = connection._pgconn
    asyncio.get_running_loop().remove_reader(raw.socket)
    raw.exit_pipeline_mode()
    raw.nonblocking = 0
    result = raw.exec_(b"""
        SELECT current_user, current_setting('request.jwt.claims', true),
            current_setting('request.jwt.claim.sub', true), current_setting('rowlock.request_id', true),
            current_setting('storage.operation', true)
    """)
    # NULL on a connection made anew that carried none yet, empty after the first: both say "nobody".
    return [result.get_value(0, column) or b"" for column in range(5)]


async def interleave(database: Databases, owner: psycopg.Connection, operations: int, seed: int) -> Counter[str]:
    session = Session(database.gateway_url, pool_size=8, pool_timeout_seconds=5, statement_timeout_seconds=0.5)
    await session.open()
    run = Run(session, owner, random.Random(seed))
    try:
        remaining = iter(range(operations))

        async def caller() -> None:
            for _ in remaining:
                await run.step()

        await asyncio.gather(*(caller() for _ in range(48)))

        fresh = Scope(role="anon", operation="fresh", request_id="fresh")
        for _ in range(20):
            await run._identity(fresh)
        prepared = [count for lane in session._lanes.values() for count in lane.prepared]
        assert prepared
        assert max(prepared) <= MAX_PREPARED
        assert max(prepared) <= 3 * len(_SQL) + 1, "one name a statement and role, and the scope's"
        for lane in session._lanes.values():
            for connection in lane._connections:
                assert unscoped(connection) == [b"rowlock_gateway", b"", b"", b"", b""]
        # A look from outside: no lock and no transaction is left behind.
        [idle] = owner.execute("""
            SELECT bool_and(state = 'idle' AND backend_xid IS NULL) FROM pg_stat_activity
            WHERE application_name = 'rowlock' AND datname = current_database()
        """).fetchone() or [None]
        assert idle
    finally:
        await session.close()
    for tally, count in owner.execute("SELECT id, count FROM public.tallies").fetchall():
        # Every acknowledged write happened, once; what was unknown may have happened, once.
        assert run.counted[tally] <= count <= run.counted[tally] + run.unknown[tally]
    assert owner.execute("SELECT count(*) FROM public.notes WHERE owner_id = 'nobody'").fetchone() == (0,)
    return run.outcomes


async def test_two_thousand_operations(database: Databases, owner: psycopg.Connection) -> None:
    outcomes = await interleave(database, owner, 2_000, seed=1)
    # The test must have seen what it is about.
    assert min(outcomes[kind] for kind in ("identity", "rows", "divide", "denied", "disguise", "tally", "cancel")) >= 40
    assert outcomes["SlowDown"] + outcomes["ServiceUnavailable"] <= 100


@pytest.mark.slow
async def test_a_hundred_thousand_operations(database: Databases, owner: psycopg.Connection) -> None:
    outcomes = await interleave(database, owner, 100_000, seed=2)
    assert outcomes["kill"] >= 50
    assert outcomes["too_slow"] >= 50
    assert outcomes["SlowDown"] + outcomes["ServiceUnavailable"] <= 5_000
