"""S3 servers for Rowlock's S3 backend to stand on: ones we did not write (moto, rclone), and a second Rowlock.

``pytest conformance/s3 --backend rclone`` runs the suite with every byte, small ones too, in such a store. Under
pytest-xdist the workers share one.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from conformance import server
from conformance.bench import peers
from conformance.bench.peers import PEERS

PROVIDERS: Final = ("moto", "rclone", "rowlock")
BUCKET: Final = "blobs"
START_TIMEOUT_SECONDS: Final = 60.0
SECRET_VARIABLE: Final = "UPSTREAM_SECRET_ACCESS_KEY"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running S3 server with an empty bucket."""

    provider: str
    pid: int
    port: int
    directory: str
    access_key_id: str
    secret_access_key: str

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def backend(self, **options: Any) -> dict[str, Any]:
        """An entry of ROWLOCK_BACKENDS that names it."""
        return {
            "kind": "s3",
            "provider": self.provider,
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "access_key_id": self.access_key_id,
            "secret_access_key": {"env": SECRET_VARIABLE},
            **options,
        }

    def settings(self) -> Mapping[str, str]:
        """What a Rowlock is started with to keep all its bytes there."""
        return {
            "ROWLOCK_BACKENDS": json.dumps({"upstream": self.backend()}),
            "ROWLOCK_DEFAULT_BACKEND": "upstream",
            "ROWLOCK_INLINE_MAX_BYTES": "0",
            SECRET_VARIABLE: self.secret_access_key,
        }

    def client(self) -> Any:
        """A boto3 client that talks to it directly."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )


@contextlib.contextmanager
def shared_upstream(run_directory: Path, provider: str) -> Iterator[Upstream]:
    """The run's upstream: started by the first user, stopped by the last one, whatever process each lives in."""
    state_file = run_directory / f"upstream-{provider}.json"
    lock = run_directory / f"upstream-{provider}.lock"
    with server.locked(lock):
        state = json.loads(state_file.read_text()) if state_file.exists() else None
        if state is None:
            state = {"users": 0, "upstream": asdict(start(provider))}
        state["users"] += 1
        state_file.write_text(json.dumps(state))
    upstream = Upstream(**state["upstream"])
    try:
        yield upstream
    finally:
        with server.locked(lock):
            state = json.loads(state_file.read_text())
            state["users"] -= 1
            if state["users"]:
                state_file.write_text(json.dumps(state))
            else:
                state_file.unlink()
                stop(upstream)


def start(provider: str) -> Upstream:
    """Start a server and make the bucket. Raises RuntimeError, PeerError."""
    if provider == "rowlock":
        running = server.start()
        target = running.target
        keys = (target.access_key_id, target.secret_access_key)
        upstream = Upstream(provider, running.pid, running.port, running.directory, *keys)
    else:
        upstream = _start_peer(provider)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        with contextlib.closing(upstream.client()) as client:
            try:
                client.create_bucket(Bucket=BUCKET)
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline:
                    stop(upstream)
                    raise
                time.sleep(0.1)
            else:
                return upstream


def stop(upstream: Upstream) -> None:
    """Stop it and remove what it stored."""
    server.stop(server.RunningServer(upstream.pid, upstream.port, upstream.directory))
    shutil.rmtree(upstream.directory, ignore_errors=True)


def _start_peer(provider: str) -> Upstream:
    peer = PEERS[provider]
    peers.install(provider, peer)
    directory = tempfile.mkdtemp(prefix=f"upstream-{provider}-")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    launch = peer.launch(Path(directory), port)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROWLOCK_"))}
    process = subprocess.Popen(
        launch.command,
        env=inherited | dict(launch.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    planned = Upstream(provider, 0, port, directory, peers.ACCESS_KEY_ID, peers.SECRET_ACCESS_KEY)
    # it may be stopped by another process, which then waits for it: nobody polls the handle again
    process.returncode = 0
    return replace(planned, pid=process.pid)
