"""Which requests say the same as many notes, and what answers are labelled with."""

import asyncio
import re
from typing import Any, cast

import pytest

from gateway.config import Settings
from gateway.errors import StorageError
from gateway.jobs.cdn import (
    MOST_OBJECTS,
    NudgedRelay,
    Purge,
    PurgeEndpoint,
    coalesced,
    pause_seconds,
    surrogate_keys,
)
from gateway.metadata.cdn import ClaimedPurge


def note(number: int, bucket: str | None, key: str | None = None) -> ClaimedPurge:
    return ClaimedPurge(number, bucket, key, 1)


def ids(found: dict[Purge, list[ClaimedPurge]]) -> dict[Purge, list[int]]:
    return {purge: [each.id for each in notes] for purge, notes in found.items()}


def test_the_same_object_is_told_once() -> None:
    notes = [note(1, "b", "k"), note(2, "b", "k"), note(3, "b", "l")]
    assert ids(coalesced(notes)) == {Purge("b", "k"): [1, 2], Purge("b", "l"): [3]}


def test_a_bucket_stands_for_its_objects_and_no_others() -> None:
    notes = [note(1, "b", "k"), note(2, "b"), note(3, "c", "k")]
    assert ids(coalesced(notes)) == {Purge("b"): [1, 2], Purge("c", "k"): [3]}


def test_everything_stands_for_everything() -> None:
    assert ids(coalesced([note(1, "b", "k"), note(2, None), note(3, "c")])) == {Purge(): [1, 2, 3]}


def test_many_objects_become_their_bucket() -> None:
    most = [note(number, "b", str(number)) for number in range(MOST_OBJECTS)]
    assert len(coalesced(most)) == MOST_OBJECTS
    assert set(coalesced([*most, note(99, "b", "more")])) == {Purge("b")}


def test_surrogate_keys_are_safe_in_a_header_and_tell_names_apart() -> None:
    keys = surrogate_keys("acme", "b", "ü \r\n,\ud800")
    assert [key[0] for key in keys] == ["t", "b", "o"]
    assert all(re.fullmatch(r"[tbo]-[0-9a-f]{16}", key) for key in keys)
    assert surrogate_keys("acme", "b")[1] == keys[1]
    assert surrogate_keys("other", "b")[1] != keys[1]
    assert surrogate_keys("a", "bc", "d")[2] != surrogate_keys("a", "b", "cd")[2]


def test_pauses_grow_and_are_bounded() -> None:
    assert [pause_seconds(attempts) for attempts in (1, 2, 8, 9, 60)] == [2, 4, 256, 300, 300]


def test_the_key_is_never_shown() -> None:
    settings = Settings(cdn_purge_url="https://cdn.example/x", cdn_purge_key="secret-key")  # type: ignore[arg-type]
    endpoint = PurgeEndpoint.of(settings, "acme")
    assert endpoint is not None
    assert "secret-key" not in repr(endpoint) + repr(settings)


def test_storage_apis_names_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDN_PURGE_ENDPOINT_URL", "https://cdn.example/x")
    monkeypatch.setenv("CDN_PURGE_ENDPOINT_KEY", "secret-key")
    monkeypatch.setenv("RESPONSE_S_MAXAGE", "300")
    settings = Settings()
    assert (settings.cdn_purge_url, settings.s_maxage_seconds) == ("https://cdn.example/x", 300)
    assert settings.cdn_purge_key is not None
    assert settings.cdn_purge_key.get_secret_value() == "secret-key"


async def test_a_nudged_relay_runs_once_for_many_writes_and_survives_failures() -> None:
    runs = 0
    ran = asyncio.Event()

    class Relay:
        async def run(self) -> int:
            nonlocal runs
            runs += 1
            ran.set()
            raise StorageError("ServiceUnavailable")

    relay = NudgedRelay(cast(Any, Relay()))
    relay.start()
    for expected in (1, 2):
        ran.clear()
        for _ in range(10):
            relay.nudge()
        await asyncio.wait_for(ran.wait(), 5)
        assert runs == expected
    await relay.stop()
