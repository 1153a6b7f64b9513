"""Spans of requests: what they say, whose parent they take, and that nothing is loaded where nobody asked for them."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.config import Settings
from gateway.telemetry import tracing
from gateway.telemetry.events import RequestLog

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing._Current, "provider", provider)
    yield exporter
    provider.shutdown()


async def span(
    exporter: InMemorySpanExporter, *, trusted: bool = False, status: int = 200, parent: bytes = PARENT
) -> ReadableSpan:
    """That of one request."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope["rowlock.log"] = RequestLog(operation="GetObject", bucket="docs", key="a key", access_key_id="AKIA")
        if status == 599:
            raise RuntimeError("a secret text")
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def send(message: Any) -> None:
        pass

    headers = [(b"traceparent", parent), (b"authorization", b"AWS4-HMAC-SHA256 Signature=abc")]
    scope = {"type": "http", "method": "GET", "raw_path": b"/docs/a", "query_string": b"token=xyz", "headers": headers}
    if status == 599:
        with pytest.raises(RuntimeError):
            await tracing.traced(application, lambda _: trusted)(scope, None, send)
    else:
        await tracing.traced(application, lambda _: trusted)(scope, None, send)
    [found] = exporter.get_finished_spans()
    return found


async def test_span_says_what_the_log_says_less_the_key(exporter: InMemorySpanExporter) -> None:
    found = await span(exporter)
    assert found.name == "s3 GetObject"
    assert dict(found.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.request.body.size": 0,
        "http.response.body.size": 0,
        "aws.s3.bucket": "docs",
        "rowlock.door": "s3",
        "rowlock.operation": "GetObject",
    }
    assert found.status.is_unset


@pytest.mark.parametrize("status", [500, 503, 599])
async def test_error_of_ours_is_marked_without_its_text(exporter: InMemorySpanExporter, status: int) -> None:
    found = await span(exporter, status=status)
    assert not found.status.is_ok
    assert not found.status.is_unset
    assert "secret text" not in found.to_json()


async def test_parent_is_taken_from_whom_is_trusted(exporter: InMemorySpanExporter) -> None:
    found = await span(exporter, trusted=True)
    assert found.parent is not None
    assert found.parent.span_id == 0xB7AD6B7169203331


@pytest.mark.parametrize(("trusted", "parent"), [(False, PARENT), (True, b"00-nonsense-01"), (True, b"\xff" * 55)])
async def test_parent_is_nobodys_else(exporter: InMemorySpanExporter, trusted: bool, parent: bytes) -> None:
    assert (await span(exporter, trusted=trusted, parent=parent)).parent is None


@pytest.mark.parametrize(
    ("setting", "endpoint", "wanted"),
    [(None, None, False), (None, "http://c:4318", True), (False, "http://c:4318", False), (True, None, True)],
)
def test_tracing_is_wanted(
    monkeypatch: pytest.MonkeyPatch, setting: bool | None, endpoint: str | None, wanted: bool
) -> None:
    for name in tracing._ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    if endpoint is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    assert tracing.is_wanted(Settings(tracing=setting)) is wanted


def test_server_loads_neither_library_where_both_are_off() -> None:
    program = (
        "import sys, gateway.commands.serve\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
