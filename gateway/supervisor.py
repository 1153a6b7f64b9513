"""The parent of ``rowlock serve``: forks the workers and the background worker, replaces the dead, stops in order.

It stays synchronous and single-threaded for its whole life, so that every fork is safe. Children share its listening
socket, so a connection never meets a closed port while one worker is replaced. A child cannot outlive the parent: the
kernel kills it (Linux), and a thread that waits on a pipe from the parent is the second line.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

import structlog

from gateway.config import Settings
from gateway.errors import StartupError
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import Databases, EmbeddedPostgres

INSTANT_SECONDS: Final = 5.0
INSTANT_DEATHS: Final = 6
LONGEST_BACKOFF_SECONDS: Final = 5.0
KILL_AFTER_DRAIN_SECONDS: Final = 5.0
POSTGRES_RESTARTS: Final = 10
POSTGRES_WINDOW_SECONDS: Final = 60.0
PR_SET_PDEATHSIG: Final = 1

log = structlog.get_logger(__name__)

RunWorker = Callable[[Settings, socket.socket, Databases, int], None]
RunBackground = Callable[[Settings, Databases], None]


@dataclass(slots=True)
class _Child:
    """One place in the crew, and who fills it now."""

    name: str
    run: Callable[[], None]
    pid: int | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    instant_deaths: int = 0
    proven: bool = False


class Supervisor:
    """Keeps ``workers`` workers and one background worker running until it is told to stop.

    SIGTERM and SIGINT drain: children get SIGTERM and ``drain_seconds`` plus five to end; a second signal ends them at
    once. SIGHUP does nothing.
    """

    def __init__(
        self,
        settings: Settings,
        directory: DataDirectory,
        listener: socket.socket,
        databases: Databases,
        run_worker: RunWorker,
        run_background: RunBackground,
        workers: int,
        embedded: EmbeddedPostgres | None,
    ) -> None:
        self._settings: Final = settings
        self._directory: Final = directory
        self._listener: Final = listener
        self._embedded: Final = embedded
        self._children: Final = [
            *(
                _Child(f"worker {index}", partial(run_worker, settings, listener, databases, index))
                for index in range(workers)
            ),
            _Child("background worker", partial(self._background, run_background, databases)),
        ]
        self._asked = 0
        self._postgres_restarts: list[float] = []
        self._pid: Final = os.getpid()
        self._libc: Final = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
        self._life_reader, self._life_writer = os.pipe()
        self._wake_reader, self._wake_writer = os.pipe()
        for descriptor in (self._wake_reader, self._wake_writer):
            os.set_blocking(descriptor, False)

    def run(self) -> int:
        """Until asked to stop (0). Raises StartupError when children or Postgres cannot be kept running."""
        gc.collect()
        gc.freeze()  # what is loaded now is shared with every child and never scanned, so its pages stay shared
        with self._signals():
            try:
                while not self._asked:
                    self._start_due()
                    self._wait(self._next_start())
                    self._reap()
                    self._watch_postgres()
                return 0
            finally:
                self._stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def ask(number: int, frame: object) -> None:
            self._asked += 1

        handlers = {signal.SIGTERM: ask, signal.SIGINT: ask, signal.SIGHUP: _ignore, signal.SIGCHLD: _ignore}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for descriptor in (self._life_reader, self._life_writer, self._wake_reader, self._wake_writer):
                os.close(descriptor)

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.pid is None and child.start_at <= now:
                self._fork(child)

    def _next_start(self) -> float:
        """Seconds until a child is due; a ceiling in case a signal was lost."""
        due = [child.start_at for child in self._children if child.pid is None]
        return max(0.0, min([start - time.monotonic() for start in due], default=10.0))

    def _wait(self, seconds: float) -> None:
        sources = [self._wake_reader]
        if self._embedded is not None and not self._asked:
            sources.append(self._embedded.events)  # its end wakes us too: Postgres' supervisor died
        select.select(sources, [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)

    def _fork(self, child: _Child) -> None:
        # Blocked, or a signal right after the fork would run the parent's handler, on the parent's pipe, in the child.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        try:
            child.started_at = time.monotonic()
            pid = os.fork()
            if pid == 0:
                self._live(child, blocked)
            child.pid = pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _live(self, child: _Child, mask: set[int | signal.Signals]) -> NoReturn:
        """The child's life, from the fork to its exit; it never returns into the parent's code."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A terminal sends these to the whole group; what they mean is for the parent to say, with SIGTERM.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for descriptor in (self._life_writer, self._wake_reader, self._wake_writer):
                os.close(descriptor)
            if self._embedded is not None:
                self._embedded.detach()
            self._directory.release()
            self._die_with_parent()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            child.run()
            status = 0
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        except StartupError as error:
            log.error("cannot start", process=child.name, reason=str(error))
        except BaseException:
            log.exception("died", process=child.name)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _die_with_parent(self) -> None:
        if self._libc is not None:
            self._libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != self._pid:
            os._exit(1)
        threading.Thread(target=_exit_at_end_of, args=(self._life_reader,), name="parent-watch", daemon=True).start()

    def _background(self, run_background: RunBackground, databases: Databases) -> None:
        self._listener.close()
        run_background(self._settings, databases)

    def _reap(self) -> None:
        for child in self._children:
            if child.pid is None:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            child.pid = None
            if not self._asked:
                self._note_death(child, os.waitstatus_to_exitcode(status))

    def _note_death(self, child: _Child, status: int) -> None:
        now = time.monotonic()
        instant = now - child.started_at < INSTANT_SECONDS
        child.proven = child.proven or not instant
        child.instant_deaths = child.instant_deaths + 1 if instant else 1
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        if child.instant_deaths >= INSTANT_DEATHS and not child.proven:
            raise StartupError(f"{child.name} died {child.instant_deaths} times at once ({reason}): see the log")
        backoff = 0.0 if child.instant_deaths == 1 else 0.1 * 2.0 ** (child.instant_deaths - 2)
        child.start_at = now + min(backoff, LONGEST_BACKOFF_SECONDS)
        log.warning("replacing a process that died", process=child.name, reason=reason)

    def _watch_postgres(self) -> None:
        if self._embedded is None or self._asked:
            return
        alive = self._embedded.supervisor_alive()
        for event in self._embedded.read_events():
            log.warning("embedded Postgres", happened=event)
        if not alive:
            self._restart_postgres()

    def _restart_postgres(self) -> None:
        """Start it again, and again if that start is cut too, within a budget."""
        reason = "it died too often"
        while not self._asked:
            now = time.monotonic()
            self._postgres_restarts = [when for when in self._postgres_restarts if now - when < POSTGRES_WINDOW_SECONDS]
            if len(self._postgres_restarts) >= POSTGRES_RESTARTS:
                raise StartupError(f"the embedded Postgres does not stay up ({reason}): see `rowlock doctor`")
            self._postgres_restarts.append(now)
            try:
                assert self._embedded is not None  # noqa: S101 - for the type checker: the caller looked
                self._embedded.start()
            except StartupError as error:
                reason = str(error)
                log.warning("embedded Postgres", happened="start failed", reason=reason)
                time.sleep(min(0.05 * 2 ** len(self._postgres_restarts), 1.0))
            else:
                log.warning("embedded Postgres", happened="started again")
                return

    def _stop(self) -> None:
        """SIGTERM, the drain, then SIGKILL; Postgres goes last, when the caller closes it."""
        self._signal_all(signal.SIGTERM)
        asked = self._asked
        self._asked = max(1, asked)  # deaths are expected from now on
        deadline = time.monotonic() + self._settings.drain_seconds + KILL_AFTER_DRAIN_SECONDS
        while any(child.pid is not None for child in self._children):
            left = deadline - time.monotonic()
            if left <= 0 or self._asked > max(1, asked):
                self._signal_all(signal.SIGKILL)
                left = 1.0
            self._wait(min(left, 1.0))
            self._reap()

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.pid is not None:
                os.kill(child.pid, number)


def _ignore(number: int, frame: object) -> None:
    """A handler that only wakes the loop."""


def _exit_at_end_of(descriptor: int) -> None:
    os.read(descriptor, 1)
    os._exit(1)
