"""Readiness: what is down is named, nobody waits for what hangs, and many askers cost one question."""

import asyncio

from gateway.jobs.health import Readiness, Report


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def up() -> None:
    pass


async def down() -> None:
    raise OSError("http://secret:password@somewhere")


async def test_names_what_is_down_and_no_reason() -> None:
    report = await Readiness({"postgres": up, "backend:cold": down}).report()
    assert not report.is_ready
    assert report.document == {
        "ready": False,
        "down": ["backend:cold"],
        "checks": {"postgres": "up", "backend:cold": "down"},
    }


async def test_ready_without_anything_down() -> None:
    assert (await Readiness({"postgres": up}).report()) == Report({"postgres": True})


async def test_many_askers_within_a_second_are_one_question() -> None:
    asked = 0

    async def counting() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)

    clock = Clock()
    readiness = Readiness({"it": counting}, monotonic=clock)
    await asyncio.gather(*(readiness.report() for _ in range(50)))
    await readiness.report()
    assert asked == 1
    clock.now = 1.1
    await readiness.report()
    assert asked == 2


async def test_a_check_that_hangs_is_down_begun_once_and_up_again_when_it_ends() -> None:
    begun = 0
    answered = asyncio.Event()

    async def hanging() -> None:
        nonlocal begun
        begun += 1
        await answered.wait()

    readiness = Readiness({"it": hanging, "other": up}, check_seconds=0.02, fresh_seconds=0)
    for _ in range(3):
        assert (await readiness.report()).checks == {"it": False, "other": True}
    assert begun == 1
    answered.set()
    assert (await readiness.report()).is_ready


async def test_an_asker_who_goes_away_takes_nothing_from_the_others() -> None:
    answered = asyncio.Event()

    async def slow() -> None:
        await answered.wait()

    readiness = Readiness({"it": slow})
    first, second = asyncio.create_task(readiness.report()), asyncio.create_task(readiness.report())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    answered.set()
    assert (await second).is_ready
