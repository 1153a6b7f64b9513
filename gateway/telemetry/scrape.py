"""The page Prometheus reads: the rows of all processes added up, in the format it asks for.

Only the process that serves the page imports this, so nobody else pays for prometheus_client.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.telemetry.figures import FIGURES, Figure
from gateway.telemetry.metrics import Board

_PATH: Final = b"/metrics"
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class BoardCollector(Collector):
    """Reads a board for prometheus_client. Label sets that were never counted are left out."""

    def __init__(self, board: Board) -> None:
        self._board: Final = board

    def collect(self) -> Iterator[Any]:
        """The families, each complete."""
        yield InfoMetricFamily("rowlock_build", "The version that runs", value={"version": __version__})
        rows = [self._board.row(number) for number in range(len(self._board.processes))]
        for figure in FIGURES:
            if figure.per_process:
                yield self._of_processes(figure, rows)
            else:
                yield self._summed(figure, rows)

    def _summed(self, figure: Figure, rows: "list[memoryview[float]]") -> Any:
        family = _family(figure)
        for labels, start in self._board.layout.at[figure.name].items():
            cells = [sum(row[start + offset] for row in rows) for offset in range(figure.cells)]
            if figure.labels and not any(cells):
                continue
            if figure.bounds:
                family.add_metric(labels, _buckets(figure, cells), sum_value=cells[-1])
            else:
                family.add_metric(labels, cells[0])
        return family

    def _of_processes(self, figure: Figure, rows: "list[memoryview[float]]") -> Any:
        family = _family(figure)
        for number, name in enumerate(self._board.processes):
            if figure.name == "rowlock_process_resident_bytes":
                value: float | None = _resident_bytes(self._board.pid(number))
            else:
                value = rows[number][self._board.layout.at[figure.name][()]]
            if value is not None:
                family.add_metric((name,), value)
        return family


class MetricsApplication:
    """An ASGI application that answers ``GET /metrics``, and 404 to everything else."""

    def __init__(self, board: Board) -> None:
        self._registry: Final = CollectorRegistry()
        self._registry.register(BoardCollector(board))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        found = scope["raw_path"] == _PATH
        if not found or scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405 if found else 404, "text/plain", b"")
            return
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        encode, content_type = choose_encoder(accept)
        content = encode(self._registry)
        await _send(send, 200, content_type, b"" if scope["method"] == "HEAD" else content)


async def _send(send: Any, status: int, content_type: str, content: bytes) -> None:
    headers = [(b"content-type", content_type.encode("ascii")), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _family(figure: Figure) -> Any:
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    return kinds[figure.kind](figure.name, figure.help, labels=figure.labels)


def _buckets(figure: Figure, cells: list[float]) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound, count in zip((*figure.bounds, "+Inf"), cells, strict=False):
        total += count
        buckets.append((str(bound), total))
    return buckets


def _resident_bytes(pid: int) -> float | None:
    """None where the process is gone, or the system has no /proc."""
    try:
        return float(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE_BYTES if pid else None
    except (OSError, IndexError, ValueError):
        return None
