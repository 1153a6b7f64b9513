"""Migrations against a real Postgres."""

import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gateway.metadata.embedded import Databases
from gateway.metadata.migrate import MigrationError, migrate, migrations, status
from gateway.statements import sql_directory

FIRST = "create schema example;\ncreate table example.things (id integer primary key);\n"
SECOND = """
insert into example.things values (2);
create function example.percent() returns text language sql as $$ select '100%' $$;
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a family ``example`` of two migrations."""
    family = tmp_path / "example"
    family.mkdir()
    (family / "0001_first.sql").write_text(FIRST)
    (family / "0002_second.sql").write_text(SECOND)
    return tmp_path


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_migrate_applies_in_order_and_once(database: Databases, folder: Path) -> None:
    url = database.owner_url
    assert [migration.label for migration in migrate(url, "example", folder)] == [
        "example/0001_first",
        "example/0002_second",
    ]
    assert migrate(url, "example", folder) == []
    assert rows(url, "select id from example.things") == [(2,)]
    assert rows(url, "select example.percent()") == [("100%",)]


def test_status_shows_applied_and_pending_and_changes_nothing(database: Databases, folder: Path) -> None:
    url = database.owner_url
    before = status(url, "example", folder)
    assert (before.applied, [one.id for one in before.pending]) == ((), [1, 2])
    assert rows(url, "select to_regclass('example.things')::text") == [(None,)]
    migrate(url, "example", folder)
    (folder / "example" / "0003_third.sql").write_text("select 1;")
    after = status(url, "example", folder)
    assert [one.name for one in after.applied] == ["first", "second"]
    assert [one.name for one in after.pending] == ["third"]


def test_failed_file_leaves_nothing_and_is_resumed_after_its_repair(database: Databases, folder: Path) -> None:
    url = database.owner_url
    second = folder / "example" / "0002_second.sql"
    second.write_text("insert into example.things values (1);\nselect 1 / 0;\n")
    with pytest.raises(MigrationError, match="example/0002_second failed: division by zero"):
        migrate(url, "example", folder)
    assert rows(url, "select count(*) from example.things") == [(0,)]
    second.write_text(SECOND)
    assert [migration.id for migration in migrate(url, "example", folder)] == [2]


def test_edited_file_is_refused(database: Databases, folder: Path) -> None:
    migrate(database.owner_url, "example", folder)
    (folder / "example" / "0001_first.sql").write_text(FIRST + "\n")
    for run in (migrate, status):
        with pytest.raises(MigrationError, match="example/0001_first was edited"):
            run(database.owner_url, "example", folder)


def test_newer_schema_is_refused(database: Databases, folder: Path) -> None:
    migrate(database.owner_url, "example", folder)
    (folder / "example" / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match=r"newer schema \(example/0002_second\) than this program"):
        migrate(database.owner_url, "example", folder)


def test_number_that_comes_late_is_refused(database: Databases, folder: Path) -> None:
    migrate(database.owner_url, "example", folder)
    (folder / "example" / "0003_third.sql").write_text("select 1;")
    migrate(database.owner_url, "example", folder)
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("delete from rowlock.migrations where family = 'example' and id = 2")
    with pytest.raises(MigrationError, match="example/0002_second came after 0003"):
        migrate(database.owner_url, "example", folder)


def test_no_transaction_file_runs_each_part_outside_a_transaction(database: Databases, folder: Path) -> None:
    (folder / "example" / "0003_index.sql").write_text(
        "-- rowlock: no-transaction\n"
        "create index concurrently if not exists things_one on example.things (id);\n"
        "-- rowlock: next\n"
        "create index concurrently if not exists things_two on example.things (id);\n"
    )
    migrate(database.owner_url, "example", folder)
    found = rows(database.owner_url, "select indexname from pg_indexes where schemaname = 'example' order by 1")
    assert found == [("things_one",), ("things_pkey",), ("things_two",)]
    assert migrate(database.owner_url, "example", folder) == []


def test_concurrent_migrators_apply_each_file_once(database: Databases, folder: Path) -> None:
    (folder / "example" / "0003_slow.sql").write_text("select pg_sleep(0.2);")
    applied: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: applied.extend(one.id for one in migrate(database.owner_url, "example", folder))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("3_third.sql", "not named NNNN_name.sql"),
        ("0002_again.sql", "has the number of example/0002_again|0002_second"),
    ],
)
def test_wrong_file_names_are_refused(folder: Path, name: str, message: str) -> None:
    (folder / "example" / name).write_text("select 1;")
    with pytest.raises(MigrationError, match=message):
        migrations("example", folder)


def test_missing_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="no migrations"):
        migrations("absent", tmp_path)


def test_role_without_the_right_to_migrate_gets_one_line(database: Databases, folder: Path) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("drop role if exists test_weak")
        connection.execute("create role test_weak login password 'weak'")
    try:
        weak = make_conninfo(database.owner_url, user="test_weak", password="weak")
        with pytest.raises(MigrationError, match=r"this role may not .*use the database's owner") as caught:
            migrate(weak, "example", folder)
        assert "\n" not in str(caught.value)
    finally:
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            connection.execute("drop role test_weak")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong-secret"}, "password authentication failed"),
        ({"dbname": "absent"}, 'database "absent" does not exist'),
        ({"host": "127.0.0.1", "port": "9"}, "refused"),
    ],
)
def test_unusable_database_url_gets_one_line(
    database: Databases, folder: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(MigrationError, match=message) as caught:
        migrate(make_conninfo(database.owner_url, **change), "example", folder)
    assert "\n" not in str(caught.value)
    assert "wrong-secret" not in str(caught.value)


def test_text_that_is_no_url_gets_one_line(folder: Path) -> None:
    with pytest.raises(MigrationError, match="not a Postgres connection string"):
        migrate("mysql://hunter2@host/database", "example", folder)


@pytest.mark.parametrize("family", ["control", "tenant"])
def test_shipped_migrations_are_applied_to_a_fresh_database(database: Databases, family: str) -> None:
    if not (sql_directory() / family).is_dir():
        pytest.skip(f"this checkout has no sql/{family}")
    assert status(database.owner_url, family).pending == ()
