"""What an operator chooses for a tenant: its doors, its backends, its tokens; and refusals at the JSON door."""

import base64
import contextlib
import http.client
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conformance.fleet import Fleet, refusal, running_fleet
from conformance.target import target_from_environment

pytestmark = pytest.mark.skipif(target_from_environment() is not None, reason="the suite must start the server itself")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="module")
def fleet(shelf: Path) -> Iterator[Fleet]:
    backends = {"shelf": {"kind": "file", "directory": str(shelf)}}
    with running_fleet(ROWLOCK_BACKENDS=json.dumps(backends), ROWLOCK_WORKERS="1") as started:
        yield started


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def at_host(fleet: Fleet, tenant_id: str, method: str, path: str, **headers: str) -> Answer:
    """One unsigned request that names its tenant by the host."""
    place = urlsplit(fleet.running.target.endpoint_url)
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)) as connection:
        connection.request(method, path, headers={"host": f"{tenant_id}.s3.test", **headers})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def code(answer: Answer) -> str:
    return str(json.loads(answer.body)["code"])


def test_tenant_without_the_json_api_has_an_ordinary_bucket_name_there(fleet: Fleet) -> None:
    fleet.make("no-rest", features={"rest": False})
    answer = at_host(fleet, "no-rest", "GET", "/storage/v1/bucket", authorization="Bearer x")
    assert answer.status in (400, 403)
    assert answer.body.startswith(b"<?xml")


def test_tenant_without_s3_is_denied_there_and_served_elsewhere(fleet: Fleet) -> None:
    client = fleet.make("no-s3", features={"s3": False}, jwt_secret="s" * 40)
    assert refusal(client.s3.list_buckets) == (403, "AccessDenied")
    answer = at_host(fleet, "no-s3", "GET", "/storage/v1/object/public/none/none")
    assert (answer.status, json.loads(answer.body)["statusCode"]) == (400, "404")


@pytest.mark.parametrize(
    "settings",
    [
        {"features": {"s4": True}},
        {"features": {"s3": "yes"}},
        {"backends": {"default": "nowhere"}},
        {"backends": {"default": 1}},
        {"backends": {"named": {"own": {"kind": "no such kind"}}}},
        {"backends": {"named": {"own": {"kind": "file"}}}},
        {"backends": {"named": {"own": {"kind": "s3", "bucket": "b", "secret_access_key": "in the open"}}}},
        {"jwks_url": "http://issuer.example/keys"},
        {"jwks_url": "https://user:password@issuer.example/keys"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwt_issuer": ""},
    ],
)
def test_choice_that_cannot_be_is_refused(fleet: Fleet, settings: dict[str, Any]) -> None:
    document = {"id": "refused", "database_url": "postgresql:///nowhere", **settings}
    status, answer = fleet.admin("POST", "/tenants", document)
    assert status == 400, answer
    assert "in the open" not in json.dumps(answer)
    assert fleet.admin("GET", "/tenants/refused")[0] == 404


def test_default_backend_of_a_tenant_is_its_own(fleet: Fleet, shelf: Path, tmp_path: Path) -> None:
    own = {"default": "own", "named": {"own": {"kind": "file", "directory": str(tmp_path)}}}
    client = fleet.make("own-backend", backends=own)
    client.s3.create_bucket(Bucket="bucket")
    content = os.urandom(100_000)
    client.s3.put_object(Bucket="bucket", Key="key", Body=content)
    assert client.s3.get_object(Bucket="bucket", Key="key")["Body"].read() == content
    assert any(path.stat().st_size >= 100_000 for path in (tmp_path / "own-backend").rglob("*") if path.is_file())

    assert fleet.admin("PATCH", "/tenants/own-backend", {"backends": {**own, "default": "shelf"}})[0] == 200
    deadline = time.monotonic() + 10
    while client.s3.put_object(Bucket="bucket", Key="second", Body=content):
        if any(path.is_file() for path in (shelf / "own-backend").rglob("*")):
            break
        assert time.monotonic() < deadline, "the change of backend was not seen"
        time.sleep(0.1)
    assert client.s3.get_object(Bucket="bucket", Key="key")["Body"].read() == content


def test_tokens_of_the_tenants_own_issuer(fleet: Fleet) -> None:
    issuer = Issuer()
    try:
        fleet.make("issued", jwks_url=issuer.url, jwt_issuer="https://issuer.example", jwt_audience="storage,other")
        fleet.make("not-issued")
        good = {"iss": "https://issuer.example", "aud": "storage", "role": "service_role", "exp": time.time() + 60}
        token = issuer.token(good)
        answer = at_host(fleet, "issued", "GET", "/storage/v1/bucket", authorization=f"Bearer {token}")
        assert (answer.status, json.loads(answer.body)) == (200, [])
        for tenant_id, claims in (
            ("not-issued", good),
            ("issued", {**good, "iss": "https://elsewhere.example"}),
            ("issued", {**good, "aud": "else"}),
        ):
            forged = at_host(
                fleet, tenant_id, "GET", "/storage/v1/bucket", authorization=f"Bearer {issuer.token(claims)}"
            )
            assert (forged.status, code(forged)) in ((400, "InvalidJWT"), (400, "AccessDenied"))
    finally:
        issuer.stop()


def test_refusal_at_the_json_door_is_json(fleet: Fleet) -> None:
    fleet.make("narrow", limits={"requests_per_second": 1, "request_burst": 1})
    answers = [at_host(fleet, "narrow", "GET", "/storage/v1/object/public/none/none") for _ in range(3)]
    slowed = answers[-1]
    document = json.loads(slowed.body)
    assert (slowed.status, document["statusCode"], document["code"]) == (429, "429", "SlowDown")
    assert slowed.headers["retry-after"] == "1"
    unknown, known = (
        at_host(fleet, name, "GET", "/storage/v1/bucket", authorization="Bearer x") for name in ("nobody-here", "no-s3")
    )
    assert (unknown.status, json.loads(unknown.body)) == (known.status, json.loads(known.body))


def test_unreadable_tenant_database_is_a_json_refusal_too(fleet: Fleet) -> None:
    document = {"id": "gone", "database_url": "postgresql://127.0.0.1:1/none?connect_timeout=2"}
    assert fleet.admin("POST", "/tenants", document)[0] == 201
    answer = at_host(fleet, "gone", "GET", "/storage/v1/object/public/none/none")
    assert (answer.status, code(answer)) == (503, "ServiceUnavailable")
    with pytest.raises(ClientError):
        fleet.client("gone").s3.list_buckets()


class Issuer:
    """Publishes one key and signs with it."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": _base64url(public)}
        document = json.dumps({"keys": [jwk]}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def token(self, claims: dict[str, Any]) -> str:
        head = _base64url(json.dumps({"alg": "EdDSA", "kid": "one"}).encode())
        signed = f"{head}.{_base64url(json.dumps({**claims, 'exp': int(claims['exp'])}).encode())}"
        return f"{signed}.{_base64url(self._key.sign(signed.encode()))}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
