"""Numbered migrations: ``sql/<family>/NNNN_name.sql``, applied in order, once, each in its own transaction.

What was applied is kept in ``rowlock.migrations`` of the same database, with a checksum: a file that was edited after
it ran is refused, and so is a database that a newer program migrated. A run that was cut goes on where it stopped.
One migrator works on a database at a time (session advisory lock; the URL must not lead through a transaction pooler).

A file whose first line is ``-- rowlock: no-transaction`` runs outside one (``CREATE INDEX CONCURRENTLY``); its
statements stand between lines ``-- rowlock: next`` and must be repeatable, because a cut run starts the file again.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gateway import statements
from gateway.errors import StartupError

LOCK_TIMEOUT_SECONDS: Final = 30
CONNECT_TIMEOUT_SECONDS: Final = 10
NO_TRANSACTION: Final = "-- rowlock: no-transaction"
NEXT: Final = re.compile(r"^-- rowlock: next[ \t]*$", re.MULTILINE)

_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class MigrationError(StartupError):
    """A database cannot be brought to this program's schema; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. ``label`` is how messages call it: ``tenant/0001_storage``."""

    family: str
    id: int
    name: str
    text: LiteralString
    checksum: str

    @property
    def label(self) -> str:
        return f"{self.family}/{self.id:04}_{self.name}"


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the bookkeeping."""

    id: int
    name: str
    checksum: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands in one family."""

    family: str
    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]


def migrations(family: str, directory: Path | None = None) -> tuple[Migration, ...]:
    """The files of a family in order. Raises MigrationError for no files, a wrong name, a number used twice."""
    folder = (directory or statements.sql_directory()) / family
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} is not named NNNN_name.sql")
        content = path.read_bytes()
        # The text is a file of this program, not input: this annotation is where we answer for that.
        text: LiteralString = content.decode("utf-8")
        number = int(match.group(1))
        if number in found:
            raise MigrationError(f"{path} has the number of {found[number].label}")
        found[number] = Migration(family, number, match.group(2), text, hashlib.sha256(content).hexdigest())
    if not found:
        raise MigrationError(f"there are no migrations in {folder}")
    return tuple(found[number] for number in sorted(found))


def migrate(url: str, family: str, directory: Path | None = None) -> list[Migration]:
    """Apply what is missing; return what was applied.

    Raises MigrationError: unreachable database, wrong password, no permission, an edited file, a newer schema, a
    statement that fails (its file stays unapplied as a whole).
    """
    files = migrations(family, directory)
    done: list[Migration] = []
    with connect(url) as connection, _locked(connection):
        with explained("the table rowlock.migrations cannot be read"):
            known = _query(connection, "bookkeeping_exists")[0][0]
        if not known:
            with explained("the table rowlock.migrations cannot be made"):
                _query(connection, "create_schema")
                _query(connection, "create_bookkeeping")
        with explained("the table rowlock.migrations cannot be read"):
            applied = _applied(connection, family)
        for migration in _pending(files, applied):
            with explained(f"migration {migration.label} failed"):
                _apply(connection, migration)
            done.append(migration)
    return done


def status(url: str, family: str, directory: Path | None = None) -> Status:
    """What is applied and what is missing; changes nothing. Raises MigrationError as ``migrate`` does."""
    files = migrations(family, directory)
    with connect(url) as connection, explained("the table rowlock.migrations cannot be read"):
        known = _query(connection, "bookkeeping_exists")[0][0]
        applied = _applied(connection, family) if known else ()
    return Status(family, applied, tuple(_pending(files, applied)))


def _pending(files: tuple[Migration, ...], applied: tuple[Applied, ...]) -> Iterator[Migration]:
    """The files to apply, after checking that the past agrees with them."""
    present = {migration.id: migration for migration in files}
    family, newest = files[0].family, files[-1].id
    for row in applied:
        migration = present.get(row.id)
        if row.id > newest:
            raise MigrationError(
                f"the database has a newer schema ({family}/{row.id:04}_{row.name}) than this program "
                f"({files[-1].label}): use the newer rowlock"
            )
        if migration is None:
            raise MigrationError(f"the database has {family}/{row.id:04}_{row.name}, which this program lacks")
        if migration.checksum != row.checksum:
            raise MigrationError(f"migration {migration.label} was edited after it was applied: restore the file")
    last = max((row.id for row in applied), default=0)
    past = {row.id for row in applied}
    for migration in files:
        if migration.id not in past:
            if migration.id < last:
                raise MigrationError(f"migration {migration.label} came after {last:04} was applied: renumber it")
            yield migration


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> None:
    if migration.text.startswith(NO_TRANSACTION):
        for part in NEXT.split(migration.text):
            connection.execute(part)
        _record(connection, migration)
    else:
        with connection.transaction():
            connection.execute(migration.text)
            _record(connection, migration)


def _record(connection: psycopg.Connection[Any], migration: Migration) -> None:
    _query(
        connection, "record",
        family=migration.family, id=migration.id, name=migration.name, checksum=migration.checksum,
    )  # fmt: skip


def _applied(connection: psycopg.Connection[Any], family: str) -> tuple[Applied, ...]:
    with explained("the table rowlock.migrations cannot be read"):
        return tuple(Applied(*row) for row in _query(connection, "applied", family=family))


def _query(connection: psycopg.Connection[Any], statement_name: str, /, **values: Any) -> list[tuple[Any, ...]]:
    statement = statements.load("migrations")[statement_name]
    cursor = connection.execute(statement.text, statement.bind(values))
    return cursor.fetchall() if cursor.description is not None else []


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the schema's owner; named statements use ``$1``, hence the raw cursor. Raises MigrationError."""
    try:
        patience = {} if "connect_timeout" in conninfo_to_dict(url) else {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
        target = make_conninfo(url, application_name="rowlock migrate", **patience)
        connection = psycopg.connect(target, autocommit=True, cursor_factory=psycopg.RawCursor)
    except psycopg.ProgrammingError as error:
        raise MigrationError("DATABASE_URL is not a Postgres connection string (postgresql://…)") from error
    except psycopg.OperationalError as error:
        raise MigrationError(f"cannot connect to the database: {_reason(error)}") from error
    with connection:
        _query(connection, "configure_session", lock_timeout=f"{LOCK_TIMEOUT_SECONDS}s")
        yield connection


@contextmanager
def _locked(connection: psycopg.Connection[Any]) -> Iterator[None]:
    try:
        _query(connection, "lock")
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError("another process is migrating this database: wait for it and start again") from error
    try:
        yield
    finally:
        if not connection.closed:
            _query(connection, "unlock")


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Errors of the database in this block become MigrationError: ``what``, and why."""
    try:
        yield
    except psycopg.Error as error:
        raise MigrationError(f"{what}: {_reason(error)}") from error


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        advice = error.diag.message_hint or "use the database's owner"
        return f"this role may not ({' '.join(str(error.diag.message_primary).split())}): {advice}"
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())
