"""A circuit breaker: a store that is down is left alone for a while, so that requests fail at once, without a wait."""

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """Opens after ``failures`` in a row. While open, ``allow`` says no for ``open_seconds``, then lets one try pass.

    ``clock`` is monotonic, in seconds. Safe to use from several threads.
    """

    def __init__(self, failures: int, open_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """True from the failure that opened it until a try succeeds."""
        return self._open_until is not None

    def allow(self) -> bool:
        """May a request be sent now? The one that is let through while open keeps the others out once more."""
        with self._lock:
            if self._open_until is None:
                return True
            now = self._clock()
            if now < self._open_until:
                return False
            self._open_until = now + self._open_seconds
            return True

    def succeeded(self) -> None:
        """The store answered."""
        with self._lock:
            self._failures = 0
            self._open_until = None

    def failed(self) -> bool:
        """The store failed; True if that opened the circuit."""
        with self._lock:
            self._failures += 1
            if self._failures < self._limit:
                return False
            opened = self._open_until is None
            self._open_until = self._clock() + self._open_seconds
            return opened
