"""Every crash point of the write path (reliability §2.3), killed, failed, stalled and run out of disk.

Each case arms one failpoint in the workers of a running server, sends one request into it, and starts the server
again without it. What was acknowledged must be there, byte for byte; what was not may be there or not, but whole; and
nothing may be left over once the sweeper has been there.
"""

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from conformance.rest import tokens
from conformance.rest.client import Answer, Api
from tests.faults.server import Server, kill, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

BUCKET = "points"
MIB = 1024 * 1024
OLD = b"old" * 50_000
NEW = b"new" * 60_000
PART = b"p" * (5 * MIB)
COPY_SOURCE = {"Bucket": BUCKET, "Key": "source"}


@dataclass(frozen=True)
class Outcome:
    """What the client was told, and what it may find afterwards."""

    acknowledged: bool
    status: int | None


def put(client: Any, key: str, upload: str) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=NEW)


def copy(client: Any, key: str, upload: str) -> None:
    client.copy_object(Bucket=BUCKET, Key=key, CopySource=COPY_SOURCE)


def upload_part(client: Any, key: str, upload: str) -> None:
    client.upload_part(Bucket=BUCKET, Key=f"upload-{key}", UploadId=upload, PartNumber=1, Body=PART)


def complete(client: Any, key: str, upload: str) -> None:
    [part] = client.list_parts(Bucket=BUCKET, Key=f"upload-{key}", UploadId=upload)["Parts"]
    client.complete_multipart_upload(
        Bucket=BUCKET,
        Key=f"upload-{key}",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )


def abort(client: Any, key: str, upload: str) -> None:
    client.abort_multipart_upload(Bucket=BUCKET, Key=f"upload-{key}", UploadId=upload)


def delete(client: Any, key: str, upload: str) -> None:
    client.delete_object(Bucket=BUCKET, Key=key)


def delete_many(client: Any, key: str, upload: str) -> None:
    client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})


Action = Callable[[Any, str, str], None]
DISK = ("put.mid_body", "put.after_write", "put.after_fsync", "put.after_link", "put.after_dirsync")
POINTS: list[tuple[str, Action]] = [
    *((point, put) for point in (*DISK, "put.before_commit", "put.after_commit")),
    *((point, copy) for point in ("put.after_write", "put.after_link", "copy.before_commit", "copy.after_commit")),
    *((point, upload_part) for point in ("put.after_fsync", "put.after_link", "part.before_commit")),
    *((f"complete.{point}", complete) for point in ("in_transaction", "before_commit", "after_commit")),
    ("abort.before_commit", abort),
    ("del.before_commit", delete),
    ("del.after_commit", delete),
    ("del.before_commit", delete_many),
]
ONCE = [case for index, case in enumerate(POINTS) if case[0] not in [point for point, _ in POINTS[:index]]]
CASES = {
    "kill": POINTS,
    "error": ONCE,
    "enospc": [case for case in ONCE if case[0] in DISK],
    "eio": [case for case in ONCE if case[0] in DISK],
    "stall:0.2": ONCE,
}
STATUS = {"error": 500, "enospc": 507, "eio": 500}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ROWLOCK_WORKERS="1", ROWLOCK_JWT_SECRET=tokens.SECRET) as running:
        client = running.client()
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="source", Body=NEW)
        yield running


def rearm(server: Server, failpoints: str) -> None:
    """Start the server with other failpoints; an abrupt end, which is one more test."""
    kill(server.pid)
    server.wait_end()
    server.start(ROWLOCK_FAILPOINTS=failpoints)


@pytest.fixture(autouse=True)
def _awake(server: Server) -> Iterator[None]:
    yield
    if not server.is_alive():
        server.start()


def told(act: Action, client: Any, key: str, upload: str) -> Outcome:
    try:
        act(client, key, upload)
    except ClientError as error:
        return Outcome(False, error.response["ResponseMetadata"]["HTTPStatusCode"])
    except HTTPClientError:
        return Outcome(False, None)
    return Outcome(True, 200)


def content(client: Any, key: str) -> bytes | None:
    try:
        return bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    except client.exceptions.NoSuchKey:
        return None


@pytest.mark.parametrize("action", CASES)
def test_crash_points(server: Server, action: str) -> None:
    """All points of one action in turn, so that one check of the stores covers them together.

    What leaves the worker alive is armed for the first hit of every point at once: the requests follow one another
    in the order of the points, so each fires the next.
    """
    chosen = CASES[action]
    uploads: dict[str, str] = {}
    client = server.client()
    keys = {(point, act): f"{action.partition(':')[0]}-{point}-{act.__name__}" for point, act in chosen}
    for (_, act), key in keys.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=OLD)
        if act in (upload_part, complete, abort):
            created = client.create_multipart_upload(Bucket=BUCKET, Key=f"upload-{key}")
            uploads[key] = created["UploadId"]
            if act is not upload_part:
                upload_part(client, key, uploads[key])
    outcomes: dict[str, Outcome] = {}
    if action != "kill":
        rearm(server, ",".join(f"{point}={action}@1" for point, _ in chosen))
    for (point, act), key in keys.items():
        if action == "kill":
            rearm(server, f"{point}=kill")
        outcomes[key] = told(act, server.client(), key, uploads.get(key, ""))
        if action == "kill":
            assert not outcomes[key].acknowledged, (point, "the failpoint was not reached")
            assert outcomes[key].status is None, (point, outcomes[key])
        elif action in STATUS:
            assert outcomes[key].status == STATUS[action], (point, act, outcomes[key])
        else:
            assert outcomes[key].acknowledged
    rearm(server, "")
    client = server.client()
    for (point, act), key in keys.items():
        _check(client, point, act, key, uploads.get(key, ""), outcomes[key])
    server.assert_consistent()
    assert content(client, "source") == NEW


