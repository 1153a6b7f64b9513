"""One very large object, and a bucket of a million keys: memory and time that do not grow with them.

``python -m tests.faults.big object`` sends an object up in parts and reads it back, watching the workers' memory;
``python -m tests.faults.big listing`` compares a page of a large bucket with one of a small bucket.
"""

import argparse
import hashlib
import os
import statistics
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.faults.server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server

BUCKET: Final = "big"
MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
PART_BYTES: Final = 64 * MIB
IN_FLIGHT: Final = 8
BLOCK: Final = os.urandom(MIB)
PAGE: Final = 1000


@dataclass(frozen=True)
class ObjectFigures:
    """What a large object took."""

    size_bytes: int
    up_seconds: float
    down_seconds: float
    peak_bytes: dict[int, int]

    def __str__(self) -> str:
        peaks = ", ".join(f"{peak / MIB:.0f} MiB" for peak in self.peak_bytes.values())
        return (
            f"{self.size_bytes / GIB:.2f} GiB: up {self.size_bytes / MIB / self.up_seconds:.0f} MiB/s, "
            f"down {self.size_bytes / MIB / self.down_seconds:.0f} MiB/s, peak resident memory of the workers {peaks}"
        )


def part_of(number: int, size: int) -> bytes:
    """The bytes of a part: every block begins with its place."""
    return b"".join(b"%08d/%08d" % (number, block) + BLOCK[17:] for block in range(size // MIB))


def large_object(size: int) -> ObjectFigures:
    """Up in parts of 64 MiB, eight at a time, and down again. Raises AssertionError for a byte that differs."""
    with Server() as server:
        client = server.client(timeout_seconds=120)
        client.create_bucket(Bucket=BUCKET)
        with _watched(server.workers()) as peaks:
            began = time.monotonic()
            upload = client.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
            count = size // PART_BYTES

            def send(number: int) -> dict[str, Any]:
                stored = client.upload_part(
                    Bucket=BUCKET, Key="big", UploadId=upload, PartNumber=number, Body=part_of(number, PART_BYTES)
                )
                return {"PartNumber": number, "ETag": stored["ETag"]}

            with ThreadPoolExecutor(IN_FLIGHT) as pool:
                parts = list(pool.map(send, range(1, count + 1)))
            client.complete_multipart_upload(
                Bucket=BUCKET, Key="big", UploadId=upload, MultipartUpload={"Parts": parts}
            )
            up_seconds = time.monotonic() - began
            began = time.monotonic()
            answer = client.get_object(Bucket=BUCKET, Key="big")
            assert answer["ContentLength"] == count * PART_BYTES
            place = 0
            for block in answer["Body"].iter_chunks(MIB):
                number, offset = divmod(place, PART_BYTES)
                expected = b"%08d/%08d" % (number + 1, offset // MIB)
                assert block[: len(expected)] == expected, place
                assert block[len(expected) :] == BLOCK[len(expected) :], place
                place += len(block)
            assert place == count * PART_BYTES
            down_seconds = time.monotonic() - began
        return ObjectFigures(place, up_seconds, down_seconds, peaks)


class _watched:
    """Samples the resident memory of processes twenty times a second."""

    def __init__(self, pids: list[int]) -> None:
        self._peaks = dict.fromkeys(pids, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> dict[int, int]:
        self._thread.start()
        return self._peaks

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._ended.wait(0.05):
            for pid, peak in self._peaks.items():
                resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
                self._peaks[pid] = max(peak, resident)


@dataclass(frozen=True)
class ListingFigures:
    """Medians of one page of 1,000 entries, in seconds: of the small bucket and of the large one."""

    name: str
    small_seconds: float
    large_seconds: float

    @property
    def ratio(self) -> float:
        """How much longer the large bucket takes."""
        return self.large_seconds / self.small_seconds

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.small_seconds * 1000:.1f} ms and {self.large_seconds * 1000:.1f} ms, "
            f"ratio {self.ratio:.2f}"
        )


def listings(small: int, large: int, rounds: int) -> list[ListingFigures]:
    """Pages of both buckets in turn, flat and by delimiter, over HTTP."""
    with Server() as server:
        client = server.client()
        for bucket, count in (("small", small), ("large", large)):
            client.create_bucket(Bucket=bucket)
            with server.database() as owner:
                fill(owner, bucket, count)
        return [
            _compare(server, "flat, first page", {}, rounds),
            _compare(server, "flat, from the middle", {"start-after": "d00500/"}, rounds),
            _compare(server, "by delimiter", {"delimiter": "/"}, rounds),
            _compare(server, "by delimiter, below a prefix", {"delimiter": "/", "prefix": "d00001/"}, rounds),
        ]


def fill(owner: psycopg.Connection[Any], bucket: str, count: int) -> None:
    """Rows as the gateway writes them, ten keys a directory."""
    owner.execute(
        """
        insert into storage.objects (bucket_id, name, version, metadata, size_bytes, etag, content)
        select %s, 'd' || to_char(n / 10, 'FM00000') || '/' || to_char(n, 'FM0000000'), md5(n::text),
            '{"mimetype": "binary/octet-stream"}', 1, md5('x'), 'x'
        from generate_series(1, %s) as n
        """,
        [bucket, count],
    )
    owner.execute("analyze storage.objects")


def _compare(server: Server, name: str, query: dict[str, str], rounds: int) -> ListingFigures:
    times: dict[str, list[float]] = {"small": [], "large": []}
    for turn in range(rounds + 2):
        for bucket, taken in times.items():
            request = _signed(server, bucket, query)
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own URL
                body = answer.read()
            if turn >= 2:  # the first ones warm caches up
                taken.append(time.perf_counter() - began)
            found = body.count(b"<Key>") + body.count(b"<CommonPrefixes>")
            assert found == (10 if "prefix" in query else PAGE), (name, bucket, found)
    return ListingFigures(name, statistics.median(times["small"]), statistics.median(times["large"]))


def _signed(server: Server, bucket: str, query: dict[str, str]) -> urllib.request.Request:
    request = AWSRequest("GET", f"{server.url}/{bucket}", params={"list-type": "2", "max-keys": str(PAGE), **query})
    request.headers["x-amz-content-sha256"] = hashlib.sha256(b"").hexdigest()
    S3SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), "s3", "us-east-1").add_auth(request)
    prepared = request.prepare()
    return urllib.request.Request(prepared.url, headers=dict(prepared.headers))  # noqa: S310 - our own URL


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.big", description=__doc__)
    parser.add_argument("what", choices=["object", "listing"])
    parser.add_argument("--gib", type=float, default=5.0)
    parser.add_argument("--keys", type=int, default=1_000_000)
    asked = parser.parse_args()
    if asked.what == "object":
        figures = large_object(int(asked.gib * GIB))
        print(figures)
        return 0 if max(figures.peak_bytes.values()) < 256 * MIB else 1
    found = listings(10_000, asked.keys, rounds=21)
    for line in found:
        print(line)
    return 0 if max(line.ratio for line in found) <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
