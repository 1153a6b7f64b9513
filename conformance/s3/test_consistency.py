"""Promises under concurrency: no torn read, no lost key, read after write, listings that agree with reads."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from conformance.expect import keys_of, read
from conformance.s3.test_objects import md5


def test_overwrite_and_read_at_once_never_tears(s3: Any, bucket: str) -> None:
    """A 200 body is exactly the bytes of one version, and its ETag and length are of that version."""
    bodies = [bytes([65 + number]) * (200_000 + number) for number in range(4)]
    etags = {md5(body) for body in bodies}
    s3.put_object(Bucket=bucket, Key="k", Body=bodies[0])

    def write(number: int) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=bodies[number % len(bodies)])

    def check(_: int) -> None:
        answer = s3.get_object(Bucket=bucket, Key="k")
        body = answer["Body"].read()
        assert answer["ETag"] in etags
        assert answer["ETag"] == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        assert answer["ContentLength"] == len(body)

    with ThreadPoolExecutor(6) as threads:
        work = [threads.submit(write if number % 2 else check, number) for number in range(60)]
        for done in work:
            done.result()


def test_read_after_write_and_after_delete(s3: Any, bucket: str) -> None:
    for number in range(10):
        s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode())
        assert read(s3, bucket, "k") == str(number).encode()
        assert keys_of(s3, bucket) == ["k"]
        s3.delete_object(Bucket=bucket, Key="k")
        assert keys_of(s3, bucket) == []


def test_concurrent_writes_to_one_key_leave_one_of_them(s3: Any, bucket: str) -> None:
    bodies = [f"writer {number}".encode() for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(lambda body: s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"], bodies))
    assert written == [md5(body) for body in bodies]
    assert read(s3, bucket, "k") in bodies
    assert keys_of(s3, bucket) == ["k"]


def test_concurrent_deletes_and_writes_agree_with_the_listing(s3: Any, bucket: str) -> None:
    def act(number: int) -> None:
        if number % 3:
            s3.put_object(Bucket=bucket, Key=f"k{number % 4}", Body=b"v")
        else:
            s3.delete_object(Bucket=bucket, Key=f"k{number % 4}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(act, range(60)))
    listed = keys_of(s3, bucket)
    for number in range(4):
        try:
            s3.head_object(Bucket=bucket, Key=f"k{number}")
            found = True
        except ClientError:
            found = False
        assert found == (f"k{number}" in listed)


def test_bucket_created_at_once_by_many_exists_once(s3: Any, fresh_name: Any) -> None:
    name = fresh_name()

    def create(_: int) -> str:
        try:
            s3.create_bucket(Bucket=name)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "created"

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(create, range(8)))
    assert "created" in outcomes
    assert set(outcomes) <= {"created", "BucketAlreadyOwnedByYou", "OperationAborted"}
    assert [entry["Name"] for entry in s3.list_buckets(Prefix=name)["Buckets"]].count(name) == 1
    s3.delete_bucket(Bucket=name)


def test_bucket_deleted_while_written_never_keeps_an_orphan(s3: Any, fresh_name: Any) -> None:
    """Either the write wins and the bucket stays, or the delete wins and the write is refused: never both."""
    for _ in range(5):
        name = fresh_name()
        s3.create_bucket(Bucket=name)

        def attempt(call: Any) -> str:
            try:
                call()
            except ClientError as error:
                return str(error.response["Error"]["Code"])
            return "done"

        with ThreadPoolExecutor(2) as threads:
            write = threads.submit(attempt, lambda name=name: s3.put_object(Bucket=name, Key="k", Body=b"v"))
            delete = threads.submit(attempt, lambda name=name: s3.delete_bucket(Bucket=name))
        outcome = (write.result(), delete.result())
        assert outcome in {("done", "BucketNotEmpty"), ("NoSuchBucket", "done"), ("done", "OperationAborted")}
        if outcome[0] == "done":
            assert read(s3, name, "k") == b"v"
            s3.delete_object(Bucket=name, Key="k")
            s3.delete_bucket(Bucket=name)
