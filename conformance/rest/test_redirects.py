"""Reads redirected to the S3 store that has the bytes, or to a CDN: the client gets what we would have answered."""

import http.client
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import psycopg
import pytest
import requests

from conformance.rest import tokens
from conformance.rest.client import Answer, Api
from conformance.server import RunningServer
from conformance.upstream import Upstream

CONTENT = bytes(range(256)) * 8192
_FETCH = """
const headers = {Authorization: `Bearer ${process.argv[2]}`, apikey: process.argv[2], Range: 'bytes=5-9'}
const answer = await fetch(process.argv[1], {headers})
process.stdout.write(`${answer.redirected} ${answer.status} ${(await answer.arrayBuffer()).byteLength}`)
"""
_SHOWN = ("content-type", "content-disposition", "cache-control", "content-encoding", "content-language", "expires")


def get(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """GET without following anything."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


@pytest.fixture(scope="session")
def bucket(handing: RunningServer, handing_service: Api) -> str:
    """A public bucket of the store, whose reads are redirected to it."""
    handing_service.make_bucket("redirected", public=True)
    handing.run("buckets", "set-backend", "redirected", "store")
    handing.run("buckets", "set-redirect", "redirected", "backend")
    assert "redirected\tstore\tredirect: backend" in handing.run("buckets", "list").stdout
    uploaded = handing_service.upload(
        "redirected", "a/ü.png", CONTENT, content_type="image/png", cache_control="max-age=60"
    )
    assert uploaded.status == 200
    return "redirected"


@pytest.fixture(scope="session")
def private(handing_service: Api, handing_sql: psycopg.Connection[Any]) -> str:
    """The same, for who may."""
    handing_service.make_bucket("redirected-private")
    handing_sql.execute(
        "UPDATE storage.buckets SET backend = 'store', redirect = 'backend' WHERE id = 'redirected-private'"
    )
    assert handing_service.upload("redirected-private", "k", CONTENT, content_type="text/html").status == 200
    return "redirected-private"


@pytest.fixture
def nobody(handing_service: Api) -> Api:
    return handing_service.by(None)


def followed(answer: Answer, store: Upstream, headers: Mapping[str, str] | None = None) -> Answer:
    """What the redirect leads to, which is the public name of the store."""
    assert (answer.status, answer.body) == (307, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert urlsplit(answer.headers["location"]).netloc == f"localhost:{store.port}"
    return get(answer.headers["location"], headers)


def test_public_read_leads_to_the_same_answer(nobody: Api, store: Upstream, bucket: str) -> None:
    path = f"/object/public/{bucket}/a/%C3%BC.png"
    for query in ("", "?download=", "?download=%C3%BC%20.png"):
        here = nobody.request("HEAD", path + query)
        assert here.status == 200
        there = followed(nobody.request("GET", path + query), store)
        assert (there.status, there.body) == (200, CONTENT)
        assert {name: there.headers.get(name) for name in _SHOWN} == {name: here.headers.get(name) for name in _SHOWN}
        assert there.headers["etag"] == here.headers["etag"]


def test_ranges_work_at_the_target(nobody: Api, store: Upstream, bucket: str) -> None:
    span = {"range": "bytes=100-299"}
    answer = nobody.request("GET", f"/object/public/{bucket}/a/%C3%BC.png", headers=span)
    there = followed(answer, store, span)
    assert (there.status, there.body) == (206, CONTENT[100:300])
    assert there.headers["content-range"] == f"bytes 100-299/{len(CONTENT)}"
    beyond = nobody.request("GET", f"/object/public/{bucket}/a/%C3%BC.png", headers={"range": "bytes=99999999-"})
    assert beyond.status == 416


def test_signed_read_is_redirected_for_no_longer_than_it_is_good(
    handing_service: Api, nobody: Api, store: Upstream, private: str
) -> None:
    signed = handing_service.send("POST", f"/object/sign/{private}/k", {"expiresIn": 30}).json["signedURL"]
    answer = nobody.request("GET", signed)
    assert 0 < int(parse_qs(urlsplit(answer.headers["location"]).query)["X-Amz-Expires"][0]) <= 30
    there = followed(answer, store)
    assert (there.body, there.headers["content-type"]) == (CONTENT, "text/plain")
    assert "cache-control" not in there.headers
    assert there.headers["expires"].endswith("GMT")


def test_authenticated_read_is_redirected_and_who_may_not_is_refused(
    handing_service: Api, nobody: Api, store: Upstream, private: str
) -> None:
    assert followed(handing_service.request("GET", f"/object/{private}/k"), store).body == CONTENT
    for caller in (nobody, nobody.by(tokens.user(tokens.ALICE))):
        answer = caller.request("GET", f"/object/{private}/k")
        assert (answer.status, "location" in answer.headers) == (400, False)


def test_presigned_S3_read_carries_its_response_headers(handing_s3: Any, store: Upstream, private: str) -> None:
    wanted = {"ResponseContentType": "image/x", "ResponseContentDisposition": 'attachment; filename="ü"'}
    url = handing_s3.generate_presigned_url("get_object", Params={"Bucket": private, "Key": "k", **wanted})
    there = followed_s3(get(url), store)
    assert (there.body, there.headers["content-type"]) == (CONTENT, "image/x")
    assert there.headers["content-disposition"].encode("latin-1").decode() == 'attachment; filename="ü"'


def followed_s3(answer: Answer, store: Upstream) -> Answer:
    assert answer.status == 307
    assert b"<Code>TemporaryRedirect</Code>" in answer.body
    assert b"X-Amz-Signature" not in answer.body
    return followed(Answer(answer.status, answer.headers, b""), store)


def test_SDKs_that_sign_headers_are_answered_here(handing_s3: Any, private: str) -> None:
    read = handing_s3.get_object(Bucket=private, Key="k")
    assert (read["ResponseMetadata"]["HTTPStatusCode"], read["Body"].read()) == (200, CONTENT)


@pytest.mark.parametrize(
    "headers",
    [{"if-match": "*"}, {"if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT"}, {"if-range": '"other"'}],
)
def test_conditions_the_target_would_judge_otherwise_are_answered_here(
    nobody: Api, bucket: str, headers: dict[str, str]
) -> None:
    answer = nobody.request("GET", f"/object/public/{bucket}/a/%C3%BC.png", headers=headers)
    assert (answer.status, answer.body) == (200, CONTENT)


def test_not_modified_is_answered_here(nobody: Api, bucket: str) -> None:
    path = f"/object/public/{bucket}/a/%C3%BC.png"
    etag = nobody.request("HEAD", path).headers["etag"]
    assert nobody.request("GET", path, headers={"if-none-match": etag}).status == 304
    assert nobody.request("GET", path, headers={"if-none-match": '"other"'}).status == 307


def test_what_cannot_be_served_as_it_lies_is_answered_here(handing_s3: Any, private: str) -> None:
    handing_s3.put_object(Bucket=private, Key="small", Body=b"x" * 10_000)
    handing_s3.put_object(Bucket=private, Key="sealed", Body=CONTENT, ServerSideEncryption="AES256")
    upload = handing_s3.create_multipart_upload(Bucket=private, Key="parts")["UploadId"]
    named = {"Bucket": private, "Key": "parts", "UploadId": upload}
    parts = [
        {"PartNumber": n, "ETag": handing_s3.upload_part(**named, PartNumber=n, Body=b"p" * 5_242_880)["ETag"]}
        for n in (1, 2)
    ]
    handing_s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    for key, extra in (
        ("small", {}),
        ("sealed", {}),
        ("parts", {}),
        ("k", {"PartNumber": 1}),
        ("k", {"ChecksumMode": "ENABLED"}),
    ):
        url = handing_s3.generate_presigned_url("get_object", Params={"Bucket": private, "Key": key, **extra})
        assert get(url, {"x-amz-checksum-mode": "ENABLED"} if "ChecksumMode" in extra else {}).status in (200, 206), key


def test_clients_that_follow(nobody: Api, handing: RunningServer, handing_s3: Any, bucket: str, private: str) -> None:
    url = f"http://127.0.0.1:{handing.port}/storage/v1/object/public/{bucket}/a/%C3%BC.png"
    presigned = handing_s3.generate_presigned_url("get_object", Params={"Bucket": private, "Key": "k"})
    for asked in (url, presigned):
        answer = requests.get(asked, headers={"Range": "bytes=5-9"}, timeout=30)
        assert (answer.content, [each.status_code for each in answer.history]) == (CONTENT[5:10], [307])
        with urllib.request.urlopen(asked, timeout=30) as opened:  # noqa: S310 - our own URL
            assert opened.read() == CONTENT
        if shutil.which("curl"):
            ran = subprocess.run(["curl", "-sSL", "-r", "5-9", asked], capture_output=True, check=True, timeout=30)
            assert ran.stdout == CONTENT[5:10]
    if shutil.which("node"):
        token = tokens.mint({"role": "service_role"})
        path = f"http://127.0.0.1:{handing.port}/storage/v1/object/authenticated/{private}/k"
        ran = subprocess.run(
            ["node", "--input-type=module", "-e", _FETCH, path, token], capture_output=True, check=True, timeout=30
        )
        assert ran.stdout == b"true 206 5"


def test_reads_of_a_public_bucket_lead_to_the_CDN_and_its_own_do_not(
    handing_service: Api, nobody: Api, handing_sql: psycopg.Connection[Any]
) -> None:
    handing_service.make_bucket("on-cdn", public=True)
    handing_sql.execute("UPDATE storage.buckets SET redirect = 'cdn' WHERE id = 'on-cdn'")
    handing_service.upload("on-cdn", "a b/ü", CONTENT)
    path = "/object/public/on-cdn/a%20b/%C3%BC"
    location = nobody.request("GET", f"{path}?download=x%26y").headers["location"]
    version = handing_service.send("GET", "/object/info/on-cdn/a%20b/%C3%BC").json["version"]
    assert location == f"https://cdn.example.test/storage/v1{path}?download=x%26y&v={version}"
    origin = nobody.request("GET", path, headers={"cdn-loop": "example"})
    assert (origin.status, origin.body) == (200, CONTENT)
    handing_service.upload("on-cdn", "a/../b", CONTENT)
    assert nobody.request("GET", "/object/public/on-cdn/a/../b").status == 200
    handing_service.send("PUT", "/bucket/on-cdn", {"public": False})
    signed = handing_service.send("POST", "/object/sign/on-cdn/a%20b/%C3%BC", {"expiresIn": 30}).json["signedURL"]
    assert nobody.request("GET", quote(signed, safe="/?=%")).status == 200


def test_a_bucket_that_says_nothing_is_answered_here(
    handing_service: Api, nobody: Api, handing_sql: psycopg.Connection[Any]
) -> None:
    handing_service.make_bucket("never", public=True)
    handing_sql.execute("UPDATE storage.buckets SET backend = 'store' WHERE id = 'never'")
    handing_service.upload("never", "k", CONTENT)
    assert nobody.request("GET", "/object/public/never/k").status == 200


def test_head_is_answered_here(nobody: Api, bucket: str, name: Callable[[], str]) -> None:
    assert nobody.request("HEAD", f"/object/public/{bucket}/a/%C3%BC.png").status == 200
