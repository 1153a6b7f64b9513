"""Every figure this server counts: names, kinds, labels. The page ``docs/observe.md`` and the scrape are made from it.

Label sets are bounded and known before the first request: doors, operations, error codes, backends, jobs. Nothing a
client chooses (a bucket, a key, an address) and nobody who may be one of thousands (a tenant) is ever a label.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

Labels = tuple[str, ...]

OTHER: Final = "other"
"""The value of a label for what is not in its set."""

STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
REFUSALS: Final = ("connections", "database", "tenant_limits", "tenant_room")
JOBS: Final = ("sweep", "lifecycle", "cdn", "round")
SWEEPS: Final = ("destroyed", "quarantined", "purged")
REQUEST_BOUNDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
BLOB_BOUNDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """One family of Prometheus' data model. ``bounds`` are the upper ones of a histogram's buckets, in seconds. A
    ``per_process`` gauge is shown for each process, any other is the sum over all of them.
    (https://prometheus.io/docs/concepts/metric_types/)"""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()
    per_process: bool = False

    @property
    def cells(self) -> int:
        """How many numbers one label set takes: a histogram's buckets, the last without bound, and its sum."""
        return len(self.bounds) + 2 if self.bounds else 1

    @property
    def exposed(self) -> str:
        """The name as it is scraped."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


_REQUEST: Final = ("door", "operation")
_BLOB: Final = ("backend", "operation")

FIGURES: Final = (
    Figure("rowlock_requests", "counter", "Requests answered", (*_REQUEST, "status")),
    Figure(
        "rowlock_request_seconds", "histogram", "From head to the last byte of the answer", _REQUEST, REQUEST_BOUNDS
    ),
    Figure("rowlock_request_errors", "counter", "Answers that were errors, by S3's code", ("code",)),
    Figure("rowlock_requests_aborted", "counter", "Requests whose client left before the answer (499 in the log)"),
    Figure("rowlock_received_bytes", "counter", "Bytes of request bodies", ("door",)),
    Figure("rowlock_sent_bytes", "counter", "Bytes of answers' bodies", ("door",)),
    Figure("rowlock_requests_running", "gauge", "Requests that run now"),
    Figure(
        "rowlock_refused",
        "counter",
        "Refused for want of room: connections of a worker, of the database, a tenant's limits, open tenants",
        ("reason",),
    ),
    Figure("rowlock_connections_open", "gauge", "Connections of clients"),
    Figure("rowlock_tenants_open", "gauge", "Tenants open in workers; one worker counts each of its own"),
    Figure("rowlock_database_connections_max", "gauge", "Connections to Postgres that may be opened now"),
    Figure("rowlock_database_connections_open", "gauge", "Connections to Postgres that are open"),
    Figure("rowlock_database_connections_busy", "gauge", "Those with a statement under way"),
    Figure("rowlock_database_waiting", "gauge", "Statements that wait for a connection"),
    Figure("rowlock_database_statements", "counter", "Statements sent"),
    Figure("rowlock_database_round_trips", "counter", "Times something was sent and waited for"),
    Figure("rowlock_blob_seconds", "histogram", "Calls of a backend, tries counted singly", _BLOB, BLOB_BOUNDS),
    Figure("rowlock_blob_errors", "counter", "Those that failed; a blob that is not there is no failure", _BLOB),
    Figure("rowlock_blob_circuit_open", "gauge", "Processes that leave a failing backend alone", ("backend",)),
    Figure("rowlock_job_rounds", "counter", "Rounds of background work", ("job", "outcome")),
    Figure("rowlock_job_seconds", "counter", "Time spent in them", ("job",)),
    Figure("rowlock_job_success_timestamp_seconds", "gauge", "When a round last ended well, Unix time", ("job",)),
    Figure("rowlock_swept_blobs", "counter", "Blobs destroyed, put into quarantine, purged from it", ("action",)),
    Figure("rowlock_garbage_blobs", "gauge", "Released blobs that wait for their grace to end (100,001: more)"),
    Figure("rowlock_lifecycle_removals", "counter", "What lifecycle rules have ended"),
    Figure("rowlock_process_starts", "counter", "Starts; more than one is a death", ("process",), per_process=True),
    Figure("rowlock_process_resident_bytes", "gauge", "Memory resident", ("process",), per_process=True),
)
BY_NAME: Final[Mapping[str, Figure]] = {figure.name: figure for figure in FIGURES}


@dataclass(frozen=True, slots=True)
class Sets:
    """The values labels may take in this installation. ``operations`` are (door, operation), ``calls`` (backend,
    operation), without the values for what is in neither."""

    operations: Sequence[tuple[str, str]]
    codes: Sequence[str]
    calls: Sequence[tuple[str, str]]


class Layout:
    """Where in a process' row of numbers each figure has its cells: ``at[name][labels]`` is the first of them."""

    def __init__(self, sets: Sets) -> None:
        self.at: Final[dict[str, dict[Labels, int]]] = {}
        cells = 0
        for figure in FIGURES:
            places = self.at[figure.name] = {}
            for labels in _label_sets(figure, sets):
                places[labels] = cells
                cells += figure.cells
        self.cells: Final = cells


def _label_sets(figure: Figure, sets: Sets) -> Iterator[Labels]:
    doors = tuple(dict.fromkeys(door for door, _ in sets.operations))
    operations = [*sets.operations, *((door, OTHER) for door in doors)]
    backends = tuple(dict.fromkeys(backend for backend, _ in sets.calls))
    match figure.labels:
        case ("door", "operation", "status"):
            yield from ((*pair, status) for pair, status in product(operations, STATUS_CLASSES))
        case ("door", "operation"):
            yield from operations
        case ("door",):
            yield from ((door,) for door in doors)
        case ("code",):
            yield from ((code,) for code in (*sets.codes, OTHER))
        case ("backend", "operation"):
            yield from sets.calls
        case ("backend",):
            yield from ((backend,) for backend in backends)
        case ("reason",):
            yield from ((reason,) for reason in REFUSALS)
        case ("job", "outcome"):
            yield from product(JOBS, ("done", "failed"))
        case ("job",):
            yield from ((job,) for job in JOBS)
        case ("action",):
            yield from ((action,) for action in SWEEPS)
        case _:
            # per process: the process is the row
            yield ()
