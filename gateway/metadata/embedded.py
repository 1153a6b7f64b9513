"""The embedded Postgres: a private server in the data directory, for when no ``DATABASE_URL`` is given.

This half runs in the gateway: it makes the cluster, starts ``postmaster.py`` (which starts Postgres) and holds the pipe
whose end means shutdown. All of it is synchronous and starts no thread, because it runs in the parent before workers
are forked.

Access is by Unix socket only, SCRAM, with random passwords in a 0600 file; so the gateway can run as root although
Postgres refuses to.
"""

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg import conninfo, sql

from gateway import statements
from gateway.errors import StartupError
from gateway.metadata import postmaster, programs
from gateway.metadata.cluster import (
    OWNER_ROLE,
    SOCKET_NAME,
    Places,
    major_of,
    make_cluster,
    make_passwords,
    own,
    places_of,
    read_passwords,
    server_user,
)
from gateway.metadata.directory import DataDirectory
from gateway.metadata.programs import Programs, ServerUser

GATEWAY_ROLE: Final = "rowlock_gateway"
DATABASE: Final = "rowlock"
START_SECONDS: Final = 300.0  # crash recovery may replay a lot of WAL
STOP_SECONDS: Final = postmaster.GIVE_UP_AFTER_SECONDS + 5.0
SPARE_CONNECTIONS: Final = 20

_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    "wal_level": "replica",
    "max_wal_size": "1GB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    # Statements, parameters and details can carry callers' data: they stay out of the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True, slots=True)
class Databases:
    """Connection strings: ``owner_url`` may change the schema, ``gateway_url`` is what workers use."""

    owner_url: str
    gateway_url: str


def log_path(data_dir: Path) -> Path:
    """The server's log, for ``rowlock doctor``."""
    return places_of(data_dir).log


def locate_running(data_dir: Path) -> Databases | None:
    """How to reach the server of a data directory, or None when none accepts connections there.

    Raises StartupError when it runs but this user may not read its passwords.
    """
    places = places_of(data_dir)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(places.sockets / SOCKET_NAME))
        except PermissionError as error:
            raise StartupError(f"the server in {data_dir} belongs to another user") from error
        except OSError:
            return None
    passwords = read_passwords(places)
    return None if passwords is None else _databases(places, passwords)


