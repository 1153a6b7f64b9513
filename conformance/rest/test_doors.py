"""One store behind several doors: what S3 stores the JSON API reads and the reverse, by the same policies."""

import base64
import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conformance.rest.client import Api
from conformance.rest.tokens import ALICE, BOB
from conformance.server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, RunningServer


@contextlib.contextmanager
def client_at(url: str, key: str = ACCESS_KEY_ID, secret: str = SECRET_ACCESS_KEY) -> Iterator[Any]:
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    with contextlib.closing(client):
        yield client


def test_S3_stores_and_the_JSON_API_reads(service: Api, rest_s3, fresh: str) -> None:
    rest_s3.put_object(
        Bucket=fresh,
        Key="a/ü",
        Body=b"by s3",
        ContentType="image/x",
        CacheControl="max-age=5",
        Metadata={"colour": "red"},
    )
    read = service.send("GET", f"/object/authenticated/{fresh}/a/%C3%BC")
    assert (read.body, read.headers["content-type"], read.headers["cache-control"]) == (
        b"by s3",
        "image/x",
        "private, max-age=5",
    )
    assert service.send("GET", f"/object/info/{fresh}/a/%C3%BC").json["metadata"] == {"colour": "red"}
    listed = service.send("POST", f"/object/list/{fresh}", {"prefix": "a"}).json
    assert [(each["name"], each["metadata"]["size"]) for each in listed] == [("ü", 5)]


def test_the_JSON_API_stores_and_S3_reads(service: Api, rest_s3, fresh: str) -> None:
    metadata = base64.b64encode(b'{"plain": "text", "nested": {"a": 1}, "line": "a\\nb"}').decode()
    service.upload(fresh, "k", b"by rest", x_metadata=metadata, content_type="text/x", cache_control="no-store")
    read = rest_s3.get_object(Bucket=fresh, Key="k")
    assert (read["Body"].read(), read["ContentType"], read["CacheControl"]) == (b"by rest", "text/x", "no-store")
    assert read["Metadata"] == {"plain": "text", "nested": '{"a": 1}', "line": "a b"}
    assert rest_s3.head_object(Bucket=fresh, Key="k")["ContentLength"] == 7


def test_bucket_limits_hold_at_the_S3_door(service: Api, rest_s3, name) -> None:
    bucket = service.make_bucket(name(), file_size_limit=10)
    with pytest.raises(ClientError, match="EntityTooLarge"):
        rest_s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 11)
    rest_s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 10)


def test_buckets_are_the_same(service: Api, rest_s3, fresh: str, name) -> None:
    other = name()
    rest_s3.create_bucket(Bucket=other)
    assert service.send("GET", f"/bucket/{other}").json["public"] is False
    assert fresh in {bucket["Name"] for bucket in rest_s3.list_buckets()["Buckets"]}


def test_one_policy_for_both_doors(service: Api, alice: Api, bob: Api, rest_server: RunningServer, shared: str) -> None:
    """A user's token at one door, an access key with the user's claims at the other."""
    made = rest_server.run("keys", "create", "--json", "--subject", ALICE, "--role", "authenticated")
    key = json.loads(made.stdout)
    url = rest_server.target.endpoint_url
    with client_at(url, key["access_key_id"], key["secret_access_key"]) as s3:
        both_doors_agree(alice, bob, s3, shared)


def both_doors_agree(alice: Api, bob: Api, s3: Any, shared: str) -> None:
    s3.put_object(Bucket=shared, Key=f"{ALICE}/by-s3", Body=b"1")
    assert alice.send("GET", f"/object/authenticated/{shared}/{ALICE}/by-s3").body == b"1"
    assert bob.send("GET", f"/object/authenticated/{shared}/{ALICE}/by-s3").code == (400, "404", "NoSuchKey")
    alice.upload(shared, f"{ALICE}/by-rest", b"2")
    assert s3.get_object(Bucket=shared, Key=f"{ALICE}/by-rest")["Body"].read() == b"2"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=shared, Key=f"{BOB}/x", Body=b"1")
    assert alice.upload(shared, f"{BOB}/x").code == (400, "403", "AccessDenied")


def test_policies_know_the_operation(service: Api, alice: Api, fresh: str, sql) -> None:
    service.upload(fresh, "k")
    sql.execute(
        "CREATE POLICY by_operation ON storage.objects FOR SELECT TO authenticated "
        f"USING (bucket_id = '{fresh}' AND storage.allow_only_operation('object.get_authenticated'))"
    )
    try:
        assert alice.send("GET", f"/object/authenticated/{fresh}/k").status == 200
        assert alice.send("POST", f"/object/sign/{fresh}/k", {"expiresIn": 60}).code[2] == "NoSuchKey"
        assert alice.send("POST", f"/object/list/{fresh}", {"prefix": ""}).json == []
    finally:
        sql.execute("DROP POLICY by_operation ON storage.objects")


def test_the_reserved_name_at_the_S3_door(rest_s3, rest_server: RunningServer) -> None:
    for attempt in (rest_s3.create_bucket, rest_s3.head_bucket, rest_s3.list_objects_v2):
        with pytest.raises(ClientError) as refused:
            attempt(Bucket="storage")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("where", ["port/storage/v1/s3", "own/s3", "own/storage/v1/s3"])
def test_S3_under_the_JSON_API(rest_server: RunningServer, service: Api, fresh: str, where: str) -> None:
    door, _, path = where.partition("/")
    port = rest_server.port if door == "port" else int(rest_server.settings["ROWLOCK_REST_PORT"])
    with client_at(f"http://127.0.0.1:{port}/{path}") as s3:
        url = used_fully(s3, fresh)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", url.split(f":{port}")[1])
        assert connection.getresponse().read() == b"x" * 100


def used_fully(s3: Any, fresh: str) -> str:
    assert fresh in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    s3.put_object(Bucket=fresh, Key="a b/ü", Body=b"x" * 100)
    assert s3.get_object(Bucket=fresh, Key="a b/ü")["Body"].read() == b"x" * 100
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=fresh)["Contents"]] == ["a b/ü"]
    return str(s3.generate_presigned_url("get_object", Params={"Bucket": fresh, "Key": "a b/ü"}, ExpiresIn=60))


def test_the_API_at_its_own_port(own_port: Api, service: Api, fresh: str) -> None:
    own_port.upload(fresh, "k", b"root")
    assert own_port.send("GET", f"/object/authenticated/{fresh}/k").body == b"root"
    assert own_port.send("GET", f"/storage/v1/object/authenticated/{fresh}/k").body == b"root"
    assert own_port.send("GET", "/").code == (404, "404", "InvalidRequest")
    assert own_port.send("GET", f"/{fresh}/k").code == (404, "404", "InvalidRequest")
