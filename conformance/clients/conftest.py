"""Fixtures that hand tests their clients, or report them as missing."""

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.clients.supabase import Supabase, supabase
from conformance.target import Target
from conformance.tools import MISSING_CLIENT, find_node_packages, find_program, find_python

PROGRAMS = Path(__file__).resolve().parent / "programs"
TIMEOUT_SECONDS = 120.0


class Command:
    """Runs one client against the target and insists that it succeeds."""

    def __init__(self, arguments: list[str], environment: dict[str, str], directory: Path) -> None:
        self.arguments = arguments
        self.environment = environment
        self.directory = directory

    def __call__(self, *arguments: object, status: int = 0) -> str:
        done = subprocess.run(
            [*self.arguments, *map(str, arguments)],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        output = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == status, f"{self.arguments[0]} {arguments} ended with {done.returncode}:\n{output}"
        return output


def report_missing(request: pytest.FixtureRequest, name: str) -> None:
    """Note the client for the run's summary, and skip."""
    request.node.user_properties.append((MISSING_CLIENT, name))
    pytest.skip(f"client missing: {name}")


@pytest.fixture
def program(request: pytest.FixtureRequest, target: Target, tmp_path: Path) -> Callable[..., Command]:
    """Finds a command-line client: ``program("rclone")``."""

    def find(name: str, *arguments: str, **environment: str) -> Command:
        path = find_program(name)
        if path is None:
            report_missing(request, name)
        environment = target.environment() | {"HOME": str(tmp_path)} | environment
        return Command([str(path), *arguments], environment, tmp_path)

    return find


@pytest.fixture
def python_client(request: pytest.FixtureRequest, target: Target, tmp_path: Path) -> Callable[..., Command]:
    """Runs ``programs/<name>.py`` with a Python that has the given modules."""

    def find(script: str, *modules: str) -> Command:
        found = [(module, find_python(module)) for module in modules]
        for module, python in found:
            if python is None:
                report_missing(request, module)
        environment = target.environment() | {"HOME": str(tmp_path)}
        return Command([str(found[0][1]), str(PROGRAMS / f"{script}.py")], environment, tmp_path)

    return find


@pytest.fixture
def node_client(request: pytest.FixtureRequest, target: Target, tmp_path: Path) -> Callable[..., Command]:
    """Runs ``programs/<name>.cjs`` in Node with the given packages."""

    def find(script: str, *packages: str) -> Command:
        modules = find_node_packages(*packages)
        if modules is None:
            report_missing(request, ", ".join(packages))
        environment = target.environment() | {"HOME": str(tmp_path), "NODE_PATH": str(modules)}
        return Command(["node", str(PROGRAMS / f"{script}.cjs")], environment, tmp_path)

    return find


@pytest.fixture(scope="session")
def project(run_directory: Path) -> Iterator[Supabase]:
    """The server Supabase's own clients are pointed at."""
    with supabase(run_directory) as running:
        yield running


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory of files with sizes and names worth copying."""
    root = tmp_path / "tree"
    random_bytes = random.Random(4)
    for name, size in [
        ("empty.txt", 0),
        ("plain.txt", 11),
        ("deep/er/still/file.bin", 70_000),
        ("with space/and+plus.txt", 5),
        ("ünïcödé/日本.txt", 7),
        ("odd/100%.txt", 3),
        ("odd/a&b=c;d.txt", 4),
    ]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes.randbytes(size))
    return root


@pytest.fixture
def big_file(tmp_path: Path) -> Iterator[Path]:
    """200 MiB that no compression shortens: multipart for every client."""
    path = tmp_path / "big.bin"
    block = random.Random(5).randbytes(1024 * 1024)
    with path.open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(4, "big") + block[4:])
    yield path
    path.unlink(missing_ok=True)


def files_of(root: Path) -> dict[str, bytes]:
    """Every file of a directory by its relative name."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def objects_of(s3: Any) -> Callable[[str, str], dict[str, bytes]]:
    """Every object under a prefix by the rest of its key, read by boto3."""

    def read(bucket: str, prefix: str = "") -> dict[str, bytes]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key[len(prefix) :]: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    return read
