"""Every policy of the schema counts: drop any one, or open it to everybody, and a probe tells.

Roles that look past row-level security are made ordinary ones first, as they are where Postgres does not let us make
them so; all of it in transactions that are rolled back.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from gateway.metadata.embedded import Databases
from tests.integration.policy_probes import PROBES, Probe, fill


@pytest.fixture(scope="module")
def filled(module_database: Databases) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(module_database.owner_url, autocommit=True) as connection:
        fill(connection)
        with connection.transaction(force_rollback=True):
            connection.execute("ALTER ROLE service_role NOBYPASSRLS; ALTER ROLE rowlock_engine NOBYPASSRLS")
            yield connection


def policies(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT schemaname, tablename, policyname, qual, with_check FROM pg_policies"
        " WHERE schemaname IN ('storage', 'rowlock', 'control') ORDER BY 1, 2, 3"
    ).fetchall()


def failing(connection: psycopg.Connection[Any]) -> Iterator[Probe]:
    return (probe for probe in PROBES if probe.outcome(connection) != probe.expected)


def test_every_probe_holds(filled: psycopg.Connection[Any]) -> None:
    wrong = [
        (probe.scope.role, probe.scope.subject, probe.statement, probe.outcome(filled)) for probe in failing(filled)
    ]
    assert not wrong, "\n".join(map(repr, wrong))


def test_dropping_any_policy_is_noticed(filled: psycopg.Connection[Any]) -> None:
    found = policies(filled)
    unnoticed = []
    for schema, table, name, _, _ in found:
        with filled.transaction(force_rollback=True):
            filled.execute(sql.SQL("DROP POLICY {} ON {}").format(sql.Identifier(name), sql.Identifier(schema, table)))
            if next(failing(filled), None) is None:
                unnoticed.append((table, name))
    assert len(found) >= 39
    assert not unnoticed, unnoticed


def test_opening_any_policy_is_noticed(filled: psycopg.Connection[Any]) -> None:
    unnoticed = []
    for schema, table, name, *clauses in policies(filled):
        for word, clause in zip(("USING", "WITH CHECK"), clauses, strict=True):
            if clause in (None, "true"):
                continue
            with filled.transaction(force_rollback=True):
                filled.execute(
                    sql.SQL("ALTER POLICY {} ON {} {} (true)").format(
                        sql.Identifier(name), sql.Identifier(schema, table), sql.SQL(word)
                    )
                )
                if next(failing(filled), None) is None:
                    unnoticed.append((table, name, word))
    assert not unnoticed, unnoticed


def test_tables_without_row_security_are_none_of_the_callers(filled: psycopg.Connection[Any]) -> None:
    """What is without row-level security, callers cannot read at all, but for revisions of rules, which name nobody."""
    open_tables = filled.execute(
        "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind IN ('r', 'v', 'm') AND NOT c.relrowsecurity"
        " AND c.relnamespace::regnamespace::text IN ('storage', 'rowlock', 'control')"
        " AND EXISTS (SELECT FROM unnest(ARRAY['anon', 'authenticated', 's3_account', 'public']) AS r (name)"
        "   WHERE has_table_privilege(r.name, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE'))"
    ).fetchall()
    assert open_tables == [("rowlock.lifecycle_revisions",)]
