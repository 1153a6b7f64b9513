"""What a CDN has to forget: noted by triggers whoever changed it, and told at least once."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psycopg
import pytest

from gateway.jobs.cdn import MOST_OBJECTS, PurgeEndpoint, PurgeRelay, surrogate_keys
from gateway.metadata import cdn, objects, storage_api
from gateway.metadata.records import Headers, NewObject
from gateway.metadata.session import Session
from gateway.metadata.storage_api import BucketChanges, NewBucket
from gateway.wire.conditions import WriteCondition
from tests.integration.conftest import SERVICE

Noted = list[tuple[str | None, str | None]]


class Cdn:
    """A purge endpoint that remembers what it was told. ``status`` is its answer."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, dict[str, Any]]] = []
        self.status = 200
        self.location: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.told.append((self.path, self.headers["authorization"], json.loads(body)))
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("location", outer.location)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/cache/"

    @property
    def targets(self) -> set[tuple[str, str | None, str | None]]:
        """What it was told to forget."""
        return {(told["type"], told.get("bucketId"), told.get("objectName")) for _, _, told in self.told}


@pytest.fixture
def endpoint() -> Iterator[Cdn]:
    opened = Cdn()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


@pytest.fixture
async def public(session: Session) -> str:
    """A public bucket, with changes noted from here on; the note that following makes is gone."""
    await storage_api.create_bucket(session, SERVICE, NewBucket("docs", "docs", True, None, None), None)
    await cdn.follow(session)
    await noted(session)
    return "docs"


async def put(session: Session, bucket: str, key: str, content: bytes = b"content") -> None:
    version = f"{content.hex()}"
    new = NewObject(bucket, key, version, None, Headers(), len(content), version, content=content)
    await objects.put_object(session, SERVICE, new, WriteCondition())


async def noted(session: Session) -> Noted:
    """What was noted since the last question."""
    claimed = await cdn.claim_purges(session, 10_000, 60)
    await cdn.finish_purges(session, [note.id for note in claimed])
    return sorted((note.bucket, note.key) for note in claimed)  # type: ignore[type-var]


async def test_nothing_is_noted_without_a_cdn(session: Session, owner: psycopg.Connection) -> None:
    await storage_api.create_bucket(session, SERVICE, NewBucket("docs", "docs", True, None, None), None)
    await put(session, "docs", "a")
    await put(session, "docs", "a", b"again")
    owner.execute("DELETE FROM storage.objects")
    assert await noted(session) == []
    [row] = owner.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'cdn\\_%' AND tgenabled <> 'D' AND NOT tgisinternal"
    ).fetchall()
    assert row == (0,)


async def test_following_begins_with_everything_and_ends_with_nothing(session: Session, public: str) -> None:
    await cdn.follow(session)
    assert await noted(session) == []
    await put(session, public, "a")
    await put(session, public, "a", b"again")
    await cdn.leave(session)
    assert await noted(session) == []
    await put(session, public, "a", b"and again")
    assert await noted(session) == []
    await cdn.follow(session)
    assert await noted(session) == [(None, None)]


async def test_overwrite_delete_and_move_are_noted_whoever_did_it(
    session: Session, owner: psycopg.Connection, public: str
) -> None:
    for key in ("a", "b", "c", "d"):
        await put(session, public, key)
    assert await noted(session) == []
    await put(session, public, "a", b"again")
    assert await noted(session) == [(public, "a")]
    owner.execute("DELETE FROM storage.objects WHERE name = 'b'")
    assert await noted(session) == [(public, "b")]
    await storage_api.move_object(session, SERVICE, public, "c", public, "e")
    assert await noted(session) == [(public, "c")]
    owner.execute(
        "UPDATE storage.objects SET metadata = metadata || '{\"cacheControl\": \"no-store\"}' WHERE name = 'd'"
    )
    assert await noted(session) == [(public, "d")]
    owner.execute('UPDATE storage.objects SET last_accessed_at = now(), tags = \'{"a": "b"}\'')
    owner.execute("UPDATE storage.objects SET backend = 'cold'")
    assert await noted(session) == []
    owner.execute("TRUNCATE storage.objects")
    assert await noted(session) == [(None, None)]


async def test_versions_are_noted_when_the_current_one_changes(
    session: Session, owner: psycopg.Connection, public: str
) -> None:
    owner.execute("UPDATE storage.buckets SET versioning_status = 'ENABLED'")
    await put(session, public, "a")
    await put(session, public, "a", b"second")
    assert await noted(session) == [(public, "a")]
    owner.execute("DELETE FROM storage.objects WHERE archived_at IS NOT NULL")
    assert await noted(session) == []
    owner.execute("DELETE FROM storage.objects WHERE name = 'a'")
    assert await noted(session) == [(public, "a")]


