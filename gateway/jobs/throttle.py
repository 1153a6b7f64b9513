"""So many bytes a second, whoever asks."""

import asyncio
import time


class Throttle:
    """A rate in bytes a second, shared by tasks of one loop; None: no limit."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._free_at = time.monotonic()

    async def pass_bytes(self, count_bytes: int) -> None:
        """Wait until these bytes are within the rate."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + count_bytes / self._rate
        if (wait_seconds := self._free_at - now) > 0:
            await asyncio.sleep(wait_seconds)
