"""Tries everything a backend is asked for, with bytes of its own that it removes, and says in words what works."""

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from gateway.blobs.digest import Digester
from gateway.blobs.protocol import (
    BlobDescription,
    BlobStore,
    CopyingStore,
    DescribingStore,
    EpochRemovingStore,
    PresigningStore,
    new_blob_id,
)
from gateway.blobs.reasons import reason_of
from gateway.errors import StorageError

EPOCH: Final = 0
"""No server has it, so nothing that is left by an examination that was killed is mistaken for an object's."""
_SMALL_BYTES: Final = 1000
_LARGE_BYTES: Final = 9 * 1024 * 1024
_PIECE_BYTES: Final = 512 * 1024
_PRESIGNED_SECONDS: Final = 60
_TIMEOUT_SECONDS: Final = 10.0
_DESCRIPTION: Final = BlobDescription(
    "examination", "examination", "a key + ü", "1", "e" * 32, "text/plain", {"a": "b"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Literal["ok", "note", "FAIL"]
    text: str


async def examine(store: BlobStore) -> list[Finding]:
    """Reach, write, read, range, copy, describe, list, presign, delete. Never raises StorageError: it tells."""
    findings: list[Finding] = []
    written: list[str] = []
    try:
        async for finding in _examine(store, written):
            findings.append(finding)
            if finding.level == "FAIL":
                break
    except FileNotFoundError:
        findings.append(Finding("FAIL", "read: what was written a moment ago is not there"))
    except (StorageError, OSError) as error:
        findings.append(Finding("FAIL", f"{_next_step(findings)}: {reason_of(error)}"))
    if written:
        findings.append(await _remove(store, written))
    return findings


_STEPS: Final = ("reach", "write", "write in parts", "read", "range", "copy", "description", "list", "presigned URL")


def _next_step(findings: list[Finding]) -> str:
    """The step after the last one told."""
    done = [finding.text.partition(":")[0] for finding in findings]
    return _STEPS[_STEPS.index(done[-1]) + 1] if done else _STEPS[0]


async def _examine(store: BlobStore, written: list[str]) -> AsyncIterator[Finding]:
    await store.check()
    yield Finding("ok", "reach: it answers, and may be used")
    contents: dict[str, bytes] = {}
    for step, size_bytes in (("write", _SMALL_BYTES), ("write in parts", _LARGE_BYTES)):
        blob_id = new_blob_id(EPOCH)
        written.append(blob_id)
        contents[blob_id] = os.urandom(size_bytes)
        await _write(store, blob_id, contents[blob_id])
        yield Finding("ok", f"{step}: {size_bytes} bytes are stored")
    for blob_id, content in contents.items():
        if await _read(store, blob_id, 0, len(content)) != content:
            yield Finding("FAIL", "read: other bytes than were written")
            return
    yield Finding("ok", "read: the bytes that were written")
    small, large = written
    if await _read(store, large, _PIECE_BYTES - 7, 1000) != contents[large][_PIECE_BYTES - 7 : _PIECE_BYTES + 993]:
        yield Finding("FAIL", "range: other bytes than were asked for")
        return
    yield Finding("ok", "range: the bytes that were asked for")
    yield await _copy(store, written, small, contents[small])
    yield await _describe(store, small)
    listed = {blob.blob_id async for blob in store.list_epoch(EPOCH)}
    if not listed.issuperset(written):
        yield Finding("FAIL", "list: what was written is not listed; fsck and the sweeper need that")
        return
    yield Finding("ok", "list: what was written is listed")
    yield await _presign(store, small, contents[small])


async def _write(store: BlobStore, blob_id: str, content: bytes) -> None:
    async with store.create(blob_id, Digester(())) as writer:
        for start in range(0, len(content), _PIECE_BYTES):
            await writer.write(content[start : start + _PIECE_BYTES])
        await writer.flush()
        await writer.finish(_DESCRIPTION)


async def _read(store: BlobStore, blob_id: str, offset_bytes: int, length_bytes: int) -> bytes:
    reader = await store.open(blob_id, offset_bytes, length_bytes)
    try:
        return b"".join([bytes(piece) async for piece in reader])
    finally:
        await reader.close()


async def _copy(store: BlobStore, written: list[str], source_id: str, content: bytes) -> Finding:
    if not isinstance(store, CopyingStore):
        return Finding("note", "copy: not by itself; copies pass through the gateway")
    copy_id = new_blob_id(EPOCH)
    written.append(copy_id)
    await store.copy(source_id, copy_id, _DESCRIPTION)
    if await _read(store, copy_id, 0, len(content)) != content:
        return Finding("FAIL", "copy: the copy has other bytes")
    return Finding("ok", "copy: made inside the store")


async def _describe(store: BlobStore, blob_id: str) -> Finding:
    if not isinstance(store, DescribingStore):
        return Finding("note", "description: none is kept beside the bytes; rows cannot be rebuilt from them")
    if await store.describe(blob_id) != _DESCRIPTION:
        return Finding("FAIL", "description: what is kept beside the bytes came back changed")
    return Finding("ok", "description: kept beside the bytes")


async def _presign(store: BlobStore, blob_id: str, content: bytes) -> Finding:
    if not isinstance(store, PresigningStore):
        return Finding("note", "presigned URL: none here; bytes always pass through the gateway")
    url = await store.presign(blob_id, _PRESIGNED_SECONDS, {})
    try:
        found = await asyncio.to_thread(_fetch, url)
    except urllib.error.HTTPError as error:
        with error:
            return Finding("FAIL", f"presigned URL: answered with status {error.code}")
    if found != content[10:20]:
        return Finding("FAIL", "presigned URL: other bytes than the range that was asked for")
    return Finding("ok", "presigned URL: a range can be read with it")


def _fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Range": "bytes=10-19"})  # noqa: S310 - the store's own URL
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
        data: bytes = answer.read(_SMALL_BYTES)
        return data


async def _remove(store: BlobStore, written: list[str]) -> Finding:
    try:
        await store.delete_many(written)
        left = [blob_id for blob_id in written if await store.stat(blob_id) is not None]
        if isinstance(store, EpochRemovingStore):
            await store.remove_epoch(EPOCH)
    except (StorageError, OSError) as error:
        return Finding("FAIL", f"delete: {reason_of(error)}; left behind: {', '.join(written)}")
    if left:
        return Finding("FAIL", f"delete: said to be done, but still there: {', '.join(left)}")
    return Finding("ok", "delete: everything is gone again")
