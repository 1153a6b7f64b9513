"""The credential cache: bounded, fresh to within seconds, one question for any number of askers."""

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.auth.credentials import CredentialStore
from gateway.errors import StorageError
from tests.unit.auth.stored import Stored

KEY = Stored("AKIDA", "secretsecret", "service_role")


class Source:
    """A registry that counts the questions and answers when told to."""

    def __init__(self, *keys):
        self.keys = {key.access_key_id: key for key in keys}
        self.asked = []
        self.gate = None
        self.error = None

    async def find_key(self, access_key_id):
        self.asked.append(access_key_id)
        found = self.keys.get(access_key_id)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return found


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def store(source, **options):
    clock = Clock()
    return CredentialStore(source, monotonic=clock, **options), clock


async def test_known_key_is_asked_once_in_five_seconds():
    source = Source(KEY)
    credentials, clock = store(source)
    assert await credentials.find("AKIDA") == KEY
    clock.now += 4.9
    assert await credentials.find("AKIDA") == KEY
    assert source.asked == ["AKIDA"]
    clock.now += 0.2
    await credentials.find("AKIDA")
    assert len(source.asked) == 2


async def test_unknown_key_is_asked_once_in_two_seconds():
    source = Source()
    credentials, clock = store(source)
    assert await credentials.find("AKIDA") is None
    clock.now += 1.9
    assert await credentials.find("AKIDA") is None
    assert len(source.asked) == 1
    clock.now += 0.2
    source.keys["AKIDA"] = KEY
    assert await credentials.find("AKIDA") == KEY


async def test_flood_of_unknown_keys_is_bounded_and_drops_no_known_one():
    source = Source(KEY)
    credentials, _ = store(source, max_entries=8)
    await credentials.find("AKIDA")
    for number in range(100):
        await credentials.find(f"WRONG{number}")
    assert len(credentials._unknown) == 8
    await credentials.find("AKIDA")
    assert source.asked.count("AKIDA") == 1


async def test_least_recently_used_key_is_dropped_first():
    keys = [Stored(f"AKID{number}", "secretsecret", "anon") for number in range(3)]
    source = Source(*keys)
    credentials, _ = store(source, max_entries=2)
    for name in ("AKID0", "AKID1", "AKID0", "AKID2", "AKID0", "AKID1"):
        await credentials.find(name)
    assert source.asked == ["AKID0", "AKID1", "AKID2", "AKID1"]


async def test_many_askers_ask_once():
    source = Source(KEY)
    source.gate = asyncio.Event()
    credentials, _ = store(source)
    askers = [asyncio.create_task(credentials.find("AKIDA")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*askers) == [KEY] * 20
    assert source.asked == ["AKIDA"]


async def test_asker_that_goes_away_takes_the_answer_from_nobody():
    source = Source(KEY)
    source.gate = asyncio.Event()
    credentials, _ = store(source)
    first, second = (asyncio.create_task(credentials.find("AKIDA")) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.gate.set()
    assert await second == KEY
    assert source.asked == ["AKIDA"]


async def test_revoked_key_is_forgotten_at_once():
    source = Source(KEY)
    credentials, _ = store(source)
    await credentials.find("AKIDA")
    del source.keys["AKIDA"]
    credentials.invalidate("AKIDA")
    assert await credentials.find("AKIDA") is None
    source.keys["AKIDA"] = KEY
    credentials.invalidate_all()
    assert await credentials.find("AKIDA") == KEY


async def test_answer_older_than_the_revocation_is_not_kept():
    source = Source(KEY)
    source.gate = asyncio.Event()
    credentials, _ = store(source)
    asker = asyncio.create_task(credentials.find("AKIDA"))
    await asyncio.sleep(0.01)
    del source.keys["AKIDA"]
    credentials.invalidate("AKIDA")
    source.gate.set()
    await asker
    assert await credentials.find("AKIDA") is None


@pytest.mark.parametrize(
    "error", [StorageError("ServiceUnavailable"), StorageError("InternalError"), ConnectionResetError()]
)
async def test_failing_registry_is_503_and_leaves_valid_entries(error):
    source = Source(KEY)
    credentials, clock = store(source)
    await credentials.find("AKIDA")
    source.error = error
    assert await credentials.find("AKIDA") == KEY
    with pytest.raises(StorageError) as caught:
        await credentials.find("OTHER")
    assert caught.value.code.name == "ServiceUnavailable"
    clock.now += 6
    with pytest.raises(StorageError):
        await credentials.find("AKIDA")
    source.error = None
    assert await credentials.find("AKIDA") == KEY


def test_secret_is_not_shown():
    key = Stored("A", "topsecret", "anon", expires_at=datetime.now(UTC))
    assert "topsecret" not in repr(key)
