"""How commands reach the database: given, running, or started for a while."""

from pathlib import Path

import psycopg
import pytest

from gateway.commands.config import load_settings
from gateway.commands.database import connect_urls
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import Databases, EmbeddedPostgres, locate_running


def answers(databases: Databases) -> bool:
    with psycopg.connect(databases.owner_url) as connection:
        return connection.execute("select 1").fetchone() == (1,)


def test_given_url_is_used(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://example/d")
    with connect_urls(load_settings(data_dir=directory)) as databases:
        assert databases == Databases("postgresql://example/d", "postgresql://example/d")


def test_running_server_is_used_and_left_running(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, connections=10) as server:
        with connect_urls(load_settings(data_dir=directory)) as databases:
            assert databases == server.databases
            assert answers(databases)
        assert locate_running(directory) == server.databases


def test_stopped_server_is_started_for_a_while(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, connections=10):
        pass
    with connect_urls(load_settings(data_dir=directory)) as databases:
        assert answers(databases)
    assert locate_running(directory) is None
    with DataDirectory.hold(directory):
        pass
