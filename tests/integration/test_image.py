"""The image without a container engine: the Dockerfile's steps replayed below a temporary directory, then its command
run there, asked by its own health check, used, and stopped as Docker stops it."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.unit.test_deployment import ROOT, instructions

UV = Path(sys.executable).with_name("uv")
# The machine's cache may be used, and byte code is made when it is needed: the image wants neither.
NOT_REPLAYED = {"UV_NO_CACHE", "UV_COMPILE_BYTECODE", "UV_LINK_MODE"}
MISLEADING = {"VIRTUAL_ENV", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "CONDA_PREFIX"}
KEY, SECRET = "AKIAIMAGE00000000001", "secret-of-the-image-test"

pytestmark = pytest.mark.skipif(not UV.exists(), reason="uv is not installed")


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        else:
            found[-1].append((word, rest))
    return found


class Image:
    """A directory that stands for the root of the image's file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # how this machine reaches the package index stays; what would lead elsewhere does not
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ROWLOCK_", "AWS_", "PYTHON", "DATABASE_")) and name not in MISLEADING
        }
        self.environment["PATH"] = f"{UV.parent}:/usr/bin:/bin"
        self.directory = root

    def path(self, text: str) -> Path:
        """Where a path of the image is."""
        return self.root / text.lstrip("/") if text.startswith("/") else self.directory / text

    def moved(self, text: str) -> str:
        """A command or value with the image's own directories below the root."""
        for place in ("/opt/rowlock", "/data"):
            text = text.replace(place, f"{self.root}{place}")
        return text

    def replay(self, word: str, rest: str) -> None:
        """Do what an instruction of the building stage says."""
        if word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                if name not in NOT_REPLAYED:
                    self.environment[name] = self.moved(value.replace("$PATH", self.environment["PATH"]))
        elif word == "WORKDIR":
            self.directory = self.path(rest)
            self.directory.mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and "--from=" not in rest:
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, self.path(target), ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, self.path(target))
        elif word == "RUN":
            done = subprocess.run(
                ["sh", "-ec", self.moved(rest)],
                cwd=self.directory,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{rest}\n{done.stderr[-2000:]}"
            if "pip install" in rest:
                assert "Using Python" not in done.stderr or str(self.root) in done.stderr, "into another environment"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # not pytest's: an embedded Postgres started by root runs as another user, who must get in
    with tempfile.TemporaryDirectory(prefix="rowlock-image-") as directory:
        Path(directory).chmod(0o755)
        image = Image(Path(directory))
        _, build, last = stages()
        for word, rest in build:
            image.replay(word, rest)
        shutil.rmtree(image.directory)
        for word, rest in last:
            if word in ("ENV", "WORKDIR"):
                image.replay(word, rest)
        yield image


def command(name: str) -> list[str]:
    [rest] = [rest for word, rest in stages()[-1] if word == name]
    found: list[str] = json.loads(rest.partition("CMD ")[2] if name == "HEALTHCHECK" else rest)
    return found


def test_image_serves_and_stops(image: Image) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = image.environment | {
        "ROWLOCK_PORT": str(port),
        "ROWLOCK_WORKERS": "1",
        "ROWLOCK_ACCESS_KEY_ID": KEY,
        "ROWLOCK_SECRET_ACCESS_KEY": SECRET,
    }
    entry, *words = [*command("ENTRYPOINT"), *command("CMD")]
    program = shutil.which(entry, path=environment["PATH"])
    assert program is not None
    assert Path(program).is_relative_to(image.root)
    words = ["127.0.0.1" if word == "0.0.0.0" else word for word in words]  # noqa: S104 - what it is replaced by
    log = image.root / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *words], cwd=image.directory, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 60
        while not healthy(image, environment):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)
        use(port)
        assert '"event": "request"' in log.read_text(), "the log is JSON"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not healthy(image, environment)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def healthy(image: Image, environment: dict[str, str]) -> bool:
    """What the image's own check says."""
    words = command("HEALTHCHECK")
    python = shutil.which(words[0], path=environment["PATH"])
    done = subprocess.run([str(python), *words[1:]], env=environment, capture_output=True, check=False)
    return done.returncode == 0


def use(port: int) -> None:
    s3: Any = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    s3.create_bucket(Bucket="image")
    s3.put_object(Bucket="image", Key="k", Body=b"x" * 10_000)
    assert s3.get_object(Bucket="image", Key="k")["ContentLength"] == 10_000
    s3.close()
