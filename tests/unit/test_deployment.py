"""The Dockerfile, as far as it can be read; tests/integration/test_image.py does what it says."""

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

import pytest

from gateway.commands.config import Flags, settings_table
from gateway.config import Settings

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {setting.variable for setting in settings_table(Settings())}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continuation lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def arguments(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def copied() -> list[str]:
    """What the image takes from the source tree."""
    return [source for rest in arguments("COPY") if "--from=" not in rest for source in rest.split()[:-1]]


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
    assert any(f"-o {user} -g {user} -m 0700 /data" in setup for setup in arguments("RUN"))
    words = [word for word, _ in instructions()]
    last_run = len(words) - 1 - words[::-1].index("RUN")
    assert last_run < words.index("VOLUME"), "what is done to a volume after it was declared is forgotten"


def test_environment_names_are_settings() -> None:
    names = re.findall(r"\b(ROWLOCK_[A-Z_]+)\b", (ROOT / "Dockerfile").read_text("utf-8"))
    assert {"ROWLOCK_DATA_DIR", "ROWLOCK_PORT"} <= set(names) <= VARIABLES


def test_images_it_is_made_from_are_pinned() -> None:
    stages = [rest.split() for rest in arguments("FROM")]
    assert len(stages) == 3
    for image, *_ in stages:
        assert re.search(r":\d+\.\d+", image), image


def test_dependencies_are_those_of_the_lock() -> None:
    installs = [command for command in arguments("RUN") if "pip install" in command]
    assert installs == ["uv pip install --require-hashes -r requirements.lock", "uv pip install --no-deps ."]


def test_last_stage_has_no_tools_and_no_sources() -> None:
    last = instructions()[max(number for number, (word, _) in enumerate(instructions()) if word == "FROM") :]
    assert [rest for word, rest in last if word == "COPY"] == ["--from=build /opt/rowlock /opt/rowlock"]
    assert not any("uv" in rest.split() for word, rest in last if word == "RUN")


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
