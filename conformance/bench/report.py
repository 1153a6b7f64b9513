"""Say what was measured: a Markdown table a workload, warnings where a figure should not be trusted, and JSON."""

import dataclasses
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from conformance.bench.figures import Round, Summary, paired_ratio, summarise
from conformance.bench.runner import Plan, Rounds

CLIENT_SHARE_LIMIT: Final = 0.5
NULL_FACTOR: Final = 3.0
SPREAD_LIMIT: Final = 0.3
NULL: Final = "null"
_MEBIBYTE: Final = 1024 * 1024


def round_line(workload: str, endpoint: str, number: int, one: Round) -> str:
    """One line of progress."""
    errors = f"  ERRORS {one.errors}" if one.errors else ""
    return (
        f"{workload:>20} round {number + 1} {endpoint:<12} {one.operations_per_second:>10,.1f}/s "
        f"p50 {one.p50_ms:.2f} ms p99 {one.p99_ms:.2f} ms, client {one.client_cpu_share:.0%} of a core{errors}"
    )


def tables(measured: Rounds) -> str:
    """Markdown: medians of the rounds; the ratio is the first endpoint's rate to this one's, round by round."""
    return "\n".join(_table(workload, rounds) for workload, rounds in measured.items())


def _table(workload: str, rounds: dict[str, list[Round]]) -> str:
    first = next(iter(rounds))
    lines = [
        f"\n### {workload}\n",
        "| server | req/s | MB/s | p50 ms | p99 ms | CPU µs server | database | client | peak MiB "
        f"| {first} / this | spread |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, measurements in rounds.items():
        summary = summarise(measurements)
        ratio = paired_ratio(rounds[first], measurements) if name != first else None
        cells = [
            name + (f" ({summary.errors} errors)" if summary.errors else ""),
            f"{summary.operations_per_second:,.{0 if summary.operations_per_second >= 100 else 1}f}",
            f"{summary.payload_bytes_per_second / 1e6:,.1f}",
            f"{summary.p50_ms:.2f}",
            f"{summary.p99_ms:.2f}",
            _number(summary.server_cpu_us),
            _number(summary.database_cpu_us),
            _number(summary.client_cpu_us),
            _number(summary.peak_memory_bytes / _MEBIBYTE if summary.peak_memory_bytes else None),
            f"{ratio:.2f}" if ratio is not None else "",
            f"{summary.spread:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def warnings(measured: Rounds) -> list[str]:
    """Where the load generator or the machine, not the server, may have decided the figure."""
    found: list[str] = []
    for workload, rounds in measured.items():
        summaries = {name: summarise(measurements) for name, measurements in rounds.items()}
        ceiling = summaries.get(NULL)
        for name, summary in summaries.items():
            if name != NULL:
                found += [f"{workload} at {name}: {text}" for text in _doubts(summary, ceiling)]
    return found


def _doubts(summary: Summary, ceiling: Summary | None) -> list[str]:
    doubts = []
    if summary.errors:
        doubts.append(f"{summary.errors} requests failed")
    if summary.client_cpu_share > CLIENT_SHARE_LIMIT:
        doubts.append(f"a client process used {summary.client_cpu_share:.0%} of a core; add --processes or cores")
    if ceiling is not None and ceiling.operations_per_second < NULL_FACTOR * summary.operations_per_second:
        times = ceiling.operations_per_second / summary.operations_per_second
        doubts.append(f"the null server is only {times:.1f} times faster, so this measures the client too")
    if summary.spread > SPREAD_LIMIT:
        doubts.append(f"the rounds differ by {summary.spread:.0%}: trust the ratios rather than the rates")
    return doubts


def as_json(plan: Plan, measured: Rounds, idle_memory_bytes: dict[str, float]) -> dict[str, Any]:
    """Everything, every round of it."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "architecture": platform.machine()},
        "plan": dataclasses.asdict(plan),
        "idle_memory_bytes": idle_memory_bytes,
        "workloads": {
            workload: {name: _endpoint_json(rounds, name) for name in rounds} for workload, rounds in measured.items()
        },
    }


def rounds_of(document: dict[str, Any]) -> Rounds:
    """What :func:`as_json` was made of. Raises KeyError and TypeError for what it did not make."""
    return {
        workload: {name: [Round(**one) for one in endpoint["rounds"]] for name, endpoint in endpoints.items()}
        for workload, endpoints in document["workloads"].items()
    }


def _endpoint_json(rounds: dict[str, list[Round]], name: str) -> dict[str, Any]:
    measurements: Sequence[Round] = rounds[name]
    return {
        "median": dataclasses.asdict(summarise(measurements)),
        "first_to_this": paired_ratio(rounds[next(iter(rounds))], measurements),
        "rounds": [dataclasses.asdict(one) for one in measurements],
    }
