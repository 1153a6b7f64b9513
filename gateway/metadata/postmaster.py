"""The embedded Postgres' own supervisor: a small process between the gateway and the postmaster.

Plain standard library, started with ``-I -S`` and one JSON argument. Its standard input is a pipe whose other end only
the gateway holds: end of file means that the gateway is gone, however it died, and Postgres is shut down (SIGINT, after
20 s SIGQUIT, after 30 s SIGKILL). A postmaster that dies is started again, with back-off, until it died at once five
times. One line per event goes to standard output: ``ready <pid>``, ``died <status>``, ``failed <reason>``.

``server.lock`` is an flock whose descriptor every Postgres process inherits, so it is free exactly when the last
process of that data directory is gone. Whoever cannot take it faces an orphan, and ends that before it starts
anything: there are never two postmasters on one directory, and once the lock is held any pid or socket file in the way
is stale.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

IMMEDIATE_AFTER_SECONDS = 20.0
KILL_AFTER_SECONDS = 30.0
GIVE_UP_AFTER_SECONDS = 40.0
INSTANT_SECONDS = 5.0
INSTANT_DEATHS = 5
LOG_BYTES = 10 * 1024 * 1024
LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG = 1
LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class GatewayGone(Exception):
    """End of file on standard input."""


class Failed(Exception):
    """Postgres cannot be started; the text says why."""


class Supervisor:
    """Runs one postmaster on one directory until the gateway is gone."""

    def __init__(
        self,
        program: str,
        arguments: list[str],
        data_directory: str,
        socket_directory: str,
        lock: str,
        log: str,
        user: int | None,
        group: int | None,
    ) -> None:
        self.command = [program, *arguments]
        self.data_directory = os.path.realpath(data_directory)
        self.socket_directory = socket_directory
        self.lock = lock
        self.log = log
        self.user = user
        self.group = group
        self.postmaster: subprocess.Popen[bytes] | None = None
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        os.set_blocking(1, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        # Only the pipe ends this process. Handlers, not SIG_IGN: what is ignored here stays ignored in the postmaster.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.libc = ctypes.CDLL(None) if LINUX else None

    def run(self) -> int:
        """Until the gateway is gone (0) or Postgres cannot be kept running (1)."""
        deaths = 0
        try:
            while True:
                began = time.monotonic()
                self.start()
                status = self.watch()
                self.say(f"died {status}")
                deaths = deaths + 1 if time.monotonic() - began < INSTANT_SECONDS else 1
                if deaths >= INSTANT_DEATHS:
                    raise Failed(f"Postgres died {deaths} times at once: {self.last_words()} (log: {self.log})")
                self.pause(0.05 * 2 ** (deaths - 1))
        except GatewayGone:
            self.stop()
            return 0
        except (Failed, OSError) as error:
            self.say(f"failed {error}")
            return 1

    def start(self) -> None:
        """Take the directory from whoever has it, clear what a crash left, start the postmaster."""
        lock = self.take_lock()
        for stale in (
            os.path.join(self.data_directory, "postmaster.pid"),
            os.path.join(self.socket_directory, ".s.PGSQL.5432"),
            os.path.join(self.socket_directory, ".s.PGSQL.5432.lock"),
        ):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(stale)
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        descriptors = [lock]
        directory, sockets = self.data_directory, self.socket_directory
        if LINUX and self.user is not None:
            # Another user may not be able to enter the path (it may lie below /root); an open descriptor is a way in.
            opened = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (directory, sockets)]
            directory, sockets = (f"/proc/self/fd/{descriptor}" for descriptor in opened)
            descriptors += opened
        try:
            self.postmaster = subprocess.Popen(  # noqa: S603 - the program the gateway chose
                [*self.command, "-D", directory, "-c", f"unix_socket_directories={sockets}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name not in LIBRARY_PATHS},
                cwd="/",
                pass_fds=descriptors,
                user=self.user,
                group=self.group,
                extra_groups=None if self.user is None else [],
                umask=0o077,
                preexec_fn=self.die_with_parent(),
            )
        finally:
            # Only Postgres keeps the lock, so that taking it again proves that nothing of the last run is left.
            for descriptor in (*descriptors, log):
                os.close(descriptor)

    def die_with_parent(self) -> Callable[[], None]:
        """The second line, should this process be killed: it runs after the change of user, which clears the signal."""
        parent, libc = os.getpid(), self.libc

        def arm() -> None:
            if libc is not None:
                libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        return arm

    def watch(self) -> int:
        """Say when Postgres is ready; return its wait status when it died. Raises GatewayGone."""
        assert self.postmaster is not None  # noqa: S101 - for the type checker: start() came first
        ready = False
        while True:
            status = self.postmaster.poll()
            if status is not None:
                return status
            if not ready and self.is_ready(self.postmaster.pid):
                ready = True
                self.say(f"ready {self.postmaster.pid}")
            self.pause(30.0 if ready else 0.02, until_signal=True)
            self.rotate()

    def is_ready(self, pid: int) -> bool:
        """Whether postmaster.pid says so: first line its pid, eighth its state."""
        try:
            with open(os.path.join(self.data_directory, "postmaster.pid"), encoding="utf-8") as file:
                lines = file.read().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def pause(self, seconds: float, until_signal: bool = False) -> None:
        """Wait; a signal (a child that died) ends the wait early if asked. Raises GatewayGone."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([0, self.woken], [], [], left)
            if 0 in readable and not os.read(0, 512):
                raise GatewayGone
            if self.woken in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.woken, 512)
                if until_signal:
                    return

    def stop(self) -> None:
        """Fast shutdown, then immediate, then the axe."""
        if self.postmaster is None:
            return
        began = time.monotonic()
        stages = [(0.0, signal.SIGINT), (IMMEDIATE_AFTER_SECONDS, signal.SIGQUIT), (KILL_AFTER_SECONDS, signal.SIGKILL)]
        while self.postmaster.poll() is None:
            if stages and time.monotonic() - began >= stages[0][0]:
                self.postmaster.send_signal(stages.pop(0)[1])
            select.select([self.woken], [], [], 0.02)
            with contextlib.suppress(BlockingIOError):
                os.read(self.woken, 512)

    def take_lock(self) -> int:
        """A descriptor that holds ``server.lock``, after ending an orphan if need be. Raises Failed, GatewayGone."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        began = time.monotonic()
        stages = [(0.0, signal.SIGINT), (IMMEDIATE_AFTER_SECONDS, signal.SIGQUIT), (KILL_AFTER_SECONDS, signal.SIGKILL)]
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                waited = time.monotonic() - began
            if waited > GIVE_UP_AFTER_SECONDS:
                os.close(descriptor)
                raise Failed(f"an older Postgres on {self.data_directory} does not end")
            if stages and waited >= stages[0][0]:
                number = stages.pop(0)[1]
                for pid in self.orphans(postmaster_only=number == signal.SIGINT):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            self.pause(0.02)

    def orphans(self, postmaster_only: bool) -> list[int]:
        """The processes that work in our data directory. SIGINT is for the postmaster alone: it means other things to
        its children, which end by themselves when it is gone."""
        try:
            with open(os.path.join(self.data_directory, "postmaster.pid"), encoding="utf-8") as file:
                noted = int(file.readline())
        except (OSError, ValueError):
            noted = 0
        if not LINUX:
            return [noted] if noted > 0 else []
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and (int(name) == noted or not postmaster_only):
                with contextlib.suppress(OSError):
                    if os.path.realpath(f"/proc/{name}/cwd") == self.data_directory:
                        found.append(int(name))
        return found

    def rotate(self) -> None:
        """Keep the log bounded: one old copy. Postgres appends, so cutting the file under it is safe."""
        with contextlib.suppress(OSError):
            if os.path.getsize(self.log) > LOG_BYTES:
                with open(self.log, "rb") as source, open(self.log + ".1", "wb") as target:
                    while chunk := source.read(1024 * 1024):
                        target.write(chunk)
                os.truncate(self.log, 0)

    def last_words(self) -> str:
        """The last FATAL or PANIC line of the log."""
        with contextlib.suppress(OSError), open(self.log, "rb") as file:
            file.seek(max(0, os.path.getsize(self.log) - 8192))
            for line in reversed(file.read().decode("utf-8", "replace").splitlines()):
                for level in ("FATAL:", "PANIC:"):
                    if level in line:
                        return line.partition(level)[2].strip()
        return "no reason given"

    def say(self, message: str) -> None:
        """Tell the gateway, if it is there and listens."""
        with contextlib.suppress(OSError):
            os.write(1, (message.replace("\n", " ") + "\n").encode("utf-8", "replace"))


def main(argument: str) -> int:
    """Run with the JSON object of Supervisor's parameters."""
    parameters: dict[str, Any] = json.loads(argument)
    return Supervisor(**parameters).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
