"""Properties of the blob stores that hold for every input, against plain references."""

import asyncio
import hashlib
import itertools
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.blobs.descriptions import decode, encode
from gateway.blobs.digest import Digester, combine_crc, digest
from gateway.blobs.file import FileStore
from gateway.blobs.group_sync import GroupSync
from gateway.blobs.memory import MemoryStore
from gateway.blobs.protocol import BlobDescription, check_blob_id, epoch_of, new_blob_id
from gateway.wire.checksums import CHECKSUM_ALGORITHMS
from tests.unit.blobs.support import DESCRIPTION, EPOCH, get, listed, make_store, opened

KIB = 1024

# Sizes around the borders: gathering (256 KiB), inline hashing (64 KiB), read pieces (512 KiB).
SIZES = st.one_of(
    st.integers(0, 300),
    st.sampled_from([64 * KIB, 256 * KIB, 512 * KIB]).flatmap(lambda border: st.integers(border - 2, border + 2)),
    st.integers(0, 700 * KIB),
)
TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)


def pattern(size_bytes: int, seed: int) -> bytes:
    """Bytes in which a shifted, lost or repeated piece shows."""
    block = hashlib.sha256(seed.to_bytes(8, "big")).digest() + b"\xa5"
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


@pytest.mark.parametrize("kind", ["file", "memory"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(SIZES, max_size=6),
    flushes=st.sets(st.integers(0, 5)),
    ranges=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4),
)
def test_any_pieces_and_ranges_equal_the_reference(
    kind: str, sizes: list[int], flushes: set[int], ranges: list[tuple[float, float]]
) -> None:
    pieces = [pattern(size, number) for number, size in enumerate(sizes)]
    whole = b"".join(pieces)
    digester = Digester(("md5", "crc32"))

    async def scenario(root: Path) -> None:
        async with opened(kind, root) as store:
            blob_id = new_blob_id(EPOCH)
            async with store.create(blob_id, digester) as writer:
                for number, piece in enumerate(pieces):
                    await writer.write(piece)
                    if number in flushes:
                        await writer.flush()
                        assert digester.size_bytes == sum(sizes[: number + 1])
                await writer.finish(DESCRIPTION)
            for start, end in ((0.0, 1.0), *ranges):
                offset, stop = sorted((round(start * len(whole)), round(end * len(whole))))
                assert await get(store, blob_id, offset, stop - offset) == whole[offset:stop]

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(scenario(Path(root) / "blobs"))
    assert digester.size_bytes == len(whole)
    assert digester.digests()["crc32"] == zlib.crc32(whole).to_bytes(4, "big")
    assert digester.digests()["md5"] == hashlib.md5(whole).digest()  # noqa: S324 - S3's own ETag


