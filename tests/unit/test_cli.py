"""The command line: help, settings and their mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.commands.config import MASK, load_settings, settings_table
from gateway.config import Settings
from gateway.errors import StartupError


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("ROWLOCK_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)


def rowlock(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_every_command_without_importing_the_server() -> None:
    done = rowlock("--help")
    assert done.returncode == 0
    for command in ("serve", "config", "keys", "db", "doctor", "fsck"):
        assert f" {command} " in done.stdout
    program = "import sys, gateway.cli; print([m for m in ('psycopg', 'pydantic', 'structlog') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_version() -> None:
    assert rowlock("--version").stdout.strip() == __version__


def test_serve_help_explains_every_flag() -> None:
    shown = rowlock("serve", "--help").stdout
    for flag in ("--data-dir", "--host", "--port", "--region", "--workers", "--domain", "--tls-cert", "--log-format"):
        assert flag in shown
    assert "Ctrl-C" in shown


def test_config_as_json_gives_every_setting_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWLOCK_PORT", "7000")
    monkeypatch.setenv("ROWLOCK_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary@h/d")
    done = rowlock("config", "--json", "--region", "eu-west-1")
    table = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert list(table) == list(Settings.model_fields)
    assert (table["port"]["value"], table["port"]["source"], table["port"]["default"]) == (
        "7000",
        "environment",
        "9000",
    )
    assert (table["region"]["value"], table["region"]["source"]) == ("eu-west-1", "flag")
    assert (table["host"]["source"], table["host"]["variable"]) == ("default", "ROWLOCK_HOST")
    assert (table["database_url"]["variable"], table["database_url"]["value"]) == ("DATABASE_URL", MASK)
    assert "canary" not in done.stdout
    assert all(entry["description"] for entry in table.values())


def test_config_as_text_shows_values_and_meanings() -> None:
    shown = rowlock("config", "--port", "7001").stdout
    assert "ROWLOCK_PORT = 7001  [flag, default 9000]\n    Port of the S3 API" in shown


def test_flag_wins_over_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWLOCK_PORT", "7000")
    assert load_settings(port=7001, host=None).port == 7001
    assert load_settings(port=None).port == 7000


def test_every_wrong_value_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWLOCK_WORKERS", "many")
    monkeypatch.setenv("ROWLOCK_LOG_LEVEL", "loud")
    with pytest.raises(StartupError) as caught:
        load_settings(port=70000)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["--port", "ROWLOCK_WORKERS", "ROWLOCK_LOG_LEVEL"]


def test_wrong_setting_leaves_with_one_line_and_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWLOCK_PORT", "-1")
    done = rowlock("config")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rowlock: ROWLOCK_PORT: ")
    assert done.stderr.count("\n") == 1


def test_table_masks_secrets_and_keeps_the_unset_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWLOCK_MASTER_KEY", "canary")
    table = {setting.name: setting for setting in settings_table(load_settings())}
    assert table["master_key"].value == MASK
    assert table["secret_access_key"].value is None


def test_db_without_a_database_says_what_to_do(tmp_path: Path) -> None:
    done = rowlock("db", "status", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"rowlock: there is no database in {tmp_path}: set --data-dir, or run `rowlock serve` first\n"
    assert list(tmp_path.iterdir()) == []
