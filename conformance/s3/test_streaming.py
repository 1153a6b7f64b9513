"""Bodies in signed chunks: ``aws-chunked`` with STREAMING-AWS4-HMAC-SHA256-PAYLOAD[-TRAILER].

Source: AWS, "Signature calculations for the Authorization header: transferring payload in multiple chunks".
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from conformance.expect import exists, read
from conformance.rawhttp import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    RawClient,
    RawRequest,
)
from conformance.s3.test_checksums import checksum

FIRST, SECOND = b"a" * 8192, b"the rest"
DATA = FIRST + SECOND


def chunked(
    raw: RawClient, target: str, pieces: Sequence[bytes] = (FIRST, SECOND), *, trailer: str = "", **headers: str
) -> tuple[RawRequest, list[bytes]]:
    """A signed request and its signed chunks, the last of them empty; ``trailer`` is a line ``name:value``."""
    names = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(sum(map(len, pieces))), **headers}
    if trailer:
        names["x-amz-trailer"] = trailer.partition(":")[0]
    request = raw.sign("PUT", target, names, payload=STREAMING_SIGNED_TRAILER if trailer else STREAMING_SIGNED)
    previous = request.header("Authorization").rpartition("Signature=")[2]
    chunks: list[bytes] = []
    for piece in (*pieces, b""):
        previous = raw.chunk_signature(request, previous, piece)
        end = b"" if trailer and not piece else b"\r\n"
        chunks.append(b"%x;chunk-signature=%s\r\n%s%s" % (len(piece), previous.encode(), piece, end))
    if trailer:
        signature = raw.trailer_signature(request, previous, f"{trailer}\n")
        chunks.append(f"{trailer}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode())
    return request, chunks


def damaged(chunk: bytes) -> bytes:
    """A chunk with another signature."""
    start = chunk.index(b"chunk-signature=") + len(b"chunk-signature=")
    return chunk[:start] + b"0" * 64 + chunk[start + 64 :]


def test_PutObject_signed_chunks(s3: Any, raw: RawClient, bucket: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k")
    assert raw.send(replace(request, body=b"".join(chunks))).status == 200
    assert read(s3, bucket, "k") == DATA
    assert "ContentEncoding" not in s3.head_object(Bucket=bucket, Key="k")


def test_PutObject_signed_chunks_of_nothing(s3: Any, raw: RawClient, bucket: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k", [])
    assert raw.send(replace(request, body=b"".join(chunks))).status == 200
    assert read(s3, bucket, "k") == b""


@pytest.mark.parametrize("given", ["aws-chunked,gzip", "aws-chunked, gzip", "gzip,aws-chunked", "gzip"])
def test_PutObject_signed_chunks_store_only_the_real_encoding(s3: Any, raw: RawClient, bucket: str, given: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k", **{"Content-Encoding": given})
    assert raw.send(replace(request, body=b"".join(chunks))).status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["ContentEncoding"] == "gzip"


@pytest.mark.parametrize("position", [0, 1, 2])
def test_PutObject_signed_chunks_wrong_signature(s3: Any, raw: RawClient, bucket: str, position: int) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k")
    chunks[position] = damaged(chunks[position])
    answer = raw.send(replace(request, body=b"".join(chunks)))
    assert answer.refusal() == (403, "SignatureDoesNotMatch")
    assert not exists(s3, bucket, "k")


def test_PutObject_signed_chunks_swapped(s3: Any, raw: RawClient, bucket: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k", [FIRST, FIRST[::-1].replace(b"a", b"b")])
    answer = raw.send(replace(request, body=chunks[1] + chunks[0] + chunks[2]))
    assert answer.refusal() == (403, "SignatureDoesNotMatch")
    assert not exists(s3, bucket, "k")


def test_PutObject_signed_chunks_altered_data(s3: Any, raw: RawClient, bucket: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k")
    answer = raw.send(replace(request, body=b"".join(chunks).replace(SECOND, b"the test")))
    assert answer.refusal() == (403, "SignatureDoesNotMatch")
    assert not exists(s3, bucket, "k")


def test_PutObject_signed_chunks_without_the_last(s3: Any, raw: RawClient, bucket: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k")
    answer = raw.send(replace(request, body=b"".join(chunks[:-1])))
    assert answer.refusal() == (400, "IncompleteBody")
    assert not exists(s3, bucket, "k")


def test_PutObject_signed_chunks_bytes_after_the_last(s3: Any, raw: RawClient, bucket: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k")
    answer = raw.send(replace(request, body=b"".join(chunks) + b"GET / HTTP/1.1\r\n\r\n"))
    assert 400 <= answer.status < 500
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize("length", [str(len(DATA) - 1), str(len(DATA) + 1)])
def test_PutObject_signed_chunks_decoded_length_differs(s3: Any, raw: RawClient, bucket: str, length: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k", **{"x-amz-decoded-content-length": length})
    answer = raw.send(replace(request, body=b"".join(chunks)))
    assert answer.refusal() == (400, "IncompleteBody")
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "0x10"])
def test_PutObject_signed_chunks_decoded_length_malformed(s3: Any, raw: RawClient, bucket: str, length: str) -> None:
    request, chunks = chunked(raw, f"/{bucket}/k", **{"x-amz-decoded-content-length": length})
    answer = raw.send(replace(request, body=b"".join(chunks)))
    assert answer.status in {400, 411}
    assert not exists(s3, bucket, "k")


def test_PutObject_signed_chunks_without_decoded_length(s3: Any, raw: RawClient, bucket: str) -> None:
    request = raw.sign("PUT", f"/{bucket}/k", {"Content-Encoding": "aws-chunked"}, payload=STREAMING_SIGNED)
    answer = raw.send(replace(request, body=b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"))
    assert answer.refusal() == (411, "MissingContentLength")
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize("size", [b"-1", b"0x10", b"+10", b" 10", b"f" * 17, b"", b"g", b"1_0"])
def test_PutObject_chunk_size_malformed(s3: Any, raw: RawClient, bucket: str, size: bytes) -> None:
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": "16",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    request = raw.sign("PUT", f"/{bucket}/k", headers, payload=STREAMING_UNSIGNED_TRAILER)
    body = size + b"\r\n" + b"x" * 16 + b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    answer = raw.send(replace(request, body=body))
    assert answer.status == 400
    assert answer.code in {"InvalidChunkSizeError", "IncompleteBody", "InvalidRequest"}
    assert not exists(s3, bucket, "k")


def test_PutObject_chunk_header_without_end(s3: Any, raw: RawClient, bucket: str) -> None:
    request, _ = chunked(raw, f"/{bucket}/k")
    with contextlib.suppress(ConnectionError):
        assert raw.send(replace(request, body=b"8;chunk-signature=" + b"a" * 300_000)).status in {400, 403}
    assert not exists(s3, bucket, "k")


def test_PutObject_signed_trailer(s3: Any, raw: RawClient, bucket: str) -> None:
    line = f"x-amz-checksum-crc32c:{checksum('CRC32C', DATA)}"
    request, chunks = chunked(raw, f"/{bucket}/k", trailer=line)
    assert raw.send(replace(request, body=b"".join(chunks))).status == 200
    assert read(s3, bucket, "k") == DATA


def test_PutObject_signed_trailer_wrong_signature(s3: Any, raw: RawClient, bucket: str) -> None:
    line = f"x-amz-checksum-crc32c:{checksum('CRC32C', DATA)}"
    request, chunks = chunked(raw, f"/{bucket}/k", trailer=line)
    chunks[-1] = f"{line}\r\nx-amz-trailer-signature:{'0' * 64}\r\n\r\n".encode()
    answer = raw.send(replace(request, body=b"".join(chunks)))
    assert answer.refusal() == (403, "SignatureDoesNotMatch")
    assert not exists(s3, bucket, "k")


def test_PutObject_signed_trailer_left_out(s3: Any, raw: RawClient, bucket: str) -> None:
    line = f"x-amz-checksum-crc32c:{checksum('CRC32C', DATA)}"
    request, chunks = chunked(raw, f"/{bucket}/k", trailer=line)
    answer = raw.send(replace(request, body=b"".join(chunks[:-1]) + b"\r\n"))
    assert answer.status in {400, 403}
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize("word", [STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED_TRAILER])
def test_streaming_seed_signature_is_checked(s3: Any, raw: RawClient, bucket: str, word: str) -> None:
    """CVE-2025-31489, CVE-2026-40344: a valid access key with a garbage signature must never write."""
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": "1",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    created = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    body = b"1\r\nv\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % checksum("CRC32", b"v").encode()
    for target in (f"/{bucket}/k", f"/{bucket}/k?partNumber=1&uploadId={created}"):
        request = raw.sign("PUT", target, headers, payload=word, secret_access_key="wrong")
        answer = raw.send(replace(request, body=body))
        assert answer.refusal() == (403, "SignatureDoesNotMatch")
    assert not exists(s3, bucket, "k")
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="k", UploadId=created)


@pytest.mark.parametrize("word", ["STREAMING-NOTHING", "unsigned-payload", "abc", "A" * 64 + "0", "e3b0"])
def test_content_sha256_unknown_word(s3: Any, raw: RawClient, bucket: str, word: str) -> None:
    answer = raw("PUT", f"/{bucket}/k", body=b"v", payload=word)
    assert answer.status == 400
    assert answer.code in {"InvalidArgument", "InvalidRequest", "XAmzContentSHA256Mismatch"}
    assert not exists(s3, bucket, "k")
