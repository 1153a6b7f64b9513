"""Around one call of a backend: how long it took and whether it failed, as a figure and as a span."""

import time
from types import TracebackType
from typing import Any, Final

from gateway.telemetry import metrics, tracing


class Watch:
    """A context. ``spans`` is False where something else makes the span. A missing blob is no failure of a backend."""

    __slots__ = ("_backend", "_began", "_operation", "_span", "_spans")

    def __init__(self, backend: str, operation: str, *, spans: bool = True) -> None:
        self._backend: Final = backend
        self._operation: Final = operation
        self._spans: Final = spans
        self._span: Any = None

    def __enter__(self) -> "Watch":
        if self._spans and tracing.is_on():
            self._span = _span(self._backend, self._operation)
            self._span.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failed = isinstance(error, Exception) and not isinstance(error, FileNotFoundError | FileExistsError)
        recorder = metrics.recorder()
        if recorder is not None:
            recorder.call(self._backend, self._operation, time.perf_counter() - self._began, failed=failed)
        if self._span is not None:
            self._span.__exit__(kind if failed else None, error if failed else None, traceback if failed else None)


def is_watched() -> bool:
    """Whether anybody looks: else there is no need to make a :class:`Watch`."""
    return metrics.recorder() is not None or tracing.is_on()


def _span(backend: str, operation: str) -> Any:
    from opentelemetry import trace

    return trace.get_tracer("rowlock").start_as_current_span(
        f"blobs {operation}", attributes={"rowlock.backend": backend}, record_exception=False
    )
