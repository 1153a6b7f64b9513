"""Run a comparison: prepare every endpoint, then measure them in turns, A B A B, round by round."""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from conformance.bench import bulk, processes
from conformance.bench.endpoints import BUCKET, Endpoint
from conformance.bench.figures import Round, percentile
from conformance.bench.load import Load, LoadResult, drive
from conformance.bench.scripts import (
    KEYS_A_DIRECTORY,
    Factory,
    Site,
    create_bucket,
    delete_path,
    delete_pool_size,
    listing_bucket,
    listing_key,
    pool_path,
    pool_size,
    put_all,
    scripts,
)
from conformance.bench.workloads import Kind, Workload

PREPARING_CONNECTIONS: Final = 16
WARMUP_SECONDS: Final = 0.5
_PREPARING_ATTEMPTS: Final = 3
_BULK_LOAD_FROM_KEYS: Final = 100_000


class PreparationError(Exception):
    """An endpoint could not be filled with what a workload reads."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure. ``connections`` replaces each workload's own number."""

    rounds: int = 3
    seconds: float = 3.0
    connections: int | None = None
    processes: int = 1
    sign_payload: bool = True
    bulk_load: bool = True


# by workload name, then by endpoint name
Rounds = dict[str, dict[str, list[Round]]]


def compare(
    plan: Plan,
    endpoints: Sequence[Endpoint],
    workloads: Sequence[Workload],
    report: Callable[[Workload, Endpoint, int, Round], None],
) -> Rounds:
    """Measure every workload at every endpoint in alternating rounds.

    Raises PreparationError; a failing request inside a measurement is counted, not raised.
    """
    measured: Rounds = {}
    prepared: set[tuple[str, str]] = set()
    for endpoint in endpoints:
        site = _site(plan, endpoint, 0)
        created = _drive(site, [partial(create_bucket, site, BUCKET)])
        # a refusal may only mean that the bucket exists; no answer at all means that nothing can be measured
        if not created.all_operations and not any(error.startswith("status") for error in created.errors):
            raise PreparationError(f"{endpoint.name} does not answer: {dict(created.errors)}")
    for workload in workloads:
        for endpoint in endpoints:
            _prepare(plan, endpoint, workload, prepared)
        rounds: dict[str, list[Round]] = {endpoint.name: [] for endpoint in endpoints}
        for number in range(plan.rounds):
            for endpoint in endpoints:
                one = measure(plan, endpoint, workload, number)
                rounds[endpoint.name].append(one)
                report(workload, endpoint, number, one)
        measured[workload.name] = rounds
    return measured


def measure(plan: Plan, endpoint: Endpoint, workload: Workload, number: int) -> Round:
    """One round of one workload at one endpoint."""
    site = _site(plan, endpoint, number)
    connections = plan.connections or workload.connections
    # the objects to delete must last for the warm-up too
    warmup = 0.0 if workload.is_large or workload.kind is Kind.DELETE else min(WARMUP_SECONDS, plan.seconds / 4)
    if workload.kind is Kind.DELETE:
        paths = [delete_path(workload, number, index) for index in range(delete_pool_size(workload, plan.seconds))]
        _put_all(site, paths, workload.size_bytes, PREPARING_CONNECTIONS, workload)
    factories = scripts(site, workload, connections, plan.seconds + warmup)
    load = Load(endpoint.host, endpoint.port, factories, plan.seconds, warmup, plan.processes)
    memory: list[float] = []

    def watch() -> None:
        if endpoint.pid is not None:
            memory.append(processes.memory_bytes(endpoint.pid).total)

    before = processes.cpu_seconds(endpoint.pid) if endpoint.pid is not None else None
    result = drive(load, watch)
    after = processes.cpu_seconds(endpoint.pid) if endpoint.pid is not None else None
    spent = after - before if after is not None and before is not None else None
    return _round(result, spent, max(memory, default=None))


def _round(result: LoadResult, spent: processes.Usage | None, peak_memory_bytes: float | None) -> Round:
    ordered = sorted(result.latencies_seconds)
    elapsed = result.elapsed_seconds
    operations = max(result.all_operations, 1)
    return Round(
        operations=len(ordered),
        operations_per_second=len(ordered) / elapsed if elapsed else 0.0,
        payload_bytes_per_second=result.payload_bytes / elapsed if elapsed else 0.0,
        p50_ms=percentile(ordered, 0.50) * 1000,
        p99_ms=percentile(ordered, 0.99) * 1000,
        server_cpu_us=spent.server / operations * 1e6 if spent else None,
        database_cpu_us=spent.database / operations * 1e6 if spent else None,
        client_cpu_us=result.client_cpu_seconds / operations * 1e6,
        client_cpu_share=result.client_cpu_share,
        peak_memory_bytes=peak_memory_bytes,
        errors=dict(result.errors),
    )


def _site(plan: Plan, endpoint: Endpoint, number: int) -> Site:
    return Site(endpoint, endpoint.signer(), number, plan.sign_payload)


def _drive(site: Site, factories: Sequence[Factory]) -> LoadResult:
    return drive(Load(site.endpoint.host, site.endpoint.port, factories, None))


def _prepare(plan: Plan, endpoint: Endpoint, workload: Workload, prepared: set[tuple[str, str]]) -> None:
    site = _site(plan, endpoint, 0)
    if workload.kind in (Kind.GET, Kind.HEAD, Kind.MIXED):
        mark = (endpoint.name, f"get/{workload.size_bytes}")
        if mark not in prepared:
            paths = [pool_path(workload.size_bytes, number) for number in range(pool_size(workload.size_bytes))]
            connections = 1 if workload.is_large else PREPARING_CONNECTIONS
            _put_all(site, paths, workload.size_bytes, connections, workload)
            prepared.add(mark)
    elif workload.keys:
        mark = (endpoint.name, listing_bucket(workload.keys))
        if mark not in prepared and endpoint.name != "null":
            _prepare_listing(plan, site, workload)
            prepared.add(mark)


def _prepare_listing(plan: Plan, site: Site, workload: Workload) -> None:
    endpoint, bucket = site.endpoint, listing_bucket(workload.keys)
    start = time.monotonic()
    if plan.bulk_load and endpoint.database_url is not None and workload.keys >= _BULK_LOAD_FROM_KEYS:
        bulk.load_keys(endpoint.database_url, bucket, workload.keys, KEYS_A_DIRECTORY)
    else:
        _drive(site, [partial(create_bucket, site, bucket)])
        paths = [f"/{bucket}/{listing_key(number)}" for number in range(workload.keys)]
        for first in range(0, len(paths), 200_000):
            # signatures age: each slice gets fresh ones
            fresh = dataclasses.replace(site, signer=endpoint.signer())
            share = paths[first : first + 200_000]
            _put_all(fresh, share, 1, PREPARING_CONNECTIONS, workload)
    print(f"  {endpoint.name}: {workload.keys:,} keys in {time.monotonic() - start:.1f} s", file=sys.stderr)


def _put_all(site: Site, paths: Sequence[str], size_bytes: int, connections: int, workload: Workload) -> None:
    # more than once: rclone answers 500 while two requests create the same directory
    for _ in range(_PREPARING_ATTEMPTS):
        result = _drive(site, put_all(site, paths, size_bytes, connections))
        if not result.errors:
            return
    raise PreparationError(f"{site.endpoint.name}: preparing {workload.name} failed: {dict(result.errors)}")