async def test_private_buckets_are_not_noted_and_closing_one_is(session: Session, public: str) -> None:
    await put(session, public, "a")
    closing = BucketChanges(frozenset({"public"}), public=False)
    await storage_api.update_bucket(session, SERVICE, public, closing)
    assert await noted(session) == [(public, None)]
    await put(session, public, "a", b"again")
    await storage_api.update_bucket(session, SERVICE, public, closing)
    assert await noted(session) == []


async def test_a_change_that_rolls_back_is_not_noted(session: Session, owner: psycopg.Connection, public: str) -> None:
    await put(session, public, "a")
    with owner.transaction(force_rollback=True):
        owner.execute("DELETE FROM storage.objects")
    assert await noted(session) == []


async def test_relay_tells_in_supabases_words(session: Session, public: str, endpoint: Cdn) -> None:
    await put(session, public, "a/ü")
    await put(session, public, "a/ü", b"again")
    assert await PurgeRelay(session, PurgeEndpoint(endpoint.url, "secret", "acme")).run() == 1
    document = {
        "type": "object",
        "tenant": {"ref": "acme"},
        "bucketId": public,
        "objectName": "a/ü",
        "surrogateKeys": [surrogate_keys("acme", public, "a/ü")[2]],
    }
    assert endpoint.told == [("/cache/purge", "Bearer secret", document)]


async def test_relay_tells_many_objects_as_one_bucket(
    session: Session, owner: psycopg.Connection, public: str, endpoint: Cdn
) -> None:
    for number in range(MOST_OBJECTS + 1):
        await put(session, public, f"k{number}")
    owner.execute("DELETE FROM storage.objects")
    assert await PurgeRelay(session, PurgeEndpoint(endpoint.url, None, "acme")).run() == MOST_OBJECTS + 1
    assert endpoint.targets == {("bucket", public, None)}
    assert endpoint.told[0][1] is None


async def test_relay_repeats_what_was_refused_and_follows_no_redirect(
    session: Session, owner: psycopg.Connection, public: str, endpoint: Cdn
) -> None:
    relay = PurgeRelay(session, PurgeEndpoint(endpoint.url, "secret", "acme"))
    for key in ("a", "b"):
        await put(session, public, key)
        await put(session, public, key, b"again")
    elsewhere = Cdn()
    endpoint.status, endpoint.location = 307, elsewhere.url
    assert await relay.run() == 0
    assert elsewhere.told == []
    elsewhere.server.shutdown()
    elsewhere.server.server_close()
    rows = owner.execute("SELECT attempts, due_at > clock_timestamp() FROM rowlock.cdn_purges").fetchall()
    assert rows == [(1, True)] * 2
    assert await relay.run() == 0
    endpoint.status = 204
    owner.execute("UPDATE rowlock.cdn_purges SET due_at = now()")
    endpoint.told.clear()
    assert await relay.run() == 2
    assert endpoint.targets == {("object", public, "a"), ("object", public, "b")}
    assert owner.execute("SELECT count(*) FROM rowlock.cdn_purges").fetchall() == [(0,)]


async def test_two_relays_tell_once(session: Session, public: str, endpoint: Cdn) -> None:
    for number in range(8):
        await put(session, public, f"k{number}")
        await put(session, public, f"k{number}", b"again")
    relays = [PurgeRelay(session, PurgeEndpoint(endpoint.url, None, "acme")) for _ in range(2)]
    assert sum(await asyncio.gather(*(relay.run() for relay in relays))) == 8
    assert len(endpoint.told) == 8


async def test_redirects_are_the_operators_choice(session: Session, owner: psycopg.Connection, public: str) -> None:
    await cdn.set_bucket_redirect(session, public, cdn.Redirect.BACKEND)
    assert await cdn.bucket_redirect(session, public) == cdn.BucketRedirect(cdn.Redirect.BACKEND, True)
    assert await cdn.bucket_redirect(session, "none") == cdn.BucketRedirect(None, False)
    owner.execute("CREATE POLICY anyone ON storage.buckets TO authenticated USING (true) WITH CHECK (true)")
    with owner.transaction():
        owner.execute("SET LOCAL ROLE authenticated")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="operator"), owner.transaction():
            owner.execute("UPDATE storage.buckets SET redirect = 'cdn'")
