"""Facts of the control database in a worker's memory: bounded, one question for any number of askers, "there is none"
remembered too, and nothing older than its time to live.

While the control database tells of changes (``listener.py``) the time to live is only a second line; without that it
is how long a change may go unnoticed.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from gateway.errors import StorageError

Value = TypeVar("Value")

UNTOLD_SECONDS: Final = 5.0
TOLD_SECONDS: Final = 60.0
NEGATIVE_SECONDS: Final = 2.0
MAX_ENTRIES: Final = 4096


@dataclass(slots=True)
class Freshness:
    """Whether the caches of a worker hear of changes; decides how long they believe what they know."""

    told: bool = False

    @property
    def seconds(self) -> float:
        """The time to live of what is known."""
        return TOLD_SECONDS if self.told else UNTOLD_SECONDS


class Cache(Generic[Value]):
    """Values by name. ``load`` gives the value of a name or None; wrong names have a place of their own, so that a
    flood of them drops no good one. Belongs to one event loop."""

    def __init__(
        self,
        load: Callable[[str], Awaitable[Value | None]],
        freshness: Freshness,
        *,
        negative_seconds: float = NEGATIVE_SECONDS,
        max_entries: int = MAX_ENTRIES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load: Final = load
        self._freshness: Final = freshness
        self._negative_seconds: Final = negative_seconds
        self._max_entries: Final = max_entries
        self._monotonic: Final = monotonic
        self._known: Final[OrderedDict[str, tuple[float, Value]]] = OrderedDict()
        self._unknown: Final[OrderedDict[str, float]] = OrderedDict()
        self._loading: Final[dict[str, asyncio.Task[Value | None]]] = {}

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)

    async def get(self, name: str) -> Value | None:
        """The value, or None when there is none.

        Raises StorageError: ServiceUnavailable when it cannot be asked for and nothing fresh is at hand.
        """
        now = self._monotonic()
        entry = self._known.get(name)
        if entry is not None:
            # Counted from the question, and judged now: what was believed for long is not when nobody tells any more.
            if now < entry[0] + self._freshness.seconds:
                self._known.move_to_end(name)
                return entry[1]
            del self._known[name]
        elif now < self._unknown.get(name, now):
            return None
        task = self._loading.get(name)
        if task is None:
            task = asyncio.create_task(self._ask(name), name="control-cache")
            self._loading[name] = task
            task.add_done_callback(_retrieve)
        # Shielded: an asker that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    def drop(self, name: str) -> None:
        """Forget a name, and the answer of a question still under way: it may be older than this call."""
        self._known.pop(name, None)
        self._unknown.pop(name, None)
        self._loading.pop(name, None)

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._unknown.clear()
        self._loading.clear()

    async def _ask(self, name: str) -> Value | None:
        asked = self._monotonic()
        try:
            value = await self._load(name)
            if self._loading.get(name) is asyncio.current_task():
                self._remember(name, value, asked)
            return value
        except OSError as error:
            raise StorageError("ServiceUnavailable") from error
        finally:
            if self._loading.get(name) is asyncio.current_task():
                del self._loading[name]

    def _remember(self, name: str, value: Value | None, asked: float) -> None:
        self._unknown.pop(name, None)
        if value is not None:
            self._known[name] = (asked, value)
            if len(self._known) > self._max_entries:
                self._known.popitem(last=False)
        else:
            self._unknown[name] = asked + self._negative_seconds
            if len(self._unknown) > self._max_entries:
                self._unknown.popitem(last=False)


def _retrieve(task: "asyncio.Task[Value | None]") -> None:
    """Look at the outcome, so that an error nobody waited for any more is not reported at garbage collection."""
    if not task.cancelled():
        task.exception()
