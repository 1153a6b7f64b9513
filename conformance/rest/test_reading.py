"""Reading objects by the JSON API: open, with a token, by a signed URL; ranges, conditions, safe serving, browsers."""

import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from conformance.rest import tokens
from conformance.rest.client import Api
from conformance.rest.tokens import ALICE

HTML = b"<script>alert(1)</script>"


def test_getObject_headers(service: Api, fresh: str) -> None:
    service.upload(fresh, "k", b"content", cache_control="max-age=60")
    answer = service.send("GET", f"/object/authenticated/{fresh}/k")
    assert (answer.status, answer.body) == (200, b"content")
    expected = {
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=60",
        "content-length": "7",
        "content-type": "text/plain",
        "x-robots-tag": "none",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }
    assert {name: answer.headers.get(name) for name in expected} == expected
    assert answer.headers["etag"] == '"9a0364b9e99bb480dd25e1f0284c8555"'
    head = service.send("HEAD", f"/object/authenticated/{fresh}/k")
    assert (head.status, head.body) == (200, b"")
    assert {name: head.headers[name] for name in expected} == expected


def test_getObject_who_may(nobody: Api, anon: Api, alice: Api, service: Api, shared: str, public: str) -> None:
    service.upload(public, "k")
    service.upload(shared, f"{ALICE}/k")
    for caller in (nobody, anon, alice, service, nobody.by("garbage")):
        assert caller.send("GET", f"/object/{public}/k").status == 200
        assert caller.send("GET", f"/object/public/{public}/k").status == 200
        assert caller.send("GET", f"/object/public/{shared}/{ALICE}/k").code == (400, "404", "NoSuchBucket")
        may = caller in (alice, service)
        assert caller.send("HEAD", f"/object/{shared}/{ALICE}/k").status == (200 if may else 400)
        assert (caller.send("GET", f"/object/info/{shared}/{ALICE}/k").status == 200) is may
        assert caller.send("GET", f"/object/info/public/{public}/k").status == 200
    assert alice.send("GET", f"/object/authenticated/{public}/k").status == 200
    assert alice.send("GET", f"/object/authenticated/{shared}/theirs").code == (400, "404", "NoSuchKey")
    assert nobody.send("GET", f"/object/authenticated/{shared}/k").code == (400, "400", "InvalidRequest")


def test_getObject_of_a_bucket_that_was_public(nobody: Api, service: Api, public: str) -> None:
    service.upload(public, "k")
    service.send("PUT", f"/bucket/{public}", {"public": False})
    assert nobody.send("GET", f"/object/public/{public}/k").code == (400, "404", "NoSuchBucket")


