"""``rowlock import``'s work against a real database: from a directory, from another gateway, from sources that lie."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from gateway.blobs.locator import BlobStores, Epoch
from gateway.blobs.memory import MemoryStore
from gateway.blobs.s3_options import S3Options
from gateway.context import SERVICE_ROLE, AuthMethod, Call, Principal, Tenant
from gateway.errors import StorageError
from gateway.importing.bucket import BucketSource
from gateway.importing.directory import DirectorySource
from gateway.importing.importer import Importer, ImportPace, ImportReport, Plan
from gateway.importing.source import Source, SourceFacts, SourceObject, Unusable
from gateway.jobs.fsck import Fsck
from gateway.metadata import engine
from gateway.metadata.session import Session
from gateway.operations import buckets, tagging
from gateway.operations.objects import get_object, head_object
from gateway.operations.services import Limits, Services
from gateway.operations.shapes import CreateBucketInput, GetObjectInput, GetObjectTaggingInput, HeadObjectInput
from gateway.testing import RunningGateway, rowlock, rowlock_server

__all__ = ["rowlock", "rowlock_server"]

MIB = 1024 * 1024
CALL = Call(
    Tenant("default", "us-east-1"), Principal("default", SERVICE_ROLE, AuthMethod.SYSTEM), "rowlock.import", "request"
)
LONG_AGO = datetime(2020, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)


@pytest.fixture
async def services(session: Session) -> AsyncIterator[Services]:
    store = MemoryStore(name="memory", max_bytes=1 << 27)
    epoch = Epoch(await engine.begin_epoch(session, "test", os.getpid()))
    limits = Limits(100 * MIB, 20 * MIB, 100)
    services = Services(session, BlobStores({"memory": store}, store, epoch), limits)
    await buckets.create_bucket(services, CALL, CreateBucketInput(bucket="docs"))
    yield services
    await services.encryption.close()


async def run(services: Services, source: Source, pace: ImportPace | None = None, **plan: Any) -> ImportReport:
    """One import; afterwards the stores agree with the rows."""
    report = await Importer(services, CALL, source, Plan("docs", **plan), pace or ImportPace()).run()
    found = await Fsck(services.session, services.blobs, read_bytes=True, quarantine=False).run()
    assert (found.missing, found.wrong, found.parts) == (0, 0, 0), found
    return report


async def content(services: Services, key: str) -> bytes:
    answer = await get_object(services, CALL, GetObjectInput(bucket="docs", key=key))
    try:
        return b"".join([bytes(piece) async for piece in answer.body])
    finally:
        await answer.body.close()


async def head(services: Services, key: str) -> Any:
    return await head_object(services, CALL, HeadObjectInput(bucket="docs", key=key))


async def is_there(services: Services, key: str) -> bool:
    try:
        await head(services, key)
    except StorageError as error:
        if error.code.name != "NoSuchKey":
            raise
        return False
    return True


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    for name, data in {
        "a.jpg": b"jpeg" * 1000,
        "sub/b.txt": b"small",
        "sub/deeper/ü +%.tar.gz": b"z",
        "e": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    return tmp_path


class TestDirectory:
    async def test_files_become_objects(self, services: Services, tree: Path) -> None:
        report = await run(services, DirectorySource(tree), prefix="p/")
        assert (report.objects, report.size_bytes, report.complete) == (4, 4006, True)
        assert await content(services, "p/a.jpg") == b"jpeg" * 1000
        assert await content(services, "p/e") == b""
        kinds = {key: (await head(services, f"p/{key}")).content_type for key in ("a.jpg", "sub/b.txt", "e")}
        assert kinds == {"a.jpg": "image/jpeg", "sub/b.txt": "text/plain", "e": "binary/octet-stream"}
        packed = await head(services, "p/sub/deeper/ü +%.tar.gz")
        assert (packed.content_type, packed.content_encoding) == ("application/gzip", None)
        assert packed.metadata == {"mtime": "1577934245.5"}

    async def test_again_only_what_changed(self, services: Services, tree: Path) -> None:
        await run(services, DirectorySource(tree))
        (tree / "a.jpg").write_bytes(b"newer" * 1000)
        future = (datetime.now(UTC) + timedelta(hours=1)).timestamp()
        os.utime(tree / "a.jpg", (future, future))
        report = await run(services, DirectorySource(tree))
        assert (report.objects, report.there_before) == (1, 3)
        assert await content(services, "a.jpg") == b"newer" * 1000

    async def test_what_was_written_here_since_stays(self, services: Services, tree: Path) -> None:
        await run(services, DirectorySource(tree))
        (tree / "a.jpg").write_bytes(b"other")
        os.utime(tree / "a.jpg", (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
        report = await run(services, DirectorySource(tree))
        assert (report.objects, report.newer_here, report.complete) == (0, 1, True)
        assert await content(services, "a.jpg") == b"jpeg" * 1000
        assert (await run(services, DirectorySource(tree), overwrite=True)).objects == 1
        assert await content(services, "a.jpg") == b"other"

    async def test_what_cannot_be_an_object_is_named(self, services: Services, tree: Path) -> None:
        (tree / "link").symlink_to(tree / "a.jpg")
        (tree / "loop").symlink_to(tree)
        os.mkfifo(tree / "pipe")
        os.mknod(os.fsencode(tree) + b"/bad\xff")
        deep = tree
        for _ in range(6):
            deep /= "d" * 200
        deep.mkdir(parents=True)
        (deep / "f").write_bytes(b"x")
        report = await run(services, DirectorySource(tree))
        assert (report.objects, report.unusable, report.complete) == (4, 5, False)
        notes = "\n".join(report.notes)
        for part in ("link: ", "loop: ", "pipe: ", "bad\\xff: ", "Your key is too long"):
            assert part in notes

    async def test_patterns_and_dry_run(self, services: Services, tree: Path) -> None:
        told: list[str] = []
        pace = ImportPace(would_import=lambda key, size_bytes: told.append(key))
        chosen = {"include": ("*.txt", "*.jpg"), "exclude": ("sub/*",)}
        report = await run(services, DirectorySource(tree), pace, dry_run=True, **chosen)
        assert (told, report.objects) == (["a.jpg"], 1)
        assert not await is_there(services, "a.jpg")
        assert (await run(services, DirectorySource(tree), **chosen)).objects == 1

    async def test_stopped_import_goes_on(self, services: Services, tree: Path) -> None:
        pace = ImportPace(concurrency=1)
        pace.stopping.set()
        assert (await run(services, DirectorySource(tree), pace)).objects == 0
        assert (await run(services, DirectorySource(tree))).objects == 4

    async def test_limit_of_the_bucket_refuses_only_what_exceeds_it(
        self, services: Services, tree: Path, owner: psycopg.Connection
    ) -> None:
        owner.execute("update storage.buckets set file_size_limit = 1000 where id = 'docs'")
        report = await run(services, DirectorySource(tree))
        assert (report.objects, report.failed) == (3, 1)
        assert "a.jpg: EntityTooLarge" in report.notes[0]


def bucket_source(gateway: RunningGateway, prefix: str = "", **options: Any) -> BucketSource:
    return BucketSource(
        S3Options(
            endpoint=gateway.endpoint_url,
            bucket="source",
            access_key_id=gateway.access_key_id,
            secret_access_key=gateway.secret_access_key,
            attempts=1,
            **options,
        ),
        prefix,
    )


def upload(client: Any, key: str, *parts: bytes) -> str:
    """An object in parts; returns its ETag."""
    place = {"Bucket": "source", "Key": key}
    upload_id = client.create_multipart_upload(**place)["UploadId"]
    sent = [
        {"PartNumber": number, **_etag(client.upload_part(**place, UploadId=upload_id, PartNumber=number, Body=part))}
        for number, part in enumerate(parts, 1)
    ]
    done = client.complete_multipart_upload(**place, UploadId=upload_id, MultipartUpload={"Parts": sent})
    return str(done["ETag"]).strip('"')


def _etag(answer: dict[str, Any]) -> dict[str, str]:
    return {"ETag": answer["ETag"]}


class TestBucket:
    async def test_everything_of_an_object_comes_along(self, services: Services, rowlock: RunningGateway) -> None:
        client = boto3.client("s3", **rowlock.client_options())
        client.create_bucket(Bucket="source")
        odd = "in/../odd//k?y&\n%41 ü"
        client.put_object(Bucket="source", Key=odd, Body=b"odd")
        client.put_object(Bucket="source", Key="out/side", Body=b"not wanted")
        client.put_object(
            Bucket="source", Key="in/one", Body=b"1" * 5000, Metadata={"who": "me"}, Tagging="a=b%20c&d=",
            ContentType="text/x", CacheControl="no-cache", ContentDisposition="inline", ContentEncoding="zstd",
            ContentLanguage="de", Expires=LONG_AGO,
        )  # fmt: skip
        etags = {
            "even": upload(client, "in/even", os.urandom(6 * MIB), os.urandom(6 * MIB), b"end"),
            "uneven": upload(client, "in/uneven", os.urandom(5 * MIB), os.urandom(6 * MIB), b"end"),
        }
        source = bucket_source(rowlock, "in/")
        report = await run(services, source)
        assert (report.objects, report.unverified, report.complete) == (4, 0, True), report
        assert await content(services, odd.removeprefix("in/")) == b"odd"
        assert not await is_there(services, "side")
        for key, etag in etags.items():
            found = await head(services, key)
            assert found.etag == etag
            body = client.get_object(Bucket="source", Key=f"in/{key}")["Body"].read()
            assert await content(services, key) == body
        found = await head(services, "one")
        theirs = client.head_object(Bucket="source", Key="in/one")
        assert found.metadata["who"] == "me"
        assert int(float(found.metadata["mtime"])) == int(theirs["LastModified"].timestamp())
        assert (found.content_type, found.cache_control, found.content_disposition) == ("text/x", "no-cache", "inline")
        assert (found.content_encoding, found.content_language) == ("zstd", "de")
        assert found.expires == theirs["ExpiresString"]
        tags = await tagging.get_object_tagging(services, CALL, GetObjectTaggingInput(bucket="docs", key="one"))
        assert {tag.key: tag.value for tag in tags.tag_set} == {"a": "b c", "d": ""}
        assert (await run(services, source)).there_before == 4
        await source.close()
        client.close()

    async def test_refusals_of_the_source_are_told(self, services: Services, rowlock: RunningGateway) -> None:
        source = bucket_source(rowlock)
        with pytest.raises(StorageError, match="NoSuchBucket"):
            await run(services, source)
        await source.close()
        boto3.client("s3", **rowlock.client_options()).create_bucket(Bucket="source")
        nobody = bucket_source(rowlock, credentials="anonymous")
        with pytest.raises(StorageError, match="AccessDenied"):
            await run(services, nobody)
        await nobody.close()


class Liar:
    """A source of one object that gives these bytes and says these facts of it."""

    def __init__(self, data: bytes, facts: SourceFacts) -> None:
        self.data, self.said = data, facts

    async def pages(self) -> AsyncGenerator[Sequence[SourceObject | Unusable], None]:
        yield [SourceObject("k", "k", self.said.size_bytes, LONG_AGO, self.said.etag)]

    async def facts(self, found: SourceObject) -> SourceFacts:
        return self.said

    @asynccontextmanager
    async def open(
        self, found: SourceObject, facts: SourceFacts, offset_bytes: int, length_bytes: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            yield self.data[offset_bytes : offset_bytes + length_bytes]

        yield pieces()

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("data", "facts", "code"),
    [
        (b"x" * 1000, SourceFacts(1000, "e", md5=b"m" * 16), "BadDigest"),
        (b"x" * 50, SourceFacts(50, "e", md5=b"m" * 16), "BadDigest"),
        (b"x" * 1000, SourceFacts(1000, "e", checksum=("crc32", b"0000")), "BadDigest"),
        (b"x" * 999, SourceFacts(1000), "IncompleteBody"),
        (b"x" * 1001, SourceFacts(1000, "e", md5=b"m" * 16), "BadDigest"),
        (b"x" * (6 * MIB), SourceFacts(6 * MIB + 5, "e-2", part_sizes=(5 * MIB, MIB + 5)), "IncompleteBody"),
        (b"x" * 1000, SourceFacts(1000, user_metadata={"m": "v" * 3000}), "MetadataTooLarge"),
        (b"x" * 1000, SourceFacts(1000, content_type="a\nb"), "InvalidArgument"),
        (b"x" * 1000, SourceFacts(1000, tags={f"t{number}": "" for number in range(11)}), "InvalidTag"),
    ],
)
async def test_what_is_not_as_the_source_says_is_not_stored(
    services: Services, data: bytes, facts: SourceFacts, code: str
) -> None:
    report = await run(services, Liar(data, facts))
    assert (report.objects, report.failed) == (0, 1)
    assert report.notes[0].startswith(f"k: {code}: ")
    assert not await is_there(services, "k")


@pytest.mark.parametrize(
    "facts", [SourceFacts(1000, "opaque"), SourceFacts(6 * MIB, "e" * 32 + "-2", part_sizes=(5 * MIB, MIB))], ids=str
)
async def test_what_cannot_be_compared_is_told(services: Services, facts: SourceFacts) -> None:
    report = await run(services, Liar(b"x" * facts.size_bytes, facts))
    assert (report.objects, report.unverified) == (1, 1)


async def test_write_of_a_client_meanwhile_wins(services: Services) -> None:
    source = Liar(b"theirs", SourceFacts(6))

    async def facts(found: SourceObject) -> SourceFacts:
        await run(services, Liar(b"of a client", SourceFacts(11)))
        return source.said

    source.facts = facts  # type: ignore[method-assign]
    report = await run(services, source)
    assert report.notes[0].startswith("k: PreconditionFailed")
    assert await content(services, "k") == b"of a client"
