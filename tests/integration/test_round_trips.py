"""What an operation asks of the database, counted rather than timed: a regression here is seen on any machine."""

from typing import Any

import pytest

from gateway.blobs.locator import BlobStores, Epoch
from gateway.blobs.memory import MemoryStore
from gateway.context import SERVICE_ROLE, AuthMethod, Call, Principal, Tenant
from gateway.metadata import engine
from gateway.metadata.session import Session
from gateway.operations import buckets, copying, deletion, listing, multipart, objects
from gateway.operations.services import Limits, Services
from gateway.operations.shapes import (
    AbortMultipartUploadInput,
    CompletedMultipartUpload,
    CompletedPart,
    CompleteMultipartUploadInput,
    CopyObjectInput,
    CreateBucketInput,
    CreateMultipartUploadInput,
    Delete,
    DeleteObjectInput,
    DeleteObjectsInput,
    GetObjectInput,
    HeadBucketInput,
    HeadObjectInput,
    ListObjectsV2Input,
    ObjectIdentifier,
    PutObjectInput,
    UploadPartInput,
)
from gateway.wire.addressing import CopySource
from gateway.wire.body import BodyLimits, BodyStream, open_body
from tests.unit.wire.requests import request
from tests.unit.wire.test_body import Payload, receiving

CALL = Call(
    tenant=Tenant("default", "us-east-1"),
    principal=Principal("default", SERVICE_ROLE, AuthMethod.SIGV4_HEADER),
    operation="storage.s3.test",
    request_id="R",
)
INLINE_BYTES = 100
MEBIBYTE = 1024 * 1024


def body(content: bytes) -> BodyStream:
    made = request("PUT", b"/docs/k", (b"content-length", b"%d" % len(content)))
    return open_body(made, receiving(content), Payload(), BodyLimits(), 100 * MEBIBYTE)


@pytest.fixture
async def services(session: Session) -> Services:
    store = MemoryStore(name="file", max_bytes=64 * MEBIBYTE)
    epoch = Epoch(await engine.begin_epoch(session, "test", 1))
    services = Services(
        session, BlobStores({"file": store}, store, epoch), Limits(100 * MEBIBYTE, 100 * MEBIBYTE, INLINE_BYTES)
    )
    await buckets.create_bucket(services, CALL, CreateBucketInput(bucket="docs"))
    for name, content in (("small", b"x"), ("large", b"x" * 1000)):
        await objects.put_object(services, CALL, PutObjectInput(bucket="docs", key=name, body=body(content)))
    return services


async def round_trips(services: Services, handler: Any, asked: Any) -> int:
    """Round trips of one operation; as many statements, for each waits for its rows."""
    before = services.session.statistics
    await handler(services, CALL, asked)
    after = services.session.statistics
    assert after.statements - before.statements <= after.round_trips - before.round_trips
    return after.round_trips - before.round_trips


@pytest.mark.parametrize("key", ["small", "large"])
async def test_GetObject_and_HeadObject_take_one(services: Services, key: str) -> None:
    assert await round_trips(services, objects.get_object, GetObjectInput(bucket="docs", key=key)) == 1
    assert await round_trips(services, objects.head_object, HeadObjectInput(bucket="docs", key=key)) == 1


async def test_HeadBucket_takes_one(services: Services) -> None:
    assert await round_trips(services, buckets.head_bucket, HeadBucketInput(bucket="docs")) == 1


@pytest.mark.parametrize("delimiter", [None, "/"])
async def test_ListObjectsV2_takes_one(services: Services, delimiter: str | None) -> None:
    asked = ListObjectsV2Input(bucket="docs", delimiter=delimiter)
    assert await round_trips(services, listing.list_objects_v2, asked) == 1


async def test_DeleteObject_takes_one(services: Services) -> None:
    for _ in ("there", "gone"):
        assert await round_trips(services, deletion.delete_object, DeleteObjectInput(bucket="docs", key="small")) == 1


async def test_DeleteObjects_takes_one(services: Services) -> None:
    """Also where nothing was deleted: only callers bound by S3's own rules are asked for once more."""
    keys = Delete(objects=(ObjectIdentifier(key="small"), ObjectIdentifier(key="none")))
    asked = DeleteObjectsInput(bucket="docs", delete=keys)
    assert await round_trips(services, deletion.delete_objects, asked) == 1
    assert await round_trips(services, deletion.delete_objects, asked) == 2


@pytest.mark.parametrize("key", ["new", "small"])
async def test_PutObject_small_takes_at_most_two(services: Services, key: str) -> None:
    asked = PutObjectInput(bucket="docs", key=key, body=body(b"content"))
    assert await round_trips(services, objects.put_object, asked) <= 2


@pytest.mark.parametrize("key", ["new", "large"])
async def test_PutObject_large_takes_two_whatever_its_size(services: Services, key: str) -> None:
    """One before its bytes are read, one to commit."""
    for size in (INLINE_BYTES + 1, 3 * MEBIBYTE):
        asked = PutObjectInput(bucket="docs", key=key, body=body(b"x" * size))
        assert await round_trips(services, objects.put_object, asked) == 2


async def test_CopyObject_takes_at_most_three(services: Services) -> None:
    asked = CopyObjectInput(bucket="docs", key="copy", copy_source=CopySource("docs", "large", None))
    assert await round_trips(services, copying.copy_object, asked) <= 3


async def test_multipart_upload_takes_one_two_a_part_and_five_to_complete(services: Services) -> None:
    created = await multipart.create_multipart_upload(
        services, CALL, CreateMultipartUploadInput(bucket="docs", key="big")
    )
    upload_id = created.upload_id
    etags = []
    for number in (1, 2):
        before = services.session.statistics.round_trips
        content = b"x" * (5 * MEBIBYTE if number == 1 else 10)
        part = await multipart.upload_part(
            services,
            CALL,
            UploadPartInput(bucket="docs", key="big", upload_id=upload_id, part_number=number, body=body(content)),
        )
        etags.append(part.etag)
        assert services.session.statistics.round_trips - before == 2
    parts = tuple(CompletedPart(etag=etag, part_number=number) for number, etag in enumerate(etags, 1))
    asked = CompleteMultipartUploadInput(
        bucket="docs", key="big", upload_id=upload_id, multipart_upload=CompletedMultipartUpload(parts=parts)
    )
    assert await round_trips(services, multipart.complete_multipart_upload, asked) <= 5


async def test_AbortMultipartUpload_takes_one(services: Services) -> None:
    created = await multipart.create_multipart_upload(
        services, CALL, CreateMultipartUploadInput(bucket="docs", key="big")
    )
    asked = AbortMultipartUploadInput(bucket="docs", key="big", upload_id=created.upload_id)
    assert await round_trips(services, multipart.abort_multipart_upload, asked) == 1
