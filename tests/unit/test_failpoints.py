"""Failpoints do nothing until armed, and then exactly what was asked."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from gateway.telemetry.failpoints import FailpointError, arm, failpoint, failpoint_async


@pytest.fixture(autouse=True)
def _disarm() -> Iterator[None]:
    arm("")
    yield
    arm("")


def test_nothing_is_armed_by_default() -> None:
    failpoint("put.after_fsync")


def test_only_the_named_one_fires() -> None:
    arm("put.after_fsync=error")
    failpoint("put.after_link")
    with pytest.raises(FailpointError, match=r"^put\.after_fsync$"):
        failpoint("put.after_fsync")


def test_nth_hit() -> None:
    arm("a=error@2, b=error")
    failpoint("a")
    with pytest.raises(FailpointError):
        failpoint("a")
    failpoint("a")


@pytest.mark.parametrize(("action", "message"), [("enospc", "No space left"), ("eio", "Input/output error")])
def test_errors_of_the_disk(action: str, message: str) -> None:
    arm(f"a={action}")
    with pytest.raises(OSError, match=message):
        failpoint("a")


async def test_stall_on_the_loop_lets_others_run() -> None:
    arm("a=stall:0.2")
    start = time.monotonic()
    stalled = asyncio.create_task(failpoint_async("a"))
    await asyncio.sleep(0.01)
    assert time.monotonic() - start < 0.15
    await stalled
    assert time.monotonic() - start >= 0.19
    failpoint("a")
    assert time.monotonic() - start >= 0.39


@pytest.mark.parametrize("text", ["a", "a=", "a=explode", "a=stall", "a=stall:x", "a=kill@0", "a b=kill", "=kill"])
def test_malformed_text(text: str) -> None:
    with pytest.raises(ValueError, match="malformed failpoint"):
        arm(text)
