"""The admin API of many tenants, and the same by command: who may use it, what it refuses, and what it shows.

Starts a server of its own; each tenant has a database on its Postgres.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from conformance.fleet import ADMIN_KEY, REVOCATION_SECONDS, Client, Fleet, anonymous, running_fleet, until_refused
from conformance.target import target_from_environment

pytestmark = pytest.mark.skipif(target_from_environment() is not None, reason="the suite must start the server itself")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with running_fleet() as started:
        yield started


@pytest.fixture(scope="module")
def a(fleet: Fleet) -> Client:
    return fleet.make("tenant-a")


@pytest.fixture(scope="module")
def b(fleet: Fleet) -> Client:
    return fleet.make("tenant-b")


class TestAdmin:
    def test_key_is_required(self, fleet: Fleet) -> None:
        for key in (None, "", "wrong", ADMIN_KEY + "x", ADMIN_KEY[:-1]):
            for path in ("/tenants", "/openapi.json", "/nothing", "/tenants/tenant-a/keys"):
                status, document = fleet.admin("GET", path, key=key)
                assert (status, document["code"]) == (403, "AccessDenied")

    def test_bearer_is_taken_too(self, fleet: Fleet) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", fleet.admin_port, timeout=30)) as connection:
            connection.request("GET", "/tenants", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
            assert connection.getresponse().status == 200

    def test_s3_port_serves_no_admin(self, fleet: Fleet) -> None:
        status, _ = anonymous(fleet, "127.0.0.1", "/tenants")
        assert status in (403, 404)

    def test_tenants_are_shown_without_secrets(self, fleet: Fleet, a: Client) -> None:
        for path in ("/tenants", "/tenants/tenant-a", "/tenants/tenant-a/keys", "/migrations", "/audit"):
            status, document = fleet.admin("GET", path)
            assert status == 200
            assert "for-tests" not in json.dumps(document)
            assert a.target.secret_access_key not in json.dumps(document)

    @pytest.mark.parametrize(
        ("method", "path", "body", "expected"),
        [
            ("POST", "/tenants", {}, (400, "InvalidArgument")),
            ("POST", "/tenants", {"id": "UPPER", "database_url": "postgresql:///x"}, (400, "InvalidArgument")),
            ("POST", "/tenants", {"id": "x", "database_url": "no url"}, (400, "InvalidArgument")),
            ("POST", "/tenants", {"id": "x", "database_url": "postgresql:///x", "typo": 1}, (400, "InvalidArgument")),
            ("POST", "/tenants", {"id": "tenant-a", "database_url": "postgresql:///x"}, (409, "EntityAlreadyExists")),
            ("POST", "/tenants", {"id": "default", "database_url": "postgresql:///x"}, (409, "EntityAlreadyExists")),
            ("GET", "/tenants/nobody", None, (404, "NoSuchEntity")),
            ("PATCH", "/tenants/nobody", {}, (404, "NoSuchEntity")),
            ("PUT", "/tenants/tenant-a/limits", {"storage_bytes": -1}, (400, "InvalidArgument")),
            ("PUT", "/tenants/tenant-a/limits", {"storage": 1}, (400, "InvalidArgument")),
            ("POST", "/tenants/nobody/keys", {}, (404, "NoSuchEntity")),
            ("POST", "/tenants/tenant-a/keys", {"role": "postgres"}, (400, "InvalidArgument")),
            ("POST", "/tenants/tenant-a/keys", {"secret_access_key": ""}, (400, "InvalidArgument")),
            ("DELETE", "/tenants/tenant-a/keys/NOBODY", None, (404, "NoSuchEntity")),
            ("POST", "/tenants/tenant-a/jwks", {"jwk": {"kty": "oct"}}, (400, "InvalidArgument")),
            ("DELETE", "/tenants/tenant-a/jwks/none", None, (404, "NoSuchEntity")),
            ("GET", "/tenants?limit=0", None, (400, "InvalidArgument")),
            ("GET", "/tenants?limit=x", None, (400, "InvalidArgument")),
            ("GET", "/tenants?other=1", None, (400, "InvalidArgument")),
            ("GET", "/nothing", None, (404, "NoSuchEntity")),
            ("PUT", "/tenants", {}, (405, "MethodNotAllowed")),
        ],
    )
    def test_refusals(
        self, fleet: Fleet, a: Client, method: str, path: str, body: Any, expected: tuple[int, str]
    ) -> None:
        status, document = fleet.admin(method, path, body)
        assert (status, document["code"]) == expected
        assert document["message"]

    def test_body_that_is_no_json(self, fleet: Fleet) -> None:
        for content in (b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"id": "\\ud800"}'):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", fleet.admin_port, timeout=30)) as wire:
                wire.request("POST", "/tenants", content, {"apikey": ADMIN_KEY})
                answer = wire.getresponse()
                assert (answer.status, json.loads(answer.read())["code"]) == (400, "InvalidArgument")

    def test_jwks(self, fleet: Fleet, a: Client) -> None:
        jwk = {"kty": "oct", "kid": "one", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}
        assert fleet.admin("POST", "/tenants/tenant-a/jwks", {"jwk": jwk})[1]["signing"] is True
        assert fleet.admin("POST", "/tenants/tenant-a/jwks", {"jwk": jwk | {"kid": "two"}})[1]["signing"] is False
        assert fleet.admin("POST", "/tenants/tenant-a/jwks/two/roll")[0] == 200
        _, listed = fleet.admin("GET", "/tenants/tenant-a/jwks")
        assert {key["kid"]: key["signing"] for key in listed["keys"]} == {"one": False, "two": True}
        assert jwk["k"] not in json.dumps(listed)
        assert fleet.admin("DELETE", "/tenants/tenant-a/jwks/one")[0] == 204

    def test_what_it_changes_is_audited(self, fleet: Fleet, a: Client) -> None:
        fleet.admin("PATCH", "/tenants/tenant-a", {"description": "renamed"})
        _, page = fleet.admin("GET", "/audit?tenant=tenant-a&limit=1")
        (entry,) = page["entries"]
        assert (entry["actor"], entry["action"], entry["changed"]) == ("admin API", "update tenant", ["description"])
        assert (entry["client_address"], bool(entry["request_id"])) == ("127.0.0.1", True)

    def test_pages(self, fleet: Fleet, a: Client, b: Client) -> None:
        found: list[str] = []
        after = ""
        while True:
            _, page = fleet.admin("GET", f"/tenants?limit=1&after={after}")
            found += [tenant["id"] for tenant in page["tenants"]]
            if page["next"] is None:
                break
            after = page["next"]
        assert found == sorted(found)
        assert {"tenant-a", "tenant-b"} <= set(found)

    def test_openapi_describes_every_route(self, fleet: Fleet) -> None:
        status, document = fleet.admin("GET", "/openapi.json")
        assert (status, document["openapi"]) == (200, "3.1.0")
        assert set(document["paths"]["/tenants/{id}"]) == {"get", "patch", "delete"}
        text = json.dumps(document)
        for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
            assert reference in document["components"]["schemas"]


class TestCommandLine:
    def test_tenants_keys_and_migrations(self, fleet: Fleet, b: Client) -> None:
        run = fleet.running.run
        listed = json.loads(run("tenants", "list", "--json").stdout)
        assert "tenant-b" in {tenant["id"] for tenant in listed}
        assert (
            json.loads(run("tenants", "limits", "tenant-b", '{"requests_per_second": 1000}', "--json").stdout)[
                "requests_per_second"
            ]
            == 1000
        )
        key = json.loads(run("keys", "create", "--tenant", "tenant-b", "--json").stdout)
        target = replace(b.target, access_key_id=key["access_key_id"], secret_access_key=key["secret_access_key"])
        with contextlib.closing(target.client()) as s3:
            assert s3.list_buckets()["Owner"]["ID"] == b.s3.list_buckets()["Owner"]["ID"]
        run("keys", "revoke", "--tenant", "tenant-b", key["access_key_id"])
        assert until_refused(Client("tenant-b", target, None), "InvalidAccessKeyId") < REVOCATION_SECONDS
        run("migrate", "run", "tenant-b")
        states = json.loads(run("migrate", "status", "--json").stdout)
        assert {"tenant-b": "current"}.items() <= {state["tenant_id"]: state["status"] for state in states}.items()
        assert json.loads(run("tenants", "health", "tenant-b", "--json").stdout)["database"] == "ok"

    def test_keys_of_another_tenant_are_not_there(self, fleet: Fleet, a: Client, b: Client) -> None:
        listed = json.loads(fleet.running.run("keys", "list", "--tenant", "tenant-a", "--json").stdout)
        assert a.target.access_key_id in {key["access_key_id"] for key in listed}
        assert b.target.access_key_id not in {key["access_key_id"] for key in listed}


def test_no_secret_is_in_the_log(fleet: Fleet, a: Client, b: Client) -> None:
    log = fleet.running.log.read_text(errors="replace")
    for secret in (ADMIN_KEY, a.target.secret_access_key, b.target.secret_access_key, "for-tests"):
        assert secret not in log
    assert "Traceback" not in log
