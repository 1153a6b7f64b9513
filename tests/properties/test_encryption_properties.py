"""The format of encrypted bytes: any writes and any range give the plaintext; any tampering gives nothing."""

import asyncio
import itertools
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.blobs.digest import Digester, digest
from gateway.blobs.encrypted import EncryptedBlob, create_encrypted
from gateway.blobs.protocol import new_blob_id
from gateway.encryption.stream import (
    CHUNK_BYTES,
    SEALED_CHUNK_BYTES,
    TAG_BYTES,
    Opener,
    Sealer,
    Span,
    Tampered,
    open_span,
    opened_bytes,
    seal,
    sealed_bytes,
)
from gateway.errors import StorageError
from tests.properties.test_blob_properties import pattern
from tests.unit.blobs.support import DESCRIPTION, EPOCH, opened

KEY = bytes(range(32))
SIZES = st.one_of(
    st.integers(0, 40),
    st.integers(0, 4).flatmap(lambda chunks: st.integers(-2, 2).map(lambda off: max(0, chunks * CHUNK_BYTES + off))),
    st.integers(0, 5 * CHUNK_BYTES),
)
FRACTIONS = st.tuples(st.floats(0, 1), st.floats(0, 1))


def part_of(size: int, fractions: tuple[float, float]) -> tuple[int, int]:
    """An offset and a length within ``size``."""
    offset = int(fractions[0] * size)
    return offset, int(fractions[1] * (size - offset))


@settings(max_examples=40, deadline=None)
@given(size=SIZES, cuts=st.lists(st.floats(0, 1), max_size=6), ranges=st.lists(FRACTIONS, max_size=4))
def test_any_pieces_and_ranges_equal_the_plaintext(
    size: int, cuts: list[float], ranges: list[tuple[float, float]]
) -> None:
    plaintext = pattern(size, 1)
    borders = sorted({0, size, *(int(cut * size) for cut in cuts)})
    sealer = Sealer(KEY)
    sealed = b"".join(sealer.update(plaintext[a:b]) for a, b in itertools.pairwise(borders))
    sealed += sealer.finish()
    assert sealed == seal(KEY, plaintext)
    assert len(sealed) == sealed_bytes(size)
    assert opened_bytes(len(sealed)) == size
    for fractions in [(0.0, 1.0), *ranges]:
        offset, length = part_of(size, fractions)
        span = Span.of(size, offset, length)
        piece = sealed[span.offset_bytes : span.offset_bytes + span.length_bytes]
        assert len(piece) == span.length_bytes
        assert span.length_bytes <= length + 2 * SEALED_CHUNK_BYTES
        assert open_span(KEY, size, span, piece, length) == plaintext[offset : offset + length]


@settings(max_examples=30, deadline=None)
@given(size=SIZES, cuts=st.lists(st.floats(0, 1), max_size=8))
def test_ciphertext_may_arrive_in_any_pieces(size: int, cuts: list[float]) -> None:
    plaintext = pattern(size, 2)
    sealed = seal(KEY, plaintext)
    borders = sorted({0, len(sealed), *(int(cut * len(sealed)) for cut in cuts)})
    opener = Opener(KEY, size, Span.of(size, 0, size))
    found = b"".join(opener.update(sealed[a:b]) for a, b in itertools.pairwise(borders))
    opener.finish()
    assert found == plaintext


def opened_before_refusal(sealed: bytes, size: int) -> bytes:
    """What a reader hands out until it refuses; it must refuse."""
    opener = Opener(KEY, size, Span.of(size, 0, size))
    found = b""
    try:
        for start in range(0, len(sealed), 10_000):
            found += opener.update(sealed[start : start + 10_000])
        opener.finish()
    except Tampered:
        return found
    pytest.fail("tampered bytes were taken")


