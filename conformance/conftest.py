"""Fixtures of the black-box suites: a target, clients for it, fresh buckets, and the list of missing clients."""

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.rawhttp import RawClient
from conformance.server import RunningServer, shared_server
from conformance.target import Target, target_from_environment
from conformance.tools import MISSING_CLIENT, missing_client_lines

DESTROY_PAGES: Final = 5
_numbers: Final = itertools.count(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A client that is not installed is reported by name, never skipped in silence."""
    reports = terminalreporter.stats.get("skipped", [])
    names = sorted({value for report in reports for key, value in report.user_properties if key == MISSING_CLIENT})
    if names:
        terminalreporter.section("conformance clients")
        for line in missing_client_lines(names):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory all xdist workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def server(run_directory: Path) -> Iterator[RunningServer | None]:
    """The Rowlock started for this run; None when ``ROWLOCK_ENDPOINT`` names a server that runs already."""
    if target_from_environment() is not None:
        yield None
        return
    with shared_server(run_directory, "http") as running:
        yield running


@pytest.fixture(scope="session")
def target(server: RunningServer | None) -> Target:
    """The endpoint under test."""
    given = target_from_environment()
    if given is not None:
        return given
    assert server is not None
    return server.target


@pytest.fixture(scope="session")
def target_https(run_directory: Path) -> Iterator[Target]:
    """An https endpoint: the one given if it speaks https, else a second Rowlock with a self-signed certificate."""
    given = target_from_environment()
    if given is not None:
        if not given.secure:
            pytest.skip("ROWLOCK_ENDPOINT speaks plain http")
        yield given
        return
    with shared_server(run_directory, "https", tls=True) as running:
        yield running.target


@pytest.fixture(scope="session")
def s3(target: Target) -> Iterator[Any]:
    """A boto3 client."""
    with contextlib.closing(target.client()) as client:
        yield client


@pytest.fixture(scope="session")
def s3_https(target_https: Target) -> Iterator[Any]:
    """A boto3 client over https: here the SDK sends checksums as trailers."""
    with contextlib.closing(target_https.client()) as client:
        yield client


@pytest.fixture(scope="session")
def raw(target: Target) -> RawClient:
    """Signed requests that no SDK would send."""
    return RawClient(target)


@pytest.fixture(scope="session")
def bucket_prefix(worker_id_or_main: str) -> str:
    """What the names of all buckets of this process start with."""
    return f"conf-{os.getpid()}-{worker_id_or_main}-"


@pytest.fixture(scope="session")
def worker_id_or_main() -> str:
    """The xdist worker's name."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def fresh_name(bucket_prefix: str) -> Callable[[], str]:
    """Makes bucket names nobody has used in this run."""
    return lambda: f"{bucket_prefix}{next(_numbers)}"


@pytest.fixture
def bucket(s3: Any, fresh_name: Callable[[], str]) -> Iterator[str]:
    """A fresh bucket, destroyed with everything in it afterwards."""
    with temporary_bucket(s3, fresh_name()) as name:
        yield name


@pytest.fixture
def other_bucket(s3: Any, fresh_name: Callable[[], str]) -> Iterator[str]:
    """A second fresh bucket."""
    with temporary_bucket(s3, fresh_name()) as name:
        yield name


@pytest.fixture(scope="module")
def module_bucket(s3: Any, fresh_name: Callable[[], str]) -> Iterator[str]:
    """A bucket the read-only tests of one file share."""
    with temporary_bucket(s3, fresh_name()) as name:
        yield name


@pytest.fixture(scope="module")
def module_bucket_tree(s3: Any, fresh_name: Callable[[], str]) -> Iterator[str]:
    """A second bucket the read-only tests of one file share."""
    with temporary_bucket(s3, fresh_name()) as name:
        yield name


@pytest.fixture
def bucket_https(s3_https: Any, fresh_name: Callable[[], str]) -> Iterator[str]:
    """A fresh bucket at the https endpoint."""
    with temporary_bucket(s3_https, fresh_name()) as name:
        yield name


@pytest.fixture(scope="session")
def keys(server: RunningServer | None) -> Callable[..., dict[str, str]]:
    """Creates further access keys by ``rowlock keys create --json``; only where this run started the server."""
    if server is None:
        pytest.skip("further keys can only be made where the suite starts the server")

    def create(*arguments: str) -> dict[str, str]:
        answer: dict[str, str] = json.loads(server.run("keys", "create", "--json", *arguments).stdout)
        return answer

    return create


@pytest.fixture(scope="session")
def tokens(server: RunningServer | None) -> Callable[..., str]:
    """Mints users' tokens by ``rowlock jwt``; only where this run started the server."""
    if server is None:
        pytest.skip("tokens can only be minted where the suite starts the server")

    def mint(*arguments: str) -> str:
        return server.run("jwt", *arguments).stdout.strip()

    return mint


@pytest.fixture(scope="session")
def sql(server: RunningServer | None) -> Callable[[str], None]:
    """Runs statements as the owner of the database, as an operator does with psql; only where this run started it."""
    if server is None:
        pytest.skip("the database can only be reached where the suite starts the server")

    def run(statements: str) -> None:
        server.run_sql(statements)

    return run


@contextlib.contextmanager
def temporary_bucket(client: Any, name: str) -> Iterator[str]:
    """Create a bucket; afterwards destroy it with its versions and unfinished uploads, if it still exists."""
    client.create_bucket(Bucket=name)
    try:
        yield name
    finally:
        with contextlib.suppress(client.exceptions.NoSuchBucket):
            destroy_bucket(client, name)


def destroy_bucket(client: Any, name: str) -> None:
    """Abort uploads, delete every object and version, delete the bucket."""
    for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
        client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for _ in range(DESTROY_PAGES):
        page = client.list_object_versions(Bucket=name)
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not entries:
            break
        doomed = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
        answer = client.delete_objects(Bucket=name, Delete={"Objects": doomed, "Quiet": True})
        assert not answer.get("Errors"), answer["Errors"][:3]
    client.delete_bucket(Bucket=name)
