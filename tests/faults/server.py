"""A running ``rowlock serve`` in a directory of its own, whose processes tests kill and whose stores they compare."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import boto3
import psycopg
from botocore.config import Config

from gateway.metadata.embedded import Databases, locate_running

ROOT: Final = Path(__file__).parents[2]
ACCESS_KEY_ID: Final = "faults"
SECRET_ACCESS_KEY: Final = "faults-secret-1234"
QUICK: Final = {
    "ROWLOCK_SWEEP_INTERVAL_SECONDS": "0.5",
    "ROWLOCK_EPOCH_HEARTBEAT_SECONDS": "0.5",
    "ROWLOCK_EPOCH_DEAD_SECONDS": "2.5",
    "ROWLOCK_GARBAGE_GRACE_SECONDS": "1",
    "ROWLOCK_DRAIN_SECONDS": "5",
}
START_SECONDS: Final = 60.0


def wait_until(condition: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """Poll until the condition is true, and return what it said. Fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what or "waited in vain"
        time.sleep(0.05)
    return found


def free_port() -> int:
    """A port of 9710-9799 nobody listens on. A random one: the server of a neighbour may be down just now."""
    for port in random.sample(range(9710, 9800), 90):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no port is free")


class Server:
    """Starts, kills, restarts and checks one server. Use as a context manager; everything it started ends with it."""

    def __init__(self, directory: Path | None = None, **settings: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="rl-f-")) if directory is None else directory
        self.port = free_port()
        self.settings = {**QUICK, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            shutil.rmtree(self.home, ignore_errors=True)
        else:
            print(f"left for you to look at: {self.home}", file=sys.stderr)

    @property
    def data_dir(self) -> Path:
        """Its data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The file both its outputs go to."""
        return self.home / "log"

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What it and further commands on its data directory run with."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ROWLOCK_", "DATABASE_URL", "AWS_"))
        }
        return {
            **clean,
            "PYTHONPATH": str(ROOT),
            "ROWLOCK_DATA_DIR": str(self.data_dir),
            "ROWLOCK_PORT": str(self.port),
            "ROWLOCK_WORKERS": "2",
            "ROWLOCK_LOG_FORMAT": "json",
            "ROWLOCK_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "ROWLOCK_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            **self.settings,
        }

    @property
    def pid(self) -> int:
        """The parent's."""
        assert self._process is not None
        return self._process.pid

    def start(self, **settings: str) -> None:
        """Start, with more settings for this life only, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"],
                env={**self.environment, **settings},
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
            )
        self.wait_ready()

    def is_alive(self) -> bool:
        """Whether the parent is there."""
        return self._process is not None and self._process.poll() is None

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Until a request that needs the database is answered."""

        client = self.client(timeout_seconds=5)

        def ready() -> bool:
            assert self.is_alive(), f"the server ended: {self.log.read_text()[-2000:]}"
            try:
                client.list_buckets()
            except Exception:
                return False
            return True

        wait_until(ready, seconds, f"not ready in {seconds} s")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left of its processes."""
        if self._process is None:
            return
        if self.is_alive():
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        if self.is_alive():
            self._process.kill()
        self._process.wait()
        self._process = None
        wait_until(lambda: locate_running(self.data_dir) is None, 30, "Postgres outlived the gateway")

    def wait_end(self, seconds: float = 30.0) -> None:
        """Until the parent is gone, for who killed it."""
        assert self._process is not None
        self._process.wait(seconds)

    def client(self, *, attempts: int = 1, timeout_seconds: float = 20.0) -> Any:
        """A boto3 client; by default it never tries twice, so that each call is one request."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name="us-east-1",
            config=Config(
                retries={"total_max_attempts": attempts, "mode": "standard"},
                connect_timeout=timeout_seconds,
                read_timeout=timeout_seconds,
                max_pool_connections=32,
                s3={"addressing_style": "path"},
            ),
        )

    # processes

    def workers(self) -> list[int]:
        """Children that hold the listening socket."""
        return [pid for pid in self._forks() if self._listens(pid)]

    def background(self) -> int | None:
        """The child that sweeps."""
        return next((pid for pid in self._forks() if not self._listens(pid)), None)

    def postgres_supervisor(self) -> int | None:
        """The process between gateway and postmaster."""
        return next((pid for pid in children(self.pid) if b"postmaster.py" in command(pid)), None)

    def postmaster(self) -> int | None:
        """The embedded Postgres' first process."""
        supervisor = self.postgres_supervisor()
        return None if supervisor is None else next(iter(children(supervisor)), None)

    def everybody(self) -> list[int]:
        """All of them, parent first."""
        found = [self.pid]
        for pid in found:
            found += children(pid)
        return found

    def _forks(self) -> list[int]:
        parent = command(self.pid)
        return [pid for pid in children(self.pid) if command(pid) == parent]

    def _listens(self, pid: int) -> bool:
        wanted = f"0100007F:{self.port:04X}"
        with contextlib.suppress(OSError):
            inodes = {
                fields[9]
                for fields in map(str.split, Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
                if fields[1] == wanted and fields[3] == "0A"
            }
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{name}")[8:-1] in inodes:
                        return True
        return False

    # stores

    @contextlib.contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the database's owner."""
        databases: Databases | None = locate_running(self.data_dir)
        assert databases is not None
        with psycopg.connect(databases.owner_url, autocommit=True) as connection:
            yield connection

    def fsck(self) -> dict[str, Any]:
        """``rowlock fsck --checksums`` beside the running server."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "fsck", "--checksums", "--json"],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["clean"] == (done.returncode == 0)
        return report

    def assert_consistent(self, seconds: float = 25.0) -> dict[str, Any]:
        """Nothing is missing or wrong at once; nothing is ownerless or in doubt when the sweeper has been there."""
        deadline = time.monotonic() + seconds
        while True:
            report = self.fsck()
            assert not report["missing"], report
            assert not report["wrong"], report
            if not report["ownerless"] and not report["in_flight"]:
                return report
            assert time.monotonic() < deadline, report
            time.sleep(0.5)


def children(pid: int) -> list[int]:
    """Of a process; none if it is gone."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def command(pid: int) -> bytes:
    """Its command line; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def kill(*pids: int | None) -> None:
    """SIGKILL to those that are there."""
    for pid in pids:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
