"""Counting, for a whole node: memory that all processes share, one row of numbers a process, added up at the scrape.

The parent makes the board before it forks, each process writes its own row and nobody else's, so counting is an
addition in memory: no lock, no file, no system call, nothing to clean up. A process that takes a dead one's place goes
on with its row, so counters never fall while the server runs. An aligned double is read and written whole.
Nothing is counted, at the price of one comparison, until :func:`count_into` was called.
"""

import mmap
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.telemetry.events import RequestLog
from gateway.telemetry.figures import BY_NAME, FIGURES, OTHER, STATUS_CLASSES, Labels, Layout, Sets

_DOUBLE_BYTES: Final = 8


class Board:
    """The shared memory. Make it before the fork; rows are those of ``processes``, by their place."""

    def __init__(self, sets: Sets, processes: Sequence[str]) -> None:
        self.layout: Final = Layout(sets)
        self.processes: Final = tuple(processes)
        memory = mmap.mmap(-1, max(1, self.layout.cells * len(self.processes)) * _DOUBLE_BYTES)
        self._cells: Final = memoryview(memory).cast("d")
        # of each process, beside its figures: where its memory is read from
        self._pids: Final = memoryview(mmap.mmap(-1, len(self.processes) * _DOUBLE_BYTES)).cast("q")

    def row(self, process: int) -> "memoryview[float]":
        """The numbers of one process."""
        return self._cells[process * self.layout.cells : (process + 1) * self.layout.cells]

    def pid(self, process: int) -> int:
        """The process in that place, 0 before the first."""
        return self._pids[process]

    def enter(self, process: int, pid: int) -> "Recorder":
        """A process takes its row: what its predecessor had open is gone, what was counted stays."""
        self._pids[process] = pid
        row = self.row(process)
        for figure in FIGURES:
            if figure.kind == "gauge":
                for start in self.layout.at[figure.name].values():
                    row[start] = 0.0
        return Recorder(self.layout, row)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where one operation's cells are: its five status classes, and its histogram."""

    statuses: int
    buckets: int


class Recorder:
    """Counts into one row. Belongs to the event loop's thread; :meth:`call` may be used by any."""

    def __init__(self, layout: Layout, row: "memoryview[float]") -> None:
        self._at: Final = layout.at
        self._row: Final = row
        statuses, seconds = layout.at["rowlock_requests"], layout.at["rowlock_request_seconds"]
        # the classes of one operation lie beside each other, in their order
        self._operations: Final = {
            pair: _Places(statuses[(*pair, STATUS_CLASSES[0])], start) for pair, start in seconds.items()
        }
        self._codes: Final = layout.at["rowlock_request_errors"]
        self._received: Final = layout.at["rowlock_received_bytes"]
        self._sent: Final = layout.at["rowlock_sent_bytes"]
        self._running: Final = layout.at["rowlock_requests_running"][()]
        self._aborted: Final = layout.at["rowlock_requests_aborted"][()]
        self._bounds: Final = BY_NAME["rowlock_request_seconds"].bounds
        self._lock: Final = threading.Lock()

    @property
    def backends(self) -> list[str]:
        """The backends whose circuit is shown."""
        return [backend for (backend,) in self._at["rowlock_blob_circuit_open"]]

    def request_began(self) -> None:
        """One more is running."""
        self._row[self._running] += 1.0

    def request_ended(self, log: RequestLog, status: int, seconds: float) -> None:
        """One that began has ended; ``status`` is 0 where there was no answer."""
        row, door, bounds = self._row, log.door, self._bounds
        row[self._running] -= 1.0
        places = self._operations.get((door, log.operation or OTHER)) or self._operations.get((door, OTHER))
        if places is None:
            return
        if status:
            row[places.statuses + status // 100 - 1] += 1.0
        else:
            row[self._aborted] += 1.0
        row[places.buckets + bisect_left(bounds, seconds)] += 1.0
        row[places.buckets + len(bounds) + 1] += seconds
        if log.bytes_in:
            row[self._received[(door,)]] += log.bytes_in
        if log.bytes_out:
            row[self._sent[(door,)]] += log.bytes_out
        if log.error_code is not None:
            row[self._codes.get((log.error_code,)) or self._codes[(OTHER,)]] += 1.0

    def call(self, backend: str, operation: str, seconds: float, *, failed: bool) -> None:
        """One call of a backend; calls nobody has announced are not counted."""
        start = self._at["rowlock_blob_seconds"].get((backend, operation))
        if start is None:
            return
        bounds = BY_NAME["rowlock_blob_seconds"].bounds
        with self._lock:
            self._row[start + bisect_left(bounds, seconds)] += 1.0
            self._row[start + len(bounds) + 1] += seconds
            if failed:
                self._row[self._at["rowlock_blob_errors"][(backend, operation)]] += 1.0

    def add(self, name: str, amount: float = 1.0, labels: Labels = ()) -> None:
        """Add to a counter."""
        self._row[self._at[name][labels]] += amount

    def set(self, name: str, value: float, labels: Labels = ()) -> None:
        """Say what a gauge shows."""
        self._row[self._at[name][labels]] = value

    def round_ended(self, job: str, seconds: float, *, failed: bool) -> None:
        """One round of background work."""
        self.add("rowlock_job_rounds", labels=(job, "failed" if failed else "done"))
        self.add("rowlock_job_seconds", seconds, (job,))
        if not failed:
            self.set("rowlock_job_success_timestamp_seconds", time.time(), (job,))


class _Current:
    recorder: Recorder | None = None


def count_into(recorder: Recorder | None) -> None:
    """From now on this process counts there; None: nowhere. Called by a process entry point, before anything opens."""
    _Current.recorder = recorder


def recorder() -> Recorder | None:
    """Where this process counts, if it does."""
    return _Current.recorder


def connections_changed(by: int) -> None:
    """So many more connections of clients are open in this process, or fewer."""
    if _Current.recorder is not None:
        _Current.recorder.add("rowlock_connections_open", by)


def refused(reason: str) -> None:
    """Count a request refused for want of room (``figures.REFUSALS``)."""
    if _Current.recorder is not None:
        _Current.recorder.add("rowlock_refused", labels=(reason,))
