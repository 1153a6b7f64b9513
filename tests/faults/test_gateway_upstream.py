"""What clients of a whole gateway see when the S3 store underneath fails (reliability: F16, F17, F18, F31): the right
bytes, or an answer that says to try again, or a broken connection. Nothing is lost, nothing is half visible.

The same faults at the level of one blob are in ``test_upstream_faults.py``.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions
import pytest
import urllib3.exceptions
from botocore.config import Config

from conformance import server as running
from conformance.server import REPOSITORY, RunningServer
from conformance.upstream import Upstream, shared_upstream
from tests.faults.s3_proxy import Fault, FaultProxy

pytestmark = [pytest.mark.faults, pytest.mark.slow]

MIB = 1024 * 1024
SMALL, LARGE = 5000, 12 * MIB  # one request to the store; an upload in two parts
BUCKET = "faults"
FOREVER = 10_000


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with shared_upstream(shared, os.environ.get("ROWLOCK_UPSTREAM", "rowlock")) as made:
        yield made


@pytest.fixture(scope="module")
def shared_proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy(upstream.endpoint, hang_seconds=1.0) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, shared_proxy: FaultProxy) -> Iterator[RunningServer]:
    quick = {"read_timeout_seconds": 0.5, "connect_timeout_seconds": 0.5, "breaker_failures": FOREVER}
    backends = {
        "up": upstream.backend(endpoint=shared_proxy.url, prefix=f"{time.time_ns()}", **quick),
        "nohost": upstream.backend(endpoint="http://no-such-host.invalid", **quick),
        "notls": upstream.backend(endpoint=shared_proxy.url.replace("http:", "https:"), **quick),
    }
    started = running.start(
        settings={
            **upstream.settings(),
            "ROWLOCK_BACKENDS": json.dumps(backends),
            "ROWLOCK_DEFAULT_BACKEND": "up",
            "ROWLOCK_EPOCH_HEARTBEAT_SECONDS": "0.5",
            "ROWLOCK_EPOCH_DEAD_SECONDS": "3",
            "ROWLOCK_SWEEP_INTERVAL_SECONDS": "1",
        }
    )
    try:
        started.target.client().create_bucket(Bucket=BUCKET)
        yield started
    finally:
        running.stop(started)


@pytest.fixture
def proxy(shared_proxy: FaultProxy) -> Iterator[FaultProxy]:
    shared_proxy.clear()
    yield shared_proxy
    shared_proxy.clear()


@pytest.fixture(scope="module")
def client(gateway: RunningServer) -> Any:
    """One request a call: what the gateway answers is what the test sees."""
    return client_of(gateway, attempts=1)


def client_of(gateway: RunningServer, *, attempts: int) -> Any:
    target = gateway.target
    return boto3.client(
        "s3",
        endpoint_url=target.endpoint_url,
        region_name=target.region,
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


def read(client: Any, key: str, **options: Any) -> bytes:
    data: bytes = client.get_object(Bucket=BUCKET, Key=key, **options)["Body"].read()
    return data


def refusal(call: Any, **arguments: Any) -> tuple[int, str, str | None]:
    """Status, code and Retry-After of a call that must fail."""
    with pytest.raises(botocore.exceptions.ClientError) as failed:
        call(**arguments)
    facts = failed.value.response["ResponseMetadata"]
    return facts["HTTPStatusCode"], failed.value.response["Error"]["Code"], facts["HTTPHeaders"].get("retry-after")


def is_there(client: Any, key: str) -> bool:
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", [])
    try:
        client.head_object(Bucket=BUCKET, Key=key)
    except client.exceptions.ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"]
    else:
        found = 200
    assert (found, [entry["Key"] for entry in listed]) in [(404, []), (200, [key])]
    return found == 200


SEEN_ONCE = [Fault.SLOW_DOWN, Fault.INTERNAL_ERROR, Fault.HANG, Fault.RESET, Fault.LOST]


class TestOneFailure:
    """F16, F17: a failure that passes is not seen by anybody."""

    @pytest.mark.parametrize("fault", SEEN_ONCE, ids=str)
    @pytest.mark.parametrize("size", [SMALL, LARGE])
    def test_PutObject(self, client: Any, proxy: FaultProxy, fault: Fault, size: int) -> None:
        body = os.urandom(size)
        proxy.inject("PUT", fault)
        answer = client.put_object(Bucket=BUCKET, Key="one", Body=body)
        assert answer["ETag"] == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        assert read(client, "one") == body
        assert proxy.unused() == 0

    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.LOST, Fault.ERROR_IN_200], ids=str)
    def test_completion_of_the_stores_upload(self, client: Any, proxy: FaultProxy, fault: Fault) -> None:
        body = os.urandom(LARGE)
        proxy.inject("POST", fault, text="uploadId")
        client.put_object(Bucket=BUCKET, Key="completed", Body=body)
        assert read(client, "completed") == body
        assert proxy.unused() == 0

    @pytest.mark.parametrize("fault", [*SEEN_ONCE, Fault.TRUNCATED], ids=str)
    def test_GetObject(self, client: Any, proxy: FaultProxy, fault: Fault) -> None:
        body = os.urandom(3 * MIB)
        client.put_object(Bucket=BUCKET, Key="read", Body=body)
        proxy.inject("GET", fault)
        assert read(client, "read") == body
        proxy.inject("GET", fault)
        assert read(client, "read", Range="bytes=1000000-1999999") == body[1_000_000:2_000_000]
        assert proxy.unused() == 0

    @pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.RESET, Fault.LOST], ids=str)
    def test_parts_and_copies(self, client: Any, proxy: FaultProxy, fault: Fault) -> None:
        parts = [os.urandom(5 * MIB), os.urandom(100)]
        proxy.inject("PUT", fault, times=1)
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
        sent = []
        for number, part in enumerate(parts, 1):
            stored = client.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=number, Body=part)
            sent.append({"PartNumber": number, "ETag": stored["ETag"]})
        client.complete_multipart_upload(Bucket=BUCKET, Key="parts", UploadId=upload, MultipartUpload={"Parts": sent})
        proxy.inject("PUT", fault)
        client.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/parts")
        client.delete_object(Bucket=BUCKET, Key="parts")
        assert read(client, "copy") == b"".join(parts)
        assert proxy.unused() == 0


class TestEveryRequestFails:
    """F16, F17: the client is told to try again, with everything as it was; and when it tries again, it succeeds."""

    @pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.INTERNAL_ERROR, Fault.HANG, Fault.RESET], ids=str)
    def test_PutObject_of_a_new_key(self, client: Any, proxy: FaultProxy, fault: Fault) -> None:
        proxy.inject("PUT", fault, times=FOREVER)
        assert refusal(client.put_object, Bucket=BUCKET, Key="new", Body=b"x" * SMALL) == (503, "SlowDown", "1")
        assert not is_there(client, "new")

    @pytest.mark.parametrize("size", [SMALL, LARGE])
    @pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.LOST], ids=str)
    def test_PutObject_over_another_keeps_that(self, client: Any, proxy: FaultProxy, fault: Fault, size: int) -> None:
        client.put_object(Bucket=BUCKET, Key="old", Body=b"old" * SMALL)
        proxy.inject("PUT", fault, times=FOREVER)
        status, code, _ = refusal(client.put_object, Bucket=BUCKET, Key="old", Body=b"n" * size)
        assert (status, code) == (503, "SlowDown")
        assert read(client, "old") == b"old" * SMALL

    def test_CompleteMultipartUpload_and_CreateMultipartUpload_need_no_store(
        self, client: Any, proxy: FaultProxy
    ) -> None:
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="manifest")["UploadId"]
        stored = client.upload_part(Bucket=BUCKET, Key="manifest", UploadId=upload, PartNumber=1, Body=b"part" * SMALL)
        for method in ("PUT", "POST", "GET", "HEAD", "DELETE"):
            proxy.inject(method, Fault.RESET, times=FOREVER)
        place = {"Bucket": BUCKET, "Key": "manifest", "UploadId": upload}
        status, code, _ = refusal(client.upload_part, **place, PartNumber=2, Body=b"x" * SMALL)
        assert (status, code) == (503, "SlowDown")
        client.complete_multipart_upload(
            **place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": stored["ETag"]}]}
        )
        proxy.clear()
        assert read(client, "manifest") == b"part" * SMALL

    def test_GetObject_and_what_needs_no_bytes(self, client: Any, proxy: FaultProxy) -> None:
        client.put_object(Bucket=BUCKET, Key="away", Body=b"x" * SMALL)
        proxy.inject("GET", Fault.SLOW_DOWN, times=FOREVER)
        assert refusal(client.get_object, Bucket=BUCKET, Key="away") == (503, "SlowDown", "1")
        assert is_there(client, "away")
        proxy.clear()
        assert read(client, "away") == b"x" * SMALL

    def test_client_that_repeats_succeeds_when_the_store_is_back(
        self, gateway: RunningServer, proxy: FaultProxy
    ) -> None:
        patient = client_of(gateway, attempts=6)
        for method in ("PUT", "GET"):
            proxy.inject(method, Fault.SLOW_DOWN, times=FOREVER)
        threading.Timer(1.0, proxy.clear).start()
        patient.put_object(Bucket=BUCKET, Key="patience", Body=b"x" * SMALL)
        assert read(patient, "patience") == b"x" * SMALL


class TestLies:
    """F18: what the store gives is compared; what differs is a broken connection, never an answer."""

    @pytest.mark.parametrize("size", [SMALL, 3 * MIB, LARGE])
    def test_other_bytes_are_never_a_whole_answer(self, client: Any, proxy: FaultProxy, size: int) -> None:
        body = os.urandom(size)
        client.put_object(Bucket=BUCKET, Key="lied", Body=body)
        proxy.inject("GET", Fault.OTHER_BYTES)
        with pytest.raises(
            (
                botocore.exceptions.ClientError,
                botocore.exceptions.IncompleteReadError,
                botocore.exceptions.ResponseStreamingError,
                urllib3.exceptions.ProtocolError,
            )
        ):
            read(client, "lied")
        assert read(client, "lied") == body

    @pytest.mark.parametrize("size", [SMALL, LARGE])
    def test_other_etag_is_a_failed_write(self, client: Any, proxy: FaultProxy, size: int) -> None:
        client.put_object(Bucket=BUCKET, Key="etag", Body=b"old" * SMALL)
        proxy.inject("PUT", Fault.OTHER_ETAG)
        status, code, _ = refusal(client.put_object, Bucket=BUCKET, Key="etag", Body=b"n" * size)
        assert (status, code) == (500, "InternalError")
        assert read(client, "etag") == b"old" * SMALL

    def test_body_that_always_ends_early(self, client: Any, proxy: FaultProxy) -> None:
        body = os.urandom(3 * MIB)
        client.put_object(Bucket=BUCKET, Key="short", Body=body)
        proxy.inject("GET", Fault.TRUNCATED, times=FOREVER)
        with pytest.raises((botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)):
            read(client, "short")
        proxy.clear()
        assert read(client, "short") == body


@pytest.mark.parametrize("backend", ["nohost", "notls"])
def test_name_or_certificate_of_the_store_is_wrong(gateway: RunningServer, client: Any, backend: str) -> None:
    """F31."""
    bucket = f"on-{backend}"
    client.create_bucket(Bucket=bucket)
    gateway.run_sql(f"update storage.buckets set backend = '{backend}' where id = '{bucket}'")
    status, code, _ = refusal(client.put_object, Bucket=bucket, Key="k", Body=b"x" * SMALL)
    assert (status, code) == (503, "SlowDown")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    client.put_object(Bucket=BUCKET, Key="beside", Body=b"x" * SMALL)
    assert read(client, "beside") == b"x" * SMALL


def test_fsck_is_clean_after_all_of_it(gateway: RunningServer, client: Any, proxy: FaultProxy) -> None:
    """Reads whatever the tests before stored; leftovers of failed writes were taken back."""
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        body = read(client, entry["Key"])
        if "-" not in entry["ETag"]:
            assert hashlib.md5(body, usedforsecurity=False).hexdigest() == entry["ETag"].strip('"')
    deadline = time.monotonic() + 20
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "fsck", "--checksums", "--backend", "up", "--json"],
            cwd=REPOSITORY,
            env=gateway.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        report = json.loads(done.stdout)
        assert (report["missing"], report["wrong"]) == (0, 0), report
        if report["ownerless"] == report["in_flight"] == 0:
            break
        assert time.monotonic() < deadline, report
        with contextlib.suppress(InterruptedError):
            time.sleep(0.5)
