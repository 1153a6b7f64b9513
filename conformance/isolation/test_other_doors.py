"""The doors beside the operations: credentials of B presented to A and the other way round, browser forms, preflights,
STS and the admin API; and that the comparison would see a leak.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.credentials import Credentials

from conformance import forms
from conformance.fleet import ADMIN_KEY
from conformance.isolation import rest_plan, s3_plan
from conformance.isolation.callers import Caller, Kind
from conformance.isolation.comparison import Comparison
from conformance.isolation.names import SHARED_BUCKET, SHARED_KEY, Names
from conformance.isolation.wire import Request, Wire
from conformance.isolation.world import World, host_of
from gateway.admin.routes import ROUTES as ADMIN_ROUTES
from gateway.auth.token_settings import anon_token
from gateway.operations.table import OPERATIONS
from gateway.rest.routes import ROUTES
from gateway.sts.front import StsFront

FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
STS_VERSION = "2011-06-15"
ROLE = "arn:aws:iam::000000000000:role/authenticated"
STS_PARAMETERS = {
    "AssumeRole": {"RoleArn": ROLE, "RoleSessionName": "matrix"},
    "AssumeRoleWithWebIdentity": {"RoleArn": ROLE, "RoleSessionName": "matrix"},
    "GetCallerIdentity": {},
    "GetSessionToken": {},
}


def report(comparison: Comparison, before: Any) -> None:
    assert comparison.asked
    assert not comparison.differences, "\n".join(comparison.differences)
    assert comparison.world.others_state() == before


class TestTheMatrixItself:
    """Its names are real, and it is not blind."""

    def test_what_is_named_exists_for_its_owner(self, two_tenants: World) -> None:
        names, other = two_tenants.others, two_tenants.other
        owner = Caller(Kind.KEY, other.host, other.keys)
        asked = {
            "GetObject": ("Bucket", "Key", "VersionId"),
            "GetObjectTagging": ("Bucket",),
            "GetBucketCors": ("Bucket",),
            "GetBucketTagging": ("Bucket",),
            "GetBucketLifecycleConfiguration": ("Bucket",),
            "ListParts": ("UploadId",),
            "ListObjectsV2": ("Prefix", "ContinuationToken"),
        }
        for operation, details in asked.items():
            for cell in s3_plan.cells(operation):
                if cell.detail in details:
                    answer = two_tenants.wire.send(owner.signed(cell.make(names)))
                    assert answer.status == 200, (operation, cell, answer.body)

    @pytest.mark.parametrize("operation", ["GetObject", "HeadObject", "ListObjectsV2", "ListParts", "GetBucketCors"])
    def test_leak_would_be_seen(self, two_tenants: World, operation: str) -> None:
        other = two_tenants.other
        leaking = Comparison(two_tenants)
        owner = Caller(Kind.KEY, other.host, other.keys)
        for cell in s3_plan.cells(operation):
            leaking.ask(cell.place, lambda names, cell=cell: owner.signed(cell.make(names)))
        assert leaking.differences

    def test_change_would_be_seen(self, two_tenants: World) -> None:
        other = two_tenants.other
        before = two_tenants.others_state()
        stored = other.client.s3.put_object(Bucket=SHARED_BUCKET, Key="seen", Body=bytes(20_000))
        rows, files = two_tenants.others_state()
        assert (rows != before[0], files != before[1]) == (True, True)
        other.client.s3.delete_object(Bucket=SHARED_BUCKET, Key="seen", VersionId=stored["VersionId"])


class TestForeignCredentials:
    """Parts of one tenant's credentials with parts of another's. A key id of B with a wrong secret is not among them:
    it is SignatureDoesNotMatch, an unknown id InvalidAccessKeyId, as at AWS; ids are random."""

    def test_session_token_of_the_other_tenant(self, two_tenants: World) -> None:
        comparison, before = Comparison(two_tenants), two_tenants.others_state()
        mine = two_tenants.mine
        secret = anon_token(mine.jwt_secret)
        for operation in OPERATIONS:
            request = s3_plan.plain(operation.name)
            ways: dict[str, Callable[[Names], Credentials]] = {
                "their token at my id": lambda names: Credentials(mine.id, secret, names.user_token),
                "my token at their id": lambda names: Credentials(names.tenant, secret, mine.user_token()),
                "no token at their id": lambda names: Credentials(names.tenant, secret),
            }
            for (way, keys), kind in itertools.product(ways.items(), (Kind.SESSION_TOKEN, Kind.PRESIGNED)):
                caller = two_tenants.caller(kind)
                comparison.ask(
                    f"{operation.name} by {kind}: {way}",
                    lambda names, c=caller, k=keys, r=request: replace(c, keys=k(names)).signed(r),
                )
        report(comparison, before)

    def test_signed_url_of_the_other_tenant_opens_no_route(self, two_tenants: World) -> None:
        comparison, before = Comparison(two_tenants), two_tenants.others_state()
        caller = two_tenants.caller(Kind.ANONYMOUS)
        for route in ROUTES:
            plain = rest_plan.plain(route)
            comparison.ask(
                route.name,
                lambda names, p=plain: caller.signed(
                    replace(p, target=p.target.partition("?")[0] + "?token=" + names.download_token)
                ),
            )
        report(comparison, before)


class TestBrowserForms:
    @pytest.mark.parametrize("kind", [Kind.FORM, Kind.ANONYMOUS])
    def test_form_upload(self, two_tenants: World, kind: Kind) -> None:
        comparison, before = Comparison(two_tenants), two_tenants.others_state()
        mine = two_tenants.mine

        def form(bucket: str, key: str, host: str, **more: str) -> Request:
            fields = {"key": key, **{name.replace("_", "-"): value for name, value in more.items()}}
            conditions: list[Any] = [{"bucket": bucket}, *({name: value} for name, value in fields.items())]
            if kind is Kind.FORM:
                fields |= forms.signed(mine.client.target, conditions)
            headers = (("Host", host), ("Content-Type", f"multipart/form-data; boundary={forms.BOUNDARY}"))
            return Request("POST", f"/{bucket}", headers, forms.body(fields, b"file"))

        comparison.ask("bucket", lambda names: form(names.bucket, names.key, mine.host))
        comparison.ask("key", lambda names: form(SHARED_BUCKET, names.shared_key, mine.host))
        comparison.ask(
            "grantee",
            lambda names: form(SHARED_BUCKET, "form", mine.host, x_amz_grant_read=f'id="{names.canonical_id}"'),
        )
        comparison.ask(
            "forwarded", lambda names: s3_plan.forwarded(form(SHARED_BUCKET, "f", mine.host), host_of(names.tenant))
        )
        if kind is Kind.FORM:
            comparison.ask("host", lambda names: form(SHARED_BUCKET, SHARED_KEY, host_of(names.tenant)))
        report(comparison, before)


def test_preflight(two_tenants: World) -> None:
    comparison, before = Comparison(two_tenants), two_tenants.others_state()
    origin = next(text for text in two_tenants.canaries if text.startswith("https://"))
    asked = (("Host", two_tenants.mine.host), ("Origin", origin), ("Access-Control-Request-Method", "GET"))
    comparison.ask("bucket", lambda names: Request("OPTIONS", f"/{names.bucket}/{names.key}", asked))
    comparison.ask("rest", lambda names: Request("OPTIONS", f"/storage/v1/object/{names.bucket}/{names.key}", asked))
    report(comparison, before)


class TestSts:
    """Actions of STS name a tenant by host and by token only. ``test_every_action`` fails when there is a new one."""

    def test_every_action(self) -> None:
        front = StsFront(None, _AnyAction(), None, domain=None, body_limits=None, send_idle_seconds=1)
        assert set(front._actions) == set(STS_PARAMETERS)

    @pytest.mark.parametrize("action", STS_PARAMETERS)
    def test_action(self, two_tenants: World, action: str) -> None:
        comparison, before = Comparison(two_tenants), two_tenants.others_state()
        mine = two_tenants.mine

        def request(**more: str) -> Request:
            form = {"Action": action, "Version": STS_VERSION, **STS_PARAMETERS[action], **more}
            return Request("POST", "/", FORM, urlencode(form).encode())

        signing = [
            two_tenants.caller(kind) for kind in (Kind.KEY, Kind.SESSION_TOKEN, Kind.WEB_IDENTITY, Kind.KEY_SESSION)
        ]
        nobody = two_tenants.caller(Kind.ANONYMOUS)
        if action == "AssumeRoleWithWebIdentity":
            own = mine.user_token()
            comparison.ask("token", lambda names: nobody.signed(request(WebIdentityToken=names.user_token)))
            comparison.ask(
                "host", lambda names: nobody.signed(request(WebIdentityToken=own), host=host_of(names.tenant))
            )
        for caller in signing:
            comparison.ask(
                f"host by {caller.kind}",
                lambda names, c=caller: c.signed(request(), host=host_of(names.tenant), service="sts"),
            )
            if action == "AssumeRole":
                comparison.ask(
                    f"source identity by {caller.kind}",
                    lambda names, c=caller: c.signed(request(SourceIdentity=names.subject), service="sts"),
                )
        report(comparison, before)


class _AnyAction:
    def __getattr__(self, name: str) -> Any:
        return name


class TestAdmin:
    """Whoever has the admin key runs all tenants; nobody else learns from it who there is. And what is B's is not
    among A's: its keys and JWKS are named below B alone."""

    @pytest.mark.parametrize("route", ADMIN_ROUTES, ids=[route.name for route in ADMIN_ROUTES])
    def test_without_the_admin_key_nothing_is_told(self, two_tenants: World, route: Any) -> None:
        before = two_tenants.others_state()
        mine = two_tenants.mine
        wire = Wire(two_tenants.fleet.admin_port)
        wrong = (None, "wrong", str(mine.keys.secret_key), mine.user_token(role="service_role"))
        key_id = two_tenants.other.client.target.access_key_id
        try:
            for key in wrong:
                answers = []
                for names in (two_tenants.others, two_tenants.nobodys):
                    path = route.path.replace("{id}", names.tenant).replace("{access_key_id}", key_id)
                    headers = (("Host", "admin"), *((("apikey", key),) if key else ()))
                    answer = wire.send(Request(route.method, path.replace("{kid}", "kid"), headers))
                    assert answer.status == 403
                    content = json.loads(answer.body)
                    content.pop("request_id")
                    answers.append((answer.status, content))
                assert answers[0] == answers[1]
        finally:
            wire.close()
        assert two_tenants.others_state() == before

    def test_keys_and_jwks_of_the_other_are_not_mine(self, two_tenants: World) -> None:
        fleet, mine, other = two_tenants.fleet, two_tenants.mine, two_tenants.other
        jwk = {"kty": "oct", "kid": "theirs", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}
        assert fleet.admin("POST", f"/tenants/{other.id}/jwks", {"jwk": jwk})[0] == 201
        key_id = other.client.target.access_key_id
        unknown = "N" * len(key_id)
        for method, path, theirs, nobodys in (
            ("DELETE", "keys/{}", key_id, unknown),
            ("POST", "keys/{}/rotate", key_id, unknown),
            ("POST", "jwks/{}/roll", "theirs", "nobody"),
            ("DELETE", "jwks/{}", "theirs", "nobody"),
        ):
            answers = []
            for name in (theirs, nobodys):
                status, document = fleet.admin(method, f"/tenants/{mine.id}/" + path.format(name))
                document.pop("request_id")
                answers.append((status, json.loads(json.dumps(document).replace(name, "NAME"))))
            assert answers[0] == answers[1]
            assert answers[0][0] == 404
        assert "theirs" not in json.dumps(fleet.admin("GET", f"/tenants/{mine.id}/jwks")[1])
        assert key_id not in json.dumps(fleet.admin("GET", f"/tenants/{mine.id}/keys")[1])
        assert [key["kid"] for key in fleet.admin("GET", f"/tenants/{other.id}/jwks")[1]["keys"]] == ["theirs"]
        other.client.s3.list_buckets()
        assert fleet.admin("DELETE", f"/tenants/{other.id}/jwks/theirs")[0] == 204


def test_canaries_and_secrets_are_in_no_log(two_tenants: World) -> None:
    log = two_tenants.fleet.running.log.read_text(errors="replace")
    assert '"request"' in log
    names = two_tenants.others
    secret = (*two_tenants.secrets, names.user_token, names.download_token, names.upload_token, ADMIN_KEY)
    assert [text for text in (*two_tenants.canaries, *secret) if text in log] == []
    assert urlsplit(two_tenants.fleet.owner_url).password or "for-tests" not in log
