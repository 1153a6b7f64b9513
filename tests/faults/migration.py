"""A bucket moved to another backend while it is written and read, and its mover killed again and again.

``python -m tests.faults.migration --objects 50000`` prints what it did and saw; it leaves with status 1 on the first
breach: a read that gave other bytes, or older ones than were acknowledged before it began; an acknowledged write that
is not there at the end; a row without its bytes, or bytes without a row, on either side.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from conformance import server as running
from conformance.server import REPOSITORY, RunningServer
from conformance.upstream import PROVIDERS, Upstream, shared_upstream

BUCKET: Final = "moved"
COLD: Final = "cold"
WRITERS: Final = 4
READERS: Final = 4
WRITTEN: Final = 4  # one key in so many is written again and again; what nobody writes only the mover moves
PREPARING_THREADS: Final = 8
COMMAND_SECONDS: Final = 3600.0
FEW_OBJECTS: Final = 2000
AVERAGE_BYTES: Final = 4800
SETTINGS: Final = {
    "ROWLOCK_INLINE_MAX_BYTES": "0",
    "ROWLOCK_EPOCH_HEARTBEAT_SECONDS": "0.5",
    "ROWLOCK_EPOCH_DEAD_SECONDS": "3",
    "ROWLOCK_SWEEP_INTERVAL_SECONDS": "1",
}


def body_of(key: str, turn: int) -> bytes:
    """Bytes that say whose they are and which."""
    seed = f"{key} {turn} ".encode()
    return seed * (200 + int(key.lstrip("k") or 0) % 400)


@dataclass(slots=True)
class Key:
    """What one writer did with a key: the last turn that was acknowledged, the last that was begun, and which turns
    were deletes. Whoever reads sees one of the turns between what was acknowledged before and what was begun since."""

    acknowledged: int = 0
    begun: int = 0
    deletes: set[int] = field(default_factory=set)

    def allows(self, turn: int | None, least: int) -> bool:
        """Whether a read that began after ``least`` was acknowledged may have seen this turn (None: nothing)."""
        if turn is None:
            return any(least <= delete <= self.begun for delete in self.deletes)
        return least <= turn <= self.begun and turn not in self.deletes


class Load:
    """Writers that each own some keys, and readers that believe nothing. ``wrong`` is what must stay empty."""

    def __init__(self, client: Any, count: int, *, pause_seconds: float) -> None:
        self.wrong: list[str] = []
        self.reads = 0
        self.writes = 0
        self.keys = {f"k{number:06}": Key() for number in range(count)}
        self._client = client
        self._names = list(self.keys)
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def prepare(self) -> None:
        """Write every key once."""
        with ThreadPoolExecutor(PREPARING_THREADS) as pool:
            for _ in pool.map(lambda name: self._put(name, 0), self._names):
                pass

    def start(self) -> None:
        """Begin."""
        written = self._names[::WRITTEN]
        owned = [written[number::WRITERS] for number in range(WRITERS)]
        self._threads = [threading.Thread(target=self._work, args=(self._write, names)) for names in owned]
        self._threads += [threading.Thread(target=self._work, args=(self._read, self._names)) for _ in range(READERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End when every running request has ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def read_all(self) -> None:
        """Every key once, compared with what was acknowledged."""
        with ThreadPoolExecutor(PREPARING_THREADS) as pool:
            for _ in pool.map(self._read, self._names):
                pass

    def _work(self, act: Callable[[str], None], names: list[str]) -> None:
        while not self._stop.is_set():
            name = random.choice(names)
            try:
                act(name)
            except Exception as error:
                self.wrong.append(f"{act.__name__} {name}: {error!r}")
            time.sleep(self._pause_seconds)

    def _put(self, name: str, turn: int) -> None:
        self._client.put_object(Bucket=BUCKET, Key=name, Body=body_of(name, turn))
        self.keys[name].acknowledged = turn

    def _write(self, name: str) -> None:
        key = self.keys[name]
        turn = key.begun + 1
        if turn % 5 == 0:
            key.deletes.add(turn)
            key.begun = turn
            self._client.delete_object(Bucket=BUCKET, Key=name)
            key.acknowledged = turn
        else:
            key.begun = turn
            self._put(name, turn)
        self.writes += 1

    def _read(self, name: str) -> None:
        key = self.keys[name]
        least = key.acknowledged
        self.reads += 1
        try:
            answer = self._client.get_object(Bucket=BUCKET, Key=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            if not key.allows(None, least):
                self.wrong.append(f"{name}: not there, {least} was acknowledged and {key.begun} begun")
            return
        data = answer["Body"].read()
        owner, _, rest = data.partition(b" ")
        turn = int(rest.partition(b" ")[0] or -1)
        if owner.decode() != name or data != body_of(name, turn):
            self.wrong.append(f"{name}: other bytes")
        elif answer["ETag"] != f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"':
            self.wrong.append(f"{name}: the ETag of other bytes")
        elif not key.allows(turn, least):
            self.wrong.append(f"{name}: turn {turn}, {least} was acknowledged and {key.begun} begun")


@dataclass(frozen=True, slots=True)
class Result:
    """What was done and seen."""

    objects: int
    kills: int
    mover_seconds: float
    reads: int
    writes: int
    moved_before_the_last_run: int
    output: str
    reports: dict[str, dict[str, Any]]

    def __str__(self) -> str:
        sides = "; ".join(
            f"fsck {name}: {report['objects']} objects, {report['blobs']} blobs, {report['missing']} missing, "
            f"{report['wrong']} wrong, {report['ownerless']} ownerless"
            for name, report in self.reports.items()
        )
        return (
            f"{self.objects} objects, {self.kills} kills, mover at work for {self.mover_seconds:.0f} s; "
            f"{self.reads} reads and {self.writes} writes meanwhile, none wrong, none lost; "
            f"{self.moved_before_the_last_run} objects were moved by runs that were killed; {sides}"
        )


@contextmanager
def gateway(upstream: Upstream) -> Iterator[RunningServer]:
    """A gateway with files, and the store beneath as ``cold`` and, for replicas, as ``copy``."""
    backends = {
        COLD: upstream.backend(prefix=f"{time.time_ns()}"),
        "copy": upstream.backend(prefix="r", replica=True),
    }
    started = running.start(
        settings={
            **SETTINGS,
            **upstream.settings(),
            "ROWLOCK_BACKENDS": json.dumps(backends),
            "ROWLOCK_DEFAULT_BACKEND": "file",
        }
    )
    try:
        yield started
    finally:
        running.stop(started)


def mover(server: RunningServer, *options: str) -> "subprocess.Popen[str]":
    """``rowlock move-bucket`` to the other store."""
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "move-bucket", BUCKET, COLD, *options],
        cwd=REPOSITORY,
        env=server.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_beginning(process: "subprocess.Popen[str]") -> int:
    """Return when the mover has counted what there is to do, and how many objects that is."""
    assert process.stdout is not None
    for line in process.stdout:
        if "to move" in line:
            return int(line.split()[0])
    raise AssertionError("the mover ended before it began")


def fsck(server: RunningServer, *options: str) -> dict[str, Any]:
    """The report of ``rowlock fsck --checksums``."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "fsck", "--checksums", "--json", *options],
        cwd=REPOSITORY,
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def run(
    server: RunningServer, *, objects: int, kills: int, kill_after_seconds: float, say: Callable[[str], None]
) -> Result:
    """Fill the bucket, move it under load, kill the mover, and prove everything. Raises AssertionError."""
    client = server.target.client()
    client.create_bucket(Bucket=BUCKET)
    load = Load(client, objects, pause_seconds=0.05 if objects < FEW_OBJECTS else 0.005)
    pace: tuple[str, ...] = ()
    if objects < FEW_OBJECTS:  # so slow that there is something left to be killed in
        seconds = 3 * (kills + 1) * kill_after_seconds
        pace = ("--max-mib-per-second", f"{2 * objects * AVERAGE_BYTES / 2**20 / seconds:.3f}")
    load.prepare()
    say(f"{objects} objects are there")
    load.start()
    began = time.monotonic()
    try:
        left = []
        for number in range(kills):
            process = mover(server, *pace)
            left.append(await_beginning(process))
            time.sleep(kill_after_seconds)
            assert process.poll() is None, "the mover ended before it could be killed"
            process.send_signal(signal.SIGKILL)
            process.communicate()
            say(f"kill {number + 1}: {left[-1]} objects were to be moved")
        process = mover(server)
        left.append(await_beginning(process))
        output, _ = process.communicate(timeout=COMMAND_SECONDS)
    finally:
        load.stop()
    worked_seconds = time.monotonic() - began
    say(f"moved: {output.splitlines()[-1] if output else ''}")
    assert process.returncode == 0, output
    assert "left: 0 objects, 0 open uploads" in output, output
    load.read_all()
    assert load.wrong == [], load.wrong[:20]
    say("every key was read; now fsck of both sides")
    time.sleep(5)  # the epochs of the killed are declared dead and swept
    asked: dict[str, tuple[str, ...]] = {"file": ("--backend", "file"), COLD: ("--backend", COLD)}
    if objects >= FEW_OBJECTS:
        asked["everything"] = ()
    with ThreadPoolExecutor(len(asked)) as pool:
        reports = dict(zip(asked, pool.map(lambda options: fsck(server, *options), asked.values()), strict=True))
    for report in reports.values():
        assert (report["missing"], report["wrong"], report["ownerless"]) == (0, 0, 0), report
    assert reports["file"]["objects"] == 0, reports
    assert reports[COLD]["objects"] > 0, reports
    assert left[-1] < left[0], "nothing was moved by those that were killed"
    assert not kills or left[kills - 1], "all was moved before the last kill"
    return Result(objects, kills, worked_seconds, load.reads, load.writes, left[0] - left[-1], output, reports)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.migration", description=__doc__)
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--kill-after-seconds", type=float, default=15.0)
    parser.add_argument("--upstream", choices=PROVIDERS, default="rowlock", help="the S3 server it is moved to")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        shared_upstream(Path(directory), options.upstream) as upstream,
        gateway(upstream) as server,
    ):
        try:
            result = run(
                server,
                objects=options.objects,
                kills=options.kills,
                kill_after_seconds=options.kill_after_seconds,
                say=lambda text: print(f"{time.strftime('%H:%M:%S')} {text}", flush=True),
            )
        except AssertionError as failure:
            print(f"breach: {failure}")
            return 1
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