class EmbeddedPostgres:
    """One embedded server. Use as a context manager, or ``start`` and ``stop``.

    ``connections`` is what all pools together may open; ``settings`` replaces server settings (tests turn fsync off).
    """

    def __init__(
        self,
        directory: DataDirectory,
        *,
        postgres_bin: Path | None = None,
        postgres_user: str | None = None,
        connections: int = 80,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._data_dir: Final = directory.path
        self._places: Final = places_of(directory.path)
        self._postgres_bin: Final = postgres_bin
        self._postgres_user: Final = postgres_user
        self._settings: Final = {
            **_SETTINGS,
            "shared_buffers": "128MB" if _memory_bytes() >= 2 * 1024**3 else "32MB",
            "max_connections": str(connections + SPARE_CONNECTIONS),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._found: Databases | None = None
        self._has_database = False

    @property
    def owner_url(self) -> str:
        """Connection string of the superuser, for migrations."""
        return self.databases.owner_url

    @property
    def gateway_url(self) -> str:
        """Connection string of ``rowlock_gateway``; works after ``enable_gateway``."""
        return self.databases.gateway_url

    @property
    def databases(self) -> Databases:
        """Both connection strings; the server must have been started."""
        if self._found is None:
            raise RuntimeError("the embedded server was not started")
        return self._found

    @property
    def supervisor_pid(self) -> int | None:
        """The process between gateway and postmaster, for the gateway's own child watch."""
        return None if self._process is None else self._process.pid

    @property
    def events(self) -> int:
        """Descriptor to wait on for ``read_events``."""
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("the embedded server was not started")
        return self._process.stdout.fileno()

    def start(self) -> None:
        """Make the cluster if there is none, start the server and wait until it takes connections.

        A server of this object that was started before is ended first.
        Raises StartupError with one line for whatever a person can cure.
        """
        self.stop()
        places = self._places
        try:
            places.root.mkdir(mode=0o711, exist_ok=True)
        except OSError as error:
            raise StartupError(f"cannot use {places.root}: {(error.strerror or str(error)).lower()}") from error
        user = server_user(self._data_dir, places, self._postgres_user)
        found = programs.reachable(programs.find(self._postgres_bin, major_of(places)), user, places.root / "programs")
        passwords = read_passwords(places)
        if not places.cluster.exists():
            passwords = passwords or make_passwords(places)
            make_cluster(places, found, user, passwords["owner"])
        if passwords is None:
            raise StartupError(f"{places.passwords} is missing: put it back from a backup, the database needs it")
        own(places.sockets, user)
        self._found = _databases(places, passwords)
        self._launch(found, user)
        self._await_ready()
        if not self._has_database:
            self._create_database()
            self._has_database = True

    def _launch(self, found: Programs, user: ServerUser | None) -> None:
        parameters = {
            "program": str(found.directory / "postgres"),
            "arguments": [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")],
            "data_directory": str(self._places.cluster),
            "socket_directory": str(self._places.sockets),
            "lock": str(self._places.lock),
            "log": str(self._places.log),
            "user": None if user is None else user.uid,
            "group": None if user is None else user.gid,
        }
        self._heard = b""
        # A session of its own, or Ctrl-C in a terminal would stop Postgres while workers still drain.
        # A Python whose own library is found by LD_LIBRARY_PATH only must find it here too; Postgres does not get it.
        library_path = {name: os.environ[name] for name in postmaster.LIBRARY_PATHS if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", postmaster.__file__, json.dumps(parameters)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**programs.ENVIRONMENT, **library_path},
            start_new_session=True,
            bufsize=0,
        )
        os.set_blocking(self.events, False)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            for event in self.read_events():
                kind, _, detail = event.partition(" ")
                if kind == "ready":
                    return
                if kind == "failed":
                    self.stop()
                    raise StartupError(f"the embedded Postgres does not start: {detail}")
            if not self.supervisor_alive():
                self.stop()
                raise StartupError(f"the embedded Postgres does not start: see {self._places.log}")
            left = deadline - time.monotonic()
            if left <= 0:
                self.stop()
                raise StartupError(
                    f"the embedded Postgres was not ready in {START_SECONDS:.0f} s: see {self._places.log}"
                )
            select.select([self.events], [], [], min(left, 0.5))

    def _create_database(self) -> None:
        named = statements.load("embedded")
        maintenance = conninfo.make_conninfo(self.owner_url, dbname="postgres")
        try:
            with psycopg.connect(maintenance, autocommit=True) as connection:
                row = connection.execute(named["database_exists"].text).fetchone()
                if row is not None and not row[0]:
                    with suppress(psycopg.errors.DuplicateDatabase):
                        connection.execute(named["create_database"].text)
        except psycopg.OperationalError as error:
            self.stop()
            raise StartupError(f"cannot connect to the embedded Postgres: {one_line(error)}") from error

    def enable_gateway(self) -> None:
        """Give ``rowlock_gateway``, the role the migrations make, the right to log in with its password."""
        enable_login(self.owner_url, str(conninfo.conninfo_to_dict(self.gateway_url)["password"]))

    def read_events(self) -> list[str]:
        """What the supervisor said since the last call: ``ready <pid>``, ``died <status>``, ``failed <reason>``."""
        with suppress(BlockingIOError):
            while chunk := os.read(self.events, 4096):
                self._heard += chunk
        *lines, self._heard = self._heard.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def supervisor_alive(self) -> bool:
        """Whether the process between is there. If not, ``start`` again: it ends what was left, then starts anew."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Close the pipe and wait for the end of the server. Harmless when it was not started."""
        process, self._process = self._process, None
        if process is None:
            return
        _close(process)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def detach(self) -> None:
        """In a forked child: drop the pipe, so that only the parent's life keeps the server up."""
        process, self._process = self._process, None
        if process is not None:
            _close(process)
            process.returncode = 0  # not this process's child: nothing to wait for or to warn about

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def enable_login(owner_url: str, password: str) -> None:
    """Let ``rowlock_gateway`` log in with ``password``, which travels as a SCRAM verifier.

    Raises StartupError when the role is missing or may not be altered.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            verifier = connection.pgconn.encrypt_password(
                password.encode("utf-8"), GATEWAY_ROLE.encode("utf-8"), b"scram-sha-256"
            ).decode("ascii")
            connection.execute(
                sql.SQL("alter role {} login password {}").format(sql.Identifier(GATEWAY_ROLE), sql.Literal(verifier))
            )
    except psycopg.Error as error:
        raise StartupError(f"cannot enable the role {GATEWAY_ROLE}: {one_line(error)}") from error


def one_line(error: psycopg.Error) -> str:
    """A driver's error as one line. libpq never puts a password into these."""
    text = error.diag.message_primary or str(error)
    return " ".join(text.split()) or type(error).__name__


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _databases(places: Places, passwords: Mapping[str, str]) -> Databases:
    def url(role: str, password: str) -> str:
        return conninfo.make_conninfo(
            host=str(places.sockets), port=5432, dbname=DATABASE, user=role, password=password, connect_timeout=10
        )

    return Databases(url(OWNER_ROLE, passwords["owner"]), url(GATEWAY_ROLE, passwords["gateway"]))


def _memory_bytes() -> int:
    """What this process may use: the machine's memory, or the container's limit if that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return memory
