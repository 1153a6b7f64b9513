"""The scripts of the workloads: what each connection sends. Requests are built and signed before the clock starts
wherever their number allows it."""

import itertools
import random
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from conformance.bench.endpoints import BUCKET, Endpoint
from conformance.bench.signing import EMPTY_SHA256, UNSIGNED_PAYLOAD, Signer
from conformance.bench.wire import Exchange, Payload, Script
from conformance.bench.workloads import MEBIBYTE, Kind, Workload

KEYS_A_DIRECTORY: Final = 1000
PART_BYTES: Final = 8 * MEBIBYTE
PIECE_BYTES: Final = MEBIBYTE
_BLOCK: Final = random.Random(20261121).randbytes(PIECE_BYTES)
_PRESIGNED_PUTS_PER_SECOND: Final = 8000
_LARGEST_PRESIGNED_BYTES: Final = MEBIBYTE
_DELETES_PER_SECOND: Final = 3000
_DELETE_POOL_BYTES: Final = 512 * MEBIBYTE
# warp's default mix
_MIX: Final = ((45, Kind.GET), (30, Kind.HEAD), (15, Kind.PUT), (10, Kind.DELETE))
_UPLOAD_ID: Final = re.compile(rb"<UploadId>([^<]+)</UploadId>")


def payload_of(size_bytes: int) -> Payload:
    """Incompressible bytes of this length."""
    if size_bytes <= PIECE_BYTES:
        return Payload(_BLOCK[:size_bytes], 1)
    return Payload(_BLOCK, size_bytes // PIECE_BYTES)


def pool_size(size_bytes: int) -> int:
    """How many different objects of a size are read: enough to defeat a cache of one, few enough to make."""
    return max(1, min(1024, 64 * MEBIBYTE // size_bytes))


def listing_bucket(keys: int) -> str:
    """The bucket that holds this many keys."""
    return f"{BUCKET}-list-{keys}"


def listing_key(number: int) -> str:
    """The key of this number: directories of a thousand keys each."""
    return f"d{number // KEYS_A_DIRECTORY:05}/k{number % KEYS_A_DIRECTORY:06}"


@dataclass(frozen=True, slots=True)
class Site:
    """An endpoint made ready to be loaded in one round."""

    endpoint: Endpoint
    signer: Signer
    round: int
    sign_payload: bool = True

    def hash_of(self, payload: Payload) -> str:
        """What ``x-amz-content-sha256`` says."""
        return payload.sha256() if self.sign_payload else UNSIGNED_PAYLOAD

    def get(self, path: str, query: str = "") -> Exchange:
        """GET."""
        return Exchange(self.signer.head("GET", path, query))

    def head(self, path: str) -> Exchange:
        """HEAD."""
        return Exchange(self.signer.head("HEAD", path), answer_is_head_only=True)

    def delete(self, path: str) -> Exchange:
        """DELETE."""
        return Exchange(self.signer.head("DELETE", path), status=204)

    def put(self, path: str, payload: Payload, payload_sha256: str) -> Exchange:
        """PUT."""
        head = self.signer.head("PUT", path, payload_sha256=payload_sha256, length_bytes=payload.size_bytes)
        return Exchange(head, payload)


Factory = Callable[[], Script]
# Scripts are sent the answers, so they must be generators all through: "yield from" a list cannot take what is sent.
# ruff: noqa: UP028


def pool_path(size_bytes: int, number: int) -> str:
    """The path of an object to read; the null server takes the size from it."""
    return f"/{BUCKET}/get/{size_bytes}/{number:06}"


def delete_path(workload: Workload, round_number: int, number: int) -> str:
    """The path of an object to delete."""
    return f"/{BUCKET}/delete/{workload.size_bytes}/{round_number}/{number:06}"


def delete_pool_size(workload: Workload, seconds: float) -> int:
    """How many objects a DELETE round may remove."""
    return max(workload.connections, min(int(_DELETES_PER_SECOND * seconds), _DELETE_POOL_BYTES // workload.size_bytes))


def put_all(site: Site, paths: Sequence[str], size_bytes: int, connections: int) -> list[Factory]:
    """Scripts that put every path once: how objects are made before a measurement."""
    payload = payload_of(size_bytes)
    digest = site.hash_of(payload)

    def one(share: Sequence[str]) -> Script:
        for path in share:
            yield site.put(path, payload, digest)

    return [partial(one, paths[index::connections]) for index in range(min(connections, len(paths)))]


def scripts(site: Site, workload: Workload, connections: int, seconds: float) -> list[Factory]:
    """One script a connection."""
    makers: dict[Kind, Callable[[int], Script]] = {
        Kind.GET: lambda index: _cycle(_reads(site, workload, site.get), index),
        Kind.HEAD: lambda index: _cycle(_reads(site, workload, site.head), index),
        Kind.PUT: lambda index: _puts(site, workload, index, connections, seconds),
        Kind.DELETE: lambda index: _deletes(site, workload, index, connections, seconds),
        Kind.MULTIPART: lambda index: _uploads(site, workload, index),
        Kind.LIST: lambda index: _cycle(_pages(site, workload), index),
        Kind.LIST_DELIMITER: lambda index: _cycle(_root_pages(site, workload), index),
        Kind.MIXED: lambda index: _mix(site, workload, index),
    }
    return [partial(makers[workload.kind], index) for index in range(connections)]


def _cycle(exchanges: Sequence[Exchange], index: int) -> Script:
    order = list(exchanges)
    random.Random(index).shuffle(order)

    def play() -> Script:
        for exchange in itertools.cycle(order):
            yield exchange

    return play()


def _reads(site: Site, workload: Workload, make: Callable[[str], Exchange]) -> list[Exchange]:
    return [make(pool_path(workload.size_bytes, number)) for number in range(pool_size(workload.size_bytes))]


def _pages(site: Site, workload: Workload) -> list[Exchange]:
    directories = range(0, workload.keys // KEYS_A_DIRECTORY, max(1, workload.keys // KEYS_A_DIRECTORY // 100))
    path = f"/{listing_bucket(workload.keys)}"
    return [site.get(path, f"list-type=2&prefix=d{number:05}%2F") for number in directories]


def _root_pages(site: Site, workload: Workload) -> list[Exchange]:
    return [site.get(f"/{listing_bucket(workload.keys)}", "delimiter=%2F&list-type=2")]


def _puts(site: Site, workload: Workload, index: int, connections: int, seconds: float) -> Script:
    payload = payload_of(workload.size_bytes)
    digest = site.hash_of(payload)

    def make(number: int) -> Exchange:
        return site.put(f"/{BUCKET}/put/{workload.size_bytes}/{site.round}/{index}/{number:06}", payload, digest)

    budget = 16
    if workload.size_bytes <= _LARGEST_PRESIGNED_BYTES:
        budget = int(_PRESIGNED_PUTS_PER_SECOND * seconds / connections)
    signed = [make(number) for number in range(budget)]

    def play() -> Script:
        for exchange in signed:
            yield exchange
        for number in itertools.count(budget):
            yield make(number)

    return play()


def _deletes(site: Site, workload: Workload, index: int, connections: int, seconds: float) -> Script:
    numbers = range(index, delete_pool_size(workload, seconds), connections)
    signed = [site.delete(delete_path(workload, site.round, number)) for number in numbers]

    def play() -> Script:
        for exchange in signed:
            yield exchange

    return play()


def _uploads(site: Site, workload: Workload, index: int) -> Script:
    part = payload_of(PART_BYTES)
    digest = site.hash_of(part)
    count = workload.size_bytes // PART_BYTES

    def play() -> Script:
        for number in itertools.count():
            path = f"/{BUCKET}/multipart/{site.round}/{index}/{number:06}"
            yield from _upload(site, path, part, digest, count)

    return play()


def _upload(site: Site, path: str, part: Payload, digest: str, count: int) -> Script:
    signer = site.signer
    created = yield Exchange(
        signer.head("POST", path, "uploads=", length_bytes=0), ends_operation=False, keep_answer=True
    )
    found = _UPLOAD_ID.search(created.body)
    if found is None:
        return
    upload_id = found.group(1).decode()
    document = "<CompleteMultipartUpload>"
    for number in range(1, count + 1):
        query = f"partNumber={number}&uploadId={_encode(upload_id)}"
        head = signer.head("PUT", path, query, payload_sha256=digest, length_bytes=part.size_bytes)
        answer = yield Exchange(head, part, ends_operation=False)
        if answer.status != 200:
            return
        document += f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.etag.decode()}</ETag></Part>"
    body = Payload(f"{document}</CompleteMultipartUpload>".encode(), 1)
    head = signer.head(
        "POST", path, f"uploadId={_encode(upload_id)}", payload_sha256=body.sha256(), length_bytes=body.size_bytes
    )
    yield Exchange(head, body)


def _encode(value: str) -> str:
    return "".join(
        character if character.isalnum() or character in "-._~" else f"%{ord(character):02X}" for character in value
    )


def _mix(site: Site, workload: Workload, index: int) -> Script:
    reads = {
        Kind.GET: itertools.cycle(_reads(site, workload, site.get)),
        Kind.HEAD: itertools.cycle(_reads(site, workload, site.head)),
    }
    payload = payload_of(workload.size_bytes)
    digest = site.hash_of(payload)
    kinds = [kind for weight, kind in _MIX for _ in range(weight)]
    generator = random.Random(index)

    def play() -> Script:
        mine: deque[str] = deque()
        numbers = itertools.count()
        while True:
            kind = generator.choice(kinds)
            if kind in reads:
                yield next(reads[kind])
            elif kind is Kind.DELETE and mine:
                yield site.delete(mine.popleft())
            else:
                mine.append(f"/{BUCKET}/mixed/{site.round}/{index}/{next(numbers):06}")
                yield site.put(mine[-1], payload, digest)

    return play()


def create_bucket(site: Site, bucket: str) -> Script:
    """Create a bucket; that it exists already shows as an error nobody counts."""
    yield Exchange(site.signer.head("PUT", f"/{bucket}", payload_sha256=EMPTY_SHA256, length_bytes=0))
