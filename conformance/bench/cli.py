"""``python -m conformance.bench``: options, the life of the servers, and where the results go."""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conformance.bench import chart, null_server, peers, processes, report, runner, workloads
from conformance.bench.endpoints import DEFAULT_REGION, Endpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a comparison. The exit status is 1 for wrong arguments and for servers that cannot be measured."""
    options = _parser().parse_args(arguments)
    if options.null_server is not None:
        null_server.serve(options.null_server)
        return 0
    if options.list:
        for name, patterns in workloads.SETS.items():
            print(f"{name:<10} {', '.join(patterns)}")
        return 0
    if options.earlier is not None:
        return _retell(options)
    # the servers are stopped by the context managers, so a SIGTERM must unwind them
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return _run(options)
    except (ValueError, peers.PeerError, runner.PreparationError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance.bench", description="Compare S3 servers.")
    servers = parser.add_argument_group("servers, compared in this order; ratios are those of the first")
    servers.add_argument("--peers", default="", help=f"start these: {','.join(peers.PEERS)}")
    servers.add_argument(
        "--against", action="append", default=[], type=Path, help="start another checkout's server too"
    )
    servers.add_argument("--url", action="append", default=[], metavar="[NAME=]URL", help="measure a running server")
    servers.add_argument(
        "--pid", action="append", default=[], metavar="NAME=PID", help="its process, for CPU and memory"
    )
    servers.add_argument("--database-url", help="superuser's URL of the database of the first --url, for bulk loading")
    servers.add_argument("--access-key-id", default=os.environ.get("AWS_ACCESS_KEY_ID", ""), help="keys for --url")
    servers.add_argument("--secret-access-key", default=os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
    servers.add_argument("--region", default=DEFAULT_REGION)
    servers.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="disk the servers write to")
    load = parser.add_argument_group("load")
    load.add_argument("--workloads", default="standard", help="sets or patterns (see --list)")
    load.add_argument("--only", help="of these only names that match the patterns")
    load.add_argument("--connections", type=int, help="instead of each workload's own number")
    load.add_argument("--seconds", type=float, default=3.0, help="of each round")
    load.add_argument("--rounds", type=int, default=3)
    load.add_argument("--processes", type=int, default=1, help="client processes the connections are spread over")
    load.add_argument("--unsigned-payload", action="store_true", help="as SDKs do over https; http signs the SHA-256")
    load.add_argument("--no-bulk-load", action="store_true", help="fill Rowlock's buckets by PUT, not by SQL")
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, help="write every round here")
    output.add_argument("--chart", type=Path, help="draw an SVG here")
    output.add_argument("--title", default="Requests per second")
    output.add_argument("--from", dest="earlier", type=Path, help="measure nothing: report on an earlier --json file")
    output.add_argument("--list", action="store_true", help="print the sets of workloads and stop")
    parser.add_argument("--null-server", type=int, metavar="PORT", help=argparse.SUPPRESS)
    return parser


def _run(options: argparse.Namespace) -> int:
    plan = runner.Plan(
        rounds=options.rounds,
        seconds=options.seconds,
        connections=options.connections,
        processes=options.processes,
        sign_payload=not options.unsigned_payload,
        bulk_load=not options.no_bulk_load,
    )
    chosen = workloads.select(options.workloads, options.only)
    with contextlib.ExitStack() as stack:
        endpoints = [*_given(options), *_start(options, stack)]
        if not endpoints:
            raise ValueError("name servers by --peers, --against or --url")
        if len({endpoint.name for endpoint in endpoints}) < len(endpoints):
            raise ValueError("two servers have the same name")
        idle = {one.name: processes.memory_bytes(one.pid).total for one in endpoints if one.pid is not None}
        measured = runner.compare(
            plan,
            endpoints,
            chosen,
            lambda workload, endpoint, number, one: print(
                report.round_line(workload.name, endpoint.name, number, one), file=sys.stderr, flush=True
            ),
        )
    print(report.tables(measured))
    if idle:
        print("\nidle memory, MiB: " + ", ".join(f"{name} {size / 2**20:.0f}" for name, size in idle.items()))
    for warning in report.warnings(measured):
        print(f"warning: {warning}")
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(plan, measured, idle), indent=1) + "\n")
    if options.chart is not None:
        options.chart.write_text(chart.draw(measured, options.title))
    return 0


def _retell(options: argparse.Namespace) -> int:
    try:
        measured = report.rounds_of(json.loads(options.earlier.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"bench: {options.earlier} is no result of a run: {error}", file=sys.stderr)
        return 1
    print(report.tables(measured))
    for warning in report.warnings(measured):
        print(f"warning: {warning}")
    if options.chart is not None:
        options.chart.write_text(chart.draw(measured, options.title))
    return 0


def _given(options: argparse.Namespace) -> list[Endpoint]:
    pids = dict(text.split("=", 1) for text in options.pid)
    found = []
    for index, text in enumerate(options.url):
        name, _, url = text.rpartition("=") if not text.startswith("http") else ("", "", text)
        name = name or f"url{index + 1}"
        pid = int(pids[name]) if name in pids else None
        endpoint = Endpoint.of_url(name, url, options.access_key_id, options.secret_access_key, options.region, pid)
        found.append(endpoint.with_database(options.database_url) if index == 0 else endpoint)
    return found


def _start(options: argparse.Namespace, stack: contextlib.ExitStack) -> list[Endpoint]:
    options.scratch.mkdir(parents=True, exist_ok=True)
    found = []
    for name in filter(None, options.peers.split(",")):
        if name not in peers.PEERS:
            raise ValueError(f"no peer {name}; there are {', '.join(peers.PEERS)}")
        checkout = peers.REPOSITORY if name == "rowlock" else None
        try:
            found.append(stack.enter_context(peers.started(name, peers.PEERS[name], options.scratch, checkout)))
        except peers.PeerError as error:
            # What the machine lacks for one of the others is no reason to measure none.
            if checkout is not None:
                raise
            print(f"bench: without {name}: {error}", file=sys.stderr)
    for path in options.against:
        checkout = path.resolve()
        name = f"against-{checkout.name}"
        found.append(stack.enter_context(peers.started(name, peers.rowlock(checkout), options.scratch, checkout)))
    return found