@given(data=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_digests_do_not_depend_on_the_cuts(data: bytes, cuts: list[int]) -> None:
    digester = Digester(CHECKSUM_ALGORITHMS)
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(borders):
        digester.update(memoryview(bytearray(data))[start:end])
    assert digester.digests() == {name: digest(name, data) for name in CHECKSUM_ALGORITHMS}
    assert digester.digests()["sha512"] == hashlib.sha512(data).digest()


@given(algorithm=st.sampled_from(["crc32", "crc32c", "crc64nvme"]), parts=st.lists(st.binary(max_size=500), min_size=1))
def test_combined_crc_is_the_crc_of_the_whole(algorithm: str, parts: list[bytes]) -> None:
    combined = combine_crc(algorithm, [(digest(algorithm, part), len(part)) for part in parts])
    assert combined == digest(algorithm, b"".join(parts))


@given(texts=st.lists(TEXT, min_size=6, max_size=6), metadata=st.dictionaries(TEXT, TEXT, max_size=4))
def test_description_survives_encoding(texts: list[str], metadata: dict[str, str]) -> None:
    tenant_id, bucket, key, version, etag, content_type = texts
    description = BlobDescription(tenant_id, bucket, key, version, etag, content_type, metadata)
    assert decode(encode(description)) == description


@given(data=st.binary(max_size=300))
def test_anything_else_is_no_description(data: bytes) -> None:
    assert decode(data) is None


@given(epoch=st.integers(0, 2**32 - 1))
def test_blob_id_tells_its_epoch(epoch: int) -> None:
    blob_id = new_blob_id(epoch)
    assert check_blob_id(blob_id) == blob_id
    assert epoch_of(blob_id) == epoch


@given(text=st.text(max_size=40).filter(lambda text: len(text) != 32))
def test_other_texts_are_no_blob_ids(text: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        check_blob_id(text)


class _RecordingDirectory:
    """A directory whose fsync takes a while and says when it began; it fails when told to."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.fails = False
        self.began: list[float] = []
        self.ended: list[float] = []
        self._running = threading.Lock()

    def synchronise(self) -> None:
        assert self._running.acquire(blocking=False), "two fsyncs of a directory at once"
        try:
            self.began.append(time.perf_counter())
            time.sleep(self.seconds)
            if self.fails:
                raise OSError(5, "Input/output error")
            self.ended.append(time.perf_counter())
        finally:
            self._running.release()


@settings(max_examples=25, deadline=None)
@given(
    calls=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8)), min_size=1, max_size=25),
    cancelled=st.sets(st.integers(0, 24), max_size=4),
)
def test_group_commit_begins_after_the_call_and_ends_before_the_return(
    calls: list[tuple[int, int]], cancelled: set[int]
) -> None:
    directories = [_RecordingDirectory(seconds) for seconds in (0.0, 0.001, 0.003)]
    acknowledged = []

    async def finish(sync: GroupSync, number: int, delay: int) -> None:
        await asyncio.sleep(delay / 1000)
        linked = time.perf_counter()
        await sync.synchronise(directories[number])  # type: ignore[arg-type]  # a stand-in for Directory
        acknowledged.append((number, linked, time.perf_counter()))

    async def scenario() -> None:
        with ThreadPoolExecutor(1) as executor:
            sync = GroupSync(executor)
            tasks = [asyncio.create_task(finish(sync, number, delay)) for number, delay in calls]
            await asyncio.sleep(0.002)
            for index in cancelled:
                if index < len(tasks):
                    tasks[index].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())
    assert len(acknowledged) >= len(calls) - len(cancelled)
    for number, linked, returned in acknowledged:
        directory = directories[number]
        assert any(
            linked <= began and ended <= returned for began, ended in zip(directory.began, directory.ended, strict=True)
        ), "acknowledged without an fsync of its own time"


async def test_group_commit_shares_one_fsync() -> None:
    directory = _RecordingDirectory(0.02)
    with ThreadPoolExecutor(1) as executor:
        sync = GroupSync(executor)
        await asyncio.gather(*(sync.synchronise(directory) for _ in range(50)))  # type: ignore[arg-type]  # a stand-in
    assert len(directory.began) == 1


async def test_group_commit_failure_reaches_exactly_those_who_waited_for_it() -> None:
    bad, good = _RecordingDirectory(0.001), _RecordingDirectory(0.001)
    bad.fails = True
    with ThreadPoolExecutor(1) as executor:
        sync = GroupSync(executor)
        outcomes = await asyncio.gather(
            *(sync.synchronise(directory) for directory in (bad, good, bad)),  # type: ignore[arg-type]  # stand-ins
            return_exceptions=True,
        )
        assert [outcome is None for outcome in outcomes] == [False, True, False]
        assert len(bad.began) == 1
        bad.fails = False
        await sync.synchronise(bad)  # type: ignore[arg-type]  # a stand-in


class StoreMachine(RuleBasedStateMachine):
    """A file store against a dictionary, with restarts in between."""

    kind = "file"

    @initialize(kind=st.sampled_from(["file", "file-named-temporaries", "file-sidecars", "memory"]))
    def start(self, kind: str) -> None:
        self.kind = kind
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.store: FileStore | MemoryStore = make_store(kind, Path(self.directory.name) / "blobs")
        self.model: dict[str, tuple[bytes, BlobDescription]] = {}

    def pick(self, number: int) -> str:
        return sorted(self.model)[number % len(self.model)]

    @rule(size=st.one_of(st.integers(0, 100), st.integers(250 * KIB, 1100 * KIB)), key=TEXT, finished=st.booleans())
    def put(self, size: int, key: str, finished: bool) -> None:
        blob_id, data = new_blob_id(EPOCH), pattern(size, size)
        description = BlobDescription("t", "b", key, "v", "e", "c")

        async def run() -> None:
            async with self.store.create(blob_id, Digester(())) as writer:
                await writer.write(data)
                if finished:
                    await writer.finish(description)

        self.runner.run(run())
        if finished:
            self.model[blob_id] = data, description

    @precondition(lambda self: self.model)
    @rule(number=st.integers(0, 99), key=TEXT)
    def copy(self, number: int, key: str) -> None:
        source, target = self.pick(number), new_blob_id(EPOCH)
        description = BlobDescription("t", "b", key, "v2", "e", "c")
        self.runner.run(self.store.copy(source, target, description))
        self.model[target] = self.model[source][0], description

    @precondition(lambda self: self.model)
    @rule(number=st.integers(0, 99), quarantine=st.booleans())
    def remove(self, number: int, quarantine: bool) -> None:
        blob_id = self.pick(number)
        self.runner.run(self.store.quarantine(blob_id) if quarantine else self.store.delete_many([blob_id]))
        del self.model[blob_id]

    @rule()
    def purge(self) -> None:
        self.runner.run(self.store.purge_quarantine(-2))

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def restart(self) -> None:
        self.runner.run(self.store.close())
        self.store = make_store(self.kind, Path(self.directory.name) / "blobs")

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        sizes = {blob_id: len(data) for blob_id, (data, _) in self.model.items()}
        assert self.runner.run(listed(self.store)) == sizes
        for blob_id, (data, description) in self.model.items():
            assert self.runner.run(get(self.store, blob_id, 0, len(data))) == data
            assert self.runner.run(self.store.describe(blob_id)) == description

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.directory.cleanup()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
