"""``rowlock keys`` over a registry in memory."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from gateway.commands import keys
from gateway.config import Settings
from gateway.errors import StorageError

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Table:
    """``control.access_keys`` in memory, by statement name."""

    def __init__(self):
        self.rows = {}
        self.accounts = {}

    async def fetch(self, statement, parameters):
        match statement.name:
            case "create_access_key":
                if parameters["access_key_id"] in self.rows:
                    return []
                info = [parameters[name] for name in ("access_key_id", "role", "subject", "display_name")]
                row = [*info, json.loads(parameters["claims"]), parameters["description"], NOW, None, None]
                self.rows[parameters["access_key_id"]] = row
                return [tuple(row)]
            case "list_access_keys":
                found = sorted(name for name in self.rows if name > parameters["after"])[: parameters["limit"]]
                return [tuple(self.rows[name]) for name in found]
            case "revoke_access_key":
                row = self.rows.get(parameters["access_key_id"])
                if row is None:
                    return []
                row[-1] = NOW
                return [tuple(row)]
            case "register_account":
                self.accounts[parameters["subject"]] = parameters
                return []
        raise AssertionError(statement.name)


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def run(table, tmp_path, capsys):
    @asynccontextmanager
    async def connect(settings):
        yield table

    app = keys.build(connect, lambda: Settings(data_dir=tmp_path))

    def call(*words):
        status = 0
        try:
            app(list(words), exit_on_error=False, print_error=False, result_action="return_value")
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_create_generates_id_and_secret(run, table):
    status, out, _ = run("create", "--json")
    key = json.loads(out)
    assert status == 0
    assert list(key) == [
        "access_key_id",
        "secret_access_key",
        "role",
        "subject",
        "display_name",
        "canonical_id",
        "claims",
    ]
    assert len(key["access_key_id"]) == 20
    assert key["access_key_id"].startswith("RK")
    assert key["access_key_id"].isupper()
    assert len(key["secret_access_key"]) == 40
    assert key["role"] == "service_role"
    assert list(table.rows) == [key["access_key_id"]]


def test_create_with_everything_given(run):
    words = (
        "--access-key-id",
        "AKIDA",
        "--secret-access-key",
        "secretsecret",
        "--role",
        "authenticated",
        "--subject",
        "u",
    )
    status, out, _ = run(
        "create", *words, "--display-name", "U", "--claims", '{"team": 1}', "--description", "d", "--json"
    )
    assert status == 0
    assert json.loads(out) == {
        "canonical_id": sha256(b"default\0u").hexdigest(),
        "access_key_id": "AKIDA",
        "secret_access_key": "secretsecret",
        "role": "authenticated",
        "subject": "u",
        "display_name": "U",
        "claims": {"team": 1},
    }


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--secret-access-key", ""), "secret access key"),
        (("--secret-access-key", "short12"), "secret access key"),
        (("--access-key-id", ""), "access key id"),
        (("--access-key-id", "a b c"), "access key id"),
        (("--role", "postgres"), "role must be one of"),
        (("--account",), "needs a subject"),
        (("--account", "--role", "anon", "--subject", "u"), "contradicts"),
        (("--claims", "[]"), "JSON object"),
        (("--claims", "{"), "JSON object"),
        (("--claims", '{"role": "postgres"}'), "contradicts"),
    ],
)
def test_create_refuses(run, table, words, text):
    status, out, err = run("create", *words)
    assert status == 1
    assert text in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert table.rows == {}


def test_create_account_registers_whom_grants_may_name(run, table):
    words = ("--account", "--subject", "alice", "--display-name", "Alice", "--claims", '{"email": "a@example.com"}')
    _, out, _ = run("create", *words, "--json")
    made = json.loads(out)
    assert (made["role"], made["subject"]) == ("s3_account", "alice")
    assert table.accounts["alice"] == {
        "subject": "alice",
        "canonical_id": made["canonical_id"],
        "display_name": "Alice",
        "email": "a@example.com",
    }
    run("create", "--account", "--subject", "alice")
    assert [row[1] for row in table.rows.values()] == ["s3_account", "s3_account"]


def test_create_twice(run):
    run("create", "--access-key-id", "AKIDA")
    status, _, err = run("create", "--access-key-id", "AKIDA")
    assert (status, "is taken" in err) == (1, True)


def test_list_and_revoke(run):
    run("create", "--access-key-id", "AKIDB", "--secret-access-key", "secretsecret")
    run("create", "--access-key-id", "AKIDA", "--subject", "u")
    status, out, _ = run("list", "--json")
    assert [key["access_key_id"] for key in json.loads(out)] == ["AKIDA", "AKIDB"]
    assert "secretsecret" not in out
    status, out, _ = run("revoke", "AKIDA", "--json")
    assert status == 0
    assert json.loads(out)["revoked_at"]
    assert "AKIDA  service_role  u  -  revoked" in run("list")[1]
    assert run("revoke", "NOBODY")[0] == 1


def test_unreachable_database_is_one_line(tmp_path, capsys):
    @asynccontextmanager
    async def connect(settings):
        raise StorageError("ServiceUnavailable")
        yield

    app = keys.build(connect, lambda: Settings(data_dir=tmp_path))
    with pytest.raises(SystemExit) as stop:
        app(["list"])
    assert stop.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_generated_values_are_distinct():
    assert len({keys.new_access_key_id() for _ in range(100)} | {keys.new_secret() for _ in range(100)}) == 200
