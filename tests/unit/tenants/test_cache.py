"""Facts of the control database in memory."""

import asyncio

import pytest

from gateway.errors import StorageError
from gateway.tenants.cache import Cache, Freshness


class Source:
    def __init__(self):
        self.values = {"a": "value"}
        self.asked = []
        self.gate = None
        self.error = None

    async def load(self, name):
        self.asked.append(name)
        value = self.values.get(name)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return value


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def freshness():
    return Freshness()


@pytest.fixture
def cache(source, freshness, clock):
    return Cache(source.load, freshness, max_entries=3, monotonic=clock)


async def test_one_question_for_any_number_of_askers(cache, source):
    source.gate = asyncio.Event()
    askers = [asyncio.create_task(cache.get("a")) for _ in range(1000)]
    await asyncio.sleep(0)
    askers[0].cancel()
    source.gate.set()
    assert set(await asyncio.gather(*askers[1:])) == {"value"}
    assert source.asked == ["a"]


@pytest.mark.parametrize(("told", "seconds"), [(False, 5), (True, 60)])
async def test_value_lives_as_long_as_changes_may_go_unnoticed(cache, source, clock, freshness, told, seconds):
    freshness.told = told
    await cache.get("a")
    clock.now = seconds - 0.1
    await cache.get("a")
    assert len(source.asked) == 1
    clock.now = seconds + 0.1
    await cache.get("a")
    assert len(source.asked) == 2


async def test_value_believed_for_long_is_not_when_nobody_tells_any_more(cache, source, clock, freshness):
    freshness.told = True
    await cache.get("a")
    clock.now = 30
    freshness.told = False
    await cache.get("a")
    assert len(source.asked) == 2


async def test_that_there_is_none_is_remembered_shortly_and_drops_no_good_one(cache, source, clock):
    await cache.get("a")
    for number in range(20):
        assert await cache.get(f"wrong{number}") is None
    assert await cache.get("wrong19") is None
    assert len(source.asked) == 21
    await cache.get("a")
    assert len(source.asked) == 21
    assert len(cache) == 4
    clock.now = 2.1
    source.values["wrong19"] = "now there is"
    assert await cache.get("wrong19") == "now there is"


async def test_dropped_name_is_asked_for_again_even_while_it_is_asked_for(cache, source):
    source.gate = asyncio.Event()
    first = asyncio.create_task(cache.get("a"))
    while not source.asked:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    source.values["a"] = "changed"
    cache.drop("a")
    second = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    source.gate.set()
    assert (await first, await second) == ("value", "changed")
    assert await cache.get("a") == "changed"
    cache.clear()
    assert len(cache) == 0


async def test_failure_is_not_remembered(cache, source):
    source.error = OSError("away")
    with pytest.raises(StorageError) as refused:
        await cache.get("a")
    assert refused.value.code.name == "ServiceUnavailable"
    source.error = None
    assert await cache.get("a") == "value"
