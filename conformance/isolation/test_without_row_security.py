"""The application alone: row-level security is switched off in the databases of A and B, and still A sees nothing of B,
because a tenant is a database; and a narrowed key stays within its limits, because those are not Postgres's to decide.

Between users of one tenant row-level security is what decides, so without it there is nothing to test.
"""

import json
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
from botocore.credentials import Credentials

from conformance.isolation import rest_plan, s3_plan
from conformance.isolation.callers import Caller, Kind
from conformance.isolation.comparison import Comparison
from conformance.isolation.names import SHARED_BUCKET
from conformance.isolation.wire import Request
from conformance.isolation.world import World, issued_keys
from gateway.operations.table import OPERATIONS
from gateway.rest.routes import ROUTES
from gateway.s3.model import Target, load

KINDS = (Kind.KEY, Kind.SESSION_TOKEN, Kind.ANONYMOUS)
PREFIX = "mine/"


@pytest.fixture(scope="module")
def unguarded(two_tenants: World) -> Iterator[World]:
    """Both databases without row-level security."""
    with two_tenants.mine.database.without_row_security(), two_tenants.other.database.without_row_security():
        yield two_tenants


def test_row_security_is_off(unguarded: World) -> None:
    hidden = (
        "SELECT count(*) FROM pg_class WHERE relrowsecurity"
        " AND relnamespace::regnamespace::text IN ('storage', 'rowlock')"
    )
    for tenant in (unguarded.mine, unguarded.other):
        assert tenant.database.connection.execute(hidden).fetchone() == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_no_operation_reaches_another_tenant(unguarded: World, kind: Kind) -> None:
    comparison, before = Comparison(unguarded), unguarded.others_state()
    caller = unguarded.caller(kind)
    for operation in OPERATIONS:
        for cell in s3_plan.cells(operation.name):
            comparison.ask(
                f"{operation.name} by {kind}, {cell.place} ({cell.detail})",
                lambda names, cell=cell: caller.signed(cell.make(names)),
            )
    assert not comparison.differences, "\n".join(comparison.differences)
    assert unguarded.others_state() == before


@pytest.mark.parametrize("kind", [Kind.BEARER, Kind.ANONYMOUS])
def test_no_route_reaches_another_tenant(unguarded: World, kind: Kind) -> None:
    comparison, before = Comparison(unguarded), unguarded.others_state()
    caller = unguarded.caller(kind)
    for route in ROUTES:
        for cell in rest_plan.cells(route):
            comparison.ask(
                f"{route.name} by {kind}, {cell.place} ({cell.detail})",
                lambda names, cell=cell: caller.signed(cell.make(names)),
            )
    assert not comparison.differences, "\n".join(comparison.differences)
    assert unguarded.others_state() == before


def narrowed_key(world: World) -> Caller:
    """A key for one prefix of one bucket, reading only."""
    target = world.fleet.client(world.mine.id, buckets=[SHARED_BUCKET], prefix=PREFIX, read_only=True).target
    return Caller(
        Kind.NARROWED, world.callers[Kind.KEY].host, Credentials(target.access_key_id, target.secret_access_key)
    )


def session_policy(world: World) -> Caller:
    """Temporary credentials whose session policy says the same."""
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject*", "Resource": f"arn:aws:s3:::{SHARED_BUCKET}/{PREFIX}*"}
        ],
    }
    form = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::000000000000:role/service_role",
        "RoleSessionName": "narrow",
        "Policy": json.dumps(document),
    }
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    asked = world.callers[Kind.KEY].signed(Request("POST", "/", headers, urlencode(form).encode()), service="sts")
    return Caller(Kind.KEY_SESSION, world.callers[Kind.KEY].host, issued_keys(world.wire.send(asked).body))


def reads_the_bucket(operation: str) -> bool:
    """What is about a bucket as a whole may be read by a key that is narrowed to a prefix, but for its keys."""
    model = load()[operation]
    return (
        model.target is Target.BUCKET and model.method in ("GET", "HEAD") and not operation.startswith(("List", "Head"))
    )


@pytest.mark.parametrize("make", [narrowed_key, session_policy])
def test_narrowed_credentials_stay_narrow(unguarded: World, make: Callable[[World], Caller]) -> None:
    caller = make(unguarded)
    mine = unguarded.mine.client.s3
    mine.put_object(Bucket=SHARED_BUCKET, Key=f"{PREFIX}seen", Body=b"seen")
    try:
        before = unguarded.mine.database.digest()
        within = s3_plan.plain("GetObject", Key=f"{PREFIX}seen")
        assert unguarded.wire.send(caller.signed(within)).status == 200
        for operation in OPERATIONS:
            answer = unguarded.wire.send(caller.signed(s3_plan.plain(operation.name)))
            if make is narrowed_key and reads_the_bucket(operation.name):
                continue
            if operation.name == "DeleteObjects":
                assert b"<Code>AccessDenied</Code>" in answer.body
                assert b"<Deleted>" not in answer.body
            else:
                assert answer.status == 403, (operation.name, answer)
            assert not answer.holds("what everybody stores")
        assert unguarded.mine.database.digest() == before
    finally:
        unguarded.mine.database.restore()
