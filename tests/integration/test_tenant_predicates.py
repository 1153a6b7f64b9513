"""Every predicate that keeps tenants apart in the control database counts: with any one of them always true, a
statement run for tenant A tells of B, changes B, or comes out differently because B is there.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

import psycopg
import pytest

from gateway.metadata.embedded import Databases
from gateway.statements import Statement, parse, sql_directory

A, B = "tenant-a", "tenant-b"
SEALED: Final = b"the same sealed bytes with either tenant"
PREDICATE: Final = re.compile(
    r"(?<!\w)(?:\w+\.)?(?:tenant_id|id) = (?:(?P<named>%\((?:tenant|id|row)\)s)|p_tenant|(?:\w+\.)(?:id|tenant_id)\b)",
    re.IGNORECASE,
)
# Predicates that nothing of a tenant hangs on.
HARMLESS: Final = {
    ("roll_jwk", "t.id = p_tenant"): "which rows are locked meanwhile",
}
# Names are one name space for all tenants: that B has one is no secret to who administers A.
GLOBAL: Final = frozenset({"BKEY", "b.example"})
# What a statement is run for, besides every combination of these.
CHOICES: Final[Mapping[str, tuple[Any, ...]]] = {
    "access_key_id": ("AKEY", "BKEY", "NEWKEY"),
    "hosts": (["a.example"], ["new.example"], ["b.example"], []),
    "kid": ("shared", "only-of-a", "only-of-b", "new"),
    "row": (A, "shared", "AKEY"),
}
TENANT_PARAMETERS: Final = ("tenant", "id")
VALUES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("tenant", "id"), A),
    **dict.fromkeys(("after", "after_tenant", "after_kid", "error", "description", "target", "action"), ""),
    **dict.fromkeys(("secret", "sealed", "jwk", "database_url", "owner_url", "pool_url", "jwt_secret"), SEALED),
    **{f"{name}_before": SEALED for name in ("database_url", "owner_url", "pool_url", "jwt_secret")},
    **dict.fromkeys(("claims", "limits", "features", "backends"), "{}"),
    **dict.fromkeys(("buckets", "prefix", "expires_at", "subject", "display_name", "region"), None),
    **dict.fromkeys(("jwks_url", "jwt_audience", "jwt_issuer"), None),
    "algorithm": "HS256", "before": SEALED, "fingerprint": "f", "host": "b.example", "key_id": b"\0" * 8, "limit": 100,
    "pause_seconds": 1, "read_only": False, "role": "anon", "status": "suspended", "version": "2",
    "actor": "x", "client_address": "", "request_id": "",
}  # fmt: skip
_ROWS: Final = """
    SELECT 'tenant', to_jsonb(t) FROM control.tenants AS t WHERE t.id = %(tenant)s
    UNION ALL SELECT 'host', to_jsonb(h) FROM control.tenant_hosts AS h WHERE h.tenant_id = %(tenant)s
    UNION ALL SELECT 'jwk', to_jsonb(j) FROM control.jwks AS j WHERE j.tenant_id = %(tenant)s
    UNION ALL SELECT 'key', to_jsonb(k) FROM control.access_keys AS k WHERE k.tenant_id = %(tenant)s
    UNION ALL SELECT 'migration', to_jsonb(m) FROM control.tenant_migrations AS m WHERE m.tenant_id = %(tenant)s
    UNION ALL SELECT 'audit', to_jsonb(a) - 'id' - 'at' FROM control.audit AS a WHERE a.tenant_id = %(tenant)s
"""
_FORGET: Final = """
    DELETE FROM control.audit WHERE tenant_id = %(tenant)s;
    DELETE FROM control.tenant_migrations WHERE tenant_id = %(tenant)s;
    DELETE FROM control.access_keys WHERE tenant_id = %(tenant)s;
    DELETE FROM control.jwks WHERE tenant_id = %(tenant)s;
    DELETE FROM control.tenant_hosts WHERE tenant_id = %(tenant)s;
    DELETE FROM control.tenants WHERE id = %(tenant)s
"""


def fill(connection: psycopg.Connection[Any]) -> None:
    """B first, so that what comes first is B's."""
    connection.execute("DELETE FROM control.tenants")
    for tenant, short in ((B, "b"), (A, "a")):
        connection.execute(
            "INSERT INTO control.tenants (id, description, database_url, owner_url, pool_url, jwt_secret)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [tenant, f"of {tenant}", *[SEALED] * 4],
        )
        connection.execute("INSERT INTO control.tenant_hosts VALUES (%s, %s)", [f"{short}.example", tenant])
        connection.execute(
            "INSERT INTO control.access_keys (access_key_id, secret, role, tenant_id) VALUES (%s, %s, 'anon', %s)",
            [f"{short.upper()}KEY", SEALED, tenant],
        )
        for kid in ("shared", f"only-of-{short}"):
            connection.execute(
                "INSERT INTO control.jwks (tenant_id, kid, algorithm, jwk, signing) VALUES (%s, %s, 'HS256', %s, %s)",
                [tenant, kid, SEALED, (tenant, kid) == (B, "shared")],
            )
        connection.execute(
            "INSERT INTO control.tenant_migrations (tenant_id, status, fingerprint) VALUES (%s, 'failed', 'f')",
            [tenant],
        )


