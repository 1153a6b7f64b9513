"""What ``rowlock serve`` does before it forks: every check a person can fail, each with its one line."""

import contextlib
import errno
import json
import os
import resource
import secrets
import signal
import socket
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from gateway import __version__
from gateway.auth.signed_url import api_key
from gateway.auth.token_settings import SECRET_FILE, new_secret, token_keys, wants_own_secret
from gateway.config import Settings
from gateway.context import ANONYMOUS_ROLE, SERVICE_ROLE
from gateway.dispatch import PREFIX
from gateway.errors import StartupError
from gateway.metadata.directory import DataDirectory, write_private
from gateway.metadata.embedded import Databases, EmbeddedPostgres
from gateway.metadata.migrate import migrate
from gateway.preflight import check_cdn, check_tenants, check_tls, check_url_keys, warn_of_ignored
from gateway.supervisor import Supervisor

_log = structlog.get_logger(__name__)

BACKLOG: Final = 1024
FIRST_KEY_FILE: Final = "first-access-key.json"
OPEN_FILES: Final = 65_536
# A killed predecessor's workers hold the port for a moment after its death.
PORT_PATIENCE_SECONDS: Final = 1.0
CONTROL_FAMILY: Final = "control"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key pair."""

    access_key_id: str
    secret_access_key: str


# (settings, databases, key) -> whether the key was made: it is not when there are keys already.
EnsureFirstKey = Callable[[Settings, Databases, AccessKey], bool]


@dataclass(frozen=True, slots=True)
class Program:
    """The parts ``serve`` runs, injected. Load them before the fork, so that children share their memory."""

    run_worker: Callable[..., None]
    run_background: Callable[..., None]
    ensure_first_key: EnsureFirstKey
    families: tuple[str, ...] = ("tenant", "control")
    migrations: Path | None = None


def serve(settings: Settings, program: Program) -> int:
    """Serve until told to stop. Raises StartupError, one line, for everything a person can cure."""
    signal.signal(signal.SIGTERM, _leave)
    _raise_file_limit()
    workers = worker_count(settings)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(DataDirectory.hold(settings.data_dir))
        check_tls(settings)
        check_url_keys(settings)
        warn_of_ignored(os.environ)
        listener = stack.enter_context(bind(settings.host, settings.port))
        check_tenants(settings)
        check_cdn(settings)
        rest: socket.socket | None = None
        if settings.rest_port is not None:
            rest = stack.enter_context(bind(settings.host, settings.rest_port))
        admin: socket.socket | None = None
        if settings.admin_port is not None:
            admin = stack.enter_context(bind(settings.admin_host, settings.admin_port))
        metrics: socket.socket | None = None
        if settings.metrics_port is not None:
            metrics = stack.enter_context(bind(settings.metrics_host, settings.metrics_port))
        embedded: EmbeddedPostgres | None = None
        url = main_database_url(settings)
        if url is None:
            embedded = stack.enter_context(embedded_postgres(settings, directory))
            databases = embedded.databases
        else:
            databases = Databases(url, url)
        for family in program.families:
            if family == CONTROL_FAMILY and settings.control_database_url is not None:
                migrate(settings.control_database_url.get_secret_value(), family, program.migrations)
            elif family == CONTROL_FAMILY or not settings.multi_tenant:
                migrate(databases.owner_url, family, program.migrations)
        if embedded is not None:
            embedded.enable_gateway()
        made_secret = not settings.multi_tenant and own_secret(settings, directory)
        key, made = (
            (None, False)
            if settings.multi_tenant
            else first_key(settings, databases, directory, program.ensure_first_key)
        )
        listeners = (
            (listener, settings.host, settings.port),
            (rest, settings.host, settings.rest_port or 0),
            (admin, settings.admin_host, settings.admin_port or 0),
            (metrics, settings.metrics_host, settings.metrics_port or 0),
        )
        for opened, host, port in listeners:
            try:
                if opened is not None:
                    opened.listen(BACKLOG)
            except OSError as error:
                raise _bind_error(host, port, error) from error
        print(banner(settings, listener, directory, workers, key, made, admin, metrics), flush=True)
        if settings.rest and not settings.multi_tenant:
            print(rest_banner(settings, listener, rest, made_secret), flush=True)
        run_worker = program.run_worker if rest is None else partial(program.run_worker, rest=rest)
        beside = {"admin": admin, "metrics": metrics}
        given = {name: opened for name, opened in beside.items() if opened is not None}
        run_background = partial(program.run_background, **given)
        return Supervisor(settings, directory, listener, databases, run_worker, run_background, workers, embedded).run()


def main_database_url(settings: Settings) -> str | None:
    """The database the server starts with: the tenants' registry where there are many, else the one tenant's; None is
    the embedded one."""
    chosen = settings.database_url
    if settings.multi_tenant and settings.control_database_url is not None:
        chosen = settings.control_database_url
    return None if chosen is None else chosen.get_secret_value()


def worker_count(settings: Settings) -> int:
    """Worker processes: as set, or one a processor this process may use."""
    if settings.workers is not None:
        return settings.workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def embedded_postgres(settings: Settings, directory: DataDirectory) -> EmbeddedPostgres:
    """The embedded server with room for every pool: the workers' and the background worker's."""
    return EmbeddedPostgres(
        directory,
        postgres_bin=settings.postgres_bin,
        postgres_user=settings.postgres_user,
        connections=(worker_count(settings) + 1) * settings.database_pool_size,
    )


def bind(host: str, port: int) -> socket.socket:
    """The socket, bound; it takes connections only after ``listen``, when everything is ready."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise StartupError(f"cannot listen on {host}: no such address") from error
    deadline = time.monotonic() + PORT_PATIENCE_SECONDS
    while True:
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(address)
            return listener
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise _bind_error(host, port, error) from error
            time.sleep(0.05)


