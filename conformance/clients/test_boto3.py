"""boto3's high-level side: transfer manager, resources, waiters, paginators; over http and over https."""

import io
import random
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from conformance.conftest import temporary_bucket
from conformance.target import Target

MEBIBYTE = 1024 * 1024
PARALLEL = TransferConfig(multipart_threshold=5 * MEBIBYTE, multipart_chunksize=5 * MEBIBYTE, max_concurrency=4)


@pytest.fixture(params=["http", "https"])
def endpoint(request: pytest.FixtureRequest) -> Target:
    """The target by each scheme."""
    found: Target = request.getfixturevalue("target" if request.param == "http" else "target_https")
    return found


def test_boto3_transfer_manager(endpoint: Target, fresh_name: Any) -> None:
    client = endpoint.client()
    body = random.Random(6).randbytes(23 * MEBIBYTE + 5)
    with temporary_bucket(client, fresh_name()) as bucket:
        for size in (0, 3, len(body)):
            client.upload_fileobj(
                io.BytesIO(body[:size]), bucket, "k", Config=PARALLEL, ExtraArgs={"Metadata": {"a": "1"}}
            )
            back = io.BytesIO()
            client.download_fileobj(bucket, "k", back, Config=PARALLEL)
            assert back.getvalue() == body[:size]
        assert client.head_object(Bucket=bucket, Key="k")["ETag"].endswith('-5"')
        client.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Config=PARALLEL)
        assert client.head_object(Bucket=bucket, Key="copy")["ContentLength"] == len(body)
    client.close()


def test_boto3_resources_waiters_and_paginators(endpoint: Target, fresh_name: Any) -> None:
    verify: Any = endpoint.ca_bundle or True
    resource = endpoint.session().resource("s3", endpoint_url=endpoint.endpoint_url, verify=verify)
    bucket = resource.Bucket(fresh_name())
    bucket.create()
    bucket.wait_until_exists()
    for number in range(7):
        bucket.put_object(Key=f"dir/{number}", Body=b"v")
    assert [summary.key for summary in bucket.objects.filter(Prefix="dir/").page_size(3)] == [
        f"dir/{number}" for number in range(7)
    ]
    thing = bucket.Object("dir/0")
    assert (thing.content_length, thing.get()["Body"].read()) == (1, b"v")
    thing.delete()
    thing.wait_until_not_exists()
    bucket.objects.all().delete()
    bucket.delete()
    bucket.wait_until_not_exists()
    resource.meta.client.close()
