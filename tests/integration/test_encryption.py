"""Encryption with a real database and real files: what is on disk and in rows, defaults, copies, fsck, round trips."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.blobs.file import FileStore
from gateway.blobs.locator import BlobStores, Epoch
from gateway.encryption.vault import Vault
from gateway.errors import StorageError
from gateway.jobs.fsck import Fsck, FsckReport
from gateway.metadata import engine
from gateway.metadata.errors import DefaultEncryptionDiffers
from gateway.metadata.session import Session
from gateway.operations import bucket_encryption, buckets, copying, multipart, objects
from gateway.operations.encryption import Encryption
from gateway.operations.services import Limits, Services
from gateway.operations.shapes import (
    CompletedMultipartUpload,
    CompletedPart,
    CompleteMultipartUploadInput,
    CopyObjectInput,
    CreateBucketInput,
    CreateMultipartUploadInput,
    DeleteBucketEncryptionInput,
    GetObjectInput,
    HeadObjectInput,
    PutBucketEncryptionInput,
    PutObjectInput,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
    UploadPartInput,
)
from gateway.tenants.secrets import MasterKey
from gateway.wire.addressing import CopySource
from tests.integration.test_round_trips import CALL, INLINE_BYTES, body, round_trips
from tests.unit.encryption.test_requests import customer

MEBIBYTE = 1024 * 1024
MASTER = MasterKey.of(b"m" * 32)
CANARY = b"the-canary-sings-in-plaintext"
HTTPS = replace(CALL, secure=True)
SSE_S3 = {"server_side_encryption": "AES256"}
SSE_KMS = {"server_side_encryption": "aws:kms", "sse_kms_key_id": "k1"}
METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "SSE-S3": (SSE_S3, {}),
    "SSE-KMS": (SSE_KMS, {}),
    "SSE-C": (customer(), customer()),
}


@pytest.fixture
async def services(session: Session, tmp_path: Path) -> AsyncIterator[Services]:
    store = FileStore(tmp_path, name="file", threads=2)
    epoch = Epoch(await engine.begin_epoch(session, "test", 1))
    encryption = Encryption(Vault(MASTER, "default"), ThreadPoolExecutor(2))
    limits = Limits(100 * MEBIBYTE, 100 * MEBIBYTE, INLINE_BYTES)
    services = Services(session, BlobStores({"file": store}, store, epoch), limits, encryption=encryption)
    await buckets.create_bucket(services, CALL, CreateBucketInput(bucket="docs"))
    yield services
    await store.close()
    await encryption.close()


async def put(services: Services, key: str, content: bytes, **members: Any) -> Any:
    return await objects.put_object(
        services, HTTPS, PutObjectInput(bucket="docs", key=key, body=body(content), **members)
    )


async def get(services: Services, key: str, **members: Any) -> bytes:
    output = await objects.get_object(services, HTTPS, GetObjectInput(bucket="docs", key=key, **members))
    assert output.body is not None
    try:
        return b"".join([piece async for piece in output.body])
    finally:
        await output.body.close()


async def set_default(services: Services, algorithm: str | None, key_id: str | None = None) -> None:
    if algorithm is None:
        await bucket_encryption.delete_bucket_encryption(services, CALL, DeleteBucketEncryptionInput(bucket="docs"))
        return
    by_default = ServerSideEncryptionByDefault(sse_algorithm=algorithm, kms_master_key_id=key_id)
    rule = ServerSideEncryptionRule(apply_server_side_encryption_by_default=by_default)
    configuration = ServerSideEncryptionConfiguration(rules=(rule,))
    await bucket_encryption.put_bucket_encryption(
        services, CALL, PutBucketEncryptionInput(bucket="docs", server_side_encryption_configuration=configuration)
    )


async def upload_parts(services: Services, key: str, parts: list[bytes], **members: Any) -> None:
    wanted, given = {"plain": ({}, {}), **METHODS}[members.get("method", "plain")]
    begun = await multipart.create_multipart_upload(
        services, HTTPS, CreateMultipartUploadInput(bucket="docs", key=key, **wanted)
    )
    assert begun.upload_id is not None
    done = []
    for number, content in enumerate(parts, 1):
        answer = await multipart.upload_part(
            services,
            HTTPS,
            UploadPartInput(
                bucket="docs", key=key, upload_id=begun.upload_id, part_number=number, body=body(content), **given
            ),
        )
        assert answer.etag is not None
        done.append(CompletedPart(part_number=number, etag=answer.etag))
    await multipart.complete_multipart_upload(
        services,
        HTTPS,
        CompleteMultipartUploadInput(
            bucket="docs",
            key=key,
            upload_id=begun.upload_id,
            multipart_upload=CompletedMultipartUpload(parts=tuple(done)),
            **given,
        ),
    )


async def fsck(services: Services, master_key: MasterKey = MASTER) -> FsckReport:
    vault = Vault(master_key, "default")
    return await Fsck(services.session, services.blobs, read_bytes=True, quarantine=False, vault=vault).run()


def files(root: Path) -> dict[str, bytes]:
    found = {}
    for at, _, names in os.walk(root):
        found.update({name: Path(at, name).read_bytes() for name in names})
    return found


def rows(owner: psycopg.Connection, table: str = "objects") -> str:
    """A whole table as text, bytes as they are."""
    found = owner.execute(f"SELECT to_jsonb(t) FROM storage.{table} AS t").fetchall()
    text = str(found)
    return text + bytes.fromhex("".join(r[0]["content"][2:] for r in found if r[0].get("content"))).decode("latin-1")


class TestAtRest:
    @pytest.mark.parametrize("size", [len(CANARY), 5000, 700_000])
    @pytest.mark.parametrize("method", METHODS)
    async def test_no_plaintext_in_files_or_rows(
        self, services: Services, owner: psycopg.Connection, tmp_path: Path, method: str, size: int
    ) -> None:
        wanted, given = METHODS[method]
        content = (CANARY * (size // len(CANARY) + 1))[:size]
        await put(services, "plain", content)
        seen = rows(owner).encode("latin-1", "replace") + b"".join(files(tmp_path).values())
        assert CANARY in seen  # the test looks where plaintext would be
        owner.execute("DELETE FROM storage.objects")
        before = files(tmp_path)

        await put(services, "secret", content, **wanted)
        await upload_parts(services, "parts", [content], method=method)
        assert await get(services, "secret", **given) == content
        assert await get(services, "parts", **given) == content
        seen = rows(owner).encode("latin-1", "replace") + rows(owner, "s3_multipart_uploads").encode()
        seen += b"".join(data for name, data in files(tmp_path).items() if name not in before)
        assert CANARY not in seen
        assert customer()["sse_customer_key"].encode() not in seen
        assert customer()["sse_customer_key_md5"].encode() not in seen
        assert bytes(range(32)) not in seen

    async def test_equal_objects_have_unequal_ciphertext(self, services: Services, owner: psycopg.Connection) -> None:
        for key in ("a", "b"):
            await put(services, key, b"same", **SSE_S3)
        found = owner.execute("SELECT content, etag FROM storage.objects").fetchall()
        assert found[0][0] != found[1][0]
        assert found[0][1] == found[1][1]

    async def test_a_changed_row_is_refused(self, services: Services, owner: psycopg.Connection) -> None:
        await put(services, "a", b"content", **SSE_S3)
        owner.execute(
            "ALTER TABLE storage.objects DISABLE TRIGGER USER;"
            "UPDATE storage.objects SET content = set_byte(content, 0, get_byte(content, 0) # 1);"
            "ALTER TABLE storage.objects ENABLE TRIGGER USER"
        )
        with pytest.raises(StorageError, match="InternalError"):
            await get(services, "a")
        assert (await fsck(services)).wrong == 1

    async def test_swapped_parts_are_refused(self, services: Services, tmp_path: Path) -> None:
        parts = [b"A" * 5 * MEBIBYTE, b"B" * 5 * MEBIBYTE]
        before = files(tmp_path)
        await upload_parts(services, "a", parts, method="SSE-S3")
        first, second = [Path(at, name) for at, _, names in os.walk(tmp_path) for name in names if name not in before]
        one, two = first.read_bytes(), second.read_bytes()
        first.write_bytes(two)
        second.write_bytes(one)
        with pytest.raises(StorageError, match="InternalError"):
            await get(services, "a")
        assert (await fsck(services)).wrong == 1


class TestBucketDefault:
    @pytest.mark.parametrize("size", [10, 5000])
    async def test_follows_every_change_whatever_this_process_remembers(self, services: Services, size: int) -> None:
        """The second Services stands for another worker, which hears of no change."""
        other = replace(services, encryption=Encryption(services.encryption.vault, services.encryption.executor))
        content = b"x" * size
        for algorithm, key_id in (("AES256", None), ("aws:kms", "k1"), ("aws:kms", "k2"), (None, None)):
            await set_default(services, algorithm, key_id)
            for asked in (other, services, other):
                answer = await put(asked, "a", content)
                assert (answer.server_side_encryption, answer.sse_kms_key_id) == (algorithm, key_id)
                head = await objects.head_object(asked, CALL, HeadObjectInput(bucket="docs", key="a"))
                assert (head.server_side_encryption, head.sse_kms_key_id) == (algorithm, key_id)
                assert await get(asked, "a") == content

    async def test_set_by_SQL(self, services: Services, owner: psycopg.Connection) -> None:
        owner.execute(
            "INSERT INTO storage.bucket_configurations (bucket_id, kind, document) "
            """VALUES ('docs', 'encryption', '{"algorithm": "AES256"}')"""
        )
        assert (await put(services, "a", b"x")).server_side_encryption == "AES256"

    async def test_a_request_has_the_last_word(self, services: Services) -> None:
        await set_default(services, "aws:kms", "k1")
        assert (await put(services, "a", b"x", **SSE_S3)).server_side_encryption == "AES256"
        answer = await put(services, "a", b"x", **customer())
        assert (answer.server_side_encryption, answer.sse_customer_algorithm) == (None, "AES256")

    async def test_an_upload_keeps_what_it_began_with(self, services: Services) -> None:
        for before, after in ((None, "AES256"), ("AES256", None)):
            await set_default(services, before)
            begun = await multipart.create_multipart_upload(
                services, CALL, CreateMultipartUploadInput(bucket="docs", key="a")
            )
            assert begun.server_side_encryption == before
            assert begun.upload_id is not None
            await set_default(services, after)
            part = await multipart.upload_part(
                services,
                CALL,
                UploadPartInput(bucket="docs", key="a", upload_id=begun.upload_id, part_number=1, body=body(b"x")),
            )
            assert part.etag is not None
            done = await multipart.complete_multipart_upload(
                services,
                CALL,
                CompleteMultipartUploadInput(
                    bucket="docs",
                    key="a",
                    upload_id=begun.upload_id,
                    multipart_upload=CompletedMultipartUpload(parts=(CompletedPart(part_number=1, etag=part.etag),)),
                ),
            )
            assert done.server_side_encryption == before
            assert await get(services, "a") == b"x"

    async def test_a_default_that_comes_while_a_body_streams_is_a_reason_to_try_again(
        self, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = files(tmp_path)
        probe = objects.objects.probe_put_object

        async def probed_too_early(*arguments: Any) -> Any:
            answer = await probe(*arguments)
            await set_default(services, "AES256")
            return answer

        monkeypatch.setattr(objects.objects, "probe_put_object", probed_too_early)
        with pytest.raises(StorageError, match="ServiceUnavailable"):
            await put(services, "a", b"x" * 5000)
        assert files(tmp_path) == before
        assert (await put(services, "a", b"x" * 5000)).server_side_encryption == "AES256"

    async def test_metadata_of_a_plain_object_cannot_be_replaced_without_encrypting_it(
        self, services: Services, owner: psycopg.Connection
    ) -> None:
        await put(services, "a", b"content")
        await set_default(services, "AES256")
        asked = CopyObjectInput(
            bucket="docs", key="a", copy_source=CopySource("docs", "a", None), metadata_directive="REPLACE"
        )
        assert (await copying.copy_object(services, CALL, asked)).server_side_encryption == "AES256"
        assert await get(services, "a") == b"content"
        assert owner.execute("SELECT content FROM storage.objects").fetchone() != (b"content",)


class TestCopies:
    async def test_alike_shares_the_file_and_survives_its_source(
        self, services: Services, owner: psycopg.Connection, tmp_path: Path
    ) -> None:
        content = os.urandom(2 * MEBIBYTE)
        await put(services, "a", content, **SSE_S3)
        asked = CopyObjectInput(bucket="docs", key="b", copy_source=CopySource("docs", "a", None), **SSE_S3)
        await copying.copy_object(services, CALL, asked)
        owner_rows = owner.execute("SELECT blob_id FROM storage.objects ORDER BY name").fetchall()
        blobs = files(tmp_path)
        assert blobs[owner_rows[0][0]] == blobs[owner_rows[1][0]]
        await put(services, "a", b"another")
        asked = CopyObjectInput(bucket="docs", key="c", copy_source=CopySource("docs", "b", None), **SSE_S3)
        await copying.copy_object(services, CALL, asked)
        assert await get(services, "b") == content
        assert await get(services, "c", range="bytes=70000-70009") == content[70_000:70_010]
        report = await fsck(services)
        assert report.clean
        assert not report.locked

    @pytest.mark.parametrize("source", ["plain", *METHODS])
    @pytest.mark.parametrize("target", ["plain", *METHODS])
    @pytest.mark.parametrize("size", [0, 10, 700_000])
    async def test_between_any_two(self, services: Services, source: str, target: str, size: int) -> None:
        everything: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {"plain": ({}, {}), **METHODS}
        content = os.urandom(size)
        await put(services, "a", content, **everything[source][0])
        about_source = {f"copy_source_{name}": value for name, value in everything[source][1].items()}
        asked = CopyObjectInput(
            bucket="docs",
            key="b",
            copy_source=CopySource("docs", "a", None),
            **everything[target][0],
            **about_source,
        )
        await copying.copy_object(services, HTTPS, asked)
        assert await get(services, "b", **everything[target][1]) == content
        assert await get(services, "a", **everything[source][1]) == content
        report = await fsck(services)
        assert report.clean
        assert report.locked == (source == "SSE-C") + (target == "SSE-C")


class TestFsck:
    async def test_counts_ciphertext_as_right(self, services: Services) -> None:
        for method in METHODS:
            await put(services, f"small-{method}", b"x" * 10, **METHODS[method][0])
            await put(services, f"large-{method}", b"x" * 100_000, **METHODS[method][0])
            await upload_parts(services, f"parts-{method}", [b"x" * 5 * MEBIBYTE, b"y"], method=method)
            await multipart.create_multipart_upload(
                services, HTTPS, CreateMultipartUploadInput(bucket="docs", key="open", **METHODS[method][0])
            )
        report = await fsck(services)
        assert report.clean, report
        assert (report.objects, report.inline_objects, report.locked) == (6, 3, 3)

    async def test_finds_a_changed_and_a_shortened_blob(self, services: Services, tmp_path: Path) -> None:
        before = files(tmp_path)
        await put(services, "a", b"x" * 100_000, **SSE_KMS)
        [path] = [Path(at, name) for at, _, names in os.walk(tmp_path) for name in names if name not in before]
        sealed = path.read_bytes()
        path.write_bytes(sealed[:-1] + bytes((sealed[-1] ^ 1,)))
        assert (await fsck(services)).wrong == 1
        path.write_bytes(sealed[:-1])
        assert (await fsck(services)).wrong == 1
        path.write_bytes(sealed)
        assert (await fsck(services)).clean


class TestRoundTrips:
    async def test_encryption_adds_none(self, services: Services) -> None:
        for members in ({}, SSE_S3):
            for content, expected in ((b"x", 1), (b"x" * 1000, 2)):
                asked = PutObjectInput(bucket="docs", key="k", body=body(content), **members)
                assert await round_trips(services, objects.put_object, asked) == expected
                assert await round_trips(services, objects.get_object, GetObjectInput(bucket="docs", key="k")) == 1

    async def test_a_default_costs_one_the_first_time(self, services: Services) -> None:
        await set_default(services, "AES256")
        other = replace(services, encryption=Encryption(services.encryption.vault, services.encryption.executor))
        counts = []
        for _ in range(3):
            asked = PutObjectInput(bucket="docs", key="k", body=body(b"x"))
            counts.append(await round_trips(other, objects.put_object, asked))
        assert counts == [2, 1, 1]


async def test_concurrent_writers_of_a_bucket_whose_default_flips(services: Services) -> None:
    async def flip() -> None:
        for number in range(10):
            await set_default(services, "AES256" if number % 2 else None)

    async def write(number: int) -> None:
        for turn in range(10):
            try:
                await put(services, f"k{number}", f"{number}-{turn}".encode())
            except DefaultEncryptionDiffers:  # it flipped three times during one write
                continue
            assert await get(services, f"k{number}") == f"{number}-{turn}".encode()

    await asyncio.gather(flip(), *(write(number) for number in range(4)))
    assert (await fsck(services)).clean