def _bind_error(host: str, port: int, error: OSError) -> StartupError:
    if error.errno == errno.EADDRINUSE:
        return StartupError(f"port {port} on {host} is in use: stop that server or choose another --port")
    reason = (error.strerror or str(error)).lower()
    return StartupError(f"cannot listen on {host} port {port}: {reason}")


def own_secret(settings: Settings, directory: DataDirectory) -> bool:
    """The secret of users' tokens, made at the first start where no keys are set, after which ``rowlock jwt`` works;
    whether it was made now. Refuses keys that cannot be used."""
    path = directory.path / SECRET_FILE
    is_new = wants_own_secret(settings) and not path.exists()
    if is_new:
        write_private(path, new_secret() + "\n")
    token_keys(settings)
    return is_new


def first_key(
    settings: Settings, databases: Databases, directory: DataDirectory, ensure: EnsureFirstKey
) -> tuple[AccessKey | None, bool]:
    """The first access key and whether it was made now.

    A key given by settings is handed on. A generated one is on disk before it is in the database, so a crash between
    the two cannot lose its secret; it stays there for the next start's banner.
    """
    given_secret = settings.secret_access_key
    if (settings.access_key_id is None) != (given_secret is None):
        raise StartupError("ROWLOCK_ACCESS_KEY_ID and ROWLOCK_SECRET_ACCESS_KEY belong together: set both or none")
    if settings.access_key_id is not None and given_secret is not None:
        given = AccessKey(settings.access_key_id, given_secret.get_secret_value())
        return given, ensure(settings, databases, given)
    path = directory.path / FIRST_KEY_FILE
    kept = _read_key(path)
    key = kept or generate_key()
    if kept is None:
        write_private(
            path,
            json.dumps({"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}, indent=2)
            + "\n",
        )
    made = ensure(settings, databases, key)
    if kept is None and not made:
        path.unlink(missing_ok=True)
        return None, False
    return key, made


def generate_key() -> AccessKey:
    """A new pair: 20 capitals and digits, and 40 characters that no shell or URL needs to quote (238 bits)."""
    letters = string.ascii_uppercase + "234567"
    alphabet = string.ascii_letters + string.digits
    return AccessKey(
        "RLAK" + "".join(secrets.choice(letters) for _ in range(16)),
        "".join(secrets.choice(alphabet) for _ in range(40)),
    )


def _read_key(path: Path) -> AccessKey | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        return AccessKey(str(content["access_key_id"]), str(content["secret_access_key"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartupError(
            f"{path} cannot be read: repair it, or remove it and make a key with `rowlock keys`"
        ) from error


def endpoint(settings: Settings, listener: socket.socket) -> str:
    """The URL to type: a wildcard address is shown as the loopback one."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - shown
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"


def banner(
    settings: Settings,
    listener: socket.socket,
    directory: DataDirectory,
    workers: int,
    key: AccessKey | None,
    made: bool,
    admin: socket.socket | None = None,
    metrics: socket.socket | None = None,
) -> str:
    """What a person sees at the start. A generated secret is shown once; later lines read it from its file."""
    url = endpoint(settings, listener)
    database = "embedded Postgres" if main_database_url(settings) is None else "Postgres as set"
    crew = f"{workers} worker{'' if workers == 1 else 's'}"
    lines = [
        f"Rowlock {__version__} listens on {url}",
        f"  region {settings.region}, {crew}, {database}, data in {directory.path}",
    ]
    if admin is not None:
        host, port = admin.getsockname()[:2]
        lines.append(f"  admin API on {host} port {port}")
    if metrics is not None:
        host, port = metrics.getsockname()[:2]
        lines.append(f"  metrics on {host} port {port}")
    if settings.multi_tenant:
        return "\n".join([*lines, "  many tenants: `rowlock tenants`, `rowlock keys --tenant`"])
    if key is None:
        return "\n".join([*lines, "  access keys: `rowlock keys`"])
    path = directory.path / FIRST_KEY_FILE
    if settings.access_key_id is not None:
        secret = "$ROWLOCK_SECRET_ACCESS_KEY"  # noqa: S105 - a reference for the shell
        lines.append(f"  access key {key.access_key_id}, as set by ROWLOCK_ACCESS_KEY_ID")
    elif made:
        secret = key.secret_access_key
        lines.append(f"  first access key {key.access_key_id}; its secret is shown this once and kept in {path}")
    else:
        secret = f"""$(sed -n 's/.*"secret_access_key": "\\(.*\\)".*/\\1/p' '{path}')"""
        lines.append(f"  first access key {key.access_key_id}; its secret is in {path}")
    pair = f"AWS_ACCESS_KEY_ID={key.access_key_id} AWS_SECRET_ACCESS_KEY={_quoted(secret)}"
    return "\n".join(
        [
            *lines,
            "",
            f"  export {pair} AWS_DEFAULT_REGION={settings.region}",
            f"  aws --endpoint-url {url} s3 mb s3://example",
            f"  aws --endpoint-url {url} s3 ls",
            "",
        ]
    )


def rest_banner(settings: Settings, listener: socket.socket, rest: socket.socket | None, made_secret: bool) -> str:
    """Where the JSON API is. Keys for it are shown once, where the server made the secret that signs them."""
    where = f"  JSON API on {endpoint(settings, listener)}{PREFIX}"
    lines = [where if rest is None else f"{where} and {endpoint(settings, rest)}"]
    secrets_of_tokens = token_keys(settings).secrets
    if made_secret and secrets_of_tokens:
        now = datetime.now(UTC)
        lines += [f"  {role} key {api_key(secrets_of_tokens[0], role, now)}" for role in (ANONYMOUS_ROLE, SERVICE_ROLE)]
    return "\n".join([*lines, ""])


def _quoted(secret: str) -> str:
    return f'"{secret}"' if secret.startswith("$") else secret


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _leave(number: int, frame: object) -> None:
    """SIGTERM before the workers run: leave in order, so that what was started is stopped."""
    raise SystemExit(128 + number)