@settings(max_examples=40, deadline=None)
@given(size=SIZES, place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_detected(size: int, place: float, bit: int) -> None:
    plaintext = pattern(size, 3)
    sealed = bytearray(seal(KEY, plaintext))
    sealed[int(place * len(sealed))] ^= 1 << bit
    found = opened_before_refusal(bytes(sealed), size)
    assert plaintext.startswith(found)
    assert len(found) < size or size == 0


@settings(max_examples=40, deadline=None)
@given(size=SIZES, cut=st.floats(0, 1, exclude_max=True), believed=st.sampled_from(["row", "file"]))
def test_truncation_is_detected(size: int, cut: float, believed: str) -> None:
    """Also when whoever cut the file made the row's size fit."""
    plaintext = pattern(size, 4)
    sealed = seal(KEY, plaintext)[: int(cut * sealed_bytes(size))]
    claimed = opened_bytes(len(sealed)) if believed == "file" else size
    if claimed is not None:
        assert plaintext.startswith(opened_before_refusal(sealed, claimed))


@settings(max_examples=40, deadline=None)
@given(size=SIZES, extra=st.binary(min_size=1, max_size=40))
def test_appended_bytes_are_detected(size: int, extra: bytes) -> None:
    opened_before_refusal(seal(KEY, pattern(size, 5)) + extra, size)


@settings(max_examples=40, deadline=None)
@given(chunks=st.integers(2, 5), data=st.data())
def test_swapped_repeated_and_foreign_chunks_are_detected(chunks: int, data: st.DataObject) -> None:
    size = chunks * CHUNK_BYTES
    sealed = seal(KEY, pattern(size, 6))
    pieces = [sealed[start : start + SEALED_CHUNK_BYTES] for start in range(0, len(sealed), SEALED_CHUNK_BYTES)]
    first, second = data.draw(st.lists(st.integers(0, chunks - 1), min_size=2, max_size=2, unique=True))
    swapped = list(pieces)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    repeated = list(pieces)
    repeated[first] = repeated[second]
    foreign = list(pieces)
    foreign[first] = seal(b"k" * 32, pattern(size, 6))[first * SEALED_CHUNK_BYTES :][:SEALED_CHUNK_BYTES]
    for spliced in (swapped, repeated, foreign):
        opened_before_refusal(b"".join(spliced), size)


@example(CHUNK_BYTES - TAG_BYTES)
@given(st.integers(0, 10**7))
def test_no_two_plaintext_lengths_share_a_ciphertext_length(size: int) -> None:
    assert opened_bytes(sealed_bytes(size)) == size
    assert sealed_bytes(size) < sealed_bytes(size + 1)
    if size < TAG_BYTES:
        assert opened_bytes(size) is None


def test_no_nonce_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    nonces: list[bytes] = []

    class Recording:
        def __init__(self, key: bytes) -> None:
            self._cipher = AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, more: bytes | None) -> bytes:
            nonces.append(nonce)
            return self._cipher.encrypt(nonce, data, more)

    monkeypatch.setattr("gateway.encryption.stream.AESGCM", Recording)
    seal(KEY, bytes(5 * CHUNK_BYTES))
    assert len(nonces) == len(set(nonces)) == 5


@pytest.mark.parametrize("kind", ["file", "memory"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.one_of(SIZES, st.integers(0, 700 * 1024)), max_size=5),
    flushes=st.sets(st.integers(0, 4)),
    ranges=st.lists(FRACTIONS, max_size=4),
)
def test_a_store_gives_back_what_was_written_through_encryption(
    kind: str, sizes: list[int], flushes: set[int], ranges: list[tuple[float, float]]
) -> None:
    pieces = [pattern(size, number) for number, size in enumerate(sizes)]
    whole = b"".join(pieces)
    digester = Digester(("md5",))

    async def scenario(root: Path) -> None:
        with ThreadPoolExecutor(2) as executor:
            async with opened(kind, root) as store:
                blob_id = new_blob_id(EPOCH)
                async with create_encrypted(store, executor, blob_id, digester, KEY) as writer:
                    for number, piece in enumerate(pieces):
                        borrowed = bytearray(piece)
                        await writer.write(borrowed)
                        if number in flushes:
                            await writer.flush()
                            assert digester.digests()["md5"] == digest("md5", b"".join(pieces[: number + 1]))
                    await writer.flush()
                    assert digester.digests()["md5"] == digest("md5", whole)
                    await writer.finish(DESCRIPTION)
                stored = await store.stat(blob_id)
                assert stored is not None
                assert stored.size_bytes == sealed_bytes(len(whole))
                source = EncryptedBlob(store, executor, KEY, len(whole))
                for fractions in [(0.0, 1.0), *ranges]:
                    offset, length = part_of(len(whole), fractions)
                    reader = await source.open(blob_id, offset, length)
                    found = [piece async for piece in reader]
                    await reader.close()
                    assert all(found)
                    assert reader.blob_size_bytes == len(whole)
                    assert b"".join(found) == whole[offset : offset + length]

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(scenario(Path(root)))


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
async def test_a_tampered_file_is_an_error_and_gives_no_wrong_byte(size: int, tmp_path: Path) -> None:
    plaintext = pattern(size, 7)
    with ThreadPoolExecutor(2) as executor:
        async with opened("file", tmp_path) as store:
            blob_id = new_blob_id(EPOCH)
            async with create_encrypted(store, executor, blob_id, Digester(()), KEY) as writer:
                await writer.write(plaintext)
                await writer.finish(DESCRIPTION)
            [path] = [Path(at, blob_id) for at, _, names in os.walk(tmp_path) if blob_id in names]
            sealed = path.read_bytes()
            source = EncryptedBlob(store, executor, KEY, size)
            flipped = bytearray(sealed)
            flipped[size // 2] ^= 1
            for changed in (bytes(flipped), sealed[:-1], sealed + b"x", bytes(len(sealed)), b""):
                path.write_bytes(changed)
                pieces: list[bytes] = []
                with pytest.raises(StorageError, match="InternalError"):
                    await read_into(pieces, source, blob_id)
                assert plaintext.startswith(b"".join(pieces))
                assert sum(map(len, pieces)) < size


async def read_into(pieces: list[bytes], source: EncryptedBlob, blob_id: str) -> None:
    """Read everything, keeping what came before an error."""
    reader = await source.open(blob_id, 0, source.size_bytes)
    try:
        async for piece in reader:
            pieces.append(piece)  # noqa: PERF401 - keeps what came before an error
    finally:
        await reader.close()
