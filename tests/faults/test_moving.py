"""A bucket moved to another backend while it is written and read, its mover killed again and again."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.server import RunningServer
from conformance.upstream import Upstream, shared_upstream
from tests.faults.migration import await_beginning, fsck, gateway, mover, run

pytestmark = [pytest.mark.faults, pytest.mark.slow]

OBJECTS = 80
COMMAND_SECONDS = 300.0  # a busy machine takes a minute to import what a command needs


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with shared_upstream(tmp_path_factory.getbasetemp(), os.environ.get("ROWLOCK_UPSTREAM", "rowlock")) as made:
        yield made


@pytest.fixture
def server(upstream: Upstream) -> Iterator[RunningServer]:
    with gateway(upstream) as started:
        yield started


def test_move_under_load_with_a_killed_mover(server: RunningServer) -> None:
    """The short form of ``python -m tests.faults.migration``."""
    result = run(server, objects=OBJECTS, kills=3, kill_after_seconds=0.5, say=print)
    assert result.reads > 50
    assert result.writes > 50


def test_object_in_parts_stays_what_it_is(server: RunningServer) -> None:
    client = server.target.client()
    client.create_bucket(Bucket="moved")
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
    server.run("move-bucket", "moved", "cold", timeout_seconds=COMMAND_SECONDS)
    after = client.get_object(Bucket="moved", Key="parts")
    assert after["Body"].read() == b"".join(parts)
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    assert fsck(server)["clean"]


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
