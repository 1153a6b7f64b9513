"""Races of 50 writers as real clients run them: one winner a round, no lost update.

Terraform's S3 backend locks its state with If-None-Match: * and frees it with a delete; litestream holds a lease that
it creates with If-None-Match: * and renews, takes over and gives back with If-Match; Delta Lake commits version n of a
table with If-None-Match: * and tries n + 1 when another was faster.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from botocore.exceptions import ClientError

from conformance.expect import keys_of, read

WRITERS: Final = 50
ROUNDS: Final = 2
# On a machine with nothing else to do each race takes a second.
DEADLINE_SECONDS: Final = 60.0
LOST: Final = {"PreconditionFailed", "ConditionalRequestConflict"}


def won(call: Callable[[], Any]) -> Any:
    """The answer, or None if another writer was faster; any other refusal is an error."""
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in LOST:
            raise
        return None


def race(contender: Callable[[int], Any]) -> list[Any]:
    """What each of 50 writers got, who began together."""
    gate = threading.Barrier(WRITERS)

    def start(number: int) -> Any:
        gate.wait(timeout=DEADLINE_SECONDS)
        return contender(number)

    with ThreadPoolExecutor(WRITERS) as threads:
        return list(threads.map(start, range(WRITERS)))


def put(s3: Any, bucket: str, key: str, body: bytes, **condition: str) -> str | None:
    """The ETag of what was written, None if the condition did not hold."""
    answer = won(lambda: s3.put_object(Bucket=bucket, Key=key, Body=body, **condition))
    return None if answer is None else str(answer["ETag"])


def test_terraform_lock_has_one_holder(s3: Any, bucket: str) -> None:
    lock, state = "env/terraform.tfstate.tflock", "env/terraform.tfstate"
    s3.put_object(Bucket=bucket, Key=state, Body=b"0")

    for done in range(ROUNDS):
        outcomes = race(lambda number: put(s3, bucket, lock, json.dumps({"ID": number}).encode(), IfNoneMatch="*"))
        winners = [number for number, etag in enumerate(outcomes) if etag is not None]
        assert len(winners) == 1
        assert json.loads(read(s3, bucket, lock))["ID"] == winners[0]
        serial = int(read(s3, bucket, state))
        assert serial == done
        s3.put_object(Bucket=bucket, Key=state, Body=str(serial + 1).encode())
        s3.delete_object(Bucket=bucket, Key=lock)


def test_terraform_lock_protects_the_state(s3: Any, bucket: str) -> None:
    """Each writer locks, reads the serial, writes the next one and unlocks, until five did."""
    lock, state, goal = "terraform.tfstate.tflock", "terraform.tfstate", 5
    s3.put_object(Bucket=bucket, Key=state, Body=b"0")
    ended = time.monotonic() + DEADLINE_SECONDS
    finished = threading.Event()

    def apply(number: int) -> list[int]:
        seen = []
        while not finished.is_set() and time.monotonic() < ended:
            if put(s3, bucket, lock, str(number).encode(), IfNoneMatch="*") is None:
                finished.wait(0.2)
                continue
            serial = int(read(s3, bucket, state)) + 1
            s3.put_object(Bucket=bucket, Key=state, Body=str(serial).encode())
            s3.delete_object(Bucket=bucket, Key=lock)
            seen.append(serial)
            if serial >= goal:
                finished.set()
        return seen

    serials = sorted(serial for seen in race(apply) for serial in seen)
    assert serials == list(range(1, len(serials) + 1))
    assert len(serials) >= goal
    assert int(read(s3, bucket, state)) == len(serials)


def test_litestream_lease_changes_hands_once_a_generation(s3: Any, bucket: str) -> None:
    key = "db/lock.json"

    def lease(generation: int, owner: int) -> bytes:
        return json.dumps({"generation": generation, "owner": owner, "expires_at": 0}).encode()

    held = None
    for generation in range(1, ROUNDS + 1):
        condition = {"IfMatch": held} if held else {"IfNoneMatch": "*"}
        outcomes = race(
            lambda number, generation=generation, condition=condition: put(
                s3, bucket, key, lease(generation, number), **condition
            )
        )
        [winner] = [number for number, etag in enumerate(outcomes) if etag is not None]
        assert json.loads(read(s3, bucket, key)) == json.loads(lease(generation, winner))
        if held is not None:
            assert put(s3, bucket, key, lease(generation, -1), IfMatch=held) is None
            assert won(lambda held=held: s3.delete_object(Bucket=bucket, Key=key, IfMatch=held)) is None
        held = put(s3, bucket, key, lease(generation, winner) + b"\n", IfMatch=outcomes[winner])
        assert held is not None
    s3.delete_object(Bucket=bucket, Key=key, IfMatch=held)
    assert keys_of(s3, bucket) == []


def test_litestream_lease_given_back_once(s3: Any, bucket: str) -> None:
    """The holder gives its lease back while others take it over: one of the two happens, and nobody loses a lease."""
    for _ in range(ROUNDS):
        held = put(s3, bucket, "lock.json", b"old")
        assert held is not None

        def contend(number: int, held: str = held) -> str | None:
            try:
                if number % 2:
                    return put(s3, bucket, "lock.json", str(number).encode(), IfMatch=held)
                won(lambda: s3.delete_object(Bucket=bucket, Key="lock.json", IfMatch=held))
            except s3.exceptions.NoSuchKey:
                # given back already
                return None
            return None

        taken = [number for number, got in enumerate(race(contend)) if got is not None]
        assert len(taken) <= 1
        assert keys_of(s3, bucket) == (["lock.json"] if taken else [])
        if taken:
            assert read(s3, bucket, "lock.json") == str(taken[0]).encode()


def test_delta_lake_commits_are_a_gapless_log(s3: Any, bucket: str) -> None:
    goal = 5
    winners: dict[int, list[int]] = defaultdict(list)
    ended = time.monotonic() + DEADLINE_SECONDS

    def log(version: int) -> str:
        return f"table/_delta_log/{version:020d}.json"

    def commit(number: int) -> list[int]:
        version, mine = 0, []
        while version < goal and time.monotonic() < ended:
            if put(s3, bucket, log(version), f"{number}".encode(), IfNoneMatch="*") is not None:
                mine.append(version)
            # what others committed meanwhile is found by listing, as Delta's clients do
            page = s3.list_objects_v2(Bucket=bucket, Prefix="table/_delta_log/", StartAfter=log(version))
            version = max(version + 1, *(int(entry["Key"][-25:-5]) + 1 for entry in page.get("Contents", [])), 0)
        return mine

    for number, mine in enumerate(race(commit)):
        for version in mine:
            winners[version].append(number)
    assert sorted(winners) == list(range(goal))
    for version, numbers in winners.items():
        assert len(numbers) == 1
        assert read(s3, bucket, log(version)) == str(numbers[0]).encode()
