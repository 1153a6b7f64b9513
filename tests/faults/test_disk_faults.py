"""The disk of the blobs is full or read-only, under a running server (reliability §3, F12 and F15)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.faults.server import Server, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

BUCKET = "disk"
MIB = 1024 * 1024


def mount(*arguments: str) -> str | None:
    """Run mount; why not, if not."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


@pytest.fixture
def server() -> Iterator[Server]:
    """A server whose blobs lie on a file system of 24 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root on Linux")
    found = Server(ROWLOCK_GARBAGE_GRACE_SECONDS="0")
    blobs = found.data_dir / "blobs"
    blobs.mkdir(parents=True)
    found.data_dir.chmod(0o700)
    if refused := mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", str(blobs)):
        pytest.skip(f"mounting is not permitted: {refused}")
    try:
        with found:
            found.client().create_bucket(Bucket=BUCKET)
            yield found
            found.stop()
            subprocess.run(["umount", str(blobs)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(blobs)], capture_output=True, check=False)


def told(server: Server, key: str, body: bytes) -> tuple[int, str, bool]:
    """Status, code and whether there is a Retry-After."""
    try:
        server.client().put_object(Bucket=BUCKET, Key=key, Body=body)
    except ClientError as error:
        answer = error.response["ResponseMetadata"]
        return answer["HTTPStatusCode"], error.response["Error"]["Code"], "retry-after" in answer["HTTPHeaders"]
    return 200, "", False


def test_full_disk_refuses_writes_with_507_and_lets_everything_else_work(server: Server) -> None:
    client = server.client()
    body = os.urandom(2 * MIB)
    stored = []
    for number in range(40):
        status, code, _ = told(server, f"{number:02}", body)
        if status != 200:
            break
        stored.append(f"{number:02}")
    assert (status, code) == (507, "InsufficientStorage")
    assert len(stored) >= 5
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="m")["UploadId"]
    with pytest.raises(ClientError, match="InsufficientStorage"):
        client.upload_part(Bucket=BUCKET, Key="m", UploadId=upload, PartNumber=1, Body=os.urandom(6 * MIB))
    assert told(server, "small", b"lives in the row")[0] == 200
    assert client.get_object(Bucket=BUCKET, Key=stored[0])["Body"].read() == body
    listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [entry["Key"] for entry in listed] == [*stored, "small"]
    for key in stored[1:5]:
        client.delete_object(Bucket=BUCKET, Key=key)
    wait_until(lambda: told(server, "again", body)[0] == 200, 20, "deleting freed nothing")
    assert client.get_object(Bucket=BUCKET, Key=stored[0])["Body"].read() == body
    server.assert_consistent()


def test_read_only_disk_is_503_with_retry_after_and_heals_by_itself(server: Server) -> None:
    client = server.client()
    body = os.urandom(MIB)
    assert told(server, "before", body)[0] == 200
    blobs = str(server.data_dir / "blobs")
    assert mount("-o", "remount,ro", blobs) is None
    try:
        assert told(server, "during", body) == (503, "ServiceUnavailable", True)
        assert client.get_object(Bucket=BUCKET, Key="before")["Body"].read() == body
        assert told(server, "small", b"lives in the row")[0] == 200
        client.delete_object(Bucket=BUCKET, Key="small")
        time.sleep(1)  # for the sweeper to meet it
    finally:
        assert mount("-o", "remount,rw", blobs) is None
    assert told(server, "after", body)[0] == 200
    server.assert_consistent()
