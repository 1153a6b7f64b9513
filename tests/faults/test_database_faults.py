"""Postgres restarts, loses connections in COMMIT, is read-only, full or slow (reliability §3, F1-F6)."""

import contextlib
import hashlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import conninfo, sql

from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import Databases, EmbeddedPostgres
from tests.faults.proxy import Cut, Proxy
from tests.faults.server import Server, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

BUCKET = "faults"
BIG = b"b" * 100_000
SMALL = b"s" * 100


def written(body: bytes) -> bytes:
    """What only the committing statement of a write carries: the ETag. Its text may be prepared and so not be sent."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest().encode()


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedPostgres]:
    """A Postgres of the test's own, which gateways reach by DATABASE_URL."""
    with (
        tempfile.TemporaryDirectory(prefix="rl-p-") as home,
        DataDirectory.hold(Path(home)) as directory,
        EmbeddedPostgres(directory, settings={"shared_buffers": "32MB", "max_connections": "40"}) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def given(embedded: EmbeddedPostgres) -> Iterator[tuple[Server, str]]:
    """A gateway with small pools and short patience, and how to reach its database as the owner."""
    with Server(
        DATABASE_URL=embedded.owner_url,
        ROWLOCK_DATABASE_POOL_SIZE="3",
        ROWLOCK_DATABASE_POOL_TIMEOUT_SECONDS="1",
        ROWLOCK_STATEMENT_TIMEOUT_SECONDS="1.5",
        ROWLOCK_EPOCH_DEAD_SECONDS="20",  # heartbeats fail here too
    ) as server:
        server.client().create_bucket(Bucket=BUCKET)
        server.client().put_object(Bucket=BUCKET, Key="there", Body=BIG)
        yield server, embedded.owner_url


def refusal(call: Callable[[], Any]) -> tuple[int, str, str | None]:
    """Status, code and Retry-After of a call that must be refused."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], headers.get("retry-after")


class TestRestart:
    """The embedded Postgres dies and comes back."""

    @pytest.fixture
    def server(self) -> Iterator[Server]:
        with Server() as running:
            running.client().create_bucket(Bucket=BUCKET)
            yield running

    def test_immediate_restarts_under_load_cost_an_SDK_nothing(self, server: Server) -> None:
        acknowledged: dict[str, bytes] = {}
        failed: list[Exception] = []
        slowest: list[float] = []
        stopping = threading.Event()

        def work(name: int) -> None:
            client = server.client(attempts=6)
            for number in range(10_000):
                if stopping.is_set():
                    return
                key, body = f"{name}-{number}", (BIG if number % 2 else SMALL) + f"{name}/{number}".encode()
                began = time.monotonic()
                try:
                    client.put_object(Bucket=BUCKET, Key=key, Body=body)
                    acknowledged[key] = body
                except Exception as error:
                    failed.append(error)
                slowest.append(time.monotonic() - began)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(1.5)
            postmaster = wait_until(server.postmaster)
            os.kill(postmaster, signal.SIGQUIT)  # what pg_ctl stop -m immediate sends
        time.sleep(2)
        stopping.set()
        for thread in threads:
            thread.join(60)
        assert not failed
        assert max(slowest) < 20
        assert len(acknowledged) > 50
        client = server.client()
        for key, body in acknowledged.items():
            assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body, key
        server.assert_consistent()


class TestCutConnection:
    """A connection that is cut exactly at the commit, on either side of it (F2)."""

    @pytest.fixture
    def behind_proxy(self, embedded: EmbeddedPostgres) -> Iterator[tuple[Server, Proxy, str]]:
        with _behind_proxy(embedded) as found:
            yield found

    @pytest.mark.parametrize("size", [SMALL, BIG], ids=["inline", "blob"])
    @pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER], ids=lambda cut: cut.name)
    def test_put(self, behind_proxy: tuple[Server, Proxy, str], size: bytes, cut: Cut) -> None:
        server, proxy, _ = behind_proxy
        client = server.client()
        client.put_object(Bucket=BUCKET, Key="k", Body=b"old" * 50_000)
        proxy.arm(written(size), cut)
        outcome = _told(lambda: client.put_object(Bucket=BUCKET, Key="k", Body=size))
        assert proxy.cuts == 1
        # Committed, the gateway finds out; not committed, only bytes in a blob can be tried again without doubt.
        assert outcome == (503 if (size, cut) == (SMALL, Cut.BEFORE) else 200)
        body = client.get_object(Bucket=BUCKET, Key="k")["Body"].read()
        assert body == (size if outcome == 200 else b"old" * 50_000)
        server.assert_consistent()

    def test_put_that_was_committed_and_replaced_is_not_put_again(
        self, behind_proxy: tuple[Server, Proxy, str]
    ) -> None:
        server, proxy, _ = behind_proxy
        client = server.client()
        for body in (SMALL, BIG):
            proxy.arm(
                written(body),
                Cut.AFTER,
                lambda: client.put_object(Bucket=BUCKET, Key="twice", Body=b"newer"),
            )
            _told(lambda body=body: client.put_object(Bucket=BUCKET, Key="twice", Body=body))  # type: ignore[misc]
            assert client.get_object(Bucket=BUCKET, Key="twice")["Body"].read() == b"newer"
        server.assert_consistent()

    @pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER], ids=lambda cut: cut.name)
    def test_part_and_completion(self, behind_proxy: tuple[Server, Proxy, str], cut: Cut) -> None:
        server, proxy, _ = behind_proxy
        client = server.client()
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="m")["UploadId"]
        proxy.arm(written(BIG), cut)
        part = client.upload_part(Bucket=BUCKET, Key="m", UploadId=upload, PartNumber=1, Body=BIG)
        proxy.arm(b"COMMIT", cut)

        def complete() -> Any:
            return client.complete_multipart_upload(
                Bucket=BUCKET,
                Key="m",
                UploadId=upload,
                MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
            )

        assert _told(complete) == (200 if cut is Cut.AFTER else 503)
        assert proxy.cuts == 2
        complete()
        assert client.get_object(Bucket=BUCKET, Key="m")["Body"].read() == BIG
        server.assert_consistent()

    @pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER], ids=lambda cut: cut.name)
    def test_delete_is_not_repeated(self, behind_proxy: tuple[Server, Proxy, str], cut: Cut) -> None:
        server, proxy, _ = behind_proxy
        client = server.client()
        client.put_object(Bucket=BUCKET, Key="d", Body=BIG)
        proxy.arm(b"rowlock.delete_object(", cut, lambda: client.put_object(Bucket=BUCKET, Key="d", Body=b"put since"))
        assert _told(lambda: client.delete_object(Bucket=BUCKET, Key="d")) == 503
        assert client.get_object(Bucket=BUCKET, Key="d")["Body"].read() == b"put since"
        server.assert_consistent()

    def test_blob_in_doubt_is_given_up_only_when_no_row_names_it(self, behind_proxy: tuple[Server, Proxy, str]) -> None:
        server, proxy, url = behind_proxy
        client = server.client()
        proxy.arm(written(BIG), Cut.BEFORE, lambda: proxy.arm(written(BIG), Cut.AFTER))
        assert _told(lambda: client.put_object(Bucket=BUCKET, Key="doubt", Body=BIG)) == 503
        assert proxy.cuts == 2
        time.sleep(2)
        assert client.get_object(Bucket=BUCKET, Key="doubt")["Body"].read() == BIG
        proxy.arm(written(BIG + BIG), Cut.BEFORE, lambda: proxy.arm(written(BIG + BIG), Cut.BEFORE))
        assert _told(lambda: client.put_object(Bucket=BUCKET, Key="doubt", Body=BIG + BIG)) == 503
        assert client.get_object(Bucket=BUCKET, Key="doubt")["Body"].read() == BIG
        assert server.assert_consistent(6)["in_flight"] == 0
        with psycopg.connect(url, autocommit=True) as owner:
            wait_until(
                lambda: (
                    owner.execute("select from rowlock.garbage where abandoned and destroyed_at is not null").fetchone()
                    is not None
                )
            )


class TestRefusingDatabase:
    """A database that answers, but with no."""

    def test_read_only_database_is_503_and_recovers(self, given: tuple[Server, str]) -> None:
        server, url = given
        client = server.client()

        def read_only(value: str) -> None:
            with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as owner:
                owner.execute(sql.SQL("alter system set default_transaction_read_only = {}").format(sql.Literal(value)))
                owner.execute("select pg_reload_conf()")
            time.sleep(0.3)

        read_only("on")
        try:
            for body in (SMALL, BIG):
                status, code, retry_after = refusal(
                    lambda body=body: client.put_object(Bucket=BUCKET, Key="r", Body=body)
                )  # type: ignore[misc]
                assert (status, code) == (503, "ServiceUnavailable")
                assert retry_after is not None
            assert client.get_object(Bucket=BUCKET, Key="there")["Body"].read() == BIG
        finally:
            read_only("off")
        client.put_object(Bucket=BUCKET, Key="r", Body=BIG)
        server.assert_consistent()

    def test_no_connection_left_is_503_within_seconds_and_recovers(self, given: tuple[Server, str]) -> None:
        server, url = given
        client = server.client()
        with contextlib.ExitStack() as stack, psycopg.connect(url, autocommit=True) as owner:
            while (
                owner.execute("select from pg_stat_activity where application_name = 'rowlock'").fetchone() is not None
            ):
                # What the gateway loses is taken by us, or by the gateway again: until it has none.
                owner.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowlock'"
                )
                with contextlib.suppress(psycopg.OperationalError):
                    while True:
                        stack.enter_context(psycopg.connect(url, autocommit=True))
            began = time.monotonic()
            status, _, retry_after = refusal(lambda: client.put_object(Bucket=BUCKET, Key="c", Body=BIG))
            assert status == 503
            assert retry_after is not None
            assert time.monotonic() - began < 8
        wait_until(lambda: _told(lambda: client.put_object(Bucket=BUCKET, Key="c", Body=BIG)) == 200, 30)
        server.assert_consistent()

    def test_lock_nobody_releases_is_503_and_leaves_the_object(self, given: tuple[Server, str]) -> None:
        server, url = given
        client = server.client()
        with psycopg.connect(url) as owner:
            owner.execute("select from storage.objects where name = 'there' for update")
            for call in (
                lambda: client.put_object(Bucket=BUCKET, Key="there", Body=b"other" * 30_000),
                lambda: client.put_object(Bucket=BUCKET, Key="there", Body=b"other"),
                lambda: client.delete_object(Bucket=BUCKET, Key="there"),
            ):
                began = time.monotonic()
                status, code, retry_after = refusal(call)
                assert (status, code) == (503, "SlowDown")
                assert retry_after is not None
                assert time.monotonic() - began < 8
            assert client.get_object(Bucket=BUCKET, Key="there")["Body"].read() == BIG
        client.put_object(Bucket=BUCKET, Key="there", Body=BIG)
        server.assert_consistent()


def _told(call: Callable[[], Any]) -> int:
    try:
        call()
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return 200


@contextlib.contextmanager
def _behind_proxy(embedded: EmbeddedPostgres) -> Iterator[tuple[Server, Proxy, str]]:
    databases: Databases = embedded.databases
    sockets = Path(str(conninfo.conninfo_to_dict(databases.owner_url)["host"]))
    with tempfile.TemporaryDirectory(prefix="rl-x-") as home, Proxy(sockets / ".s.PGSQL.5432", Path(home)) as proxy:
        url = conninfo.make_conninfo(databases.owner_url, host=home)
        with psycopg.connect(databases.owner_url, autocommit=True) as owner:
            owner.execute("drop database if exists proxied with (force)")
            owner.execute("create database proxied")
        with Server(DATABASE_URL=conninfo.make_conninfo(url, dbname="proxied"), ROWLOCK_WORKERS="1") as server:
            server.client().create_bucket(Bucket=BUCKET)
            yield server, proxy, conninfo.make_conninfo(databases.owner_url, dbname="proxied")
