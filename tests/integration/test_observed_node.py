"""A whole node that is watched: two workers and the background worker behind one page of metrics, and the spans of
their requests at a collector. The collector is also the S3 store that fails."""

import contextlib
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from conformance import server
from conformance.server import RunningServer

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
UPSTREAM_SECRET = "upstream-secret-that-nobody-may-see"
Values = dict[tuple[str, ...], float]


class Collector:
    """Spans as they came, and a store that takes no object: 503."""

    def __init__(self) -> None:
        self.raw = b""
        self.spans: list[Span] = []

    def take(self, content: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(content)
        self.raw += content
        self.spans += [span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]

    def of_trace(self, trace: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace]


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, int]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                collector.take(content)
            self._answer(200)

        def do_GET(self) -> None:
            # a listing, so that the sweeper can do its rounds
            self._answer(200, b"<ListBucketResult/>")

        def do_HEAD(self) -> None:
            self._answer(404)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(503)

        def _answer(self, status: int, content: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield collector, listening.server_port
        listening.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def node(collector: tuple[Collector, int]) -> Iterator[RunningServer]:
    port = collector[1]
    broken = {
        "kind": "s3",
        "endpoint": f"http://127.0.0.1:{port}",
        "bucket": "away",
        "access_key_id": "upstream",
        "secret_access_key": {"env": "UPSTREAM_SECRET"},
        "attempts": 2,
        "breaker_failures": 2,
        "breaker_open_seconds": 600,
    }
    running = server.start(
        settings={
            "ROWLOCK_METRICS_PORT": "0",
            "ROWLOCK_BACKENDS": json.dumps({"away": broken}),
            "UPSTREAM_SECRET": UPSTREAM_SECRET,
            "ROWLOCK_TRUSTED_PROXIES": "127.0.0.1/32",
            "ROWLOCK_SWEEP_INTERVAL_SECONDS": "0.5",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
    )
    yield running
    server.stop(running)


def client(node: RunningServer) -> BaseClient:
    target = node.target
    made: BaseClient = boto3.client(
        "s3",
        endpoint_url=target.endpoint_url,
        region_name=target.region,
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}),
    )
    return made


@pytest.fixture(scope="module")
def s3(node: RunningServer) -> Any:
    made: Any = client(node)
    made.create_bucket(Bucket="here")
    made.create_bucket(Bucket="away")
    node.run("buckets", "set-backend", "away", "away")
    return made


