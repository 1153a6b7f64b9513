"""The pytest plugin that gives other applications a running gateway."""

import time

import boto3
import psycopg
import pytest

from gateway.testing import RunningGateway, rowlock, rowlock_server

__all__ = ["rowlock", "rowlock_server"]


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_begins_with_nothing(rowlock: RunningGateway, turn: int) -> None:
    s3 = boto3.client("s3", **rowlock.client_options())
    assert s3.list_buckets()["Buckets"] == []
    s3.create_bucket(Bucket="docs", ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket="docs", Key="small", Body=b"x")
    s3.put_object(Bucket="docs", Key="large", Body=b"x" * 100_000, ObjectLockLegalHoldStatus="ON")
    assert s3.get_object(Bucket="docs", Key="large")["Body"].read() == b"x" * 100_000
    s3.close()


def test_cleaning_takes_milliseconds(rowlock: RunningGateway) -> None:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        rowlock.forget_everything()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.25


def test_memory_is_given_back(rowlock: RunningGateway) -> None:
    s3 = boto3.client("s3", **rowlock.client_options())
    for _ in range(3):
        s3.create_bucket(Bucket="docs")
        for number in range(12):
            s3.put_object(Bucket="docs", Key=str(number), Body=bytes(8 << 20))
        rowlock.forget_everything()
    s3.close()


def test_policies_are_written_by_sql(rowlock: RunningGateway) -> None:
    with psycopg.connect(rowlock.database_url, autocommit=True) as connection:
        connection.execute("drop policy if exists readable on storage.buckets")
        connection.execute("create policy readable on storage.buckets for select to anon using (id = 'open')")
        assert connection.execute("select count(*) from storage.buckets").fetchone() == (0,)
        connection.execute("drop policy readable on storage.buckets")