def rows_of(connection: psycopg.Connection[Any], tenant: str) -> list[str]:
    return sorted(map(repr, connection.execute(_ROWS, {"tenant": tenant}).fetchall()))


def run(connection: psycopg.Connection[Any], statement: Statement, values: Mapping[str, Any]) -> list[str]:
    try:
        with connection.transaction():
            cursor = psycopg.RawCursor(connection).execute(statement.text, statement.bind(values))
            return [repr(row) for row in cursor.fetchall()] if cursor.description else []
    except psycopg.Error as error:
        return [type(error).__name__]


def told(statement: Statement, rows: list[str]) -> list[str]:
    """The rows that may be compared: of a list of all tenants those of A."""
    return rows if concerns_one(statement) else [row for row in rows if A in row]


def concerns_one(statement: Statement) -> bool:
    return any(name in statement.parameters for name in TENANT_PARAMETERS)


def leaks(connection: psycopg.Connection[Any], statement: Statement) -> Iterator[str]:
    """How a run for A shows that there is a B, whether or not A has a key that signs."""
    yield from _leaks(connection, statement)
    with connection.transaction(force_rollback=True):
        connection.execute("UPDATE control.jwks SET signing = true WHERE kid = 'only-of-a'")
        yield from _leaks(connection, statement)


def _leaks(connection: psycopg.Connection[Any], statement: Statement) -> Iterator[str]:
    chosen = [name for name in statement.parameters if name in CHOICES]
    values = {name: 10**9 if (statement.name, name) == ("audit_page", "before") else VALUES.get(name, True)
              for name in statement.parameters}  # fmt: skip
    for choice in product(*(CHOICES[name] for name in chosen)):
        given = {**values, **dict(zip(chosen, choice, strict=True))}
        host_of_b = "b.example" in (given.get("hosts") or ())
        names_b = host_of_b or any(value in GLOBAL for value in given.values() if isinstance(value, str))
        before = rows_of(connection, B)
        with connection.transaction(force_rollback=True):
            with_b = run(connection, statement, given), rows_of(connection, A)
            if rows_of(connection, B) != before:
                yield "B was changed"
        if host_of_b and with_b[0] != ["UniqueViolation"]:
            yield "a host of B's was not refused"
        if concerns_one(statement) and any(B in row or "b.example" in row for row in with_b[0]):
            yield "B was told of"
        if any(A in row and "b.example" in row for row in with_b[0]):
            yield "A was told with what is B's"
        with connection.transaction(force_rollback=True):
            for statement_of_b in _FORGET.split(";"):
                connection.execute(statement_of_b, {"tenant": B})
            alone = run(connection, statement, given), rows_of(connection, A)
        if not names_b and (told(statement, with_b[0]), with_b[1]) != (told(statement, alone[0]), alone[1]):
            yield "the outcome hangs on B"


@pytest.fixture(scope="module")
def control(module_database: Databases) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(module_database.owner_url, autocommit=True) as connection:
        fill(connection)
        # one transaction, so that now() is one moment
        with connection.transaction(force_rollback=True):
            yield connection


def queries() -> dict[str, str]:
    """The text of each statement on the control database, by its name."""
    texts = {}
    for family in ("control", "tenants"):
        source = (sql_directory() / "queries" / f"{family}.sql").read_text()
        for block in re.split(r"^(?=-- name: )", source, flags=re.MULTILINE):
            if block.startswith("-- name: "):
                texts[block.split("\n", 1)[0].removeprefix("-- name: ").strip()] = block
    return texts


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """The text with each tenant predicate always true, one at a time."""
    for found in PREDICATE.finditer(text):
        # a parameter stays one
        always = f"{found['named']}::text IS NOT NULL" if found["named"] else "true"
        yield found.group(), text[: found.start()] + always + text[found.end() :]


def statement_of(name: str, text: str) -> Statement:
    return parse(text)[name]


@pytest.mark.parametrize("name", queries())
def test_statement_for_one_tenant_shows_nothing_of_another(control: psycopg.Connection[Any], name: str) -> None:
    # global by nature: whose key or host is it?
    if name not in ("find_access_key", "find_tenant_of_host"):
        assert list(leaks(control, statement_of(name, queries()[name]))) == []


def test_every_tenant_predicate_of_a_query_counts(control: psycopg.Connection[Any]) -> None:
    tried, unnoticed = 0, []
    for name, text in queries().items():
        for predicate, mutant in mutants(text):
            tried += 1
            if next(leaks(control, statement_of(name, mutant)), None) is None:
                unnoticed.append((name, predicate))
    assert tried >= 25
    assert not unnoticed, unnoticed


def test_every_tenant_predicate_of_a_function_counts(control: psycopg.Connection[Any]) -> None:
    functions = control.execute(
        "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'control'::regnamespace"
    ).fetchall()
    statements = [statement_of(name, text) for name, text in queries().items()]
    tried, unnoticed = 0, []
    for name, definition in functions:
        for predicate, mutant in mutants(definition):
            tried += 1
            with control.transaction(force_rollback=True):
                control.execute(mutant.encode())
                called = [each for each in statements if f"control.{name}(" in each.text]
                assert called
                if (name, predicate) not in HARMLESS and not any(True for each in called for _ in leaks(control, each)):
                    unnoticed.append((name, predicate))
    assert tried >= 5
    assert not unnoticed, unnoticed
