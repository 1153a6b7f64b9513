"""The load generator against a server that runs: its figures are those of requests that were really answered."""

import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.bench import cli, peers
from conformance.bench.endpoints import Endpoint

WORKLOADS = "get-1k,head-1k,put-64k,delete-1k,multipart-64m,mixed-64k"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPU time is read from /proc")


@pytest.fixture(scope="module")
def rowlock() -> Iterator[Endpoint]:
    # not pytest's directory: an embedded Postgres started by root must be able to reach it
    scratch = Path(tempfile.mkdtemp(prefix="rowlock-bench-"))
    scratch.chmod(0o755)
    try:
        with peers.started("rowlock", peers.PEERS["rowlock"], scratch, peers.REPOSITORY) as endpoint:
            yield endpoint
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def test_bench_measures_a_running_server(rowlock: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, svg = tmp_path / "result.json", tmp_path / "chart.svg"
    status = cli.main(
        [
            *("--url", f"rowlock=http://{rowlock.host}:{rowlock.port}", "--pid", f"rowlock={rowlock.pid}"),
            *("--access-key-id", rowlock.access_key_id, "--secret-access-key", rowlock.secret_access_key),
            *("--workloads", WORKLOADS, "--seconds", "0.3", "--rounds", "1", "--connections", "2"),
            *("--json", str(result), "--chart", str(svg)),
        ]
    )
    assert status == 0
    assert "### get-1k" in capsys.readouterr().out
    measured = json.loads(result.read_text())["workloads"]
    assert set(measured) == set(WORKLOADS.split(","))
    for name, servers in measured.items():
        median = servers["rowlock"]["median"]
        assert median["errors"] == 0, name
        assert median["operations_per_second"] > 0, name
    reading = measured["get-1k"]["rowlock"]["rounds"][0]
    assert reading["payload_bytes_per_second"] == pytest.approx(1024 * reading["operations_per_second"])
    assert svg.read_text().startswith("<svg")


def test_bench_refuses_to_measure_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert cli.main(["--url", url, "--workloads", "put-1k", "--rounds", "1"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_bench_says_why_it_could_not_prepare(rowlock: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(
        [
            *("--url", f"http://{rowlock.host}:{rowlock.port}", "--access-key-id", rowlock.access_key_id),
            *("--secret-access-key", "wrong", "--workloads", "get-1k", "--seconds", "0.2", "--rounds", "1"),
        ]
    )
    assert status == 1
    assert "status 403" in capsys.readouterr().err