def _check(client: Any, point: str, act: Action, key: str, upload: str, outcome: Outcome) -> None:
    applied = outcome.acknowledged or point.endswith(".after_commit")
    found = content(client, key)
    if act in (put, copy):
        assert found == (NEW if applied else OLD), point
    elif act in (delete, delete_many):
        assert found == (None if applied else OLD), point
    else:
        assert found == OLD, "a neighbour"
    if act is upload_part:
        parts = client.list_parts(Bucket=BUCKET, Key=f"upload-{key}", UploadId=upload).get("Parts", [])
        assert len(parts) == int(applied), point
        upload_part(client, key, upload)
        complete(client, key, upload)
        assert content(client, f"upload-{key}") == PART
    elif act is complete:
        assert content(client, f"upload-{key}") == (PART if applied else None), point
        if not applied:
            complete(client, key, upload)
            assert content(client, f"upload-{key}") == PART, point
    elif act is abort and applied:
        with pytest.raises(ClientError, match="NoSuchUpload"):
            client.list_parts(Bucket=BUCKET, Key=f"upload-{key}", UploadId=upload)
    elif act is abort:
        assert len(client.list_parts(Bucket=BUCKET, Key=f"upload-{key}", UploadId=upload)["Parts"]) == 1
        abort(client, key, upload)


def test_error_leaves_nothing_although_the_worker_lives_on(server: Server) -> None:
    rearm(server, "put.before_commit=error,copy.before_commit=error,part.before_commit=error")
    client = server.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="upload-live")["UploadId"]
    [worker] = server.workers()
    assert [told(act, client, "live", upload).status for act in (put, copy, upload_part)] == [500] * 3
    server.assert_consistent()
    assert server.workers() == [worker]
    assert content(client, "live") is None


def test_confirmed_upload_killed_at_each_commit(server: Server) -> None:
    """What was recorded waits, what was confirmed is an object, and bytes without a row are swept."""
    api = Api("127.0.0.1", server.port, tokens.mint({"role": "service_role"}))
    place = f"{BUCKET}/confirmed"

    def sign() -> dict[str, Any]:
        return dict(api.send("POST", f"/object/upload/sign/{place}", {"confirm": True}).json)

    def killed(request: Callable[[], Answer]) -> None:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            request()

    def waits(signed: dict[str, Any]) -> bool:
        return api.send("GET", f"/object/upload/pending/{place}?id={signed['id']}").status == 200

    def confirm() -> Answer:
        return api.send("POST", f"/object/upload/confirm/{place}", {"id": stored["id"]})

    rearm(server, "pending.before_commit=kill")
    lost = sign()
    killed(lambda: api.request("PUT", lost["url"], NEW))
    rearm(server, "pending.after_commit=kill")
    stored = sign()
    killed(lambda: api.request("PUT", stored["url"], NEW))
    rearm(server, "confirm.after_commit=kill")
    assert (waits(lost), waits(stored)) == (False, True)
    killed(confirm)
    rearm(server, "")
    assert content(server.client(), "confirmed") == NEW
    assert confirm().code == (400, "409", "KeyAlreadyExists")
    server.assert_consistent()


@pytest.mark.parametrize("point", ["gc.after_claim", "gc.after_unlink", "gc.after_quarantine"])
def test_sweeper_killed_between_its_steps_goes_on_where_it_was(server: Server, point: str) -> None:
    rearm(server, "put.before_commit=kill")
    assert not told(put, server.client(), "orphan", "").acknowledged
    rearm(server, "")
    client = server.client()
    client.put_object(Bucket=BUCKET, Key="swept", Body=OLD)
    heard = server.log.stat().st_size
    rearm(server, f"{point}=kill@1")
    server.client().put_object(Bucket=BUCKET, Key="swept", Body=NEW)
    wait_until(
        lambda: '"process": "background worker", "reason": "signal 9"' in server.log.read_text()[heard:],
        15,
        f"{point} was not reached",
    )
    rearm(server, "")
    server.assert_consistent()

    def garbage() -> int:
        with server.database() as connection:
            row = connection.execute(
                "update rowlock.garbage set claimed_until = null where destroyed_at is null returning id"
            ).fetchone()
        return 0 if row is None else 1

    wait_until(lambda: garbage() == 0, 20, "garbage is left")
    server.assert_consistent()
    client = server.client()
    assert (content(client, "swept"), content(client, "source")) == (NEW, NEW)
