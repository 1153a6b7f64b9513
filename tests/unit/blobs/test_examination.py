"""``rowlock backends check``: what it says of stores that work and of stores that do not."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.blobs.examination import EPOCH, examine
from gateway.blobs.file import FileStore
from gateway.blobs.memory import MemoryStore
from gateway.blobs.protocol import BlobReader, BlobStore
from gateway.blobs.s3 import S3Store
from gateway.blobs.s3_options import S3Options
from gateway.errors import StorageError


def memory() -> MemoryStore:
    return MemoryStore(name="memory", max_bytes=1 << 26)


async def failure(store: BlobStore) -> str:
    """The first line that says FAIL, and nothing may be left in the store."""
    findings = await examine(store)
    assert [blob.blob_id async for blob in store.list_epoch(EPOCH)] == []
    return next(finding.text for finding in findings if finding.level == "FAIL")


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_store_that_works_leaves_nothing(kind: str, tmp_path: Path) -> None:
    store: BlobStore = memory() if kind == "memory" else FileStore(tmp_path, name="file", threads=2)
    findings = await examine(store)
    assert {finding.level for finding in findings} <= {"ok", "note"}
    steps = [finding.text.partition(":")[0] for finding in findings]
    assert steps[:5] == ["reach", "write", "write in parts", "read", "range"]
    assert steps[-1] == "delete"
    assert [blob.blob_id async for blob in store.list_epoch(EPOCH)] == []
    await store.close()


class OtherBytes(MemoryStore):
    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        return await super().open(blob_id, max(0, offset_bytes - 1), length_bytes)


class Full(MemoryStore):
    async def check(self) -> None:
        raise StorageError("InsufficientStorage", "There is no room.")


class Keeper(MemoryStore):
    async def delete_many(self, blob_ids: Sequence[str]) -> None:
        pass


async def test_range_of_other_bytes() -> None:
    assert "range: other bytes" in await failure(OtherBytes(name="m", max_bytes=1 << 26))


async def test_store_that_cannot_be_used() -> None:
    assert await failure(Full(name="m", max_bytes=1 << 26)) == "reach: There is no room."


async def test_store_without_room_for_parts() -> None:
    assert "write in parts: " in await failure(MemoryStore(name="m", max_bytes=100_000))


async def test_store_that_does_not_delete() -> None:
    findings = await examine(Keeper(name="m", max_bytes=1 << 26))
    assert findings[-1].level == "FAIL"
    assert findings[-1].text.startswith("delete: said to be done, but still there: ")


async def test_nobody_at_the_endpoint(tmp_path: Path) -> None:
    options = S3Options(
        endpoint="http://127.0.0.1:9", bucket="none", access_key_id="k", secret_access_key="s", attempts=1
    )
    store = S3Store(options, name="s3", spool_directory=tmp_path)
    findings = await examine(store)
    assert [(found.level, found.text) for found in findings] == [
        ("FAIL", "reach: the store cannot be reached: EndpointConnectionError")
    ]
    await store.close()
