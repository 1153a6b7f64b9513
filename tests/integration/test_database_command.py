"""``rowlock db psql`` and ``rowlock db url``: the comfortable ways into the embedded Postgres."""

from pathlib import Path

import psycopg
import pytest

from gateway.commands import database as command
from gateway.errors import StartupError
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import EmbeddedPostgres
from tests.fix_postgres import FAST_SETTINGS


@pytest.fixture(autouse=True)
def no_database_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


def test_psql_and_url_of_the_embedded_server(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, settings=FAST_SETTINGS):
        arguments = ("-At", "-v", "ON_ERROR_STOP=1", "-c")
        assert command.open_psql(*arguments, "select current_user, current_database()", data_dir=directory) == 0
        assert capfd.readouterr().out == "postgres|rowlock\n"
        assert command.open_psql(*arguments, "select from nowhere", data_dir=directory) == 1
        capfd.readouterr()

        assert command.print_url(data_dir=directory) == 0
        with psycopg.connect(capfd.readouterr().out.strip()) as connection:
            assert connection.execute("select current_database()").fetchone() == ("rowlock",)
    with pytest.raises(StartupError, match="no embedded Postgres is running"):
        command.print_url(data_dir=directory)
    # and a server that does not run is started for as long as psql runs
    assert command.open_psql(*arguments, "select 1", data_dir=directory) == 0
    assert capfd.readouterr().out == "1\n"


def test_psql_of_a_directory_without_a_database(directory: Path) -> None:
    with pytest.raises(StartupError, match="there is no database in"):
        command.open_psql(data_dir=directory)


def test_given_database_is_the_one_opened(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:word@db.invalid/x")
    assert command.print_url() == 0
    assert capfd.readouterr().out == "postgresql://somebody:word@db.invalid/x\n"
    assert command.open_psql("-c", "select 1") == 2
    said = capfd.readouterr().err
    assert "db.invalid" in said
    assert "word" not in said
