"""Around one call of a backend: how long it took and whether it failed, as a figure and as a span."""

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from gateway.telemetry import metrics, tracing


class Watch:
    """A context. ``spans`` is False where something else makes the span. A missing blob is no failure of a backend."""

    __slots__ = ("_backend", "_began", "_operation", "_span", "_spans")

    def __init__(self, backend: str, operation: str, *, spans: bool = True) -> None:
        self._backend: Final = backend
        self._operation: Final = operation
        self._spans: Final = spans
        self._span: AbstractContextManager[None] | None = None

    def __enter__(self) -> "Watch":
        if self._spans and tracing.is_recording():
            self._span = tracing.child(f"blobs {self._operation}", {"rowlock.backend": self._backend})
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
            self._span.__exit__(kind, error, traceback)


def is_watched() -> bool:
    """Whether anybody looks: else there is no need to make a :class:`Watch`."""
    return metrics.recorder() is not None or tracing.is_on()