def test_getObject_range(service: Api, public: str) -> None:
    content = bytes(range(256)) * 100
    service.upload(public, "k", content)
    path = f"/object/public/{public}/k"
    answer = service.send("GET", path, range="bytes=10-19")
    assert (answer.status, answer.body) == (206, content[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{len(content)}"
    assert service.send("GET", path, range="bytes=-5").body == content[-5:]
    beyond = service.send("GET", path, range="bytes=99999-")
    assert beyond.code == (416, "416", "InvalidRange")
    assert service.send("GET", path, range="lines=1-2").status == 200


def test_getObject_conditions(service: Api, public: str) -> None:
    service.upload(public, "k")
    path = f"/object/public/{public}/k"
    first = service.send("GET", path)
    for named in (
        {"if_none_match": first.headers["etag"]},
        {"if_none_match": f'W/{first.headers["etag"]}, "x"'},
        {"if_modified_since": first.headers["last-modified"]},
    ):
        answer = service.send("GET", path, **named)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", first.headers["etag"])
    assert service.send("GET", path, if_none_match='"other"').status == 200
    assert service.send("GET", path, if_match='"other"').status == 412


@pytest.mark.parametrize(
    ("query", "disposition"),
    [
        ("download=", "attachment;"),
        ("download", "attachment;"),
        ("download=a.txt", "attachment; filename=a.txt; filename*=UTF-8''a.txt"),
        ("download=" + quote('a";\r\nx: y/ü‮.txt'), "attachment; filename={0}; filename*=UTF-8''{0}"),
    ],
)
def test_getObject_download(service: Api, public: str, query: str, disposition: str) -> None:
    service.upload(public, "k")
    answer = service.send("GET", f"/object/public/{public}/k?{query}")
    assert answer.headers["content-disposition"] == disposition.format("a%22%3Bx%3A%20y%2F%C3%BC.txt")


@pytest.mark.parametrize("kind", ["text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml"])
def test_getObject_markup_is_served_as_text(service: Api, public: str, kind: str) -> None:
    service.upload(public, "page", HTML, content_type=kind)
    answer = service.send("GET", f"/object/public/{public}/page")
    assert (answer.headers["content-type"], answer.body) == ("text/plain", HTML)
    assert service.send("GET", f"/object/info/public/{public}/page").json["content_type"] == kind


def test_createSignedUrl(service: Api, alice: Api, nobody: Api, shared: str) -> None:
    key = f"{ALICE}/a b/ü.txt"
    alice.upload(shared, key, b"signed", cache_control="max-age=60")
    url = alice.send("POST", f"/object/sign/{shared}/{quote(key)}", {"expiresIn": "60", "download": True}).json[
        "signedURL"
    ]
    assert url.startswith(f"/object/sign/{shared}/{key}?token=")
    path, token = url.split("?token=")
    claims = tokens.payload(token)
    assert (claims["url"], claims["scope"], claims["exp"] - claims["iat"]) == (f"{shared}/{key}", "download", 60)
    answer = nobody.send("GET", f"{quote(path)}?token={token}")
    assert (answer.status, answer.body) == (200, b"signed")
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["expires"].endswith("GMT")
    head = nobody.send("HEAD", f"{quote(path)}?token={token}&download=x.txt")
    assert head.headers["content-disposition"] == "attachment; filename=x.txt; filename*=UTF-8''x.txt"
    assert nobody.send("GET", f"{quote(path)}?token={token}", range="bytes=0-1").body == b"si"


def test_createSignedUrl_of_what_one_does_not_see(service: Api, alice: Api, shared: str) -> None:
    service.upload(shared, "k")
    assert alice.send("POST", f"/object/sign/{shared}/k", {"expiresIn": 60}).code == (400, "404", "NoSuchKey")
    answer = alice.send("POST", f"/object/sign/{shared}", {"expiresIn": 60, "paths": ["k", "none"]}).json
    assert [(each["path"], each["signedURL"]) for each in answer] == [("k", None), ("none", None)]
    assert answer[0]["error"] == "Either the object does not exist or you do not have access to it"


def test_createSignedUrls(service: Api, nobody: Api, fresh: str) -> None:
    service.upload(fresh, "b", b"b")
    service.upload(fresh, "a", b"a")
    answer = service.send("POST", f"/object/sign/{fresh}", {"expiresIn": 60, "paths": ["b", "none", "a", "b"]}).json
    assert [each["path"] for each in answer] == ["b", "none", "a", "b"]
    assert [nobody.send("GET", each["signedURL"]).body for each in answer if each["signedURL"]] == [b"b", b"a", b"b"]


def test_signed_url_is_for_one_object_and_one_purpose(service: Api, nobody: Api, fresh: str) -> None:
    service.upload(fresh, "a")
    service.upload(fresh, "b")
    download = service.send("POST", f"/object/sign/{fresh}/a", {"expiresIn": 60}).json["signedURL"].split("token=")[1]
    upload = service.send("POST", f"/object/upload/sign/{fresh}/b", x_upsert="true").json["token"]
    for path, token in ((f"{fresh}/b", download), (f"{fresh}/b", upload), (f"{fresh}x/a", download)):
        assert nobody.send("GET", f"/object/sign/{path}?token={token}").code == (400, "400", "InvalidSignature")
    assert nobody.request("PUT", f"/object/upload/sign/{fresh}/a?token={download}", b"x").code[2] == "InvalidSignature"
    # neither is a bearer token, and no bearer token is one of these
    assert nobody.by(download).send("GET", "/bucket").code == (400, "403", "AccessDenied")
    assert nobody.send("GET", f"/object/sign/{fresh}/a?token={service.token}").code[2] == "InvalidSignature"


@pytest.mark.parametrize("forged", ["", "x", "a.b.c", "." * 3, "e30.e30.", "x" * 15_000])
def test_signed_url_forged(nobody: Api, service: Api, fresh: str, forged: str) -> None:
    service.upload(fresh, "a")
    good = service.send("POST", f"/object/sign/{fresh}/a", {"expiresIn": 60}).json["signedURL"].split("token=")[1]
    for token in (forged, good[:-4] + "AAAA", f"{forged}.{good}"):
        assert nobody.send("GET", f"/object/sign/{fresh}/a?token={token}").code[0] == 400
    assert nobody.send("GET", f"/object/sign/{fresh}/a").code == (400, "400", "InvalidRequest")


def test_signed_url_of_the_jwt_secret(nobody: Api, service: Api, fresh: str) -> None:
    """As storage-api signed them before it had keys of their own: with and without a scope."""
    service.upload(fresh, "a", b"old")
    for claims in ({}, {"scope": "download"}):
        token = tokens.mint({"url": f"{fresh}/a"} | claims)
        assert nobody.send("GET", f"/object/sign/{fresh}/a?token={token}").body == b"old"
    for claims in ({"scope": "upload"}, {"upsert": False}):
        token = tokens.mint({"url": f"{fresh}/a"} | claims)
        assert nobody.send("GET", f"/object/sign/{fresh}/a?token={token}").code[2] == "InvalidSignature"
    expired = tokens.mint({"url": f"{fresh}/a", "exp": int(time.time()) - 1})
    assert nobody.send("GET", f"/object/sign/{fresh}/a?token={expired}").code == (400, "400", "ExpiredToken")


def test_uploadToSignedUrl(service: Api, alice: Api, nobody: Api, shared: str) -> None:
    key = f"{ALICE}/k"
    signed = alice.send("POST", f"/object/upload/sign/{shared}/{key}").json
    assert signed["url"] == f"/object/upload/sign/{shared}/{key}?token={signed['token']}"
    assert nobody.request("PUT", signed["url"], b"one").json == {"Key": f"{shared}/{key}"}
    again = nobody.request("PUT", signed["url"], b"two", {"x-upsert": "true"})
    assert again.code == (400, "409", "KeyAlreadyExists")
    assert service.send("DELETE", f"/object/{shared}", {"prefixes": [key]}).json[0]["owner_id"] == ALICE


def test_createSignedUploadUrl_refusals(service: Api, alice: Api, anon: Api, nobody: Api, shared: str) -> None:
    assert alice.send("POST", f"/object/upload/sign/{shared}/theirs", {}).code == (400, "403", "AccessDenied")
    assert anon.send("POST", f"/object/upload/sign/{shared}/k", {}).code == (400, "403", "AccessDenied")
    assert service.send("POST", "/object/upload/sign/no-such/k", {}).code == (400, "404", "NoSuchBucket")
    service.upload(shared, "k")
    assert service.send("POST", f"/object/upload/sign/{shared}/k", {}).code == (400, "409", "KeyAlreadyExists")
    signed = service.send("POST", f"/object/upload/sign/{shared}/k", {}, x_upsert="true").json
    assert nobody.request("PUT", signed["url"], b"replaced").status == 200


def test_preflight_and_answers_for_browsers(nobody: Api, public: str, service: Api) -> None:
    answer = nobody.request(
        "OPTIONS",
        f"/object/{public}/k",
        None,
        {
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, x-upsert,x-client-info",
        },
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization, x-upsert, x-client-info"
    assert "access-control-allow-credentials" not in answer.headers
    for path in (f"/object/public/{public}/none", "/nothing"):
        assert nobody.send("GET", path, origin="https://app.example").headers["access-control-allow-origin"] == "*"


def test_openapi_describes_every_route(nobody: Api) -> None:
    from gateway.rest.routes import ROUTES

    document = nobody.send("GET", "/openapi.json").json
    assert document["servers"] == [{"url": "/storage/v1"}]
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert described == {(method, route.path) for route in ROUTES for method in route.methods}
    assert "file_size_limit" in document["components"]["schemas"]["NewBucket"]["properties"]


def test_listObjects_names_of_other_buckets(name: Callable[[], str], service: Api) -> None:
    assert service.send("POST", f"/object/list/{name()}", {"prefix": ""}).code == (400, "404", "NoSuchBucket")
