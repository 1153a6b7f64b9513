"""A bucket moved to another backend while it is written and read, its mover killed again and again."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conformance import server as running
from conformance.server import REPOSITORY, RunningServer
from conformance.upstream import Upstream, shared_upstream

pytestmark = [pytest.mark.faults, pytest.mark.slow]

OBJECTS = int(os.environ.get("ROWLOCK_MOVED_OBJECTS", "300"))
KILLS = 3
COMMAND_SECONDS = 300.0  # a busy machine takes a minute to import what a command needs
SETTINGS = {
    "ROWLOCK_INLINE_MAX_BYTES": "0",
    "ROWLOCK_EPOCH_HEARTBEAT_SECONDS": "0.5",
    "ROWLOCK_EPOCH_DEAD_SECONDS": "3",
    "ROWLOCK_SWEEP_INTERVAL_SECONDS": "1",
}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with shared_upstream(tmp_path_factory.getbasetemp(), os.environ.get("ROWLOCK_UPSTREAM", "rowlock")) as made:
        yield made


@pytest.fixture
def server(upstream: Upstream) -> Iterator[RunningServer]:
    settings = {
        **SETTINGS,
        **upstream.settings(),
        "ROWLOCK_BACKENDS": json.dumps(
            {"cold": upstream.backend(prefix=f"{time.time_ns()}"), "copy": upstream.backend(prefix="r", replica=True)}
        ),
        "ROWLOCK_DEFAULT_BACKEND": "file",
    }
    started = running.start(settings=settings)
    try:
        yield started
    finally:
        running.stop(started)


def body_of(key: str, turn: int) -> bytes:
    """Bytes that say whose they are."""
    seed = f"{key} {turn} ".encode()
    return seed * (200 + hash(key) % 400)


class Load:
    """Writers that each own some keys and remember what was acknowledged, and readers that believe nothing."""

    def __init__(self, client: Any, bucket: str, keys: list[str]) -> None:
        self.client, self.bucket, self.keys = client, bucket, keys
        self.wrong: list[str] = []
        self.operations = 0
        self.acknowledged: dict[str, bytes | None] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, writers: int, readers: int) -> None:
        mine = [self.keys[number::writers] for number in range(writers)]
        self._threads = [threading.Thread(target=self._write, args=(keys,)) for keys in mine]
        self._threads += [threading.Thread(target=self._read) for _ in range(readers)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, keys: list[str]) -> None:
        turn = 1
        while not self._stop.is_set():
            turn += 1
            key = random.choice(keys)
            try:
                if turn % 9 == 0:
                    self.client.delete_object(Bucket=self.bucket, Key=key)
                    self.acknowledged[key] = None
                else:
                    body = body_of(key, turn)
                    self.client.put_object(Bucket=self.bucket, Key=key, Body=body)
                    self.acknowledged[key] = body
            except Exception as error:
                self.wrong.append(f"write {key}: {error}")
            self.operations += 1
            time.sleep(0.01)

    def _read(self) -> None:
        while not self._stop.is_set():
            key = random.choice(self.keys)
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key)
                data = answer["Body"].read()
                md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
                if not data.startswith(f"{key} ".encode()) or answer["ETag"] != f'"{md5}"':
                    self.wrong.append(f"read {key}: other bytes")
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    self.wrong.append(f"read {key}: {error}")
            except Exception as error:
                self.wrong.append(f"read {key}: {error}")
            self.operations += 1


def mover(server: RunningServer, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "move-bucket", "moved", "cold", *options],
        cwd=REPOSITORY,
        env=server.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_beginning(process: "subprocess.Popen[str]") -> None:
    """Return when the mover has counted what there is to do."""
    assert process.stdout is not None
    for line in process.stdout:
        if "to move" in line:
            return
    raise AssertionError("the mover ended before it began")


def fsck(server: RunningServer) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "fsck", "--checksums", "--json"],
        cwd=REPOSITORY,
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_move_under_load_with_a_killed_mover(server: RunningServer) -> None:
    client = server.target.client()
    client.create_bucket(Bucket="moved")
    keys = [f"k{number:05}" for number in range(OBJECTS)]
    load = Load(client, "moved", keys)
    for key in keys:
        load.acknowledged[key] = body_of(key, 0)
        client.put_object(Bucket="moved", Key=key, Body=load.acknowledged[key])
    upload = client.create_multipart_upload(Bucket="moved", Key="parts")["UploadId"]
    parts = [os.urandom(5 << 20), os.urandom(1000)]
    etags = [
        client.upload_part(Bucket="moved", Key="parts", UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, start=1)
    ]
    client.complete_multipart_upload(
        Bucket="moved",
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]},
    )
    before = client.head_object(Bucket="moved", Key="parts")
    load.start(writers=4, readers=4)
    try:
        for _ in range(KILLS):
            process = mover(server, "--max-mib-per-second", "2")
            await_beginning(process)
            time.sleep(2)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        process = mover(server)
        output, _ = process.communicate(timeout=300)
    finally:
        load.stop()
    assert process.returncode == 0, output
    assert load.wrong == []
    assert load.operations > 100
    assert "left: 0 objects, 0 open uploads" in output
    for key, body in load.acknowledged.items():
        with contextlib.suppress(client.exceptions.NoSuchKey):
            assert client.get_object(Bucket="moved", Key=key)["Body"].read() == body
            continue
        assert body is None, key
    after = client.get_object(Bucket="moved", Key="parts")
    assert after["Body"].read() == b"".join(parts)
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    time.sleep(6)  # the epochs of the killed are declared dead and swept
    report = fsck(server)
    assert (report["missing"], report["wrong"], report["ownerless"]) == (0, 0, 0), report


def test_paused_mover_goes_on_when_it_is_started_again(server: RunningServer) -> None:
    client = server.target.client()
    client.create_bucket(Bucket="moved")
    for number in range(30):
        client.put_object(Bucket="moved", Key=f"k{number}", Body=os.urandom(100_000))
    process = mover(server, "--max-mib-per-second", "0.5", "--concurrency", "2")
    await_beginning(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 3, output
    assert "paused" in output
    assert "left: 0 objects" not in output
    process = mover(server)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "left: 0 objects" in output


def test_encrypted_and_locked_versions_move(server: RunningServer, tmp_path: Path) -> None:
    client = server.target.client()
    client.create_bucket(Bucket="moved", ObjectLockEnabledForBucket=True)
    data = os.urandom(200_000)
    first = client.put_object(
        Bucket="moved", Key="secret", Body=data, ServerSideEncryption="AES256", ObjectLockLegalHoldStatus="ON"
    )
    client.put_object(Bucket="moved", Key="secret", Body=b"second" * 1000, ServerSideEncryption="AES256")
    server.run("move-bucket", "moved", "cold", timeout_seconds=COMMAND_SECONDS)
    old = client.get_object(Bucket="moved", Key="secret", VersionId=first["VersionId"])
    assert old["Body"].read() == data
    assert old["ObjectLockLegalHoldStatus"] == "ON"
    assert client.get_object(Bucket="moved", Key="secret")["Body"].read() == b"second" * 1000
    assert fsck(server)["clean"]
    server.run("move-bucket", "moved", "file", timeout_seconds=COMMAND_SECONDS)
    assert client.get_object(Bucket="moved", Key="secret", VersionId=first["VersionId"])["Body"].read() == data
    assert fsck(server)["clean"]


def test_replica_has_every_blob_once(server: RunningServer, upstream: Upstream) -> None:
    client = server.target.client()
    client.create_bucket(Bucket="moved")
    for number in range(5):
        client.put_object(Bucket="moved", Key=f"k{number}", Body=os.urandom(10_000))
    assert (
        "5 objects, 50000 bytes done; 0 there before"
        in server.run("replicate", "moved", "copy", timeout_seconds=COMMAND_SECONDS).stdout
    )
    client.put_object(Bucket="moved", Key="k0", Body=b"new" * 1000)
    assert (
        "1 objects, 3000 bytes done; 4 there before"
        in server.run("replicate", "moved", "copy", timeout_seconds=COMMAND_SECONDS).stdout
    )
    listing = upstream.client().list_objects_v2(Bucket="blobs", Prefix="r/")
    assert sum("/blobs/" in entry["Key"] for entry in listing["Contents"]) == 6
    assert fsck(server)["clean"]


def test_set_backend(server: RunningServer) -> None:
    client = server.target.client()
    client.create_bucket(Bucket="moved")
    client.put_object(Bucket="moved", Key="old", Body=b"old" * 1000)
    server.run("buckets", "set-backend", "moved", "cold", timeout_seconds=COMMAND_SECONDS)
    assert "moved\tcold" in server.run("buckets", "list", timeout_seconds=COMMAND_SECONDS).stdout
    client.put_object(Bucket="moved", Key="new", Body=b"new" * 1000)
    client.copy_object(Bucket="moved", Key="copy", CopySource="moved/old")
    rows = server.run(
        "db", "psql", "-Atc", "select name, backend from storage.objects order by name", timeout_seconds=COMMAND_SECONDS
    ).stdout.split()
    assert rows == ["copy|cold", "new|cold", "old|file"]
    for key, data in (("old", b"old" * 1000), ("new", b"new" * 1000), ("copy", b"old" * 1000)):
        assert client.get_object(Bucket="moved", Key=key)["Body"].read() == data
    for arguments in (("moved", "nowhere"), ("nowhere", "cold"), ("moved", "copy")):
        with pytest.raises(subprocess.CalledProcessError):
            server.run("buckets", "set-backend", *arguments, timeout_seconds=COMMAND_SECONDS)
