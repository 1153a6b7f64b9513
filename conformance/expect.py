"""Assertions shared by the suites."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError


@contextlib.contextmanager
def refused(status: int, code: str | Collection[str]) -> Iterator[pytest.ExceptionInfo[ClientError]]:
    """The block's boto3 call must fail with this HTTP status and S3 code (or one of several)."""
    with pytest.raises(ClientError) as caught:
        yield caught
    answer = caught.value.response
    codes = {code} if isinstance(code, str) else set(code)
    found = (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"])
    assert found[0] == status, f"expected {status} {sorted(codes)}, got {found}: {answer['Error'].get('Message')}"
    assert found[1] in codes, f"expected {status} {sorted(codes)}, got {found}: {answer['Error'].get('Message')}"


def status_and_code(error: ClientError) -> tuple[int, str]:
    """HTTP status and S3 code of a boto3 error."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def read(client: Any, bucket: str, key: str, **options: Any) -> bytes:
    """The whole body of an object."""
    with contextlib.closing(client.get_object(Bucket=bucket, Key=key, **options)["Body"]) as body:
        return bytes(body.read())


def exists(client: Any, bucket: str, key: str) -> bool:
    """Whether an object is there; any answer but yes and 404 is an error."""
    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return False
    return True


def keys_of(client: Any, bucket: str) -> list[str]:
    """Every key of a bucket, by ListObjectsV2, in the order answered."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
