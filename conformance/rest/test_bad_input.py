"""What no client sends: every route answers in the documented shape, and never with a failure of the server."""

import json
import socket

import pytest

from conformance.rest import tokens
from conformance.rest.client import Api
from gateway.rest.routes import ROUTES, Access, Body, Route

NASTY = [
    b"", b"null", b"[]", b"1", b'"text"', b"{", b"{]", b"\xff\xfe", b'{"a":' * 5000, b"[" * 100_000,
    b'{"name": "\\ud800"}', b'{"prefix": "\\u0000"}', b'{"prefix": 1e999}', b'{"name": {"a": 1}}',
]  # fmt: skip
WRONG = [None, True, 1, -1, 10**30, 1.5, "", "\0", "x" * 100_000, [], [None], [[]], {}, {"column": "x"}, {"a": {}}]


def path_of(route: Route, bucket: str) -> str:
    return route.path.replace("{bucket}", bucket).replace("{key}", "some/key")


CALLS = [(route, method) for route in ROUTES for method in route.methods]


@pytest.fixture(scope="module")
def victim(service: Api) -> str:
    import os

    return service.make_bucket(f"rest-bad-{os.getpid()}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")


def fine(answer, method: str) -> None:
    """Success, or an error of the documented shape that is the client's."""
    assert answer.status < 500 or answer.status == 501, answer.body
    if answer.status >= 400 and method != "HEAD":
        assert answer.code[1] < "500" or answer.code[1] == "501"


@pytest.mark.parametrize(("route", "method"), CALLS, ids=lambda each: getattr(each, "name", each))
def test_every_route_without_a_token(nobody: Api, route: Route, method: str) -> None:
    answer = nobody.request(method, path_of(route, "no-such"), b"{}" if method in ("POST", "PUT") else None)
    if route.access is not Access.TOKEN:
        fine(answer, method)
        return
    assert answer.status == 400
    if method != "HEAD":
        assert answer.code == (400, "400", "InvalidRequest")
        assert answer.json["message"] == "headers must have required property 'authorization'"


BAD_TOKENS = {
    "garbage": "garbage",
    "none": tokens.mint({"role": "service_role"}, algorithm="none"),
    "other secret": tokens.mint({"role": "service_role"}, "another secret that has more than 32 characters"),
    "expired": tokens.mint({"role": "service_role", "exp": 1}),
    "superuser": tokens.mint({"role": "postgres"}),
    "engine": tokens.mint({"role": "rowlock_engine"}),
    "list": tokens.mint({"role": ["service_role"]}),
    "huge": "x" * 12_000,
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
@pytest.mark.parametrize(("route", "method"), CALLS, ids=lambda each: getattr(each, "name", each))
def test_every_route_with_a_bad_token(nobody: Api, route: Route, method: str, token: str) -> None:
    answer = nobody.by(token).request(method, path_of(route, "no-such"))
    if route.access is not Access.TOKEN:
        fine(answer, method)
    elif method != "HEAD":
        assert answer.code == (400, "403", "AccessDenied")
        assert answer.json["error"] == "Unauthorized"


@pytest.mark.parametrize("scheme", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "AWS4-HMAC-SHA256 x"])
def test_other_authorization(nobody: Api, scheme: str) -> None:
    assert nobody.request("GET", "/bucket", None, {"authorization": scheme}).code == (400, "403", "AccessDenied")


@pytest.mark.parametrize(("route", "method"), CALLS, ids=lambda each: getattr(each, "name", each))
def test_every_route_for_an_unknown_bucket(service: Api, alice: Api, route: Route, method: str) -> None:
    for caller in (service, alice):
        fine(caller.request(method, path_of(route, "no-such-bucket"), b"{}" if method != "HEAD" else None), method)


