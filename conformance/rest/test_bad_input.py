"""What no client sends: every route answers in the documented shape, and never with a failure of the server."""

import contextlib
import http.client
import json
import re
import socket

import pytest

from conformance.rest import tokens
from conformance.rest.client import Api, form
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


def test_every_documented_operation_is_tried_here(nobody: Api) -> None:
    """What the running server says it serves is what the tests above are made of."""
    described = {
        (method.upper(), path)
        for path, operations in nobody.send("GET", "/openapi.json").json["paths"].items()
        for method in operations
    }
    assert described == {(method, route.path) for route, method in CALLS}


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_methods_a_path_does_not_have(service: Api, victim: str, path: str) -> None:
    bare = path.replace("{bucket}", victim).replace("{key}", "some/key")
    # a path may be another route's too, as ``/object/copy`` is the key-less form of none
    served = {method for each in ROUTES for method in each.methods if fits(each.path, path)}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - served:
        answer = service.request(method, bare)
        assert answer.code == (404, "404", "InvalidRequest"), method
        assert answer.json["message"] == f"Route {method}:{bare} not found"
    # methods that the server does not take at all, of which TRACE would repeat the caller's token (RFC 9110 §9.3.8)
    for method in ("TRACE", "PROPFIND"):
        assert service.request(method, bare).code == (400, "405", "MethodNotAllowed")


def fits(general: str, path: str) -> bool:
    """Whether a request for ``path`` could be one for ``general``."""
    pattern = re.escape(general).replace(re.escape("{bucket}"), "[^/]+").replace(re.escape("{key}"), ".+")
    return re.fullmatch(pattern, path) is not None


KEYED = [(route, method) for route, method in CALLS if "{bucket}" in route.path]


@pytest.mark.parametrize(("route", "method"), KEYED, ids=lambda each: getattr(each, "name", each))
def test_names_that_are_no_text(service: Api, victim: str, route: Route, method: str) -> None:
    """NUL, broken UTF-8, an escape that is none, and a name no statement could ask for."""
    body = b"{}" if method in ("POST", "PUT") else None
    for wrong in ("%00", "a%00b", "%ff", "%ed%a0%80", "%c0%af", "%", "%zz", "%2", "x" * 4097):
        names = [{"bucket": wrong, "key": "key"}]
        if "{key}" in route.path:
            names.append({"bucket": victim, "key": wrong})
        for each in names:
            path = route.path.replace("{bucket}", each["bucket"]).replace("{key}", each["key"])
            answer = service.request(method, f"{path}?token=x", body)
            assert answer.status in (400, 403), (path[:80], answer.status)
            fine(answer, method)


DOCUMENTED = [route for route in ROUTES if route.body is Body.JSON]


@pytest.mark.parametrize("route", DOCUMENTED, ids=lambda route: route.name)
def test_documents_that_are_too_large_or_no_text(service: Api, victim: str, route: Route) -> None:
    method, path = route.methods[0], path_of(route, victim)
    large = b'{"prefix": "' + b"x" * 1_100_000 + b'"}'
    assert service.request(method, path, large).code == (400, "413", "EntityTooLarge")
    for wrong in (b'{"prefix": "\xff"}', b'{"name": "\xed\xa0\x80"}', b"\x00", b"{}{}", b"\xef\xbb\xbf[", b"NaN"):
        answer = service.request(method, path, wrong, {"content-type": "application/json"})
        assert answer.code == (400, "400", "InvalidRequest"), wrong


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body is Body.OBJECT], ids=lambda route: route.name
)
def test_bodies_of_objects_that_are_none(service: Api, victim: str, route: Route) -> None:
    path = f"{path_of(route, victim)}?token={upload_token(service, victim) if route.query else ''}"

    def refused(body: object, content_type: str, **headers: str) -> tuple[int, str, str]:
        answer = service.request(route.methods[0], path, body, {"content-type": content_type} | headers)
        return answer.code

    assert refused(b"x" * 2_000_001, "text/plain") == (400, "413", "EntityTooLarge")
    assert refused(iter([b"x" * 500_000] * 5), "text/plain") == (400, "413", "EntityTooLarge")
    assert refused(form([("", "a", "text/plain", b"x" * 2_000_001)]), FORM)[:2] == (400, "413")
    for body in (b"", b"--cut-here--\r\n", b"--cut-here\r\n", b"nonsense", form([("cacheControl", None, None, b"1")])):
        assert refused(body, FORM)[:2] == (400, "400"), body
    assert refused(form([("metadata", None, None, b"{"), ("", "a", None, b"x")]), FORM)[:2] == (400, "400")
    assert refused(form([("metadata", None, None, b"\xff"), ("", "a", None, b"x")]), FORM)[:2] == (400, "400")
    assert refused(form([("", "a", None, b"x")]), "multipart/form-data")[:2] == (400, "400")
    # a head that is no HTTP is refused before it is known whose it is
    assert service.request(route.methods[0], path, b"x", {"content-type": "text/plain\x01"}).status == 400
    assert service.send("HEAD", f"/object/{victim}/some/key").status == 400


FORM = "multipart/form-data; boundary=cut-here"


def upload_token(service: Api, bucket: str) -> str:
    return str(service.send("POST", f"/object/upload/sign/{bucket}/some/key").json["token"])


@pytest.mark.parametrize(("route", "method"), CALLS, ids=lambda each: getattr(each, "name", each))
def test_headers_that_come_twice(service: Api, route: Route, method: str) -> None:
    """Who proves himself twice has not, and a body has one length; the rest is for each route to take or refuse."""
    path = path_of(route, "no-such")
    for name, values in TWICE.items():
        lines = [f"{name}: {value}".replace("TOKEN", service.token or "") for value in values]
        if name != "Authorization":
            lines.append(f"Authorization: Bearer {service.token}")
        status, body = raw(service, f"{method} {service.prefix}{path} HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(lines))
        assert status < 500 or status == 501, (name, status)
        if name in ("Authorization", "Content-Length"):
            assert status in (400, 403) or route.access is not Access.TOKEN, (name, status)
        if status >= 400 and method != "HEAD" and name != "Content-Length":
            assert set(json.loads(body)) == {"statusCode", "error", "message", "code"}, name


TWICE = {
    "Authorization": ("Bearer TOKEN", "Bearer other"),
    "Content-Length": ("2", "3"),
    "Content-Type": ("application/json", "text/plain"),
    "X-Upsert": ("true", "false"),
    "X-Metadata": ("e30=", "e30="),
    "Range": ("bytes=0-1", "bytes=2-3"),
    "If-None-Match": ('"a"', '"b"'),
}


def raw(api: Api, head: str) -> tuple[int, bytes]:
    """Status and body of the answer to a head as it is, on a connection of its own."""
    with socket.create_connection((api.host, api.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        with contextlib.closing(http.client.HTTPResponse(connection, method=head.partition(" ")[0])) as response:
            response.begin()
            return response.status, response.read()


def test_nothing_of_all_this_was_stored(service: Api, victim: str) -> None:
    assert service.send("POST", f"/object/list-v2/{victim}", {}).json["objects"] == []
