"""Listing against a model: keys in byte order, prefixes rolled up, pages that neither skip nor repeat."""

from itertools import islice

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.metadata import keyspace, listings
from gateway.metadata.embedded import Databases
from gateway.metadata.session import Session
from tests.integration.conftest import SERVICE, user

_CHARACTERS = "ab/-\x01\x7f é\ud7ff\ue000\uffff\U00010000\U0010ffff"
_KEYS = st.lists(st.text(_CHARACTERS, min_size=1, max_size=6), max_size=40, unique=True)


def model(keys: list[str], prefix: str, delimiter: str | None) -> list[tuple[str, bool]]:
    """What a listing shows, by the definition."""
    entries: dict[str, bool] = {}
    for key in sorted(keys, key=str.encode):
        if key.startswith(prefix):
            rolled = keyspace.common_prefix(key, prefix, delimiter) if delimiter else None
            entries.setdefault(rolled or key, rolled is not None)
    return list(entries.items())


@pytest.fixture(scope="module")
def connection(module_database: Databases) -> psycopg.Connection:
    with psycopg.connect(module_database.owner_url, autocommit=True) as opened:
        opened.execute("INSERT INTO storage.buckets (id, name) VALUES ('model', 'model')")
        opened.execute("CREATE POLICY everything ON storage.objects FOR SELECT TO authenticated USING (true)")
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=_KEYS,
    prefix=st.text(_CHARACTERS, max_size=2),
    delimiter=st.sampled_from([None, "/", "-", "a", "/-", "\U0010ffff", "\ud7ff"]),
    page_size=st.integers(1, 7),
    role=st.sampled_from([SERVICE, user("someone")]),
)
def test_pages_equal_the_model(module_database, connection, keys, prefix, delimiter, page_size, role) -> None:
    import asyncio

    connection.execute("DELETE FROM storage.objects")
    for key in keys:
        connection.execute("INSERT INTO storage.objects (bucket_id, name) VALUES ('model', %s)", [key])

    async def walk() -> list[tuple[str, bool]]:
        session = Session(
            module_database.gateway_url, pool_size=1, pool_timeout_seconds=5, statement_timeout_seconds=30
        )
        await session.open()
        found: list[tuple[str, bool]] = []
        lower = ""
        try:
            while page := await listings.list_objects(
                session, role, "model", keyspace.within(prefix, lower=lower), prefix, delimiter, page_size
            ):
                assert len(page) <= page_size
                found += [(entry.name, entry.is_prefix) for entry in page]
                lower = keyspace.resume_after(page[-1].name, prefix, delimiter)
        finally:
            await session.close()
        return found

    assert asyncio.run(walk()) == model(keys, prefix, delimiter)


@given(st.text(_CHARACTERS, max_size=4), st.text(_CHARACTERS, max_size=4))
def test_successor_is_above_every_key_with_the_prefix_and_below_all_others(prefix: str, other: str) -> None:
    bound = keyspace.successor(prefix)
    assert (prefix + other).encode() < bound.encode()
    if other.encode() > prefix.encode() and not other.startswith(prefix):
        assert other.encode() >= bound.encode()


def test_page_of_prefixes_costs_one_probe_each(connection: psycopg.Connection) -> None:
    """A page must not read the keys below its prefixes: 200 prefixes of 500 keys, 100,000 rows."""
    connection.execute("DELETE FROM storage.objects")
    connection.execute("""
        INSERT INTO storage.objects (bucket_id, name)
        SELECT 'model', format('d%s/k%s', lpad((n / 500)::text, 3, '0'), lpad((n % 500)::text, 3, '0'))
        FROM generate_series(0, 99999) AS n
    """)
    connection.execute("ANALYZE storage.objects")
    call = "SELECT * FROM rowlock.list_objects('model', '', repeat(chr(1114111), 257), 0, '/', '0', 1000)"
    connection.execute(call)
    before = connection.execute(
        "SELECT coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_xact_user_tables WHERE relname = 'objects'"
    ).fetchone()
    assert before is not None
    with connection.transaction():
        rows = connection.execute(call).fetchall()
        [read] = connection.execute(
            "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'objects'"
        ).fetchone() or [None]
    assert len(rows) == 200
    assert [row[0] for row in islice(rows, 2)] == ["d000/", "d001/"]
    assert read is not None
    assert read < 200 * 20
