"""Dockerfile and compose.yaml, as far as they can be checked without a container engine."""

import ast
import fnmatch
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.config import Flags, settings_table
from gateway.config import Settings

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {setting.variable for setting in settings_table(Settings())}
# What the images of others read.
FOREIGN = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continuation lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def arguments(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="no YAML parser")
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return document


def copied() -> list[str]:
    return [source for rest in arguments("COPY") for source in rest.split()[:-1]]


def test_copied_files_exist_and_reach_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignore[0] == "*"
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source


def test_image_has_all_the_package_is_built_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert needed | set(wheel["packages"]) | set(wheel["force-include"]) <= set(copied())


def test_image_runs_as_an_ordinary_user_who_owns_the_volume() -> None:
    (user,) = arguments("USER")
    assert user != "root"
    assert arguments("VOLUME") == ["/data"]
    setup = arguments("RUN")[0]
    assert f"-o {user} -g {user}" in setup
    assert [word for word, _ in instructions()].index("RUN") < [word for word, _ in instructions()].index("VOLUME")


def test_environment_names_are_settings() -> None:
    names = re.findall(r"\b([A-Z][A-Z_]+)=", " ".join(arguments("ENV")))
    names += re.findall(r"^      ([A-Z][A-Z_]+):", (ROOT / "compose.yaml").read_text("utf-8"), re.MULTILINE)
    assert {"ROWLOCK_DATA_DIR", "DATABASE_URL"} <= set(names)
    assert set(names) <= VARIABLES | FOREIGN


def test_command_is_one_the_program_has() -> None:
    entry, command = json.loads(arguments("ENTRYPOINT")[0]), json.loads(arguments("CMD")[0])
    assert entry == ["rowlock"]
    assert command[0] == "serve"
    flags = {f"--{name.replace('_', '-')}" for name in Flags.__dataclass_fields__}
    assert {word for word in command if word.startswith("--")} <= flags


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def check_health(port: int) -> int:
    words = json.loads(arguments("HEALTHCHECK")[0].partition("CMD ")[2])
    assert words[:2] == ["python", "-c"]
    ast.parse(words[2])
    command = [sys.executable, *words[1:]]
    return subprocess.run(command, env={"ROWLOCK_PORT": str(port)}, capture_output=True, check=False).returncode


@pytest.mark.parametrize(("status", "healthy"), [(404, True), (403, True), (503, False), (500, False)])
def test_health_check(status: int, healthy: bool) -> None:
    with answering(status) as port:
        assert (check_health(port) == 0) is healthy


def test_health_check_without_a_server() -> None:
    with answering(404) as port:
        pass
    assert check_health(port) != 0


def test_compose_profiles(compose: dict[str, Any]) -> None:
    by_profile: dict[str, set[str]] = {}
    for name, service in compose["services"].items():
        for profile in service["profiles"]:
            by_profile.setdefault(profile, set()).add(name)
    assert by_profile == {"embedded": {"gateway-embedded"}, "single": {"gateway", "postgres"}}


def test_compose_refers_to_what_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        if "build" in service:
            assert (ROOT / service["build"] / "Dockerfile").is_file()
        for volume in service["volumes"]:
            assert volume.partition(":")[0] in compose["volumes"]
        assert set(service.get("depends_on", ())) <= set(compose["services"])


def test_compose_waits_for_the_drain(compose: dict[str, Any]) -> None:
    for name in ("gateway", "gateway-embedded"):
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) > Settings().drain_seconds + 10
