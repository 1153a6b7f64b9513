"""The tenants that are open in a worker: bounded, opened once, closed when their requests have ended."""

import asyncio
import random
from datetime import UTC, datetime

import pytest

from gateway.errors import StorageError
from gateway.fleet import Fleet
from gateway.tenants.directory import StoredTenant
from gateway.tenants.limits import TenantLimits

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def stored(tenant_id, revision=1):
    return StoredTenant(
        id=tenant_id, status="active", description=None, region=None, jwks_url=None, jwt_audience=None,
        jwt_issuer=None, limits=TenantLimits(), features={}, backends={},
        hosts=(), revision=revision, created_at=NOW, updated_at=NOW, database_url="postgresql:///x", owner_url=None,
        pool_url=None, jwt_secret=None,
    )  # fmt: skip


class Application:
    def __init__(self, yard, tenant):
        self.yard, self.tenant, self.running, self.closed = yard, tenant, 0, False

    async def __call__(self, scope, receive, send):
        raise AssertionError

    async def close(self):
        assert not self.running, "closed under a request"
        assert not self.closed
        await asyncio.sleep(0)
        self.closed = True
        self.yard.open -= 1


class Yard:
    """Opens tenants and counts them."""

    def __init__(self):
        self.open = self.most = self.opened = 0
        self.revisions = {}
        self.unknown = set()
        self.fails = set()
        self.delay = 0.0

    async def find(self, tenant_id):
        return None if tenant_id in self.unknown else stored(tenant_id, self.revisions.get(tenant_id, 1))

    async def build(self, tenant):
        if tenant.id in self.fails:
            raise StorageError("ServiceUnavailable")
        self.open += 1
        self.opened += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(self.delay)
        return Application(self, tenant)

    def fleet(self, **options):
        return Fleet(self.find, self.build, **{"most_open": 3, "idle_seconds": 60, "room_seconds": 0.2, **options})


@pytest.fixture
def yard():
    return Yard()


async def test_tenant_is_opened_once_for_any_number_of_askers(yard):
    yard.delay = 0.01
    fleet = yard.fleet()

    async def ask():
        async with fleet.lease("a") as found:
            return found

    assert len(set(map(id, await asyncio.gather(*(ask() for _ in range(50)))))) == 1
    assert yard.opened == 1
    await fleet.close()
    assert yard.open == 0


async def test_unknown_tenant_is_none(yard):
    yard.unknown.add("a")
    async with yard.fleet().lease("a") as found:
        assert found is None
    assert yard.opened == 0


async def test_least_recently_used_idle_tenant_makes_room(yard):
    fleet = yard.fleet()
    for name in ("a", "b", "c", "a", "d"):
        async with fleet.lease(name):
            pass
    async with fleet.lease("a"):
        pass
    assert yard.opened == 4
    async with fleet.lease("b"):
        pass
    assert (yard.opened, yard.most) == (5, 3)
    await fleet.close()


async def test_without_room_it_is_slow_down_and_nobody_is_interrupted(yard):
    fleet = yard.fleet(most_open=1)
    async with fleet.lease("a") as found:
        found.running += 1
        with pytest.raises(StorageError) as refused:
            async with fleet.lease("b"):
                pass
        assert refused.value.code.name == "SlowDown"
        found.running -= 1
    async with fleet.lease("b") as other:
        assert other.tenant.id == "b"
    assert found.closed
    await fleet.close()


async def test_changed_tenant_is_replaced_and_the_old_one_ends_after_its_requests(yard):
    fleet = yard.fleet()
    async with fleet.lease("a") as before:
        before.running += 1
        yard.revisions["a"] = 2
        async with fleet.lease("a") as after:
            assert after is not before
            assert not before.closed
        before.running -= 1
    await fleet.close()
    assert before.closed
    assert after.closed


async def test_suspended_tenant_is_closed_after_its_requests(yard):
    fleet = yard.fleet()
    async with fleet.lease("a") as before:
        before.running += 1
        yard.unknown.add("a")
        async with fleet.lease("a") as found:
            assert found is None
        assert not before.closed
        before.running -= 1
    await asyncio.sleep(0.01)
    assert before.closed
    assert fleet.occupied == 0


async def test_idle_tenant_is_closed(yard):
    fleet = yard.fleet(idle_seconds=0.02)
    fleet.start()
    async with fleet.lease("a") as found:
        await asyncio.sleep(0.1)
        assert not found.closed
    await asyncio.sleep(0.2)
    assert found.closed
    await fleet.close()


async def test_tenant_that_cannot_be_opened_takes_no_place(yard):
    yard.fails.add("bad")
    fleet = yard.fleet(most_open=1)
    for _ in range(3):
        with pytest.raises(StorageError):
            async with fleet.lease("bad"):
                pass
    async with fleet.lease("a"):
        pass
    assert fleet.occupied == 1
    await fleet.close()


async def test_asker_that_goes_away_takes_the_tenant_from_nobody(yard):
    yard.delay = 0.02
    fleet = yard.fleet()

    async def ask():
        async with fleet.lease("a") as found:
            return found

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0.005)
    first.cancel()
    assert (await second).tenant.id == "a"
    assert yard.opened == 1
    await fleet.close()


@pytest.mark.parametrize("seed", range(5))
async def test_random_requests_to_many_tenants_keep_the_bound(yard, seed):
    chance = random.Random(seed)
    fleet = yard.fleet(most_open=5, room_seconds=5.0)

    async def ask(name, seconds):
        async with fleet.lease(name) as found:
            assert found.tenant.id == name
            assert not found.closed
            found.running += 1
            try:
                await asyncio.sleep(seconds)
                assert not found.closed
            finally:
                found.running -= 1

    for _ in range(20):
        asks = [ask(f"t{chance.randrange(40)}", chance.random() / 200) for _ in range(20)]
        await asyncio.gather(*asks)
        yard.revisions[f"t{chance.randrange(40)}"] = chance.randrange(100)
    assert yard.most <= 5
    await fleet.close()
    assert (yard.open, fleet.occupied) == (0, 0)
