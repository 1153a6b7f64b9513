"""What clients did and saw of each key, and whether one order of it explains everything (linearizability).

A key is a register. Every write carries an id nobody else uses; ``None`` is "no object". An operation whose outcome is
unknown may have taken effect at any later time, once, or never. The search is Wing and Gong's, with the memory of
visited states Lowe added.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import inf

Value = str | None


class Kind(Enum):
    """What an operation did to its key."""

    WRITE = "write"
    DELETE = "delete"
    READ = "read"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Event:
    """One operation on one key. ``end`` is infinite when nobody knows whether it happened."""

    key: str
    kind: Kind
    value: Value | bool
    start: float
    end: float

    def apply(self, state: Value) -> tuple[bool, Value]:
        """Whether it fits this state, and the state after it."""
        match self.kind:
            case Kind.WRITE:
                assert isinstance(self.value, str)
                return True, self.value
            case Kind.DELETE:
                return True, None
            case Kind.READ:
                return state == self.value, state
        return (state is not None) == self.value, state


class History:
    """Events of all clients; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: defaultdict[str, list[Event]] = defaultdict(list)

    def note(self, key: str, kind: Kind, value: Value | bool, start: float, *, known: bool = True) -> None:
        """An operation that began at ``start`` (``time.monotonic``) and is over now."""
        event = Event(key, kind, value, start, time.monotonic() if known else inf)
        with self._lock:
            self._events[key].append(event)

    def names(self) -> list[str]:
        """Every key something was done to."""
        return sorted(self._events)

    def of(self, key: str) -> list[Event]:
        """What was done to one key."""
        return list(self._events[key])

    def violations(self, keys: Iterable[str]) -> list[str]:
        """The keys whose events no order explains, told one event a line."""
        return [describe(self._events[key]) for key in keys if not is_linearizable(self._events[key])]


def is_linearizable(events: Iterable[Event]) -> bool:
    """Whether one order of these events of one key, which starts without an object, explains all of them."""
    ordered = sorted(events, key=lambda event: event.start)
    required = sum(1 << index for index, event in enumerate(ordered) if event.end != inf)
    visited: set[tuple[int, Value]] = set()
    stack: list[tuple[int, Value]] = [(0, None)]
    while stack:
        done, state = stack.pop()
        if done & required == required:
            return True
        if (done, state) in visited:
            continue
        visited.add((done, state))
        horizon = min(event.end for index, event in enumerate(ordered) if not done >> index & 1)
        for index, event in enumerate(ordered):
            if event.start > horizon:
                break
            if done >> index & 1:
                continue
            fits, following = event.apply(state)
            if fits:
                stack.append((done | 1 << index, following))
    return False


def describe(events: Iterable[Event]) -> str:
    """For a person: the events of a key in the order they began."""
    ordered = sorted(events, key=lambda event: event.start)
    origin = ordered[0].start
    return "\n".join(
        f"{event.key} {event.start - origin:9.4f} .. {event.end - origin:9.4f} {event.kind.value} {event.value}"
        for event in ordered
    )
