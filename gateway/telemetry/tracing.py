"""Spans of requests, of their statements and of their calls to backends, sent to an OpenTelemetry collector (OTLP).

The SDK is imported only where tracing is on, by :func:`start`, in a worker and after the fork: its exporter is a
thread. Everything else here and in the modules that make spans asks :func:`is_on` first. What a span says is what the
request's log line says, less the key: no query, no header, nothing that signs. The SDK reads the standard names
(``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER`` …) itself.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from gateway import __version__
from gateway.config import Settings
from gateway.telemetry.events import RequestLog

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PARENT: Final = frozenset({b"traceparent", b"tracestate"})
_NAME: Final = "rowlock"

_Application = Callable[[Any, Any, Any], Any]


class _Provider(Protocol):
    def get_tracer(self, name: str, version: str) -> Any: ...
    def shutdown(self) -> None: ...


class _Current:
    provider: _Provider | None = None


def is_wanted(settings: Settings) -> bool:
    """Whether spans are to be made: said outright, or by naming where they go."""
    if settings.tracing is not None:
        return settings.tracing
    return any(os.environ.get(name) for name in _ENDPOINTS)


def is_on() -> bool:
    """Whether this process makes spans."""
    return _Current.provider is not None


def is_recording() -> bool:
    """Whether what happens now belongs to a request whose trace is kept; heartbeats and sweeps belong to none."""
    if _Current.provider is None:
        return False
    from opentelemetry import trace

    return trace.get_current_span().is_recording()


def start(processor: Any = None) -> None:
    """Make spans from now on, and send them as the environment says. ``processor`` takes them instead, for tests."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider

    if processor is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        processor = BatchSpanProcessor(OTLPSpanExporter())
    given = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: _NAME}
    provider = TracerProvider(resource=Resource.create({**given, SERVICE_VERSION: __version__}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    _Current.provider = provider


def stop() -> None:
    """Send what is left, for as long as the exporter's own timeout allows."""
    provider, _Current.provider = _Current.provider, None
    if provider is not None:
        provider.shutdown()


def traced(application: _Application, trusts: Callable[[Mapping[str, Any]], bool]) -> _Application:
    """A span around every request. ``traceparent`` is heeded where the sender is trusted: anybody else could write
    into other people's traces, and choose what is sampled (https://www.w3.org/TR/trace-context/#security-considerations).
    """
    from opentelemetry import context, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    provider = _Current.provider or trace.get_tracer_provider()
    tracer = provider.get_tracer(_NAME, __version__)
    propagator = TraceContextTextMapPropagator()

    async def request(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _PARENT}
        parent = propagator.extract(carrier, context.Context()) if carrier and trusts(scope) else context.Context()
        status = 0

        async def observed(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        with tracer.start_as_current_span(
            method,
            context=parent,
            kind=trace.SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await application(scope, receive, observed)
            except Exception:
                status = status or 500
                raise
            finally:
                if span.is_recording():
                    log: RequestLog = scope.get("rowlock.log") or RequestLog()
                    span.update_name(f"{log.door} {log.operation or method}")
                    span.set_attributes(_attributes(scope, log, method, status))
                    if status >= 500:
                        span.set_status(trace.StatusCode.ERROR)

    return request


@contextmanager
def child(name: str, attributes: Mapping[str, str]) -> Iterator[None]:
    """A span under the current one, for a call of Postgres or of a store; only where :func:`is_on`. An error is told
    by its kind: its text may hold values."""
    from opentelemetry import trace

    with trace.get_tracer(_NAME, __version__).start_as_current_span(
        name,
        kind=trace.SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            if not isinstance(error, FileNotFoundError):
                span.set_status(trace.StatusCode.ERROR)
            raise


def _attributes(scope: Mapping[str, Any], log: RequestLog, method: str, status: int) -> dict[str, str | int]:
    """By OpenTelemetry's conventions where it has one (https://opentelemetry.io/docs/specs/semconv/)."""
    found = {
        "http.request.method": method,
        "http.response.status_code": status or None,
        "http.request.body.size": log.bytes_in,
        "http.response.body.size": log.bytes_out,
        "error.type": log.error_code,
        "aws.s3.bucket": log.bucket,
        "rowlock.door": log.door,
        "rowlock.operation": log.operation,
        "rowlock.request_id": scope.get("rowlock.request_id"),
    }
    return {name: value for name, value in found.items() if value is not None}