@pytest.mark.parametrize("body", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("route", [route for route in ROUTES if route.body is Body.JSON], ids=lambda route: route.name)
def test_every_document_malformed(service: Api, victim: str, route: Route, body: bytes) -> None:
    answer = service.request(route.methods[0], path_of(route, victim), body, {"content-type": "application/json"})
    fine(answer, route.methods[0])


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.document is not None], ids=lambda route: route.name
)
def test_every_member_of_the_wrong_type(service: Api, victim: str, route: Route) -> None:
    assert route.document is not None
    names = [field.alias or name for name, field in route.document.model_fields.items()]
    good = {
        "name": victim, "public": False, "prefix": "", "prefixes": ["none"], "bucketId": victim, "sourceKey": "none",
        "destinationKey": "none2", "expiresIn": 60, "paths": ["none"],
    }  # fmt: skip
    for name in names:
        for wrong in WRONG:
            body = {key: value for key, value in good.items() if key in names} | {name: wrong}
            fine(service.send(route.methods[0], path_of(route, victim), body), route.methods[0])


@pytest.mark.parametrize("route", [route for route in ROUTES if route.query is not None], ids=lambda route: route.name)
def test_every_parameter_of_the_wrong_type(service: Api, victim: str, route: Route) -> None:
    assert route.query is not None
    for name in [field.alias or name for name, field in route.query.model_fields.items()]:
        for wrong in ("", "-1", "1.5", "x", "%00", "%ff", "9" * 40, "a&" + name + "=b", "%F0%9F%8E%89"):
            path = f"{path_of(route, victim)}?{name}={wrong}"
            body = b"x" if route.body is Body.OBJECT else None
            fine(service.request(route.methods[0], path, body), route.methods[0])


def test_documents_that_are_too_large(service: Api, victim: str) -> None:
    body = json.dumps({"prefix": "x" * 1_100_000}).encode()
    assert service.request("POST", f"/object/list/{victim}", body).code == (400, "413", "EntityTooLarge")
    assert service.request("POST", f"/object/list/{victim}", iter([b" " * 100_000] * 11)).code[1] == "413"


def test_too_many_names(service: Api, victim: str) -> None:
    body = {"prefixes": [f"k{number}" for number in range(1001)]}
    assert service.send("DELETE", f"/object/{victim}", body).code == (400, "400", "InvalidRequest")


@pytest.mark.parametrize("path", ["/", "/nothing", "/object", "/bucket/a/b/c", "/object/", "/bucket//", "/object/b/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_unknown_routes(service: Api, method: str, path: str) -> None:
    answer = service.request(method, path)
    assert answer.code == (404, "404", "InvalidRequest")
    assert answer.json["message"] == f"Route {method}:{path} not found"


@pytest.mark.parametrize(
    "path", ["/object/b/%", "/bucket/%ff", "/object/b/a%00", "/object/public/%zz/k", "/bucket/%00"]
)
def test_paths_that_are_no_text(service: Api, path: str) -> None:
    assert service.request("GET", path).code[0] == 400


def test_missing_members_are_named(service: Api, victim: str) -> None:
    answer = service.send("POST", "/object/move", {"bucketId": victim})
    assert answer.json == {
        "statusCode": "400", "error": "Error", "message": "body must have required property 'sourceKey'",
        "code": "InvalidRequest",
    }  # fmt: skip
    assert (
        service.send("POST", f"/object/sign/{victim}/k", {"expiresIn": 0}).json["message"]
        == "body/expiresIn must be >= 1"
    )


def test_metadata_header_that_is_none(service: Api, victim: str) -> None:
    for value in ("x", "bnVsbA==", "W10=", "eyJhIjogIlx1ZDgwMCJ9", "eyJhIjogIlx1MDAwMCJ9", "e30"):
        assert service.upload(victim, "k", x_metadata=value).code[:2] == (400, "400")


def test_upload_that_breaks_off(service: Api, victim: str) -> None:
    with socket.create_connection((service.host, service.port)) as connection:
        connection.sendall(
            f"POST /storage/v1/object/{victim}/broken HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            f"Authorization: Bearer {service.token}\r\n\r\npart".encode()
        )
    assert service.send("HEAD", f"/object/{victim}/broken").status == 400
