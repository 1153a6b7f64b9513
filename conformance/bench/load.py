"""Drive a load: connections spread over processes, started together, results gathered."""

import asyncio
import multiprocessing
import resource
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Final

import uvloop

from conformance.bench.connection import Player, Recorder
from conformance.bench.wire import Script

PREPARE_TIMEOUT_SECONDS: Final = 300.0
_GRACE_SECONDS: Final = 180.0
_LONGEST_SECONDS: Final = 3600.0
_OBSERVE_SECONDS: Final = 0.4


@dataclass(frozen=True, slots=True)
class Load:
    """What to do: one script a connection. Without ``seconds`` the scripts must end by themselves."""

    host: str
    port: int
    scripts: Sequence[Callable[[], Script]]
    seconds: float | None
    warmup_seconds: float = 0.0
    processes: int = 1


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of it. ``client_cpu_share`` is that of the busiest client process, of one core."""

    latencies_seconds: "array[float]"
    elapsed_seconds: float
    payload_bytes: int
    all_operations: int
    reconnects: int
    errors: Counter[str] = field(default_factory=Counter)
    client_cpu_share: float = 0.0
    client_cpu_seconds: float = 0.0


def drive(load: Load, observe: Callable[[], None] = lambda: None) -> LoadResult:
    """Run a load and wait for it; ``observe`` is called about twice a second meanwhile.

    Raises RuntimeError when a client process died or hangs.
    """
    # fork: the scripts are closures over prepared data, and this process has no threads
    context = multiprocessing.get_context("fork")
    count = max(1, min(load.processes, len(load.scripts)))
    barrier = context.Barrier(count)
    started = []
    for index in range(count):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_client, args=(load, load.scripts[index::count], barrier, sending))
        process.start()
        sending.close()
        started.append((process, receiving))
    results: list[LoadResult] = []
    deadline = time.monotonic() + PREPARE_TIMEOUT_SECONDS + (load.seconds or _LONGEST_SECONDS) + _GRACE_SECONDS
    try:
        for _, receiving in started:
            while not receiving.poll(_OBSERVE_SECONDS):
                observe()
                if time.monotonic() > deadline:
                    raise RuntimeError("a client process does not answer")
            results.append(receiving.recv())
    except EOFError:
        raise RuntimeError("a client process died") from None
    finally:
        for process, receiving in started:
            receiving.close()
            if len(results) < count:
                process.kill()
            process.join()
    return _merge(results)


def _merge(results: Sequence[LoadResult]) -> LoadResult:
    latencies = array("d")
    errors: Counter[str] = Counter()
    for result in results:
        latencies.extend(result.latencies_seconds)
        errors.update(result.errors)
    return LoadResult(
        latencies_seconds=latencies,
        elapsed_seconds=max(result.elapsed_seconds for result in results),
        payload_bytes=sum(result.payload_bytes for result in results),
        all_operations=sum(result.all_operations for result in results),
        reconnects=sum(result.reconnects for result in results),
        errors=errors,
        client_cpu_share=max(result.client_cpu_share for result in results),
        client_cpu_seconds=sum(result.client_cpu_seconds for result in results),
    )


def _client(load: Load, factories: Sequence[Callable[[], Script]], barrier: Barrier, sending: Connection) -> None:
    scripts = [factory() for factory in factories]
    barrier.wait(PREPARE_TIMEOUT_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sending.send(runner.run(_play(load, scripts)))
    sending.close()


async def _play(load: Load, scripts: Sequence[Script]) -> LoadResult:
    start, cpu = time.perf_counter(), _cpu_seconds()
    stop_at = float("inf") if load.seconds is None else start + load.warmup_seconds + load.seconds
    recorder = Recorder(count_from=start + load.warmup_seconds, stop_at=stop_at)
    players = [Player(load.host, load.port, script, recorder) for script in scripts]
    running = asyncio.gather(*(player.play() for player in players))
    try:
        await asyncio.wait_for(running, None if load.seconds is None else load.seconds + _GRACE_SECONDS)
    except TimeoutError:
        recorder.errors["no end"] += 1
    spent, wall = _cpu_seconds() - cpu, time.perf_counter() - start
    return LoadResult(
        latencies_seconds=array("d", recorder.latencies_seconds),
        elapsed_seconds=max(recorder.last_end - recorder.count_from, 0.0),
        payload_bytes=recorder.counted_bytes,
        all_operations=recorder.all_operations,
        reconnects=recorder.reconnects,
        errors=recorder.errors,
        client_cpu_share=spent / wall,
        client_cpu_seconds=spent,
    )


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