def scrape(node: RunningServer) -> Values:
    said = next(line for line in node.log.read_text().splitlines() if "metrics on" in line)
    with urllib.request.urlopen(f"http://127.0.0.1:{said.split()[-1]}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def eventually(holds: Callable[[], Any]) -> Any:
    """What it returns, once that is true; the last word after ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_one_page_shows_all_processes(node: RunningServer, s3: Any) -> None:
    for number in range(6):
        # a connection each, so that both workers get some
        one: Any = client(node)
        one.put_object(Bucket="here", Key=f"{number}", Body=b"x" * 50_000)
        assert len(one.get_object(Bucket="here", Key=f"{number}")["Body"].read()) == 50_000
        one.close()
    with pytest.raises(ClientError):
        s3.head_object(Bucket="here", Key="nothing")
    s3.delete_object(Bucket="here", Key="0")
    # garbage is counted with each sweep, what the database did once a second
    slow = (("rowlock_garbage_blobs",), 1), (("rowlock_database_statements_total",), 14)
    found = eventually(lambda: all((now := scrape(node)).get(name, 0) >= least for name, least in slow) and now)
    assert found["rowlock_requests_total", "s3", "PutObject", "2xx"] == 6
    assert found["rowlock_requests_total", "s3", "HeadObject", "4xx"] == 1
    assert found["rowlock_received_bytes_total", "s3"] >= 300_000
    assert found["rowlock_sent_bytes_total", "s3"] >= 300_000
    assert found["rowlock_blob_seconds_count", "file", "finish"] == 6
    assert found["rowlock_blob_seconds_count", "file", "open"] == 6
    assert found["rowlock_database_connections_open",] >= 2
    assert found["rowlock_job_rounds_total", "sweep", "done"] >= 1
    assert found["rowlock_garbage_blobs",] == 1
    assert {name[1] for name in found if name[0] == "rowlock_process_starts_total"} == {
        "worker 0",
        "worker 1",
        "background worker",
    }
    assert not any("here" in part for name in found for part in name[1:])


def test_metrics_are_not_on_the_port_of_clients(node: RunningServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{node.target.endpoint_url}/metrics", timeout=10)
    with refused.value as answer:
        assert b"rowlock_" not in answer.read()


def test_backend_that_fails_is_seen_and_left_alone(node: RunningServer, s3: Any) -> None:
    for _ in range(2):
        with pytest.raises(ClientError):
            s3.put_object(Bucket="away", Key="k", Body=b"x" * 50_000)
    found = eventually(lambda: (now := scrape(node)).get(("rowlock_blob_circuit_open", "away")) and now)
    assert found["rowlock_blob_circuit_open", "away"] >= 1
    assert found["rowlock_blob_errors_total", "away", "PutObject"] >= 2
    assert found["rowlock_request_errors_total", "SlowDown"] >= 2


def test_calls_of_a_request_nest_under_it(node: RunningServer, s3: Any, collector: tuple[Collector, int]) -> None:
    with contextlib.closing(client(node)) as traced:
        traced.meta.events.register(
            "before-send.s3", lambda request, **_: request.headers.__setitem__("traceparent", PARENT)
        )
        traced.put_object(Bucket="here", Key="traced", Body=b"x" * 50_000)  # type: ignore[attr-defined]
    # an exporter sends a span when it has ended, so the request's comes last
    eventually(lambda: any(span.name == "s3 PutObject" for span in collector[0].of_trace(TRACE)))
    spans = collector[0].of_trace(TRACE)
    [request] = [span for span in spans if span.name == "s3 PutObject"]
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    names = {span.name for span in spans if span.parent_span_id == request.span_id}
    assert "blobs finish" in names
    assert any(name.startswith("postgres ") for name in names)
    attributes = {pair.key: pair.value for pair in request.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["rowlock.operation"].string_value == "PutObject"


def test_upstream_calls_nest_under_the_request(s3: Any, collector: tuple[Collector, int]) -> None:
    def nested() -> bool:
        spans = collector[0].spans
        by_id = {span.span_id: span for span in spans}
        return any(
            span.parent_span_id in by_id and by_id[span.parent_span_id].name == "s3 PutObject"
            for span in spans
            if span.name == "S3.PutObject"
        )

    assert eventually(nested)


def test_no_secret_leaves_in_a_span(node: RunningServer, s3: Any, collector: tuple[Collector, int]) -> None:
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "here", "Key": "traced"})
    with urllib.request.urlopen(url, timeout=10) as answer:
        answer.read()
    eventually(lambda: any(span.name == "s3 GetObject" for span in collector[0].spans[-3:]))
    time.sleep(0.5)
    raw = collector[0].raw
    for secret in (UPSTREAM_SECRET, node.target.secret_access_key, "Signature", "X-Amz-", "AWS4-HMAC", "traced"):
        assert secret.encode() not in raw, secret


def test_worker_that_died_takes_no_counts_along(node: RunningServer, s3: Any) -> None:
    before = scrape(node)
    dead = starts(before)
    children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    program = Path(f"/proc/{node.pid}/cmdline").read_bytes()
    forked = sorted(int(pid) for pid in children if Path(f"/proc/{pid}/cmdline").read_bytes() == program)
    # worker 0, worker 1, background worker, in the order of their birth; the first two are enough
    os.kill(forked[-3], signal.SIGKILL)
    eventually(lambda: starts(scrape(node)) > dead)
    after = scrape(node)
    assert starts(after) == dead + 1
    for name, value in before.items():
        if name[0] == "rowlock_requests_total":
            assert after[name] >= value, name
    assert after["rowlock_requests_running",] == 0


def starts(values: Values) -> float:
    return values["rowlock_process_starts_total", "worker 0"]
