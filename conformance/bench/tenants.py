"""``python -m conformance.bench.tenants``: many tenants on one Postgres server, requests to tenants drawn at random.

Starts a server with two workers, gives every tenant a database of its own and a key, and then puts and reads objects of
random tenants from a few threads. Prints how many requests were answered, how long they took, and the most connections
and resident memory that were seen.
"""

import argparse
import os
import random
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import sql

from conformance.fleet import Client, Fleet, running_fleet
from conformance.rawhttp import RawClient

BODY = os.urandom(8192)


@dataclass
class Seen:
    """What was observed while requests ran."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    most_connections: int = 0
    most_resident_kib: int = 0


def main() -> None:
    """Make the tenants, send the requests, print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m conformance.bench.tenants", description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--connections", type=int, default=36, help="ROWLOCK_TENANT_CONNECTIONS, of each worker")
    asked = parser.parse_args()
    settings = {
        "ROWLOCK_TENANT_CONNECTIONS": str(asked.connections),
        "ROWLOCK_TENANT_POOL_SIZE": "3",
        "ROWLOCK_TENANT_IDLE_SECONDS": "10",
        "ROWLOCK_SWEEP_INTERVAL_SECONDS": "3600",
    }
    with running_fleet(**settings) as fleet:
        began = time.monotonic()
        clients = make_tenants(fleet, asked.tenants)
        print(f"{len(clients)} tenants made in {time.monotonic() - began:.0f} s", flush=True)
        report(measure(fleet, clients, threads=asked.threads, seconds=asked.seconds), asked.seconds)


def make_tenants(fleet: Fleet, number: int) -> list[Client]:
    """The first is migrated as any tenant is; the databases of the others are copies of its."""
    first = fleet.make("tenant-0")
    first.s3.create_bucket(Bucket="bucket")
    fleet.admin("POST", "/tenants/tenant-0/suspend")
    owner = urlsplit(fleet.owner_url)
    place = parse_qs(owner.query)
    query = f"?host={place['host'][0]}&port={place['port'][0]}"
    clients = []
    with psycopg.connect(fleet.owner_url, autocommit=True) as connection:
        connection.execute('alter database "t_tenant-0" allow_connections false')
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", ["t_tenant-0"]
        ).fetchall()
        for index in range(1, number + 1):
            tenant_id = f"tenant-{index}"
            database = f"t_{tenant_id}"
            connection.execute(
                sql.SQL("create database {} template {} strategy file_copy").format(
                    sql.Identifier(database), sql.Identifier("t_tenant-0")
                )
            )
            login = f"postgresql://login_tenant-0:for-tests@/{database}{query}"
            document = {
                "id": tenant_id,
                "database_url": login,
                "owner_url": f"postgresql://{owner.netloc}/{database}{query}",
            }
            status, answer = fleet.admin("POST", "/tenants", document)
            assert status == 201, answer
            key = fleet.admin("POST", f"/tenants/{tenant_id}/keys", {})[1]
            target = replace(
                fleet.running.target,
                access_key_id=key["access_key_id"],
                secret_access_key=key["secret_access_key"],
            )
            clients.append(Client(tenant_id, target, None))
    return clients


def measure(fleet: Fleet, clients: list[Client], *, threads: int, seconds: float) -> Seen:
    """Requests of random tenants: each thread puts an object and reads it back; what is read must be the tenant's."""
    seen, lock, deadline = Seen(), threading.Lock(), time.monotonic() + seconds

    def work(number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < deadline:
            client = chance.choice(clients)
            raw = RawClient(client.target)
            content = client.tenant_id.encode() + BODY
            for method, body in (("PUT", content), ("GET", b"")):
                began = time.monotonic()
                answer = raw(method, f"/bucket/{number}", body=body)
                with lock:
                    seen.statuses[answer.status] += 1
                    seen.seconds.append(time.monotonic() - began)
                    seen.wrong += method == "GET" and answer.status == 200 and answer.body != content

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    with psycopg.connect(fleet.owner_url, autocommit=True) as connection:
        while any(thread.is_alive() for thread in running):
            row = connection.execute(
                "select count(*) from pg_stat_activity where application_name = 'rowlock'"
            ).fetchone()
            seen.most_connections = max(seen.most_connections, row[0] if row else 0)
            seen.most_resident_kib = max(seen.most_resident_kib, *resident_kib(fleet.running.pid))
            time.sleep(0.2)
    return seen


def resident_kib(pid: int) -> list[int]:
    """Resident memory of the server's processes, those of Postgres left out."""
    found = []
    for child in [pid, *children(pid)]:
        try:
            status = Path(f"/proc/{child}/status").read_text()
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"python" in command and "VmRSS:" in status:
            found.append(int(status.partition("VmRSS:")[2].split()[0]))
    return found


def children(pid: int) -> list[int]:
    """Every process below this one."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [found for child in map(int, text.split()) for found in (child, *children(child))]


def report(seen: Seen, seconds: float) -> None:
    """Print the figures."""
    ordered = sorted(seen.seconds)
    print(
        f"requests {len(ordered)} ({len(ordered) / seconds:.0f}/s), by status {dict(seen.statuses)}, wrong {seen.wrong}"
    )
    print(f"median {statistics.median(ordered) * 1000:.0f} ms, 99 % {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms")
    print(f"connections at most {seen.most_connections}")
    print(f"largest process {seen.most_resident_kib / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
