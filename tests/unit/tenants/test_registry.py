"""What the registry refuses to store, and what it hands to the database."""

from datetime import UTC, datetime

import pytest

from gateway import statements
from gateway.tenants.registry import MAX_CLAIMS_BYTES, NewAccessKey, PostgresRegistry, RegistryError, check_key
from gateway.tenants.secrets import MasterKey, SecretError

MASTER = MasterKey.of(b"m" * 32)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
GOOD = {"access_key_id": "AKIDEXAMPLE", "secret": "longenough", "role": "service_role"}


class Rows:
    """A control database that answers with given rows and remembers what it was asked."""

    def __init__(self, *rows):
        self.rows = list(rows)
        self.asked = []

    async def fetch(self, statement, parameters):
        assert statement is statements.load("control")[statement.name]
        statement.bind(parameters)
        self.asked.append((statement.name, dict(parameters)))
        return self.rows


INFO = ("AKIDEXAMPLE", "service_role", None, None, {}, None, NOW, None, None, "default", None, None, False)


async def test_secret_is_sealed_before_it_is_sent():
    rows = Rows(INFO)
    await PostgresRegistry(rows, MASTER).create_key(NewAccessKey(**GOOD))
    ((name, parameters),) = rows.asked
    assert name == "create_access_key"
    assert b"longenough" not in parameters["secret"]
    assert "longenough" not in repr(NewAccessKey(**GOOD))


async def test_find_opens_what_was_sealed_for_this_row_only():
    sealed = MASTER.seal("longenough", tenant="default", column="control.access_keys.secret", row="AKIDEXAMPLE")
    found = await PostgresRegistry(Rows((INFO[0], sealed, *INFO[1:])), MASTER).find_key("AKIDEXAMPLE")
    assert found is not None
    assert found.secret == "longenough"
    assert "longenough" not in repr(found)
    with pytest.raises(SecretError):
        await PostgresRegistry(Rows(("OTHER", sealed, *INFO[1:])), MASTER).find_key("OTHER")
    assert await PostgresRegistry(Rows(), MASTER).find_key("AKIDEXAMPLE") is None


async def test_taken_id():
    with pytest.raises(RegistryError, match="is taken"):
        await PostgresRegistry(Rows(), MASTER).create_key(NewAccessKey(**GOOD))


async def test_page_is_bounded():
    rows = Rows()
    await PostgresRegistry(rows, MASTER).list_keys(limit=10**9)
    assert rows.asked == [("list_access_keys", {"after": "", "limit": 1000, "tenant": "default"})]


@pytest.mark.parametrize(
    "change",
    [
        {"secret": ""},
        {"secret": "short12"},
        {"secret": "x" * 129},
        {"secret": "has a space in it"},
        {"secret": "newline\nin it"},
        {"secret": "ümlaut-secret"},
        {"access_key_id": ""},
        {"access_key_id": "ab"},
        {"access_key_id": "a/b/c"},
        {"access_key_id": "a b c"},
        {"access_key_id": "abc\n"},
        {"access_key_id": "A" * 129},
        {"subject": "a\0b"},
        {"display_name": "x" * 257},
        {"description": "line\nline"},
        {"claims": {"role": "postgres"}},
        {"claims": {"sub": "somebody"}},
        {"claims": {"a": "\0"}},
        {"claims": {"a": float("nan")}},
        {"claims": {"a": "\ud800"}},
        {"claims": {"a": int}},
        {"claims": {"a": "x" * MAX_CLAIMS_BYTES}},
        {"claims": {1: "a"}},
    ],
    ids=str,
)
def test_unusable_key_is_refused_without_showing_its_secret(change):
    with pytest.raises(RegistryError) as caught:
        check_key(NewAccessKey(**{**GOOD, **change}))
    assert "\n" not in str(caught.value)
    if change.get("secret"):
        assert change["secret"] not in str(caught.value)


def test_claims_that_repeat_role_and_subject_are_fine():
    key = NewAccessKey(**GOOD, subject="u", claims={"role": "service_role", "sub": "u", "name": "ü"})
    assert check_key(key) == '{"role": "service_role", "sub": "u", "name": "ü"}'
