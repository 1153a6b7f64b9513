"""What becomes of a blob when the S3 store underneath fails (reliability: F16-F18, F31): nothing lost, nothing
half-visible, a wrong answer never passed on."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from conformance.upstream import Upstream, shared_upstream
from gateway.blobs.digest import Digester
from gateway.blobs.protocol import new_blob_id
from gateway.blobs.s3 import S3Store
from gateway.errors import StorageError
from tests.faults.s3_proxy import Fault, FaultProxy
from tests.unit.blobs.support import DESCRIPTION, EPOCH, get, listed, put, s3_options

MIB = 1024 * 1024
LARGE = 12 * MIB
"""Two parts of an upload."""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with shared_upstream(shared, os.environ.get("ROWLOCK_UPSTREAM", "rowlock")) as running:
        yield running


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy(upstream.endpoint) as running:
        yield running


@pytest.fixture
async def store(upstream: Upstream, proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[S3Store]:
    options = s3_options(upstream, endpoint=proxy.url, read_timeout_seconds=1, connect_timeout_seconds=1)
    opened = S3Store(options, name="s", spool_directory=tmp_path)
    yield opened
    await opened.close()


REPEATED = [
    Fault.SLOW_DOWN,
    Fault.INTERNAL_ERROR,
    Fault.HANG,
    Fault.RESET,
    Fault.LOST,
    Fault.GARBAGE,
]


class TestOneFailure:
    @pytest.mark.parametrize("fault", [fault for fault in REPEATED if fault is not Fault.GARBAGE], ids=str)
    async def test_small_blob_is_sent_again(self, store: S3Store, proxy: FaultProxy, fault: Fault) -> None:
        proxy.inject("PUT", fault)
        blob_id = await put(store, [b"x" * 1000])
        assert proxy.requests("PUT") == 2
        assert await get(store, blob_id, 0, 1000) == b"x" * 1000
        assert await store.describe(blob_id) == DESCRIPTION
        assert await listed(store) == {blob_id: 1000}

    @pytest.mark.parametrize(
        ("method", "text", "fault"),
        [
            (method, text, fault)
            for method, text in [
                ("POST", "?uploads"),
                ("PUT", "partNumber=1"),
                ("PUT", "partNumber=2"),
                ("POST", "uploadId"),
            ]
            for fault in REPEATED
            if method == "POST" or fault is not Fault.GARBAGE  # the answer to a part has no body to be read
        ],
        ids=str,
    )
    async def test_large_blob_is_sent_again(
        self, store: S3Store, proxy: FaultProxy, method: str, text: str, fault: Fault
    ) -> None:
        data = os.urandom(LARGE)
        proxy.inject(method, fault, text=text)
        blob_id = await put(store, [data[: 5 * MIB], data[5 * MIB :]])
        assert proxy.requests(method, text) == 2
        assert await get(store, blob_id, 0, LARGE) == data
        assert await listed(store) == {blob_id: LARGE}

    async def test_completion_that_failed_behind_its_200_is_repeated(self, store: S3Store, proxy: FaultProxy) -> None:
        proxy.inject("POST", Fault.ERROR_IN_200, text="uploadId")
        blob_id = await put(store, [b"x" * LARGE])
        assert await listed(store) == {blob_id: LARGE}

    @pytest.mark.parametrize("fault", [*REPEATED[:4], Fault.TRUNCATED], ids=str)
    @pytest.mark.parametrize("size", [1000, 3 * MIB])
    async def test_read_is_repeated(self, store: S3Store, proxy: FaultProxy, fault: Fault, size: int) -> None:
        data = os.urandom(size)
        blob_id = await put(store, [data])
        proxy.inject("GET", fault)
        assert await get(store, blob_id, 0, size) == data
        assert proxy.requests("GET") == 2
        proxy.inject("GET", fault)
        assert await get(store, blob_id, 5, size - 5) == data[5:]


class TestLastingFailure:
    @pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.INTERNAL_ERROR, Fault.RESET, Fault.HANG], ids=str)
    @pytest.mark.parametrize("size", [1000, LARGE])
    async def test_write_is_SlowDown_and_leaves_nothing(
        self, store: S3Store, proxy: FaultProxy, fault: Fault, size: int
    ) -> None:
        proxy.inject("PUT", fault, times=99)
        with pytest.raises(StorageError, match="SlowDown") as refusal:
            await put(store, [b"x" * size])
        assert (refusal.value.code.status, refusal.value.code.retry_after_seconds) == (503, 1)
        proxy.clear()
        assert await listed(store) == {}
        assert await store.remove_epoch(EPOCH)

    @pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.RESET, Fault.TRUNCATED], ids=str)
    async def test_read_is_SlowDown_never_short(self, store: S3Store, proxy: FaultProxy, fault: Fault) -> None:
        blob_id = await put(store, [os.urandom(3 * MIB)])
        proxy.inject("GET", fault, times=99)
        with pytest.raises(StorageError, match="SlowDown"):
            await get(store, blob_id, 0, 3 * MIB)

    async def test_answer_lost_every_time_is_found_by_its_number(self, store: S3Store, proxy: FaultProxy) -> None:
        proxy.inject("PUT", Fault.LOST, times=2)
        blob_id = await put(store, [b"late"])
        assert await get(store, blob_id, 0, 4) == b"late"

    async def test_write_of_unknown_outcome_is_taken_back(self, store: S3Store, proxy: FaultProxy) -> None:
        proxy.inject("PUT", Fault.LOST, times=99)
        with pytest.raises(StorageError, match="SlowDown"):
            await put(store, [b"late"])
        assert await listed(store) == {}

    async def test_circuit_opens_and_closes(self, upstream: Upstream, proxy: FaultProxy, tmp_path: Path) -> None:
        options = s3_options(upstream, endpoint=proxy.url, breaker_failures=3, breaker_open_seconds=0.5)
        store = S3Store(options, name="s", spool_directory=tmp_path)
        try:
            proxy.inject("HEAD", Fault.RESET, times=3)
            blob_id = new_blob_id(EPOCH)
            with pytest.raises(StorageError, match="SlowDown"):
                await store.stat(blob_id)
            before = len(proxy.seen)
            began = time.monotonic()
            with pytest.raises(StorageError, match="SlowDown"):
                await store.stat(blob_id)
            assert time.monotonic() - began < 0.3
            assert len(proxy.seen) == before
            await asyncio.sleep(0.6)
            assert await store.stat(blob_id) is None
        finally:
            await store.close()

    async def test_host_that_does_not_exist(self, upstream: Upstream, tmp_path: Path) -> None:
        options = s3_options(upstream, endpoint="http://127.0.0.1:9", connect_timeout_seconds=1)
        store = S3Store(options, name="s", spool_directory=tmp_path)
        with pytest.raises(StorageError, match="SlowDown"):
            await store.check()
        await store.close()


class TestLies:
    @pytest.mark.parametrize("size", [1000, 3 * MIB, LARGE])
    async def test_other_bytes_never_make_a_whole_answer(self, store: S3Store, proxy: FaultProxy, size: int) -> None:
        data = os.urandom(size)
        blob_id = await put(store, [data])
        proxy.inject("GET", Fault.OTHER_BYTES)
        received = b""

        async def read() -> None:
            nonlocal received
            async for piece in await store.open(blob_id, 0, size):
                received += piece

        with pytest.raises(StorageError, match="InternalError"):
            await read()
        assert len(received) < size
        assert await get(store, blob_id, 0, size) == data

    @pytest.mark.parametrize("size", [1000, LARGE])
    async def test_other_etag_is_a_failed_write(self, store: S3Store, proxy: FaultProxy, size: int) -> None:
        proxy.inject("PUT", Fault.OTHER_ETAG)
        with pytest.raises(StorageError, match="InternalError"):
            await put(store, [b"x" * size])
        assert await listed(store) == {}

    async def test_redirect_is_not_followed(self, store: S3Store, proxy: FaultProxy) -> None:
        with FaultProxy(proxy.url) as elsewhere:
            proxy.elsewhere = f"{elsewhere.url}/blobs/x"
            for method in ("GET", "HEAD", "PUT"):
                proxy.inject(method, Fault.REDIRECT, times=9)
            for job in (store.stat(new_blob_id(EPOCH)), store.open(new_blob_id(EPOCH), 0, 9), put(store, [b"x"])):
                with pytest.raises(StorageError, match="InternalError"):
                    await job
            assert elsewhere.seen == []


async def test_abandoned_upload_is_aborted_with_its_epoch(store: S3Store, proxy: FaultProxy) -> None:
    proxy.inject("DELETE", Fault.RESET, times=99)
    async with store.create(new_blob_id(EPOCH), Digester(())) as writer:
        await writer.write(b"x" * LARGE)
        await writer.flush()
    assert proxy.requests("DELETE", "uploadId") == 1
    proxy.clear()
    assert await store.remove_epoch(EPOCH)
    assert proxy.requests("DELETE", "uploadId") == 1
    proxy.clear()
    assert await store.remove_epoch(EPOCH)
    assert proxy.requests("DELETE", "uploadId") == 0


async def test_many_uploads_at_once_keep_to_the_budget(upstream: Upstream, tmp_path: Path) -> None:
    store = S3Store(s3_options(upstream, buffer_bytes=16 * MIB), name="s", spool_directory=tmp_path)
    try:
        for _ in range(3):  # what failed gives its share back
            async with store.create(new_blob_id(EPOCH), Digester(())) as writer:
                await writer.write(b"x" * LARGE)
        budget = store._workshop.budget
        assert budget.take(16 * MIB)
    finally:
        await store.close()
