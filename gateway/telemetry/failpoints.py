"""Named places where a test may kill the process, fail or stall it, to prove what a crash there leaves behind.

Nothing happens, at the price of one empty-dictionary test, until :func:`arm` is called; only a process entry point
calls it, with the value of ``ROWLOCK_FAILPOINTS``. The names are those of the crash-point table in the documentation:
``put.mid_body``, ``put.after_write``, ``put.after_fsync``, ``put.after_link``, ``put.after_dirsync`` and so on.
"""

import asyncio
import errno
import os
import re
import signal
import threading
import time
from dataclasses import dataclass
from typing import Final

ENVIRONMENT_VARIABLE: Final = "ROWLOCK_FAILPOINTS"

_ENTRY: Final = re.compile(
    r"(?P<name>[a-z0-9_.]+)=(?P<action>kill|error|enospc|eio|stall:(?P<seconds>\d+(?:\.\d+)?))(?:@(?P<nth>[1-9]\d*))?"
)


class FailpointError(RuntimeError):
    """The exception of the action ``error``: a bug nobody foresaw."""


@dataclass(slots=True)
class _Armed:
    action: str
    seconds: float
    nth: int | None
    hits: int = 0


_armed: Final[dict[str, _Armed]] = {}
_lock: Final = threading.Lock()


def arm(specification: str) -> None:
    """Arm failpoints: ``name=action[@nth]``, separated by commas; an empty text disarms all.

    Actions: ``kill`` (SIGKILL to this process), ``error`` (FailpointError), ``enospc`` and ``eio`` (OSError),
    ``stall:seconds``. With ``@nth`` only that hit fires, counted from 1. Raises ValueError for malformed text.
    """
    armed = {}
    for entry in filter(None, (text.strip() for text in specification.split(","))):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(f"malformed failpoint: {entry!r}")
        nth = match["nth"]
        armed[match["name"]] = _Armed(
            action=match["action"].partition(":")[0],
            seconds=float(match["seconds"] or 0),
            nth=int(nth) if nth else None,
        )
    with _lock:
        _armed.clear()
        _armed.update(armed)


def failpoint(name: str) -> None:
    """Do what was armed for ``name``; for code in threads, because a stall sleeps."""
    if _armed:
        time.sleep(_fire(name))


async def failpoint_async(name: str) -> None:
    """The same for code on the event loop: a stall does not block others."""
    if _armed:
        await asyncio.sleep(_fire(name))


def _fire(name: str) -> float:
    """Act, or return the seconds to stall."""
    with _lock:
        armed = _armed.get(name)
        if armed is None:
            return 0
        armed.hits += 1
        if armed.nth is not None and armed.hits != armed.nth:
            return 0
    match armed.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "enospc":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "eio":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        case "error":
            raise FailpointError(name)
    return armed.seconds
