"""Who may answer in our place: by headers, by address, by what an object is; and how a proxy is told."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from gateway.blobs.file import FileStore
from gateway.blobs.memory import MemoryStore
from gateway.config import Settings
from gateway.context import Handover
from gateway.metadata.records import Attributes, Headers, ObjectRecord
from gateway.metadata.session import Session
from gateway.operations.delivery import Acceleration, Delivery, Wording
from gateway.wire.proxies import TrustedProxies

PROXY = "10.0.0.1"
BLOB = "0000002a" + "ab" + "0" * 22
PROXIED = Handover(False, False, True)
BARE = Wording(lambda _: {})


def delivery(stores: dict[str, Any] | None = None, **settings: Any) -> Delivery:
    chosen = Settings(trusted_proxies="10.0.0.0/8", **settings)
    made = Delivery.of(chosen, "acme", cast(Session, None), stores or {"file": MemoryStore(name="m", max_bytes=1)})
    assert made is not None
    return made


def record(**changes: Any) -> ObjectRecord:
    blank = ObjectRecord(
        id=UUID(int=1), is_stored=True, version="v", is_versioned=False, headers=Headers(),
        updated_at=datetime(2026, 1, 1, tzinfo=UTC), owner_id=None, size_bytes=1_000_000, etag="e", backend="file",
        blob_id=BLOB, content=None, part_sizes=(), part_blobs=(), part_checksums=(), checksum=None,
    )  # fmt: skip
    return replace(blank, **changes)


def test_nothing_is_offered_where_nothing_is_set_up() -> None:
    assert Delivery.of(Settings(), "acme", cast(Session, None), {"m": MemoryStore(name="m", max_bytes=1)}) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Handover(True, True, True)),
        ({"range": "bytes=0-1"}, Handover(True, True, True)),
        ({"range": "bytes=0-1,3-4"}, Handover(True, True, False)),
        ({"if-none-match": '"x"'}, Handover(True, True, False)),
        ({"cdn-loop": "somebody"}, Handover(True, False, True)),
        ({"x-amz-date": "now"}, Handover(False, False, True)),
        ({"if-match": '"x"'}, None),
        ({"if-modified-since": "x"}, None),
        ({"if-unmodified-since": "x"}, None),
        ({"if-range": "x"}, None),
    ],
)
def test_what_a_request_leaves_open(headers: dict[str, str], expected: Handover | None) -> None:
    assert delivery(cdn_url="https://cdn", accel="x-accel-redirect").offer(headers, PROXY) == expected


def test_only_trusted_proxies_are_told_to_send_files() -> None:
    made = delivery(accel="x-sendfile")
    assert made.offer({}, PROXY) == PROXIED
    for stranger in ("192.0.2.1", "", "not an address", "::1"):
        assert made.offer({}, stranger) is None


def test_nobody_is_trusted_by_default() -> None:
    assert not TrustedProxies("").trusts("127.0.0.1")
    assert TrustedProxies("127.0.0.1/32, ::1/128").trusts("::1")


def test_field_of_a_file_is_escaped_and_stays_in_its_root() -> None:
    sends = Acceleration(b"x-accel-redirect", Path("/srv/row lock"), "/files/", 1)
    assert sends.field(Path("/srv/row lock/blobs/ü\r\n")) == (b"x-accel-redirect", b"/files/blobs/%C3%BC%0D%0A")
    assert sends.field(Path("/srv/other")) is None
    assert Acceleration(b"x-sendfile", Path("/"), None, 1).field(Path("/a b")) == (b"x-sendfile", b"/a%20b")


async def test_a_file_is_sent_by_the_proxy(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "blobs", name="file", threads=1)
    store.path(BLOB).parent.mkdir(parents=True)
    store.path(BLOB).write_bytes(b"x" * 1_000_000)
    made = delivery({"file": store}, accel="x-accel-redirect", data_dir=tmp_path)
    file = await made.hand_over(PROXIED, "b", "k", record(), BARE)
    assert file is not None
    assert file.field == (b"x-accel-redirect", f"/rowlock-files/blobs/0000002a/ab/{BLOB}".encode())
    assert (file.size_bytes, file.blob_size_bytes, [piece async for piece in file]) == (0, 1_000_000, [b""])
    for streamed in (
        record(size_bytes=10),
        record(content=b"x", blob_id=None),
        record(blob_id=None, part_blobs=(BLOB,), part_sizes=(1_000_000,)),
        record(attributes=Attributes(encryption={"method": "AES256"})),
        record(headers=Headers(user_metadata={"colour": "red"})),
        record(backend="gone"),
    ):
        assert await made.hand_over(PROXIED, "b", "k", streamed, BARE) is None
    named = record(headers=Headers(user_metadata={"colour": "red"}))
    assert await made.hand_over(PROXIED, "b", "k", named, replace(BARE, drops_metadata=True)) is not None
    store.path(BLOB).unlink()
    with pytest.raises(FileNotFoundError):
        await made.hand_over(PROXIED, "b", "k", record(), BARE)
    await store.close()
