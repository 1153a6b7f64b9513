"""The arithmetic: percentiles, medians over rounds, and ratios of rounds that ran side by side."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of one workload at one endpoint. CPU is per operation, in microseconds; None: not known."""

    operations: int
    operations_per_second: float
    payload_bytes_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float | None
    database_cpu_us: float | None
    client_cpu_us: float
    client_cpu_share: float
    peak_memory_bytes: float | None
    errors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds of one workload at one endpoint."""

    rounds: int
    operations_per_second: float
    payload_bytes_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float | None
    database_cpu_us: float | None
    client_cpu_us: float
    client_cpu_share: float
    peak_memory_bytes: float | None
    errors: int
    spread: float
    """(fastest - slowest) / median of the rounds: how noisy the machine was."""


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The nearest-rank percentile of sorted values; 0 for none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def summarise(rounds: Sequence[Round]) -> Summary:
    """Medians. Memory is the highest of all rounds, errors are added up."""
    rates = [one.operations_per_second for one in rounds]
    rate = statistics.median(rates)
    return Summary(
        rounds=len(rounds),
        operations_per_second=rate,
        payload_bytes_per_second=statistics.median(one.payload_bytes_per_second for one in rounds),
        p50_ms=statistics.median(one.p50_ms for one in rounds),
        p99_ms=statistics.median(one.p99_ms for one in rounds),
        server_cpu_us=_known_median([one.server_cpu_us for one in rounds]),
        database_cpu_us=_known_median([one.database_cpu_us for one in rounds]),
        client_cpu_us=statistics.median(one.client_cpu_us for one in rounds),
        client_cpu_share=max(one.client_cpu_share for one in rounds),
        peak_memory_bytes=max((one.peak_memory_bytes for one in rounds if one.peak_memory_bytes), default=None),
        errors=sum(sum(one.errors.values()) for one in rounds),
        spread=(max(rates) - min(rates)) / rate if rate else 0.0,
    )


def paired_ratio(first: Sequence[Round], other: Sequence[Round]) -> float | None:
    """The median of the rounds' ratios of operations a second: noise that lasts longer than a round cancels out."""
    ratios = [
        one.operations_per_second / two.operations_per_second
        for one, two in zip(first, other, strict=True)
        if two.operations_per_second
    ]
    return statistics.median(ratios) if ratios else None


def _known_median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
